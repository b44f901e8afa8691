"""Full supervision: masks, or whatever is marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from weakseg.evidence import Evidence
from weakseg.strategies.base import Context, Strategy
from weakseg.strategies.shared.marked import need_marked_pixel, need_marks


class Full(Strategy):
    """Full supervision: the marks are the labels.

    With whole masks this is ordinary supervised training, the yardstick for every weaker kind of
    evidence. With points or scribbles it trains on the marked pixels alone ("partial
    cross-entropy"), the simplest thing that works: unmarked pixels are 255 and teach nothing.
    Estimates once, needs no network.

    >>> import torch
    >>> marks = torch.tensor([[1, 255]], dtype=torch.uint8)
    >>> Full().estimate(Evidence("a", torch.zeros(3, 1, 2).byte(), marks=marks), Context())
    tensor([[  1, 255]], dtype=torch.uint8)
    """

    needs: ClassVar[tuple[str, ...]] = ("marks",)

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Every image must have a marked pixel."""
        need_marked_pixel(evidence)

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        """The marks of the image."""
        return need_marks(evidence).clone()
