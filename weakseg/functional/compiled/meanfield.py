"""Mean field of the dense CRF, compiled for the processor at hand: what `functional.meanfield` does in tensors, one image in one thread.

What an iteration reads from the vertices, its softmax and what that spreads over the vertices again are one pass over the pixels, so
that marginals never go to memory. The strengths of the kernels and their normalisation are folded into the weights of the corners.
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

from weakseg.functional.compiled.lattice import Floats, Ints, Lattice, lattice
from weakseg.functional.compiled.vectors import Rows, compiled, exp, fill, highest, lanes, load, rows, store, total, zeros
from weakseg.functional.kernels import Kernel, Recent, content

STRONGEST = 60.0  # all kernels together; stronger ones could leave the range in which `exp` is right
MOST = 256  # labels; every length of rows is compiled by itself, and very long ones take minutes
_LOW, _HIGH = np.float32(-50), np.float32(80)  # much lower, and products become denormal numbers, which are slow
_LEAST = np.float32(1e-20)  # as in `functional.meanfield`
_ONE, _LOG2 = np.float32(1), np.float32(log(2))
_TILE = 64  # pixels that change from one row per label to one row per pixel, or back, before the next ones
_recent = Recent(2**27)


class Placed(NamedTuple):
    """The lattice of one kernel, and how much each point receives in all if every point has a value of one, float32 [N]."""

    lattice: Lattice
    received: Floats


class Pull(NamedTuple):
    """All kernels of an image as one lattice: the vertices of one after those of the other."""

    corners: Ints
    """[N,K]"""
    gather: Floats
    """[N,K]: weights with which points read from their corners"""
    spread: Floats
    """[N,K]: weights with which points spread over their corners; the same array if the normalisation is symmetric"""
    lattices: tuple[Lattice, ...]

    def blur(self, vertices: Floats) -> None:
        """Blur values of all vertices [M,C], in place."""
        first = 0
        for part in self.lattices:
            part.blur(vertices[first : first + part.size])
            first += part.size


def refine(image: Tensor, probs: Tensor, kernels: Sequence[Kernel], symmetric: bool, iterations: int) -> Tensor | None:
    """Marginals float32 [C,H,W] of an image uint8 [3,H,W] from probabilities float32 [C,H,W]; None if it is not made for such a case.

    That is on a GPU, in double precision, without kernels, with overly strong or tiny ones, or with hundreds of labels.
    """
    if probs.device.type != "cpu" or probs.dtype != torch.float32:
        return None
    beliefs = probs.flatten(1).contiguous().numpy()
    possible = np.flatnonzero(beliefs.max(1) > 0).astype(np.int32)
    strength = sum(kernel.strength for kernel in kernels)
    if not 0 < strength <= STRONGEST or len(possible) > MOST:
        return None
    refined = np.zeros_like(beliefs)
    if len(possible) == 1:
        refined[possible] = 1
    else:
        placed = [found for kernel in kernels if (found := _placed(image, kernel))]
        if len(placed) < len(kernels):
            return None
        mean_field(beliefs, possible, pull(kernels, placed, symmetric), strength, iterations, refined)
    return torch.from_numpy(refined).view_as(probs)


def _placed(image: Tensor, kernel: Kernel) -> Placed | None:
    """The lattice of a kernel on an image, from memory if it has been made lately: without colours for every image of the same size."""
    seen = image.shape[1:] if kernel.rgb is None else (image.shape[1:], content(image))
    found = _recent.get((kernel.xy, kernel.rgb, seen), partial(_place, image, kernel))
    return found[0] if found else None


def _place(image: Tensor, kernel: Kernel) -> tuple[Placed, ...]:
    found = lattice(_features(image.numpy(), kernel))
    return (Placed(found, found.filter(np.ones((len(found.corners), 1), np.float32))[:, 0]),) if found else ()


def _features(image: NDArray[np.uint8], kernel: Kernel) -> Floats:
    """As in `functional.kernels`, where torch would start threads of its own in each thread."""
    height, width = image.shape[1:]
    result = np.empty((2 if kernel.rgb is None else 5, height, width), np.float32)
    result[0] = np.arange(width, dtype=np.float32) / np.float32(kernel.xy)
    result[1] = np.arange(height, dtype=np.float32)[:, None] / np.float32(kernel.xy)
    if kernel.rgb is not None:
        np.divide(image, np.float32(kernel.rgb), out=result[2:], dtype=np.float32)
    return result.reshape(len(result), -1)


def pull(kernels: Sequence[Kernel], placed: Sequence[Placed], symmetric: bool) -> Pull:
    """Put kernels together. Symmetric normalisation is shared by reading and spreading, the other belongs to reading alone."""
    points, width = len(placed[0].received), sum(one.lattice.corners.shape[1] for one in placed)
    corners, gather = np.empty((points, width), np.int32), np.empty((points, width), np.float32)
    spread = gather if symmetric else np.empty_like(gather)
    column, size = 0, 0
    for kernel, (found, received) in zip(kernels, placed, strict=True):
        columns = slice(column, column + found.corners.shape[1])
        share = np.float32(kernel.strength * found.alpha) / received
        _fold(found.corners, found.weights, np.sqrt(share) if symmetric else share, size, corners[:, columns], gather[:, columns])
        if not symmetric:
            spread[:, columns] = found.weights
        column, size = columns.stop, size + found.size
    return Pull(corners, gather, spread, tuple(one.lattice for one in placed))


def mean_field(probs: Floats, labels: Ints, pull: Pull, strength: float, iterations: int, refined: Floats) -> None:
    """Write the marginals of some labels into `refined` [C,N], from probabilities [C,N]. `strength` is that of all kernels together."""
    size = sum(part.size for part in pull.lattices)
    energy, one, other = (zeros(length, lanes(len(labels))) for length in (probs.shape[1], size, size))
    energy[:, len(labels) :] = -1e4
    _energies(probs, labels, energy)
    corners, gather, spread = rows(pull.corners), rows(pull.gather), rows(pull.spread)
    _start(rows(energy), np.float32(strength / 2), corners, spread, rows(one))
    for _ in range(iterations - 1):
        pull.blur(one)
        other[:] = 0
        _step(rows(energy), corners, gather, rows(one), spread, rows(other))
        one, other = other, one
    pull.blur(one)
    _finish(rows(energy), corners, gather, rows(one))
    _marginals(energy, labels, refined)


@compiled
def _fold(corners: Ints, weights: Floats, scale: Floats, offset: int, all_corners: Ints, all_weights: Floats) -> None:
    """Copy corners, counted from an offset, and weights, each point's scaled."""
    for point in range(len(corners)):
        for k in range(corners.shape[1]):
            all_corners[point, k] = corners[point, k] + offset
            all_weights[point, k] = weights[point, k] * scale[point]


@compiled
def _energies(probs: Floats, labels: Ints, energy: Floats) -> None:
    """Logarithms of probabilities [C,N], as rows [N,L]."""
    logs = np.empty(_TILE, np.float32)  # first logarithms one after the other, many at once, then one by one to their places
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
    """Natural logarithm of a positive float32, by the series of 2 artanh((x - 1) / (x + 1)), which a compiler can do for many at once."""
    bits = np.int32(np.float32(number).view(np.int32) - 0x3F3504F3)  # the root of a half, so that the mantissa is around 1
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
def _start(energy: Rows, shift: float, corners: Rows, spread: Rows, vertices: Rows) -> None:
    """Bring each point's best energy to minus shift, in the middle of what `exp` can do, and spread its softmax."""
    for point in range(len(corners)):
        around, weight, row = corners[point].lanes, spread[point].lanes, load(energy, point)
        row += fill(-shift - highest(row), energy)
        store(energy, point, row)
        row = exp(row, _LOW, _HIGH)
        row = row * (_ONE / total(row))
        for k in range(len(around)):
            store(vertices, around[k], load(vertices, around[k]) + row * weight[k])


@compiled
def _step(energy: Rows, corners: Rows, gather: Rows, vertices: Rows, spread: Rows, after: Rows) -> None:
    """Read what pulls each point, and spread its new softmax."""
    for point in range(len(corners)):
        around, read, weight, row = corners[point].lanes, gather[point].lanes, spread[point].lanes, load(energy, point)
        for k in range(len(around)):
            row += load(vertices, around[k]) * read[k]
        row = exp(row, _LOW, _HIGH)
        row = row * (_ONE / total(row))
        for k in range(len(around)):
            store(after, around[k], load(after, around[k]) + row * weight[k])


@compiled
def _finish(energy: Rows, corners: Rows, gather: Rows, vertices: Rows) -> None:
    """Read once more; the marginals take the place of the energies."""
    for point in range(len(corners)):
        around, read, row = corners[point].lanes, gather[point].lanes, load(energy, point)
        for k in range(len(around)):
            row += load(vertices, around[k]) * read[k]
        row = exp(row, _LOW, _HIGH)
        store(energy, point, row * (_ONE / total(row)))
