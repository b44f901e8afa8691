"""Marks of an image in two parts: one to estimate labels from, the other to see whether the labels
are right there."""

from __future__ import annotations

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


def hold_out(marks: Tensor, part: int) -> HeldOut:
    """Hide about half of the marks of each class: every second mark, or half of the only stroke. A
    class whose only mark is a click keeps it, and so does one all of whose marks are hidden by the
    other part.

    Args:
        marks: uint8 [H,W], 255 = not marked.
        part: which half, 0 or 1. What one hides, the other shows.

    >>> marks = torch.tensor([[1, 255, 1, 255, 0]], dtype=torch.uint8)
    >>> [part.tolist() for part in hold_out(marks, 0)]
    [[[255, 255, 1, 255, 0]], [[1, 255, 255, 255, 255]]]
    """
    if part not in range(PARTS):
        raise ValueError(f"part should be 0 or 1, but it is {part}")
    hidden = torch.full_like(marks, IGNORE)
    for number in torch.unique(marks).tolist():
        if number != IGNORE:
            hidden[_half((marks == number).numpy(), part)] = number
    return HeldOut(marks.masked_fill(hidden != IGNORE, IGNORE), hidden)


def _half(marked: np.ndarray[tuple[int, int], np.dtype[np.bool_]], part: int) -> Tensor:
    """The pixels of one class that a part hides, bool [H,W]."""
    pieces, count = ndimage.label(marked, TOUCHING)
    if count > 1:
        return torch.from_numpy(marked & (pieces % PARTS == 1 - part))
    rows, columns = np.nonzero(marked)
    along = rows if np.ptp(rows) >= np.ptp(columns) else columns
    if np.ptp(along) + 1 < STROKE * max(marked.shape):
        return torch.zeros(marked.shape, dtype=torch.bool)
    first = along < np.median(along)
    own = first if part == 0 else ~first
    half = np.zeros_like(marked)
    half[rows[own], columns[own]] = True
    return torch.from_numpy(half)
