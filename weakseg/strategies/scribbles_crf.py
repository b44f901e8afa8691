"""Scribbles or points, and a loss that lets near pixels of like colours agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from weakseg.evidence import Batch, Evidence
from weakseg.strategies.base import Strategy
from weakseg.strategies.shared.marked import (
    disagreement,
    expect_at_least,
    expect_reach,
    expect_weight,
    learn_marks,
    need_marked_pixel,
)
from weakseg.strategies.shared.warmup import WarmUp


class ScribblesCRF(Strategy):
    """Learn the marked pixels, and on all others agree with what is near and of a similar colour.

    The dense CRF loss of Tang, Perazzi, Djelouah, Ben Ayed, Schroers and Boykov ("On Regularized
    Losses for Weakly-supervised CNN Segmentation", ECCV 2018). One stage and no rounds: the CRF is
    in the loss, so there are no targets to estimate. Marks may be scribbles, points or anything
    that says the class of a few pixels; an image without a mark teaches agreement alone and is
    refused.

    weight: of the dense CRF loss against the cross-entropy of the marked pixels. It counts from 0
        to 1, the chance that two pixels that belong together are of different classes, whatever the
        size of the images; the original sums over pairs, see the page.
    xy: within how many pixels of the image two of them belong together, a standard deviation.
    rgb: how alike their colours must be, a standard deviation in steps of 0 to 255.
    shrink: probabilities and image are compared this many times smaller in each direction, as in
        the original; xy shrinks with them.
    warmup: how many batches learn the marks alone, the first phase of the original.
    """

    needs: ClassVar[tuple[str, ...]] = ("marks",)

    def __init__(
        self,
        weight: float = 1.0,
        xy: float = 100.0,
        rgb: float = 15.0,
        shrink: int = 2,
        warmup: int = 0,
    ) -> None:
        super().__init__()
        expect_weight(weight=weight)
        expect_reach(xy=xy, rgb=rgb)
        expect_at_least(1, shrink=shrink)
        self.weight = weight
        self.xy = xy
        self.rgb = rgb
        self.shrink = shrink
        self.warmup = WarmUp(warmup, "learn the marks alone")

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Every image must have a marked pixel."""
        need_marked_pixel(evidence)

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The cross-entropy of the marked pixels, and from the end of the warm-up on the dense CRF
        loss of all."""
        terms = learn_marks(logits, batch, self)
        if self.warmup.is_over():
            terms["crf"] = self.weight * disagreement(logits, batch, self.xy, self.rgb, self.shrink)
        return terms
