"""Scribbles or points, and a gated CRF loss within a small window around each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from weakseg.evidence import Batch, Evidence
from weakseg.functional.losses import GatedKernel, gated_crf_loss
from weakseg.strategies.base import Strategy
from weakseg.strategies.shared.marked import (
    downsampled,
    marks_loss,
    need_marked_pixel,
)
from weakseg.strategies.shared.options import LossWeight, MarksWarmup, Reach
from weakseg.strategies.shared.warmup import WarmUp
from weakseg.utils.limits import Count, limited


class ScribblesGated(Strategy):
    """Partial cross-entropy on the marked pixels, and a gated CRF loss that makes each pixel agree
    with pixels of similar colours within a small window.

    The Gated CRF loss of Obukhov, Georgoulis, Dai and Van Gool ("Gated CRF Loss for Weakly
    Supervised Semantic Image Segmentation", 2019). Like `ScribblesCRF` one stage without rounds,
    but each pixel is compared with a small window only, on the network's small scores: no lattice,
    so it runs on any device at the same speed. Labels of marks propagate from window to window as
    the network learns.

    Args:
        weight: of the loss against the cross-entropy of the marked pixels.
        xy: standard deviation in shrunk pixels within which two pixels should agree.
        rgb: standard deviation of their colours, in steps of 0 to 255.
        radius: of the window, in shrunk pixels; memory and time grow with its square.
        shrink: probabilities and image are compared this many times smaller in each direction.
        warmup: how many batches learn the marks alone.
    """

    needs: ClassVar[tuple[str, ...]] = ("marks",)
    takes: ClassVar[tuple[str, ...]] = ("class_weights", "terms")

    @limited
    def __init__(
        self,
        weight: LossWeight = 0.1,
        xy: Reach = 6.0,
        rgb: Reach = 5.8,
        radius: Count = 5,
        shrink: Count = 4,
        warmup: MarksWarmup = 0,
    ) -> None:
        super().__init__()
        self.weight = weight
        self.xy = xy
        self.rgb = rgb
        self.radius = radius
        self.shrink = shrink
        self.warmup = WarmUp(warmup)

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Every image must have a marked pixel."""
        need_marked_pixel(evidence)

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The cross-entropy of the marked pixels, and from the end of the warm-up on the gated CRF
        loss of all."""
        terms = marks_loss(logits, batch, self)
        if self.warmup.is_over():
            probs, colours, there = downsampled(logits, batch, self.shrink)
            kernels = [GatedKernel(xy=self.xy, rgb=self.rgb)]
            terms["gated_crf"] = self.weight * gated_crf_loss(
                probs, colours, kernels=kernels, radius=self.radius, valid=there
            )
        return terms
