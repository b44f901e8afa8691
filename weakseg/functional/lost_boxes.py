"""A dense CRF that does not lose the objects of boxes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from weakseg.functional.boxes import largest_first, pixel_boxes
from weakseg.functional.crf import DEEPLAB_V2, DenseCRF, dense_crf

KEPT = 0.5
"""which part of the middle of a box an object keeps, whatever its colours are. Small, as it may be
hidden by others; from 0.5 to 1 results are the same on photographs of animals and on grey scans"""
ATTEMPTS = 8  # after which the box is left as it is
_RAISED = math.e  # odds are multiplied by this at each attempt


def keep_boxes(
    image: Tensor,
    probs: Tensor,
    boxes: Tensor,
    box_classes: Tensor,
    least: float,
    crf: DenseCRF = DEEPLAB_V2,
) -> Tensor:
    """Probabilities refined by a dense CRF, float [C,H,W], in which the class of each box is the
    likeliest on some part of it.

    Where an object has the colours of what is around it, as in grey scans, or is small beside
    something alike, the CRF gives all of its box to the background. But the box says that it is
    there. The odds of its class are raised in it, e times at each attempt, until the class has this
    part of the box, or after some attempts. Where no box has lost its object this is the CRF alone.

    Args:
        image: uint8 [3,H,W].
        probs: float [C,H,W], of the boxes and whatever else is known.
        boxes: float [N,4].
        box_classes: int64 [N], as rows of the probabilities.
        least: the part of each box on which its class has to be the likeliest.
        crf: weights and standard deviations of the CRF.
    """
    height, width = image.shape[1:]
    pixels = pixel_boxes(boxes, height, width)
    owner = _smallest_box(boxes, box_classes, pixels, height, width)
    raised = torch.zeros(len(boxes))
    refined = dense_crf(image, probs, crf)
    for _ in range(ATTEMPTS):
        lost = _shares(refined.max(0).indices, pixels, box_classes) < least
        if not bool(lost.any()):
            break
        raised += lost
        odds = torch.ones_like(probs)
        for number in raised.nonzero().flatten().tolist():
            odds[box_classes[number]][owner == number] = _RAISED ** raised[number]
        likelier = probs * odds
        refined = dense_crf(image, likelier / likelier.sum(0), crf)
    return refined


def _smallest_box(
    boxes: Tensor, box_classes: Tensor, pixels: Tensor, height: int, width: int
) -> Tensor:
    """The number of the smallest box that each pixel lies in, int64 [H,W]; -1 outside of all."""
    owner = torch.full((height, width), -1)
    for number in largest_first(boxes, box_classes).tolist():
        x1, y1, x2, y2 = pixels[number].tolist()
        owner[y1:y2, x1:x2] = number
    return owner


def _shares(labels: Tensor, pixels: Tensor, box_classes: Tensor) -> Tensor:
    """Which part of each box has its class, float [N]; all of it for a box outside of the image."""
    shares = torch.ones(len(pixels))
    for number, (x1, y1, x2, y2) in enumerate(pixels.tolist()):
        if x1 < x2:
            inside = labels[y1:y2, x1:x2] == box_classes[number]
            shares[number] = inside.double().mean()
    return shares
