"""Marks of an image in two parts: one to estimate labels from, the other to see whether the labels
are right there."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from weakseg.evidence import IGNORE

STROKE = 0.08
"""of the long side of the image: a mark that is as long as that is a stroke, of which a half can be
held out; what is shorter is a click, which is held out as a whole or not at all"""
TOUCHING = np.ones((3, 3))
PARTS = 2


class HeldOut(NamedTuple):
    """Marks in two parts, uint8 [H,W], 255 elsewhere."""

    shown: Tensor
    hidden: Tensor


def hold_out(marks: Tensor, part: int, named: Collection[int] = ()) -> HeldOut:
    """Hide about half of the marks of each class: every second mark, or half of the only stroke. A
    class whose only mark is a click keeps it unless it is known without, and so does one all of
    whose marks are hidden by the other part. Some mark is left of each image.

    Args:
        marks: uint8 [H,W], 255 = not marked.
        part: which half, 0 or 1. What one hides, the other shows.
        named: classes that the image is known to show, by its tags. Of the classes in the image,
            part 0 hides the only click of the first, the third and so on, and part 1 that of the
            others.

    >>> marks = torch.tensor([[1, 255, 1, 255, 0]], dtype=torch.uint8)
    >>> [part.tolist() for part in hold_out(marks, 0)]
    [[[255, 255, 1, 255, 0]], [[1, 255, 255, 255, 255]]]
    """
    if part not in range(PARTS):
        raise ValueError(f"part should be 0 or 1, but it is {part}")
    hidden = torch.full_like(marks, IGNORE)
    for place, number in enumerate(torch.unique(marks).tolist()):
        if number != IGNORE:
            alone = number in named and place % PARTS == part
            hidden[_half((marks == number).numpy(), part, alone)] = number
    if torch.equal(hidden, marks):
        hidden = torch.full_like(marks, IGNORE)
    return HeldOut(marks.masked_fill(hidden != IGNORE, IGNORE), hidden)


def _half(
    marked: np.ndarray[tuple[int, int], np.dtype[np.bool_]], part: int, alone: bool
) -> Tensor:
    """The pixels of one class that a part hides, bool [H,W]; `alone`: the only click, too."""
    pieces, count = ndimage.label(marked, TOUCHING)
    if count > 1:
        return torch.from_numpy(marked & (pieces % PARTS == 1 - part))
    rows, columns = np.nonzero(marked)
    along = rows if np.ptp(rows) >= np.ptp(columns) else columns
    if np.ptp(along) + 1 < STROKE * max(marked.shape):
        return torch.from_numpy(marked & alone)
    first = along < np.median(along)
    own = first if part == 0 else ~first
    half = np.zeros_like(marked)
    half[rows[own], columns[own]] = True
    return torch.from_numpy(half)
