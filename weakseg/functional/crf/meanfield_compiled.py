"""Mean field of the dense CRF, compiled for the processor at hand: what `functional.meanfield` does
in tensors, one image in one thread.

What an iteration reads from the vertices, its softmax and what that spreads over the vertices again
are one pass over the pixels, so that marginals never go to memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import log
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.functional.compiled import (
    Rows,
    compiled,
    exp,
    fill,
    highest,
    lanes,
    load,
    rows,
    store,
    total,
    zeros,
)
from weakseg.functional.crf.kernels import Kernel, Recent, content
from weakseg.functional.crf.permutohedral_compiled import Floats, Ints, Lattice, lattice

# all kernels together; stronger ones could leave the range in which `exp` is right
STRONGEST = 60.0
MOST = 256  # labels; every length of rows is compiled by itself, and very long ones take minutes
# much lower, and products become denormal numbers, which are slow
_LOW = np.float32(-50)
_HIGH = np.float32(80)
_LEAST = np.float32(1e-20)  # as in `functional.meanfield`
_ONE = np.float32(1)
_LOG2 = np.float32(log(2))
# pixels that change from one row per label to one row per pixel, or back, before the next ones
_TILE = 64
_recent = Recent(2**27)


class Placed(NamedTuple):
    """The lattice of one kernel, and how much each point receives in all if every point has a value
    of one, float32 [N]."""

    lattice: Lattice
    received: Floats


class Pull(NamedTuple):
    """One kernel of an image: a lattice, and factors that hold its strength and its
    normalisation."""

    lattice: Lattice
    gather: Floats
    """[N]: times what a point reads from its corners"""
    spread: Floats
    """[N]: times what it spreads over them"""


class Around(NamedTuple):
    """A `Pull` as the loops take it."""

    corners: Rows
    weights: Rows
    gather: Floats
    spread: Floats


def refine(
    image: Tensor, probs: Tensor, kernels: Sequence[Kernel], symmetric: bool, iterations: int
) -> Tensor | None:
    """Marginals float32 [C,H,W] of an image uint8 [3,H,W] from probabilities float32 [C,H,W]; None
    if it is not made for such a case.

    That is on a GPU, in double precision, without kernels, with overly strong or tiny ones, or with
    hundreds of labels.
    """
    if probs.device.type != "cpu" or probs.dtype != torch.float32:
        return None
    beliefs = probs.flatten(1).contiguous().numpy()
    possible = np.flatnonzero(beliefs.max(1) > 0).astype(np.int32)
    strength = sum(kernel.strength for kernel in kernels)
    if not 0 < strength <= STRONGEST or len(kernels) > 2 or len(possible) > MOST:
        return None
    refined = np.zeros_like(beliefs)
    if len(possible) == 1:
        refined[possible] = 1
    else:
        placed = [found for kernel in kernels if (found := _placed(image, kernel))]
        if len(placed) < len(kernels):
            return None
        one, *more = [_pull(*both, symmetric) for both in zip(kernels, placed, strict=True)]
        other = more[0] if more else _nothing(beliefs.shape[1])
        mean_field(beliefs, possible, one, other, strength, iterations, refined)
    return torch.from_numpy(refined).view_as(probs)


def _placed(image: Tensor, kernel: Kernel) -> Placed | None:
    """The lattice of a kernel on an image, from memory if it has been made lately: without colours
    for every image of the same size."""
    seen = image.shape[1:] if kernel.rgb is None else (image.shape[1:], content(image))
    found = _recent.get((kernel.xy, kernel.rgb, seen), partial(_place, image, kernel))
    return found[0] if found else None


def _place(image: Tensor, kernel: Kernel) -> tuple[Placed, ...]:
    found = lattice(_features(image.numpy(), kernel))
    return (
        (Placed(found, found.filter(np.ones((len(found.corners), 1), np.float32))[:, 0]),)
        if found
        else ()
    )


def _features(image: NDArray[np.uint8], kernel: Kernel) -> Floats:
    """As in `functional.kernels`, where torch would start threads of its own in each thread."""
    height, width = image.shape[1:]
    result = np.empty((2 if kernel.rgb is None else 5, height, width), np.float32)
    result[0] = np.arange(width, dtype=np.float32) / np.float32(kernel.xy)
    result[1] = np.arange(height, dtype=np.float32)[:, None] / np.float32(kernel.xy)
    if kernel.rgb is not None:
        np.divide(image, np.float32(kernel.rgb), out=result[2:], dtype=np.float32)
    return result.reshape(len(result), -1)


def _pull(kernel: Kernel, placed: Placed, symmetric: bool) -> Pull:
    """Symmetric normalisation is shared by reading and spreading, the other belongs to reading
    alone."""
    share = np.float32(kernel.strength * placed.lattice.alpha) / placed.received
    gather = np.sqrt(share) if symmetric else share
    return Pull(placed.lattice, gather, gather if symmetric else np.ones_like(share))


def _nothing(points: int) -> Pull:
    """In place of the second kernel where there is only one: all read zero from vertex 0, and give
    it nothing."""
    nowhere = np.zeros((points, 1), np.int32)
    none = np.zeros(points, np.float32)
    return Pull(Lattice(nowhere, none[:, None], 2, ()), none, none)


def mean_field(
    probs: Floats,
    labels: Ints,
    one: Pull,
    other: Pull,
    strength: float,
    iterations: int,
    refined: Floats,
) -> None:
    """Write the marginals of some labels into `refined` [C,N], from probabilities [C,N]. `strength`
    is that of both kernels together."""
    energy = zeros(probs.shape[1], lanes(len(labels)))
    energy[:, len(labels) :] = -1e4
    _energies(probs, labels, energy)
    around = [
        Around(rows(pull.lattice.corners), rows(pull.lattice.weights), pull.gather, pull.spread)
        for pull in (one, other)
    ]
    before, after = (
        [zeros(pull.lattice.size, energy.shape[1]) for pull in (one, other)] for _ in range(2)
    )
    _start(rows(energy), np.float32(strength / 2), *around, *map(rows, before))
    for _ in range(iterations - 1):
        for pull, vertices, others in zip((one, other), before, after, strict=True):
            pull.lattice.blur(vertices)
            others[:] = 0
        _step(rows(energy), *around, *map(rows, before), *map(rows, after))
        before, after = after, before
    for pull, vertices in zip((one, other), before, strict=True):
        pull.lattice.blur(vertices)
    _finish(rows(energy), *around, *map(rows, before))
    _marginals(energy, labels, refined)


@compiled
def _energies(probs: Floats, labels: Ints, energy: Floats) -> None:
    """Logarithms of probabilities [C,N], as rows [N,L]."""
    # first logarithms one after the other, many at once, then one by one to their places
    logs = np.empty(_TILE, np.float32)
    for first in range(0, probs.shape[1], _TILE):
        here = min(_TILE, probs.shape[1] - first)
        for place in range(len(labels)):
            row = probs[labels[place], first : first + here]
            for p in range(here):
                logs[p] = _log(max(row[p], _LEAST))
            for p in range(here):
                energy[first + p, place] = logs[p]


@compiled
def _log(number: Any) -> Any:
    """Natural logarithm of a positive float32, by the series of 2 artanh((x - 1) / (x + 1)), which
    a compiler can do for many at once."""
    # the root of a half, so that the mantissa is around 1
    bits = np.int32(np.float32(number).view(np.int32) - 0x3F3504F3)
    mantissa = np.int32((bits & 0x7FFFFF) + 0x3F3504F3).view(np.float32)
    part = (mantissa - _ONE) / (mantissa + _ONE)
    square = part * part
    series = np.float32(2 / 9)
    for odd in (7, 5, 3, 1):
        series = series * square + np.float32(2 / odd)
    return np.float32(bits >> 23) * _LOG2 + part * series


@compiled
def _marginals(energy: Floats, labels: Ints, refined: Floats) -> None:
    """Rows [N,L] back to [C,N]."""
    for first in range(0, refined.shape[1], _TILE):
        last = min(first + _TILE, refined.shape[1])
        for place in range(len(labels)):
            row = refined[labels[place]]
            for point in range(first, last):
                row[point] = energy[point, place]


@compiled
def _read(around: Around, point: int, vertices: Rows) -> Any:
    """What one kernel pulls a point to."""
    corners = around.corners[point].lanes
    weights = around.weights[point].lanes
    row = fill(0.0, vertices)
    for k in range(len(corners)):
        row += load(vertices, corners[k]) * weights[k]
    return row * around.gather[point]


@compiled
def _spread(around: Around, point: int, row: Any, vertices: Rows) -> None:
    """Hand a point's row to the corners around it."""
    corners = around.corners[point].lanes
    weights = around.weights[point].lanes
    own = row * around.spread[point]
    for k in range(len(corners)):
        store(vertices, corners[k], load(vertices, corners[k]) + own * weights[k])


@compiled
def _softmax(row: Any) -> Any:
    row = exp(row, _LOW, _HIGH)
    return row * (_ONE / total(row))


@compiled
def _start(
    energy: Rows, shift: float, one: Around, other: Around, to_one: Rows, to_other: Rows
) -> None:
    """Bring each point's best energy to minus shift, in the middle of what `exp` can do, and spread
    its softmax."""
    for point in range(len(energy)):
        row = load(energy, point)
        row += fill(-shift - highest(row), energy)
        store(energy, point, row)
        row = _softmax(row)
        _spread(one, point, row, to_one)
        _spread(other, point, row, to_other)


@compiled
def _step(
    energy: Rows,
    one: Around,
    other: Around,
    of_one: Rows,
    of_other: Rows,
    to_one: Rows,
    to_other: Rows,
) -> None:
    """Read what pulls each point, and spread its new softmax."""
    for point in range(len(energy)):
        row = _softmax(
            load(energy, point) + _read(one, point, of_one) + _read(other, point, of_other)
        )
        _spread(one, point, row, to_one)
        _spread(other, point, row, to_other)


@compiled
def _finish(energy: Rows, one: Around, other: Around, of_one: Rows, of_other: Rows) -> None:
    """Read once more; the marginals take the place of the energies."""
    for point in range(len(energy)):
        store(
            energy,
            point,
            _softmax(
                load(energy, point) + _read(one, point, of_one) + _read(other, point, of_other)
            ),
        )
