"""How well a prediction agrees with weak labels: boxes, marks and tags that a person gave and no
network was trained on.

Everything is counted class by class and added up over images, as for the confusion matrix, so that
each figure is of the whole data set.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.functional.boxes import largest_first, pixel_boxes

CHOOSES = ("val/miou", "val/box_extent_iou", "val/marks_accuracy", "val/tags_f1")
"""figures by which the best of several networks is chosen: the first of these that was measured"""
# a smaller share of the pixels does not show a class: single pixels are wrong in any prediction
SHOWN = 1e-3
TOUCHING = np.ones((3, 3), bool)  # diagonal neighbours too

Span = tuple[slice, slice]


def count_extents(labels: Tensor, boxes: Tensor, box_classes: Tensor, classes: int) -> Tensor:
    """Pixels of what is predicted, boxed in as a person would, against the boxes: int64 [3,C], for
    `overlap`.

    For each class but the background: pixels in both, in the extents, and in the boxes. Each region
    of touching pixels of a class is cut apart among the boxes of its class that it reaches into: a
    pixel goes to the smallest box that it lies in, or else to the nearest of these boxes. The
    extent of a box is the smallest upright rectangle around its pixels. A region that reaches into
    no box has an extent of its own, which counts against the prediction.

    Args:
        labels: the prediction, integers [H,W].
        boxes: float [N,4] of the image, as in `Evidence`; N = 0 means that there is nothing but
            background.
        box_classes: int64 [N].
        classes: how many, background included.

    >>> labels = torch.tensor([[0, 1, 1, 0], [0, 1, 0, 0]])
    >>> count_extents(labels, torch.tensor([[0.0, 0, 3, 2]]), torch.tensor([1]), classes=2)
    tensor([[0, 4],
            [0, 4],
            [0, 6]])
    """
    height, width = labels.shape
    counts = torch.zeros(3, classes, dtype=torch.int64)
    rectangles = [_span(*corners) for corners in pixel_boxes(boxes, height, width).tolist()]
    order = largest_first(boxes, box_classes).tolist()
    for label in set(torch.unique(labels).tolist()) | set(box_classes.tolist()):
        if not 0 < label < classes:
            continue
        own = [rectangles[place] for place in order if int(box_classes[place]) == label]
        boxed = _filled(own, (height, width))
        extents = _filled(_extents((labels == label).numpy(), own), (height, width))
        counts[:, label] = torch.tensor([(boxed & extents).sum(), extents.sum(), boxed.sum()])
    return counts


def count_shown(labels: Tensor, tags: Tensor) -> Tensor:
    """Which classes a prediction [H,W] shows, against the tags bool [C]: int64 [3,C] of both,
    predicted and named, for `f1`.

    A class is shown by a thousandth of the pixels or more. The background, which nearly every image
    shows, is not counted.

    >>> count_shown(torch.tensor([[0, 0, 2]]), torch.tensor([True, True, True]))
    tensor([[0, 0, 1],
            [0, 0, 1],
            [0, 1, 1]])
    """
    found = torch.bincount(labels[labels != IGNORE].long().flatten(), minlength=len(tags))[
        : len(tags)
    ]
    predicted = found >= max(1, SHOWN * labels.numel())
    named = tags.clone()
    predicted[0] = named[0] = False
    return torch.stack([predicted & named, predicted, named]).long()


def overlap(counts: Tensor) -> Tensor:
    """Intersection over union of each class, float64 [C], from the counts int64 [3,C] of both, one
    and the other; nan where none is."""
    both, one, other = counts.double().unbind()
    return both / (one + other - both)


def f1(counts: Tensor) -> Tensor:
    """The F1 score of each class, float64 [C], from the counts int64 [3,C] of both, one and the
    other; nan where none is."""
    both, one, other = counts.double().unbind()
    return 2 * both / (one + other)


def accuracy(confusion: Tensor) -> Tensor:
    """Which part of the pixels of each class of the rows was found, float64 [C]; nan for a class
    without any."""
    return confusion.diagonal().double() / confusion.sum(1)


def _span(x1: int, y1: int, x2: int, y2: int) -> Span:
    return slice(y1, y2), slice(x1, x2)


def _filled(spans: list[Span], size: tuple[int, int]) -> NDArray[np.bool_]:
    filled = np.zeros(size, bool)
    for span in spans:
        filled[span] = True
    return filled


def _extents(region: NDArray[np.bool_], boxes: list[Span]) -> list[Span]:
    """Rectangles around the pixels of each box, and around each part of the region that reaches
    into none. Boxes: the largest first."""
    # 0: outside of all boxes; else the number of the smallest one
    owner = np.zeros(region.shape, np.int64)
    for number, span in enumerate(boxes, 1):
        owner[span] = number
    parts, count = ndimage.label(region, TOUCHING)
    reached = _reached(parts, owner, len(boxes))
    # of the pixels of each part that lie outside of all boxes
    group_of = len(boxes) + np.arange(count + 1)
    group_of[0] = 0
    for part, numbers in reached.items():
        group_of[part] = numbers[0]
    groups = np.where(region & (owner > 0), owner, group_of[parts])
    spans = ndimage.find_objects(parts)
    for part, numbers in reached.items():
        if len(numbers) > 1:
            _to_nearest(
                groups[spans[part - 1]],
                (parts == part)[spans[part - 1]],
                owner[spans[part - 1]],
                spans[part - 1],
                boxes,
                numbers,
            )
    return [span for span in ndimage.find_objects(groups) if span is not None]


def _reached(
    parts: NDArray[np.int64], owner: NDArray[np.int64], boxes: int
) -> dict[int, list[int]]:
    """The numbers of the boxes that each part reaches into; nothing of parts that reach into
    none."""
    inside = (parts > 0) & (owner > 0)
    reached: dict[int, list[int]] = {}
    for pair in np.unique(parts[inside].astype(np.int64) * (boxes + 1) + owner[inside]).tolist():
        reached.setdefault(pair // (boxes + 1), []).append(pair % (boxes + 1))
    return reached


def _to_nearest(
    groups: NDArray[np.int64],
    part: NDArray[np.bool_],
    owner: NDArray[np.int64],
    place: Span,
    boxes: list[Span],
    numbers: list[int],
) -> None:
    """Give the pixels of a part outside of all boxes to the nearest of several boxes that it
    reaches into. Arrays are of its place."""
    outside = part & (owner == 0)
    rows, columns = np.nonzero(outside)
    distances = [
        _distance(rows + place[0].start, columns + place[1].start, boxes[number - 1])
        for number in numbers
    ]
    groups[outside] = np.array(numbers)[np.argmin(distances, axis=0)]


def _distance(rows: NDArray[np.int64], columns: NDArray[np.int64], span: Span) -> NDArray[np.int64]:
    """How far pixels are from a rectangle, squared."""
    down = np.maximum(0, np.maximum(span[0].start - rows, rows - span[0].stop + 1))
    across = np.maximum(0, np.maximum(span[1].start - columns, columns - span[1].stop + 1))
    squared: NDArray[np.int64] = down**2 + across**2
    return squared
