"""What the evidence says about each pixel of an image, at the size of the image or smaller."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.functional.crf import DenseCRF, dense_crf
from weakseg.functional.lost_boxes import keep_boxes
from weakseg.utils.lengths import Length, Share

_LEAST = 1e-3  # probability that a classifier leaves to every class
_SURE = 0.99  # probability of the class of a marked pixel, as a unary of the CRF


class Objects(NamedTuple):
    """The boxes of an image."""

    boxes: Tensor
    """float [N,4]"""
    classes: Tensor
    """int64 [N]: their places among the classes of the scene"""
    least: float
    """the part of each box that its object keeps, whatever its colours are"""

    def shrunk(self, vertically: float, horizontally: float) -> Objects:
        """The same at a size so many times as large."""
        factors = torch.tensor([horizontally, vertically] * 2)
        return self._replace(boxes=self.boxes * factors)


class Scene(NamedTuple):
    """An image, and what is known of its pixels."""

    image: Tensor
    """uint8 [3,H,W]"""
    classes: Tensor
    """those that it can have, int64 [K], background first"""
    prior: Tensor
    """float [K,H,W]: their probabilities by the evidence alone"""
    inside: Tensor
    """bool [K,H,W]: where each of them can be"""
    known: Tensor | None
    """uint8 [H,W]: the class of the pixels of which it is certain, 255 elsewhere"""
    objects: Objects | None = None
    """in boxes, from which the prior comes"""
    classifier: float = 1.0
    """what log odds of a classifier are multiplied by beside those of boxes"""

    def shrunk(self, height: int, width: int) -> Scene:
        """The same at a smaller size."""
        size = (height, width)
        image = F.interpolate(self.image[None].float(), size, mode="area")[0]
        inside = F.interpolate(self.inside[None].float(), size, mode="area")[0] > 0
        factors = (height / self.image.shape[1], width / self.image.shape[2])
        return self._replace(
            image=image.round().to(torch.uint8),
            prior=F.interpolate(self.prior[None], size, mode="area")[0],
            inside=inside,
            known=None if self.known is None else _shrunk_labels(self.known, size),
            objects=None if self.objects is None else self.objects.shrunk(*factors),
        )

    def with_prior(self, probs: Tensor) -> Tensor:
        """Probabilities of a classifier, float [K,h,w] of any size, at the size of the scene; those
        by boxes are multiplied to them."""
        enlarged = F.interpolate(probs[None], self.image.shape[1:], mode="bilinear")[0]
        if self.objects is None:
            return enlarged
        return enlarged.clamp(min=_LEAST) ** self.classifier * self.prior

    def refined(self, probs: Tensor, crf: DenseCRF) -> Tensor:
        """Probabilities float [K,H,W] with what is known, after the CRF; -1 where a class cannot
        be."""
        possible = probs.clamp(min=_LEAST) * self.inside
        if self.known is not None:
            rest = (1 - _SURE) / max(1, len(self.classes) - 1)
            certain = torch.where(self.known == self.classes[:, None, None], _SURE, rest)
            possible = certain.where(self.known != IGNORE, possible)
        refined = self._refined(possible / possible.sum(0), crf)
        # a strong CRF moves things out of their boxes
        return refined.masked_fill(~self.inside, -1)

    def _refined(self, probs: Tensor, crf: DenseCRF) -> Tensor:
        if self.objects is None:
            return dense_crf(self.image, probs, crf)
        boxes, classes, least = self.objects
        return keep_boxes(self.image, probs, boxes, classes, least, crf)


def shrunk_crf(crf: DenseCRF, factor: float) -> DenseCRF:
    """The CRF for an image that is so much smaller: what is in pixels shrinks, but not below
    one."""
    near, far = (_shrunk_length(each, factor) for each in (crf.smooth_xy, crf.bilateral_xy))
    return replace(crf, smooth_xy=near, bilateral_xy=far)


def _shrunk_length(length: Length, factor: float) -> Length:
    return length if isinstance(length, Share) else max(min(1.0, length), length * factor)


def _shrunk_labels(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Labels uint8 [H,W] of the pixels in the middle of the new ones, and of labelled pixels where
    those have none: a click is one pixel."""
    middle = F.interpolate(labels[None, None].float(), size, mode="nearest-exact")[0, 0]
    small = middle.to(torch.uint8)
    rows, columns = (labels != IGNORE).nonzero().T
    near = (rows * size[0] // labels.shape[0], columns * size[1] // labels.shape[1])
    any_label = torch.full(size, IGNORE, dtype=torch.uint8)
    any_label[near] = labels[rows, columns]
    return torch.where(small == IGNORE, any_label, small)
