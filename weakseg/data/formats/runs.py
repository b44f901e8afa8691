"""Masks as lengths of runs: pixels outside, inside, outside, ... as they follow each other along
rows or along columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LONGEST = 7  # characters of one number of a COCO string: 35 bits, more than any image has pixels


class Runs(NamedTuple):
    """A mask in a window of an image. The lengths sum to the pixels of the window, so that it can
    be unpacked without surprise."""

    counts: NDArray[np.int64]
    """how many pixels in a row are outside, inside, outside, ...; the first may be 0"""
    left: int
    top: int
    width: int
    height: int
    by_columns: bool = False
    """whether the pixels are counted down the columns, as COCO does, or along the rows"""

    def unpack(self) -> NDArray[np.bool_]:
        """bool [height,width]

        >>> (
        ...     Runs(np.array([1, 3]), 0, 0, 2, 2).unpack().tolist(),
        ...     Runs(np.array([1, 3]), 0, 0, 2, 2, by_columns=True).unpack().tolist(),
        ... )
        ([[False, True], [True, True]], [[False, True], [True, True]])
        """
        flat = np.repeat(np.arange(len(self.counts)) % 2 == 1, self.counts)
        return (
            flat.reshape(self.width, self.height).T
            if self.by_columns
            else flat.reshape(self.height, self.width)
        )


def pack(mask: NDArray[np.bool_], left: int = 0, top: int = 0, by_columns: bool = False) -> Runs:
    """The runs of a mask [height,width]; `left` and `top` are its place in the image.

    >>> pack(np.array([[False, True], [True, True]])).counts.tolist()
    [1, 3]
    """
    flat = mask.ravel("F" if by_columns else "C")
    changes = np.flatnonzero(np.diff(flat)) + 1
    start = [0, 0] if flat.size and flat[0] else [0]
    edges = np.concatenate([start, changes, [flat.size]]).astype(np.int64)
    height, width = mask.shape
    return Runs(edges[1:] - edges[:-1], left, top, width, height, by_columns)


def complaint(runs: Runs) -> str | None:
    """What is wrong with runs that a file holds, or None. Nothing is unpacked for that."""
    counts = runs.counts
    pixels = runs.width * runs.height
    if len(counts) and int(counts.min()) < 0:
        return f"a run of {int(counts.min())}"
    total = sum(counts.tolist())  # Python's numbers cannot overflow
    return (
        None
        if total == pixels and len(counts) <= pixels + 1
        else f"{len(counts)} runs of {total} together"
    )


def from_coco_string(text: str) -> NDArray[np.int64]:
    """The lengths that a compressed COCO mask holds; a ValueError if it is none.

    Each number takes one to seven characters of six bits, lowest first, where one bit is set if
    more follow and the last one has a sign; from the fourth number on, it is the difference to the
    number before the last.

    >>> from_coco_string("06").tolist(), from_coco_string("52203").tolist()
    ([0, 6], [5, 2, 2, 2, 5])
    """
    codes = np.frombuffer(text.encode("latin-1"), np.uint8).astype(np.int64) - 48
    if ((codes < 0) | (codes > 63)).any():
        raise ValueError("a character that does not belong there")
    last = (codes & 32) == 0
    if not len(codes):
        return codes
    if not last[-1]:
        raise ValueError("a number that is cut off at the end")
    starts = np.concatenate([[0], np.flatnonzero(last)[:-1] + 1])
    lengths = np.diff(np.concatenate([starts, [len(codes)]]))
    if lengths.max() > LONGEST:
        raise ValueError(f"a number of {lengths.max()} characters")
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    values = np.add.reduceat((codes & 31) << shifts, starts)
    negative = (codes[last] & 16) != 0
    values -= negative.astype(np.int64) << (5 * lengths)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def to_coco_string(counts: NDArray[np.int64]) -> str:
    """Lengths as a compressed COCO mask, character by character what pycocotools writes.

    >>> to_coco_string(np.array([0, 6])), to_coco_string(np.array([5, 2, 2, 2, 5]))
    ('06', '52203')
    """
    characters = []
    lengths = counts.tolist()
    for place, length in enumerate(lengths):
        value = length - lengths[place - 2] if place > 2 else length
        while True:
            bits = value & 31
            value = value >> 5
            done = value == (-1 if bits & 16 else 0)
            characters.append(chr(48 + bits + (0 if done else 32)))
            if done:
                break
    return "".join(characters)
