"""Which pixels a shape covers.

A pixel is inside of an area if its middle is. A middle that lies on the left or upper rim is
inside, on the right or lower rim it is not:
areas that share a rim share no pixel, and what goes from 1 1 to 3 2 covers exactly two pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weakseg.data.formats.base import Floats, Shape
from weakseg.data.formats.line_spans import covered_by
from weakseg.utils.lengths import Length, in_pixels

Bools = NDArray[np.bool_]
# crossings of edges and rows that are counted together: bounds the memory that a polygon with a
# million corners takes
AT_ONCE = 2**14
LEAST_WIDTH = 3  # pixels of a line that is not lost when an image is scaled down
_ONE = np.uint8(1)


class Patch(NamedTuple):
    """Pixels in a part of an image."""

    rows: slice
    columns: slice
    covered: Bools


def patch_of(
    shape: Shape, width: int, height: int, line_width: Length, point_radius: Length
) -> Patch:
    """The pixels of an image that a polygon, line, point or mask covers; what lies outside of the
    image is cut off. A line whose width is a share is three pixels wide at least, a disc around a
    point one pixel."""
    if shape.runs is not None:
        left = shape.runs.left
        top = shape.runs.top
        return Patch(
            slice(top, top + shape.runs.height),
            slice(left, left + shape.runs.width),
            shape.runs.unpack(),
        )
    if shape.kind == "polygon":
        return fill(shape.parts, width, height)
    if shape.kind == "line":
        thickness = in_pixels(line_width, height, width, LEAST_WIDTH)
        return thick_line(shape.parts[0], width, height, thickness)
    return dots(shape.parts[0], width, height, in_pixels(point_radius, height, width))


def fill(rings: Sequence[Floats], width: int, height: int) -> Patch:
    """The inside of rings, added up. Where a ring crosses itself, what it goes around twice is
    outside (even-odd rule).

    >>> fill([np.array([[1, 1], [3, 1], [3, 2], [1, 2]])], 4, 4)
    Patch(rows=slice(1, 2, None), columns=slice(1, 3, None), covered=array([[ True,  True]]))
    """
    rows, columns = _window(np.concatenate(list(rings)), width, height, 0)
    covered = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
    for ring in rings:
        ring = ring - [columns.start, rows.start]
        # a thousand small rings take no longer than they cover
        part = _window(ring, covered.shape[1], covered.shape[0], 0)
        covered[part] |= _inside(
            ring - [part[1].start, part[0].start],
            part[0].stop - part[0].start,
            part[1].stop - part[1].start,
        )
    return Patch(rows, columns, covered)


def thick_line(points: Floats, width: int, height: int, thickness: float) -> Patch:
    """The pixels whose middle is at most half of the thickness away from the line."""
    reach = thickness / 2
    rows, columns = _window(points, width, height, reach)
    points = points - [columns.start, rows.start]
    covered = covered_by(points, reach, rows.stop - rows.start, columns.stop - columns.start)
    return Patch(rows, columns, covered)


def dots(points: Floats, width: int, height: int, radius: float) -> Patch:
    """A disc around each pixel that was clicked: those at most `radius` away, none but the pixel
    itself for 0."""
    # a click on the right or lower rim of an image still means its last pixel
    pixels = np.minimum(np.floor(points), [width - 1, height - 1])
    rows, columns = _window(pixels + 0.5, width, height, radius + 0.5)
    covered = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
    for x, y in pixels - [columns.start, rows.start]:
        part = _window(np.array([[x, y]]) + 0.5, covered.shape[1], covered.shape[0], radius + 0.5)
        down, across = (np.arange(side.start, side.stop) for side in part)
        covered[part] |= (across - x) ** 2 + (down[:, None] - y) ** 2 <= radius**2
    return Patch(rows, columns, covered)


def _window(points: Floats, width: int, height: int, margin: float) -> tuple[slice, slice]:
    """Rows and columns of the image around some points; empty if they lie outside of it."""
    (left, top) = points.min(0).tolist()
    (right, bottom) = points.max(0).tolist()
    return _pixels(top - margin, bottom + margin, height), _pixels(
        left - margin, right + margin, width
    )


def _pixels(low: float, high: float, size: int) -> slice:
    first = min(max(floor(low), 0), size)
    return slice(first, min(max(ceil(high), first), size))


def _inside(ring: Floats, height: int, width: int) -> Bools:
    """Inside begins and ends where an edge crosses the middles of a row of pixels."""
    changes = np.zeros(height * (width + 1), np.uint8)
    x, y = ring.T
    across, down = (np.concatenate([ring[1:], ring[:1]]) - ring).T
    begin = np.ceil(y - 0.5).clip(0, height).astype(int)
    end = np.concatenate([begin[1:], begin[:1]])
    first = np.minimum(begin, end)
    crossed = np.abs(end - begin)
    for edges in _groups(crossed):
        count = crossed[edges]
        edge = np.repeat(edges, count)
        row = np.arange(len(edge)) + np.repeat(first[edges] - np.cumsum(count) + count, count)
        column = (
            np.ceil(x[edge] + (row + 0.5 - y[edge]) * across[edge] / down[edge] - 0.5)
            .clip(0, width)
            .astype(int)
        )
        # one flat index and a number of the same type: for anything else NumPy takes thirty times
        # as long
        np.add.at(changes, row * (width + 1) + column, _ONE)
    changes &= _ONE  # counting modulo 256 has kept odd numbers odd
    odd: Bools = np.bitwise_xor.accumulate(changes.reshape(height, width + 1), 1).view(np.bool_)[
        :, :-1
    ]
    return odd


def _groups(crossed: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The edges that cross any rows, some at a time, which cross about as many as are counted
    together."""
    edges = np.flatnonzero(crossed)
    if crossed.sum() <= AT_ONCE:
        return [edges]
    group = np.cumsum(crossed[edges]) // AT_ONCE
    return np.split(edges, np.flatnonzero(np.diff(group)) + 1)
