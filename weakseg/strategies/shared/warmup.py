"""The first batches of a training, in which a simpler loss trains the network."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from weakseg.utils.limits import CountFromZero, limited


class WarmUp(nn.Module):
    """Counts batches until a warm-up is over. The count is in the checkpoint, so that a resumed run
    does not warm up again.

    batches: how many; 0 for none.
    what: what they do, for the message if their number is impossible.
    """

    # how long it has been trained changes no target
    not_in_key: ClassVar[tuple[str, ...]] = ("_steps",)
    _steps: Tensor

    @limited
    def __init__(self, batches: CountFromZero) -> None:
        super().__init__()
        self.batches = batches
        self.register_buffer("_steps", torch.zeros((), dtype=torch.int64))

    def is_over(self) -> bool:
        """Whether so many batches have been before this one. To be called once for each; those of
        training count."""
        # to read the count is to wait for a GPU: not without need
        over = self.batches == 0 or int(self._steps) >= self.batches
        if self.training:
            self._steps += 1
        return over
