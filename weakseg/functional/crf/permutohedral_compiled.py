"""The permutohedral lattice, compiled for the processor at hand: what `permutohedral` does in
tensors, in one thread.

Points that share a vertex find it in a table of keys. Vertices that follow each other in one
direction form chains, along which the blur runs in place; most vertices have few neighbours, and
one without any is left alone.

Vertex 0 stands for no vertex and always holds zero. It separates the chains, so that the blur needs
no test for where one ends. What it would get goes to vertex 1, which is never read.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weakseg.functional.compiled import compiled
from weakseg.functional.crf.vectors_compiled import (
    Rows,
    aligned_zeros,
    as_rows,
    fill,
    load,
    padded_width,
    store,
)

# points taken together, so that the arithmetic before the table is done for several at once
BLOCK = 128
MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: multiples of it fall far apart
LARGEST = 2**62  # keys stay below this, so that a step to a neighbour cannot overflow an int64

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Keys = NDArray[np.int64]


class Lattice(NamedTuple):
    """Where N points of D dimensions lie on the lattice, and which of its vertices they touch. Made
    by `lattice`."""

    corners: Ints
    """[N,D+1]: the vertices around each point"""
    weights: Floats
    """[N,D+1]: how near each of them is; sums to 1"""
    size: int
    """how many vertices there are, with the first two"""
    chains: tuple[Ints, ...]
    """one per direction: the vertices that follow each other, chain after chain, with a 0 before,
    between and after them"""

    @property
    def alpha(self) -> float:
        """What the blur along D + 1 directions of a lattice in D dimensions adds too much."""
        return 1 / (1 + 2 ** float(1 - self.corners.shape[1]))

    def filter(self, values: Floats, both_ways: bool = False) -> Floats:
        """Blur values [N,C] with the Gaussian kernel exp(-|difference of features|^2 / 2), each
        column by itself.

        both_ways: the mean of the filter and its transpose, whose blurs come in reverse order.
        """
        points, columns = values.shape
        padded = aligned_zeros(points, padded_width(columns))
        total = aligned_zeros(self.size, padded_width(columns))
        padded[:, :columns] = values
        _splat(as_rows(padded), as_rows(self.corners), as_rows(self.weights), as_rows(total))
        reverse = total.copy() if both_ways else total
        self.blur(total)
        if both_ways:
            for chain in reversed(self.chains):
                _blur(as_rows(reverse), chain)
            total += reverse
        _slice(
            as_rows(total),
            as_rows(self.corners),
            as_rows(self.weights),
            np.float32(self.alpha / (1 + both_ways)),
            as_rows(padded),
        )
        return padded[:, :columns]

    def blur(self, vertices: Floats) -> None:
        """Blur values of the vertices [M,C] along one direction after the other, in place."""
        values = as_rows(vertices)
        for chain in self.chains:
            _blur(values, chain)


def lattice(features: Floats) -> Lattice | None:
    """Place points [D,N] on the lattice, in units of the standard deviation; None where they lie
    too far apart for keys of 64 bits."""
    scale = [
        sqrt(2 / 3) * (len(features) + 1) / sqrt((i + 1) * (i + 2)) for i in range(len(features))
    ]
    spans = _spans(features, scale)
    if prod(spans) >= LARGEST:
        return None
    places = np.array([prod(spans[:i]) for i in range(len(spans))], np.int64)
    steps = places.sum() - np.append(places, 0) * (len(spans) + 1)
    # seldom more than there are points, nor more than there is place for
    expected = min(features.shape[1], prod(spans) // (len(spans) + 1))
    corners, weights, keys, table, shift = _build(
        features, np.array(scale, np.float32), places, steps, expected
    )
    return Lattice(
        corners, weights, len(keys), tuple(_chains(keys, table, shift, step) for step in steps)
    )


def _spans(features: Floats, scale: list[float]) -> list[int]:
    """How many integers each coordinate of a vertex, and of its neighbours, can be."""
    size = len(scale) + 1
    plane = np.triu(np.tile(scale, (size, 1))).astype(np.float64)
    plane[np.arange(1, size), np.arange(size - 1)] = -np.arange(1, size) * scale
    low = plane * features.min(1)
    high = plane * features.max(1)
    wide = (np.maximum(low, high) - np.minimum(low, high)).sum(1)
    return [int(span) + 6 * size for span in wide[:-1]]


@compiled
def _elevate(features: Floats, first: int, count: int, scale: Floats, elevated: Floats) -> None:
    """Points first, first + 1, ... moved onto the plane in D + 1 dimensions whose coordinates sum
    to zero: [D+1,BLOCK]."""
    total = elevated[0]
    total[:] = 0
    for i in range(len(scale), 0, -1):
        source = features[i - 1, first : first + count]
        row = elevated[i]
        for p in range(count):
            scaled = source[p] * scale[i - 1]
            row[p] = total[p] - np.float32(i) * scaled
            total[p] += scaled


@compiled
def _simplex(elevated: Floats, origin: Ints, rank: Ints, turn: Ints) -> None:
    """The corner of remainder zero of the simplex around each point, and the rank of each
    coordinate; `elevated` becomes the residual."""
    size = len(elevated)
    turn[:] = 0
    rank[:] = 0
    for i in range(size):
        row = elevated[i]
        corner = origin[i]
        for p in range(BLOCK):
            step = np.rint(row[p] * np.float32(1 / size))
            corner[p] = np.int32(step) * size
            turn[p] += np.int32(step)
            row[p] -= step * np.float32(size)
    for i in range(size):
        for j in range(i + 1, size):
            one = elevated[i]
            other = elevated[j]
            low = rank[i]
            high = rank[j]
            for p in range(BLOCK):
                smaller = np.int32(one[p] < other[p])
                low[p] += smaller
                high[p] += np.int32(1) - smaller
    for i in range(size):
        row = elevated[i]
        corner = origin[i]
        place = rank[i]
        for p in range(BLOCK):
            # rounding may leave the plane; the ranks say which coordinates to step back
            turned = place[p] + turn[p]
            change = np.int32(size) * (np.int32(turned < 0) - np.int32(turned >= size))
            place[p] = turned + change
            corner[p] += change
            row[p] = (row[p] - np.float32(change)) * np.float32(1 / size)


@compiled
def _bits(vertices: int) -> int:
    """How large a table for so many vertices is, as a power of two: they take at most half of it.

    At least 2^14 places.
    """
    bits = 14
    while 1 << (bits - 1) < vertices:
        bits += 1
    return bits


@compiled
def _find(key: int, keys: Keys, table: Ints, shift: np.uint64) -> np.int64:
    """Where in the table the key is, or belongs."""
    slot = np.int64((np.uint64(key) * MIX) >> shift)
    while table[slot] >= 0 and keys[table[slot]] != key:
        slot = (slot + 1) & (len(table) - 1)
    return slot


@compiled
def _table(keys: Keys, bits: int) -> tuple[Ints, np.uint64]:
    """A table of 2^bits places with the numbers of the keys in it."""
    table = np.full(1 << bits, -1, np.int32)
    shift = np.uint64(64 - bits)
    for vertex in range(2, len(keys)):
        table[_find(keys[vertex], keys, table, shift)] = vertex
    return table, shift


@compiled
def _build(
    features: Floats, scale: Floats, places: Keys, steps: Keys, expected: int
) -> tuple[Ints, Floats, Keys, Ints, np.uint64]:
    """Corners and weights of the points, the keys of the vertices, and the table in which they are
    found.

    There may be more vertices than expected, but then a larger table is made, again and again.
    """
    size = len(features) + 1
    points = features.shape[1]
    corners = np.empty((points, size), np.int32)
    weights = np.empty((points, size), np.float32)
    elevated = np.zeros((size, BLOCK), np.float32)
    origin = np.zeros((size, BLOCK), np.int32)
    rank = np.zeros((size, BLOCK), np.int32)
    turn = np.zeros(BLOCK, np.int32)
    first_keys = np.empty(BLOCK, np.int64)
    order = np.empty(size, np.int64)
    residual = np.empty(size, np.float32)
    bits = _bits(expected)
    keys = np.zeros(1 << (bits - 1), np.int64)
    count = 2
    table, shift = _table(keys[:0], bits)
    for first in range(0, points, BLOCK):
        here = min(BLOCK, points - first)
        _elevate(features, first, here, scale, elevated)
        _simplex(elevated, origin, rank, turn)
        if count + here * size > len(keys):  # at most half of the table may be taken
            bits += 1
            keys = np.concatenate((keys, np.empty_like(keys)))
            table, shift = _table(keys[:count], bits)
        first_keys[:] = 0
        for i in range(size - 1):
            corner = origin[i]
            place = places[i]
            for p in range(BLOCK):
                first_keys[p] += corner[p] * place
        for p in range(here):
            for i in range(size):
                place = size - 1 - rank[i, p]
                order[place] = i
                residual[place] = elevated[i, p]
            key = first_keys[p]
            before = residual[size - 1] - np.float32(1)
            for k in range(size):
                slot = _find(key, keys, table, shift)
                if table[slot] < 0:
                    table[slot] = count
                    keys[count] = key
                    count += 1
                corners[first + p, k] = table[slot]
                weights[first + p, k] = residual[k] - before
                before = residual[k]
                key += steps[order[k]]
    if _bits(count) < bits:  # the chains are found faster in a table that the cache can hold
        table, shift = _table(keys[:count], _bits(count))
    return corners, weights, keys[:count].copy(), table, shift


@compiled
def _chains(keys: Keys, table: Ints, shift: np.uint64, step: int) -> Ints:
    """The vertices that follow each other, chain after chain."""
    after = np.empty(len(keys), np.int32)
    # with one more place before the others, for the -1 of vertices that none follows
    led = np.zeros(len(keys) + 1, np.int8)
    for vertex in range(2, len(keys)):
        follower = table[_find(keys[vertex] + step, keys, table, shift)]
        after[vertex] = follower
        led[follower + 1] = 1
    # half of the vertices begin a chain, in no order that a processor could foresee, so that no
    # test decides here what is done next
    heads = np.empty(len(keys), np.int32)
    count = 0
    followers = 0
    for vertex in range(2, len(keys)):
        heads[count] = vertex
        count += (after[vertex] >= 0) & (led[vertex + 1] == 0)
        followers += led[vertex + 1]
    chains = np.zeros(1 + followers + 2 * count, np.int32)
    place = 1
    for head in heads[:count]:
        here = head
        while here >= 0:
            chains[place] = here
            place += 1
            here = after[here]
        place += 1
    return chains


@compiled
def _splat(values: Rows, corners: Rows, weights: Rows, vertices: Rows) -> None:
    for point in range(len(corners)):
        around = corners[point]["numbers"]
        weight = weights[point]["numbers"]
        value = load(values, point)
        for k in range(len(around)):
            store(vertices, around[k], load(vertices, around[k]) + value * weight[k])


@compiled
def _slice(vertices: Rows, corners: Rows, weights: Rows, scale: float, values: Rows) -> None:
    for point in range(len(corners)):
        around = corners[point]["numbers"]
        weight = weights[point]["numbers"]
        value = fill(0.0, values)
        for k in range(len(around)):
            value += load(vertices, around[k]) * weight[k]
        store(values, point, value * scale)


@compiled
def _blur(vertices: Rows, chains: Ints) -> None:
    """Every vertex gets half of the one before and half of the one after it as they were."""
    before = fill(0.0, vertices)
    here = fill(0.0, vertices)
    for place in range(1, len(chains)):
        after = load(vertices, chains[place])
        store(vertices, max(chains[place - 1], 1), here + (before + after) * 0.5)
        before = here
        here = after
