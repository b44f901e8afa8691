"""Gross mistakes of a simulated annotator: boxes in the wrong place, and classes taken for others.

Each mistake has a chance of its own, drawn whether it happens or not: what goes wrong at a small
probability goes wrong in the same way at a larger one.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TRIES = 16  # places that are drawn for a box
ELSEWHERE = 0.25  # overlap (IoU) with its own place at which a box is somewhere else


def moved_boxes(
    boxes: Tensor, height: int, width: int, probability: float, rng: np.random.Generator
) -> Tensor:
    """Boxes of which some are moved elsewhere in the image: of 16 places, all equally likely, to
    the first that overlaps with the right one by a quarter (IoU) at most, or else to the one that
    overlaps least.

    Args:
        boxes: float [N,4], on whole pixels and inside the image.
        height: of the image.
        width: of the image.
        probability: that a box is moved.
        rng: a stream of its own.
    """
    chances = rng.random(len(boxes))
    draws = rng.random((len(boxes), TRIES, 2))
    moved = boxes.double().numpy().copy()
    for number in np.flatnonzero(chances < probability):
        moved[number] = _elsewhere(moved[number], np.array([width, height]), draws[number])
    return torch.from_numpy(moved).to(boxes.dtype)


def moved_masks(masks: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Masks bool [N,H,W] that move with their tight boxes [N,4]."""
    shifts = (after - before)[:, :2].long().tolist()
    moved = [
        mask.roll((down, right), (0, 1)) for mask, (right, down) in zip(masks, shifts, strict=True)
    ]
    return torch.stack(moved) if moved else masks


def swapped_classes(there: Tensor, probability: float, rng: np.random.Generator) -> Tensor:
    """What an annotator calls each class: int64 [C], its own number, or that of a class that the
    image does not show. No two classes become the same one; the background is never taken for
    anything, and where no class is left, nothing is swapped.

    Args:
        there: bool [C], the classes of the image.
        probability: that a class is taken for another.
        rng: a stream of its own.
    """
    chances = rng.random(len(there))
    order = rng.permutation(len(there)).tolist()
    free = [label for label in order if label and not there[label]]
    table = torch.arange(len(there))
    # the likeliest first: at a larger probability it is still taken for the same class
    for label in np.argsort(chances).tolist():
        if label and there[label] and chances[label] < probability and free:
            table[label] = free.pop(0)
    return table


def _elsewhere(
    box: NDArray[np.float64], size: NDArray[np.int64], draws: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The box at one of the drawn places, from 0 to 1 of the way that is free."""
    side = box[2:] - box[:2]
    corners = np.rint(draws * (size - side))
    places = np.concatenate([corners, corners + side], 1)
    overlaps = np.array([_iou(box, place) for place in places])
    far = np.flatnonzero(overlaps <= ELSEWHERE)
    chosen: NDArray[np.float64] = places[far[0] if len(far) else overlaps.argmin()]
    return chosen


def _iou(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    low = np.maximum(one[:2], other[:2])
    high = np.minimum(one[2:], other[2:])
    both = np.prod(np.clip(high - low, 0, None))
    return float(both / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - both))
