"""Scribbles or points, and a loss that lets each pixel agree with the few around it that look alike."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import ClassVar

import torch
from torch import Tensor

from weakseg.evidence import Batch, Evidence
from weakseg.functional.losses import GatedKernel, gated_crf_loss
from weakseg.functional.resolution import averaged
from weakseg.strategies.marked import learn_marks, need_marked_pixel, valid_pixels
from weakseg.strategy import Strategy


class ScribblesGated(Strategy):
    """Learn the marked pixels, and on all others agree with the neighbours within a few pixels that look alike.

    The Gated CRF loss of Obukhov, Georgoulis, Dai and Van Gool ("Gated CRF Loss for Weakly Supervised Semantic Image Segmentation",
    2019). Like `ScribblesCRF` one stage without rounds, but each pixel is compared with a small window only, on the network's small
    scores: no lattice, so it runs on any device at the same speed. What a mark says spreads from window to window as the network learns.

    weight: of the loss against the cross-entropy of the marked pixels.
    xy: within how many shrunk pixels two of them belong together, a standard deviation.
    rgb: how alike their colours must be, a standard deviation in steps of 0 to 255.
    radius: of the window, in shrunk pixels; memory and time grow with its square.
    shrink: probabilities and image are compared this many times smaller in each direction.
    warmup: how many batches learn the marks alone.
    """

    needs: ClassVar[tuple[str, ...]] = ("marks",)
    steps: Tensor

    def __init__(self, weight: float = 0.1, xy: float = 6.0, rgb: float = 5.8, radius: int = 5, shrink: int = 4, warmup: int = 0) -> None:
        super().__init__()
        if not (isfinite(weight) and weight >= 0):
            raise ValueError(f"weight should be 0 or more, what the gated CRF loss is multiplied by, but it is {weight}")
        for name, value in (("xy", xy), ("rgb", rgb)):
            if not value > 0:
                raise ValueError(f"{name} should be more than 0, how far a pixel reaches, but it is {value}")
        for name, number, least in (("radius", radius, 1), ("shrink", shrink, 1), ("warmup", warmup, 0)):
            if number < least:
                raise ValueError(f"{name} should be at least {least}, but it is {number}")
        self.weight, self.xy, self.rgb, self.radius, self.shrink, self.warmup = weight, xy, rgb, radius, shrink, warmup
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))  # in the checkpoint, so that a resumed run does not warm up again

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Every image must have a marked pixel."""
        need_marked_pixel(evidence)

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The cross-entropy of the marked pixels, and from the end of the warm-up on the gated CRF loss of all."""
        terms = learn_marks(logits, batch, self)
        if int(self.steps) >= self.warmup:
            valid = valid_pixels(batch)
            probs, there = averaged(logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(1), valid, self.shrink)
            colours, _ = averaged(batch.image.to(probs.dtype), valid, self.shrink)
            kernels = [GatedKernel(xy=self.xy, rgb=self.rgb)]
            loss = gated_crf_loss(probs, colours.round().to(torch.uint8), kernels=kernels, radius=self.radius, valid=there)
            terms["gated_crf"] = self.weight * loss
        if self.training:
            self.steps += 1
        return terms
