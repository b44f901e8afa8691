"""The first batches of a training, in which a simpler loss trains the network."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from weakseg.utils.limits import CountFromZero, limited


class WarmUp(nn.Module):
    """Counts batches until a warm-up is over. The count is in the checkpoint, so that a resumed run
    does not warm up again.

    batches: how many; 0 for none.
    what: what they do, for the message if their number is impossible.
    """

    # how long it has been trained changes no target
    not_in_key: ClassVar[tuple[str, ...]] = ("_steps",)

    @limited
    def __init__(self, batches: CountFromZero) -> None:
        super().__init__()
        self.batches = batches
        # a plain number: to read a buffer is to wait for the device that it is on
        self._steps = 0

    def is_over(self) -> bool:
        """Whether so many batches have been before this one. To be called once for each; those of
        training count."""
        over = self._steps >= self.batches
        if self.training:
            self._steps += 1
        return over

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        """In a checkpoint the number is a tensor, as everything is in a state of torch."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}_steps"] = torch.tensor(self._steps)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """The counterpart of `_save_to_state_dict`."""
        key = f"{prefix}_steps"
        missing: list[str] = arguments[2]
        if key in state_dict:
            self._steps = int(state_dict[key])
        else:
            missing.append(key)
        own = {name: value for name, value in state_dict.items() if name != key}
        super()._load_from_state_dict(own, prefix, *arguments)
