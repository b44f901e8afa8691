"""What strategies that estimate from unaries and a dense CRF do in later rounds: the unaries times
the network's prediction, reduced to where in an image its classes are."""

from __future__ import annotations

import torch
from torch import Tensor

from weakseg.evidence import Evidence, Prediction
from weakseg.functional.area_calibration import calibrate_areas
from weakseg.functional.boxes import largest_first, pixel_boxes

NETWORK = 0.125
"""how much the log probabilities of the network count in later rounds, for an object as large as
the image; chosen on photographs, see docs/explanation/later-rounds.md"""
_LEAST = 1e-3  # probability that is left to every class where it can be


def has_learned(prediction: Prediction) -> bool:
    """Whether the prediction is one of a trained network: in that of round 0 every class has the
    same probability."""
    return bool(prediction.probs.min() < prediction.probs.max())


def with_prediction(
    probs: Tensor,
    found: Tensor,
    evidence: Evidence,
    prediction: Prediction,
    classes: Tensor,
    inside: Tensor,
    weight: float = NETWORK,
) -> Tensor:
    """Unaries times the prediction of a trained network to the power of a weight: float [K,H,W]
    that sums to 1.

    The prediction only says where in the image the classes are: how much there is of each stays as
    it was found without it (`calibrate_areas`). It counts less for small objects, which networks
    resolve badly: in proportion to their sides.

    Args:
        probs: the unaries by the evidence, float [K,H,W].
        found: the number of the class, 0 to K - 1, that each pixel has without the network, integer
            [H,W].
        evidence: of the image.
        prediction: of a trained network, `has_learned`.
        classes: which the image can have, int64 [K]; the first is 0, background.
        inside: where each of them can be, bool [K,H,W].
        weight: of the log probabilities of the network, for an object as large as the image.
    """
    areas = torch.bincount(found.flatten().long(), minlength=len(classes))
    where = calibrate_areas(prediction.probs.float(), classes, inside, areas.float())
    weights = weight * object_sides(evidence, found)
    logs = probs.clamp(min=_LEAST).log() + weights * where.clamp(min=_LEAST).log()
    joint = logs.softmax(0) * inside
    return joint / joint.sum(0)


def object_sides(evidence: Evidence, found: Tensor) -> Tensor:
    """The side of the object that each pixel may belong to, as a part of the image's: the root of
    its share of the pixels, float [H,W].

    By the smallest box around a pixel, 0 outside of all boxes. Without boxes, by all that was
    found of the classes that are not background, everywhere.
    """
    if evidence.boxes is None or evidence.box_classes is None:
        return torch.full(found.shape, float((found > 0).float().mean()) ** 0.5)
    sides = torch.zeros(found.shape)
    rectangles = pixel_boxes(evidence.boxes, *found.shape)
    for place in largest_first(evidence.boxes, evidence.box_classes).tolist():
        left, top, right, bottom = rectangles[place].tolist()
        share = (right - left) * (bottom - top) / found.numel()
        sides[top:bottom, left:right] = share**0.5
    return sides
