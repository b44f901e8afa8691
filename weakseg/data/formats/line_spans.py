"""Which pixels a thick line covers, row by row: each of its segments covers one run of a row, so a
segment costs as many steps as it has rows, however wide it is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weakseg.data.formats.base import Floats

Bools = NDArray[np.bool_]
Whole = NDArray[np.int64]
AT_ONCE = 2**16  # rows of segments that are worked on together: bounds the memory
CLOSE = 1e-9  # what rounding may do to a distance, as a share of the numbers in it
_ONE = np.int32(1)


class _Rows(NamedTuple):
    """Rows of segments, one element for each."""

    x: Floats
    y: Floats
    """where the segment begins, as seen from the middle of the row's pixels at x = 0"""
    across: Floats
    down: Floats
    """from its beginning to its end"""
    reach: float

    def covers(self, columns: Whole) -> Bools:
        """Whether the middle of a pixel of the row is near enough, exactly."""
        x = columns + 0.5
        along = ((x - self.x) * self.across - self.y * self.down) / np.maximum(
            self.across**2 + self.down**2, 1e-12
        )
        along = along.clip(0, 1)
        away = (self.x + along * self.across - x) ** 2 + (self.y + along * self.down) ** 2
        near: Bools = away <= self.reach**2
        return near

    def spans(self) -> tuple[Floats, Floats]:
        """From where to where the segment covers the row, about: around its two ends, and between
        them; the first is not below the second where it does not."""
        ends = [
            _around(self.x, self.y, self.reach),
            _around(self.x + self.across, self.y + self.down, self.reach),
            self._between(),
        ]
        left = np.minimum.reduce([low for low, _ in ends])
        right = np.maximum.reduce([high for _, high in ends])
        return left, right

    def _between(self) -> tuple[Floats, Floats]:
        length = np.hypot(self.across, self.down)
        # x is that from the beginning on; inside of two pairs of parallel lines
        sides = _strip(self.down, -self.y * self.across, self.reach * length)
        half = length**2 / 2
        caps = _strip(self.across, self.y * self.down + half, half)
        left = self.x + np.maximum(sides[0], caps[0])
        right = self.x + np.minimum(sides[1], caps[1])
        wrong = ~(left <= right) | (length == 0)
        return np.where(wrong, np.inf, left), np.where(wrong, -np.inf, right)


def covered_by(points: Floats, reach: float, height: int, width: int) -> Bools:
    """The pixels whose middle is at most so far away from a line.

    Args:
        points: of the line, x and y.
        reach: how far, in pixels.
        height: of the image.
        width: of the image.
    """
    changes = np.zeros(height * (width + 1), np.int32)
    x, y = points.T
    top = np.floor(np.minimum(y[:-1], y[1:]) - reach - 1).clip(0, height).astype(np.int64)
    bottom = np.ceil(np.maximum(y[:-1], y[1:]) + reach + 1).clip(0, height).astype(np.int64)
    counts = bottom - top
    for group in np.split(np.arange(len(counts)), _breaks(counts)):
        segment = np.repeat(group, counts[group])
        past = np.repeat(np.cumsum(counts[group]) - counts[group], counts[group])
        row = np.arange(len(segment)) - past + top[segment]
        rows = _Rows(
            x[segment],
            y[segment] - (row + 0.5),
            x[segment + 1] - x[segment],
            y[segment + 1] - y[segment],
            reach,
        )
        begin, end = _runs(rows, width)
        there = begin < end
        np.add.at(changes, (row * (width + 1) + begin)[there], _ONE)
        np.add.at(changes, (row * (width + 1) + end)[there], -_ONE)
    depth = np.cumsum(changes.reshape(height, width + 1), 1, dtype=np.int32)
    covered: Bools = depth[:, :-1] > 0
    return covered


def _runs(rows: _Rows, width: int) -> tuple[Whole, Whole]:
    """The first pixel of each row that is covered, and the one after the last."""
    left, right = rows.spans()
    first = np.ceil(left.clip(-2, width + 2) - 0.5).astype(np.int64) - 1
    last = np.floor(right.clip(-2, width + 2) - 0.5).astype(np.int64) + 1
    # the span is right to within a pixel; which one is the first is told exactly
    begin, end = first + 3, last - 2
    for step in (2, 1, 0):
        begin = np.where(rows.covers(first + step), first + step, begin)
        end = np.where(rows.covers(last - step), last - step + 1, end)
    return begin.clip(0, width), end.clip(0, width)


def _around(x: Floats, y: Floats, reach: float) -> tuple[Floats, Floats]:
    """Where the row is near to a point."""
    away = np.abs(y) > reach * (1 + CLOSE) + CLOSE
    half = np.sqrt((reach**2 - y**2).clip(min=0))
    return np.where(away, np.inf, x - half), np.where(away, -np.inf, x + half)


def _strip(slope: Floats, middle: Floats, half: Floats) -> tuple[Floats, Floats]:
    """For which x |slope x - middle| <= half."""
    with np.errstate(divide="ignore", invalid="ignore"):
        one = (middle - half) / slope
        other = (middle + half) / slope
    level = slope == 0
    inside = np.abs(middle) <= half * (1 + CLOSE) + CLOSE
    low = np.where(level, np.where(inside, -np.inf, np.inf), np.minimum(one, other))
    high = np.where(level, np.where(inside, np.inf, -np.inf), np.maximum(one, other))
    return low, high


def _breaks(counts: Whole) -> Whole:
    """Where groups of segments begin that have about as many rows as are worked on together."""
    return np.flatnonzero(np.diff(np.cumsum(counts) // AT_ONCE)) + 1
