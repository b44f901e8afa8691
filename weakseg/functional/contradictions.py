"""Where a prediction contradicts the annotations of its image: a class that is annotated and found
nowhere, and a class that is found where none is annotated.

Everything here works on a batch and on the grid of the network's scores, and nothing waits for a
GPU: these are measured in every step of a training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import IGNORE

BLOB = 3  # cells on a side of the smallest thing that counts as found
RIM = 1  # cells around a box in which its own class may be found


class Doubt(NamedTuple):
    """How much speaks against the annotations of each image, and which class it is about."""

    value: Tensor
    """float [B], from 0 to 1; nan where nothing can be compared"""
    label: Tensor
    """int64 [B]"""


class Annotated(NamedTuple):
    """The annotations of a batch, as far as a prediction may contradict them."""

    tags: Tensor | None = None
    """bool [B,C]; a row without any True is an image without tags"""
    boxes: Sequence[Tensor] | None = None
    """per image float [N,4] in pixels of the image"""
    box_classes: Sequence[Tensor] | None = None
    marks: Tensor | None = None
    """integers [B,H,W], 255 = not marked"""


def missing(probs: Tensor, annotated: Annotated, size: tuple[int, int]) -> Doubt:
    """How far the class that is found the least is from being found where it is annotated.

    A box is filled as far as its rows and columns show its class: the mean of the highest
    probabilities of each. Of marks the mean probability of a class on its pixels counts, and of
    tags beside which there is nothing else, the highest probability of a class anywhere.

    Args:
        probs: float [B,C,h,w].
        annotated: of the same images.
        size: of the images in pixels, to which boxes refer.
    """
    found = torch.ones_like(probs[:, :, 0, 0])
    known = torch.zeros_like(found, dtype=torch.bool)
    if annotated.marks is not None:
        shares, marked = _on_marks(probs, annotated.marks)
        found = torch.where(marked, shares, found)
        known = known | marked
    boxes = _flat(annotated, probs.shape[0])
    if boxes is not None:
        numbers, corners, labels = boxes
        inside = inside_boxes(corners, size, probs.shape[-2:])
        filled = _filled(probs[numbers, labels], inside)
        flat = numbers * probs.shape[1] + labels
        found = found.flatten().scatter_reduce(0, flat, filled, "amin").view_as(found)
        known = known.flatten().index_fill(0, flat, True).view_as(known)
    if annotated.tags is not None:
        # nothing but tags says where a class is
        only = annotated.tags & ~known
        found = torch.where(only, _peaks(probs), found)
        known = known | only
    found = found.clone()
    found[:, 0] = 1  # the background is hardly ever missing, and never asked for
    return _least(found, known)


def unnamed(probs: Tensor, annotated: Annotated, size: tuple[int, int]) -> Doubt:
    """How surely a class is found where none is annotated: the highest probability of a class, but
    the background, that the tags do not name, or, in an image that has boxes, outside of all boxes
    of the class. nan for images that have neither tags nor boxes.

    The arguments are those of `missing`.
    """
    images, classes = probs.shape[:2]
    boxed = torch.tensor(_counts(annotated, images)) > 0
    boxed = boxed.to(probs.device, non_blocking=True)
    allowed = torch.zeros_like(probs, dtype=torch.bool)
    comparable = boxed
    if annotated.tags is not None:
        # beside boxes, tags do not say where else a class may be
        allowed = (annotated.tags & ~boxed[:, None])[:, :, None, None].expand_as(probs)
        comparable = comparable | annotated.tags.any(1)
    boxes = _flat(annotated, images)
    if boxes is not None:
        numbers, corners, labels = boxes
        inside = inside_boxes(corners, size, probs.shape[-2:]).to(probs.dtype)
        around = F.max_pool2d(inside[:, None], 2 * RIM + 1, 1, RIM)[:, 0]
        covered = torch.zeros_like(probs).flatten(0, 1)
        covered = covered.index_add(0, numbers * classes + labels, around).view_as(probs)
        allowed = allowed | (covered > 0)
    peaks = _peaks(torch.where(allowed, 0, probs))
    value, label = peaks[:, 1:].max(1)
    return Doubt(torch.where(comparable, value, torch.nan).clamp(0, 1), label + 1)


def inside_boxes(boxes: Tensor, size: Sequence[int], grid: Sequence[int]) -> Tensor:
    """The cells of a grid over an image that each box touches by half a cell or more, and the one
    in its middle: bool [N,h,w].

    >>> inside_boxes(torch.tensor([[0.0, 0, 4, 2]]), (4, 8), (2, 4)).int()
    tensor([[[1, 1, 0, 0],
             [0, 0, 0, 0]]], dtype=torch.int32)
    """
    rows = _span(boxes[:, 1], boxes[:, 3], size[0], grid[0])
    columns = _span(boxes[:, 0], boxes[:, 2], size[1], grid[1])
    return rows[:, :, None] & columns[:, None, :]


def _span(low: Tensor, high: Tensor, side: int, cells: int) -> Tensor:
    """The cells along one side whose middles lie between two edges, and at least one."""
    scale = cells / side
    cell = torch.arange(cells, device=low.device, dtype=low.dtype)
    middle = ((low + high) / 2 * scale).floor().clamp(0, cells - 1)
    between = (cell + 0.5 >= low[:, None] * scale) & (cell + 0.5 < high[:, None] * scale)
    return between | (cell == middle[:, None])


def _flat(annotated: Annotated, images: int) -> tuple[Tensor, Tensor, Tensor] | None:
    """The boxes of all images behind each other: the image of each, its corners and its class; None
    if there is no box."""
    if annotated.boxes is None or annotated.box_classes is None:
        return None
    counts = _counts(annotated, images)
    if not sum(counts):
        return None
    corners = torch.cat(list(annotated.boxes))
    # made on the CPU, where the counts are known
    numbers = torch.arange(images).repeat_interleave(torch.tensor(counts))
    return (
        numbers.to(corners.device, non_blocking=True),
        corners,
        torch.cat(list(annotated.box_classes)),
    )


def _counts(annotated: Annotated, images: int) -> list[int]:
    """How many boxes each image has."""
    return [0] * images if annotated.boxes is None else [len(boxes) for boxes in annotated.boxes]


def _filled(probs: Tensor, inside: Tensor) -> Tensor:
    """How far the rows and columns of each box show its class: [N], from probabilities [N,h,w]."""
    within = torch.where(inside, probs, 0)
    rows = _mean(within.amax(2), inside.any(2))
    columns = _mean(within.amax(1), inside.any(1))
    return (rows + columns) / 2


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    return torch.where(counted, values, 0).sum(1) / counted.sum(1).clamp(min=1)


def _on_marks(probs: Tensor, marks: Tensor) -> tuple[Tensor, Tensor]:
    """The mean probability of each class on the pixels that are marked with it, [B,C], and whether
    any is."""
    images, classes, height, width = probs.shape
    rows = torch.arange(marks.shape[1], device=marks.device) * height // marks.shape[1]
    columns = torch.arange(marks.shape[2], device=marks.device) * width // marks.shape[2]
    cell = rows[:, None] * width + columns
    known = marks != IGNORE
    label = torch.where(known, marks, 0).long()
    own = probs.flatten(1).gather(1, (label * (height * width) + cell).flatten(1))
    weight = known.flatten(1).to(probs.dtype)
    empty = probs.new_zeros(images, classes)
    counts = empty.scatter_add(1, label.flatten(1), weight)
    sums = empty.scatter_add(1, label.flatten(1), own * weight)
    return sums / counts.clamp(min=1), counts > 0


def _peaks(probs: Tensor) -> Tensor:
    """The highest probability of each class that something of a few cells has on average: [B,C]."""
    side = min(BLOB, *probs.shape[-2:])
    rows = probs.shape[-2] - side + 1
    columns = probs.shape[-1] - side + 1
    # row by row and column by column; pooling of torch takes ten times as long on a CPU
    down = _sum([probs[..., first : first + rows, :] for first in range(side)])
    both = _sum([down[..., first : first + columns] for first in range(side)])
    highest: Tensor = both.flatten(2).amax(2)
    return highest / float(side**2)


def _sum(parts: Sequence[Tensor]) -> Tensor:
    """The sum of some tensors, which stay as they are."""
    total = parts[0].clone()
    for part in parts[1:]:
        total += part
    return total


def _least(found: Tensor, known: Tensor) -> Doubt:
    """The doubt about the class that is found the least."""
    lowest, label = torch.where(known, found, torch.inf).min(1)
    value = torch.where(known.any(1), 1 - lowest, torch.nan)
    return Doubt(value.clamp(0, 1), label)
