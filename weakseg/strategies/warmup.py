"""The first batches of a training, in which a strategy believes less than it does later."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WarmUp(nn.Module):
    """Counts batches until a warm-up is over. The count is in the checkpoint, so that a resumed run does not warm up again.

    batches: how many; 0 for none.
    what: what they do, for the message if their number is impossible.
    """

    steps: Tensor

    def __init__(self, batches: int, what: str) -> None:
        super().__init__()
        if batches < 0:
            raise ValueError(f"warmup should be at least 0, how many batches {what}, but it is {batches}")
        self.batches = batches
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def count(self) -> bool:
        """Whether the warm-up was over before this batch. Only batches of training count."""
        over = self.batches == 0 or int(self.steps) >= self.batches
        if self.training:
            self.steps += 1
        return over
