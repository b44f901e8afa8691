"""Regions of Felzenszwalb and Huttenlocher (IJCV 2004), compiled for the processor at hand, in one
thread: those of scikit-image in an eighth of the time, as
docs/explanation/decisions/region-solvers.md shows.

Pixels are joined along the edges of the grid, from the least difference of colour to the greatest,
as long as an edge is no steeper than what both regions already hold inside. An edge is one integer,
the bits of its cost above the number of its pixel and direction: positive floats are in the order
of their bits, so that sorting is counting digits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weakseg.functional.compiled import compiled

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Edges = NDArray[np.uint64]
Labels = NDArray[np.int64]

# right, down, down and right, down and left: the other four are those of the pixels there
_DIRECTIONS = 4
# of colours, a power of two: the squared difference of three colours is below 2, so a float of 30
# bits
_UNIT = np.float32(1 / 512)
_COST = np.uint64(32)  # the bit of an edge at which its cost begins
_CODE = np.uint64(2**32 - 1)  # the bits below
# bits at a time that are sorted by, and how often
_DIGIT = 10
_DIGITS = 3
_DIGIT_BITS = np.uint64(2**_DIGIT - 1)


@compiled
def regions(image: Floats, scale: float, smallest: int) -> Labels:
    """The region of each pixel [H,W] of a smooth image [3,H,W] from 0 to 255, numbered in the order
    of their first pixels."""
    height, width = image.shape[1:]
    edges = _sorted(_edges(image * _UNIT))
    parents = np.arange(height * width, dtype=np.int32)
    sizes = np.ones(height * width, np.int32)
    steps = np.array([1, width, width + 1, width - 1], np.int32)
    rejected = _join_similar(edges, steps, parents, sizes, scale * _UNIT)
    _join_small(edges[:rejected], steps, parents, sizes, smallest)
    labels: Labels = _numbered(parents).reshape(height, width)
    return labels


@compiled
def _edges(image: Floats) -> Edges:
    """All pairs of pixels that touch, also at corners, with their squared differences of colour."""
    height, width = image.shape[1:]
    edges = np.empty(height * (width - 1) + (height - 1) * (3 * width - 2), np.uint64)
    count = 0
    costs = np.empty(width, np.float32)
    bits = costs.view(np.uint32)
    for y in range(height):
        for direction in range(_DIRECTIONS if y + 1 < height else 1):
            down = min(direction, 1)
            across = (1, 0, 1, -1)[direction]
            first = max(0, -across)
            last = width - max(0, across)
            _row_of_costs(image, y, down, across, costs)
            for x in range(first, last):
                code = np.uint64((y * width + x) * _DIRECTIONS + direction)
                edges[count + x - first] = np.uint64(bits[x]) << _COST | code
            count += last - first
    return edges


@compiled
def _row_of_costs(image: Floats, y: int, down: int, across: int, costs: Floats) -> None:
    """Squared differences between the pixels of a row and those that lie down and across of
    them."""
    width = image.shape[2]
    first = max(0, -across)
    last = width - max(0, across)
    costs[:] = 0
    for channel in range(len(image)):
        here = image[channel, y, first:last]
        there = image[channel, y + down, first + across : last + across]
        total = costs[first:last]
        for x in range(last - first):
            total[x] += (there[x] - here[x]) * (there[x] - here[x])


@compiled
def _sorted(edges: Edges) -> Edges:
    """Edges by cost, equal ones in the order they came in: by digit after digit, the last ones
    first."""
    places = _places(edges)
    other = np.empty_like(edges)
    for digit in range(_DIGITS):
        place = places[digit]
        shift = _COST + np.uint64(_DIGIT * digit)
        for edge in edges:
            value = edge >> shift & _DIGIT_BITS
            other[place[value]] = edge
            place[value] += 1
        edges, other = other, edges
    return edges


@compiled
def _places(edges: Edges) -> Ints:
    """Where the first edge with each value of each digit goes."""
    places = np.zeros((_DIGITS, 2**_DIGIT), np.int32)
    for edge in edges:
        for digit in range(_DIGITS):
            places[digit, edge >> (_COST + np.uint64(_DIGIT * digit)) & _DIGIT_BITS] += 1
    for place in places:
        before = 0
        for value in range(len(place)):
            before, place[value] = before + place[value], before
    return places


@compiled
def _root(parents: Ints, pixel: int) -> int:
    """The first pixel of the region; the way there gets shorter."""
    while parents[pixel] != pixel:
        parents[pixel] = parents[parents[pixel]]
        pixel = parents[pixel]
    return pixel


@compiled
def _roots(edge: np.uint64, steps: Ints, parents: Ints) -> tuple[int, int]:
    """The regions that an edge lies between."""
    code = np.int64(edge & _CODE)
    pixel = code // _DIRECTIONS
    return _root(parents, pixel), _root(parents, pixel + steps[code % _DIRECTIONS])


@compiled
def _join(one: int, other: int, parents: Ints, sizes: Ints) -> int:
    """Parents come first, so that regions can be numbered in one pass."""
    first = min(one, other)
    last = max(one, other)
    parents[last] = first
    sizes[first] += sizes[last]
    return first


@compiled
def _join_similar(edges: Edges, steps: Ints, parents: Ints, sizes: Ints, scale: float) -> int:
    """Join along edges, the cheapest first; move those between regions that stay apart to the
    front, and say how many."""
    # of squared costs, as they are, so that few roots are drawn
    limits = np.full(len(parents), scale * scale, np.float32)
    rejected = 0
    for edge in edges:
        one, other = _roots(edge, steps, parents)
        if one == other:
            continue
        cost = np.uint32(edge >> _COST).view(np.float32)
        if cost < min(limits[one], limits[other]):
            joined = _join(one, other, parents, sizes)
            # edges come sorted, so this one is the steepest inside
            limits[joined] = (np.sqrt(cost) + scale / sizes[joined]) ** 2
        else:
            edges[rejected] = edge
            rejected += 1
    return rejected


@compiled
def _join_small(edges: Edges, steps: Ints, parents: Ints, sizes: Ints, smallest: int) -> None:
    """Join what is smaller than allowed with its most similar neighbour."""
    for edge in edges:
        one, other = _roots(edge, steps, parents)
        if one != other and min(sizes[one], sizes[other]) < smallest:
            _join(one, other, parents, sizes)


@compiled
def _numbered(parents: Ints) -> Labels:
    labels = np.empty(len(parents), np.int64)
    count = 0
    for pixel in range(len(parents)):
        if parents[pixel] == pixel:
            labels[pixel] = count
            count += 1
        else:
            labels[pixel] = labels[parents[pixel]]
    return labels
