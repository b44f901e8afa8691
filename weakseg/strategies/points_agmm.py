"""Points or scribbles, and a mixture of Gaussians around the features of the marked pixels that
supervises all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import Batch, Evidence
from weakseg.functional.feature_mixture import apart_loss, feature_mixture, mixture_loss
from weakseg.functional.losses import absent_loss
from weakseg.functional.resolution import average_pool, stride
from weakseg.strategies.base import Strategy, Wants
from weakseg.strategies.shared.marked import marks_loss, need_marked_pixel
from weakseg.strategies.shared.options import LossWeight, MarksWarmup
from weakseg.strategies.shared.warmup import WarmUp
from weakseg.utils.limits import limited


class PointsAGMM(Strategy):
    """Partial cross-entropy on the marked pixels, and an adaptive Gaussian mixture model (AGMM) of
    the network's features that supervises all pixels.

    Wu, Zhong, Fang, He, Liu, Ma and Chen, "Sparsely Annotated Semantic Segmentation with Adaptive
    Gaussian Mixtures", CVPR 2023, for points and scribbles. In each step and image, the mean
    features of the pixels that are marked with a class are the centre of a Gaussian; how near the
    features of any pixel are to it is a second prediction. The two predictions are to agree, the
    second one with the marks, too, and the centres are to lie apart. One stage, no rounds and no
    targets. It needs a network that offers its features.

    Args:
        weight: of the two terms of the mixture against the cross-entropy of the marked pixels.
        absent: weight of the loss for classes that the tags leave out; 0 to ignore tags.
        warmup: how many batches learn the marks alone.
    """

    needs: ClassVar[tuple[str, ...]] = ("marks",)
    takes: ClassVar[tuple[str, ...]] = ("class_weights", "terms")
    wants = Wants(features_in_loss=True)

    @limited
    def __init__(
        self, weight: LossWeight = 1.0, absent: LossWeight = 1.0, warmup: MarksWarmup = 0
    ) -> None:
        super().__init__()
        self.weight = weight
        self.absent = absent
        self.warmup = WarmUp(warmup)

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Every image must have a marked pixel."""
        need_marked_pixel(evidence)

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The cross-entropy of the marked pixels, that of absent classes and, from the end of the
        warm-up on, the terms of the mixture."""
        terms = marks_loss(logits, batch, self)
        if self.absent and batch.tags is not None:
            terms["absent"] = self.absent * absent_loss(logits, batch.tags, batch.valid)
        if self.weight and self.warmup.is_over():
            terms |= self._mixture(logits, batch)
        return terms

    def _mixture(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The terms of the mixture, compared at the resolution of the features."""
        if batch.features is None:
            raise ValueError(
                f"{type(self).__name__} needs the network's features, but the batch has none; "
                "train it with weakseg.Segmenter, or set batch.features"
            )
        exact = torch.promote_types(logits.dtype, torch.float32)
        features = batch.features.to(exact)
        size = (features.shape[-2], features.shape[-1])
        assert batch.marks is not None  # or its loss would have been refused
        # one_hot of torch waits for the device, to see that there is no other class
        classes = torch.arange(logits.shape[1], device=logits.device)
        marked = (batch.marks[:, None] == classes[:, None, None]).to(exact)
        marked, _ = _cells(marked, None, size)
        probs, valid = _cells(logits.to(exact).softmax(1), batch.valid, size)
        mixture = feature_mixture(features, marked)
        return {
            "mixture": self.weight * mixture_loss(probs, marked, mixture, valid),
            "apart": self.weight * apart_loss(mixture),
        }


def _cells(values: Tensor, valid: Tensor | None, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The means of values over the valid pixels of each cell of the features, and whether it has
    any."""
    side = stride(values.shape[-1], size[1])
    pooled, there = average_pool(values, valid, side)
    missing = (0, size[1] - pooled.shape[-1], 0, size[0] - pooled.shape[-2])
    return F.pad(pooled, missing), F.pad(there, missing)
