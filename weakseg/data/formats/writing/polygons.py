"""Masks as polygons along the edges of their pixels, which cover exactly the same pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from weakseg.data.formats.writing.labels import Bools

Point = tuple[int, int]  # x and y of a corner of pixels
Ring = list[Point]
EAST, SOUTH, WEST, NORTH = range(4)  # clockwise on the screen
Sides = dict[tuple[Point, int], Point]


def polygons_of(mask: Bools, left: int = 0, top: int = 0) -> list[NDArray[np.int64]]:
    """One polygon [n,2], x and y, for each group of pixels that share sides.

    A hole is reached by a cut to it and back, which covers nothing: polygons in files have no holes
    of their own. Whatever goes around twice is outside, and so is what goes around in both
    directions, so that both ways of filling agree.

    Args:
        mask: bool [h,w].
        left: where the mask begins in the image.
        top: the same from above.

    >>> [ring.tolist() for ring in polygons_of(np.array([[True, True], [True, False]]))]
    [[[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]]]
    """
    groups, _ = ndimage.label(mask)
    rings: dict[int, list[Ring]] = {}
    for ring in _boundaries(mask):
        x, y = ring[0]
        # the outer boundary comes first: it has the highest of the sides that lead east
        rings.setdefault(int(groups[y, x]), []).append(ring)
    corner = np.array([left, top])
    return [np.array(_joined(outer, holes)) + corner for outer, *holes in rings.values()]


def _joined(outer: Ring, holes: list[Ring]) -> Ring:
    """The outer boundary with cuts to the holes, around each, and back, along rows and columns."""
    places = np.array(outer)
    cuts: dict[int, Ring] = {}
    for hole in holes:
        x, y = hole[0]
        near = int(np.abs(places - [x, y]).sum(1).argmin())
        corner = (x, outer[near][1])
        cuts.setdefault(near, []).extend([corner, *hole, hole[0], corner, outer[near]])
    return [point for number, place in enumerate(outer) for point in (place, *cuts.get(number, ()))]


def _boundaries(mask: Bools) -> list[Ring]:
    """All boundaries, from the top down, each from a side that leads east, with the inside on the
    right hand."""
    sides = _sides(mask)
    rings = []
    for start, direction in list(sides):
        if direction == EAST and (start, direction) in sides:
            rings.append(_followed(sides, start))
    return rings


def _followed(sides: Sides, start: Point) -> Ring:
    """One boundary; its sides are taken away."""
    ring: Ring = []
    place = start
    direction = EAST
    while (place, direction) in sides:
        ring.append(place)
        place = sides.pop((place, direction))
        # right where two pixels touch at a corner, so that they are apart
        right = (direction + 1) % 4
        direction = right if (place, right) in sides else (direction + 3) % 4
    return ring


def _sides(mask: Bools) -> Sides:
    """The straight sides of all boundaries: where each ends, by its beginning and direction."""
    sides: Sides = {}
    for line, low, high, inside_after in _straight(mask):
        if inside_after:  # below
            sides[(low, line), EAST] = (high, line)
        else:
            sides[(high, line), WEST] = (low, line)
    for line, low, high, inside_after in _straight(mask.T):
        if inside_after:  # on the right
            sides[(line, high), NORTH] = (line, low)
        else:
            sides[(line, low), SOUTH] = (line, high)
    return sides


def _straight(mask: Bools) -> list[tuple[int, int, int, bool]]:
    """Where the mask changes from a row to the next one: the line between them, first and last
    corner, and whether the inside is behind the line."""
    steps = np.diff(np.pad(mask.astype(np.int8), ((1, 1), (0, 0))), axis=0)
    changes = np.diff(np.pad(steps, ((0, 0), (1, 1))), axis=1) != 0
    behind = np.pad(steps, ((0, 0), (0, 1)))  # of the pixel that begins at a corner
    before = np.pad(steps, ((0, 0), (1, 0)))
    lines, lows = np.nonzero(changes & (behind != 0))
    _, highs = np.nonzero(changes & (before != 0))
    inside = behind[lines, lows] > 0
    return list(zip(lines.tolist(), lows.tolist(), highs.tolist(), inside.tolist(), strict=True))
