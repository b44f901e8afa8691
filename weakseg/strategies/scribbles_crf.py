"""Scribbles or points, and a dense CRF loss on all pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from weakseg.evidence import Batch, Evidence
from weakseg.strategies.base import Strategy
from weakseg.strategies.shared.marked import (
    crf_loss,
    marks_loss,
    need_marked_pixel,
)
from weakseg.strategies.shared.options import LengthOfReach, LossWeight, MarksWarmup, Reach
from weakseg.strategies.shared.warmup import WarmUp
from weakseg.utils.lengths import Share
from weakseg.utils.limits import Count, limited


class ScribblesCRF(Strategy):
    """Partial cross-entropy on the marked pixels, and a dense CRF loss that makes near pixels of
    similar colours agree.

    The dense CRF loss of Tang, Perazzi, Djelouah, Ben Ayed, Schroers and Boykov ("On Regularized
    Losses for Weakly-supervised CNN Segmentation", ECCV 2018). One stage and no rounds: the CRF is
    in the loss, so there are no targets to estimate. An image without a mark is refused, as it
    would teach agreement alone.

    Args:
        weight: of the dense CRF loss against the cross-entropy of the marked pixels. It is from 0
            to 1, the probability that two pixels that should agree are of different classes; the
            original sums over pairs, see the page.
        xy: standard deviation within which two pixels should agree, in pixels of the image or as
            a share of its long side; of a crop, of the crop's.
        rgb: standard deviation of their colours, in steps of 0 to 255.
        shrink: probabilities and image are compared this many times smaller, as in the original.
        warmup: how many batches learn the marks alone, the first phase of the original.
    """

    needs: ClassVar[tuple[str, ...]] = ("marks",)
    takes: ClassVar[tuple[str, ...]] = ("class_weights", "terms")

    @limited
    def __init__(
        self,
        weight: LossWeight = 1.0,
        xy: LengthOfReach = Share(0.2),
        rgb: Reach = 15.0,
        shrink: Count = 2,
        warmup: MarksWarmup = 0,
    ) -> None:
        super().__init__()
        self.weight = weight
        self.xy = xy
        self.rgb = rgb
        self.shrink = shrink
        self.warmup = WarmUp(warmup)

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Every image must have a marked pixel."""
        need_marked_pixel(evidence)

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The cross-entropy of the marked pixels, and from the end of the warm-up on the dense CRF
        loss of all."""
        terms = marks_loss(logits, batch, self)
        if self.warmup.is_over():
            terms["crf"] = self.weight * crf_loss(logits, batch, self.xy, self.rgb, self.shrink)
        return terms
