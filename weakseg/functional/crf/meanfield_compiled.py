"""Mean field of the dense CRF, compiled for the processor at hand: what `meanfield` does in
tensors, one image in one thread.

Each iteration is one pass over the pixels: what a pixel gets from the vertices of the lattices, the
softmax of that, and the new marginals back to the vertices. So the marginals of a pixel stay in
registers and never go to memory. What compiled code adds and scales there are rows, the labels of
one pixel at once: see docs/explanation/vectors.md.
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

from weakseg.functional.compiled import compiled
from weakseg.functional.crf.kernels import Kernel, LRUCache, content
from weakseg.functional.crf.permutohedral_compiled import Floats, Ints, Lattice, lattice
from weakseg.functional.crf.vectors_compiled import (
    Rows,
    aligned,
    aligned_zeros,
    as_rows,
    exp,
    fill,
    highest,
    load,
    padded_width,
    store,
    total,
)

# of all kernels together; beyond it, energies could leave the range in which `exp` is right
MAX_STRENGTH = 60.0
# every width of rows is compiled by itself, and very wide ones take minutes
MAX_LABELS = 256
# products with smaller exponentials are denormal numbers, which are slow
_LOW = np.float32(-50)
_HIGH = np.float32(80)
_LEAST = np.float32(1e-20)  # as in `functional.crf.meanfield`
_PADDING = np.float32(-1e4)  # the energy of labels that only fill up a row: their marginals are 0
_ONE = np.float32(1)
_LOG2 = np.float32(log(2))
# pixels that change from one row per label to one row per pixel, or back, before the next ones
_TILE = 128
_recent = LRUCache(2**27)


class NormalizedLattice(NamedTuple):
    """The lattice of one kernel, and what normalises it."""

    lattice: Lattice
    row_sums: Floats
    """[N]: the sum of each row of the kernel's matrix, which the lattice multiplies by"""


class KernelTerm(NamedTuple):
    """What one kernel adds to the energies of an image's pixels. Strength and normalisation are in
    the factors."""

    lattice: Lattice
    slice_scale: Floats
    """[N]: times what a pixel gets from its vertices"""
    splat_scale: Floats
    """[N]: times what a pixel adds to its vertices"""


class KernelArrays(NamedTuple):
    """A `KernelTerm` as the compiled loops take it."""

    corners: Rows
    weights: Rows
    slice_scale: Floats
    splat_scale: Floats


def refine(
    image: Tensor, probs: Tensor, kernels: Sequence[Kernel], symmetric: bool, iterations: int
) -> Tensor | None:
    """Marginals float32 [C,H,W] of an image uint8 [3,H,W] from probabilities float32 [C,H,W].

    None for what is left to tensors: anything on a GPU or in double precision, no kernels, overly
    strong or tiny ones, or hundreds of labels.
    """
    if probs.device.type != "cpu" or probs.dtype != torch.float32:
        return None
    flat = probs.flatten(1).contiguous().numpy()
    possible = np.flatnonzero(flat.max(1) > 0).astype(np.int32)
    strength = sum(kernel.strength for kernel in kernels)
    if not 0 < strength <= MAX_STRENGTH or len(kernels) > 2 or len(possible) > MAX_LABELS:
        return None
    refined = np.zeros_like(flat)
    if len(possible) == 1:
        refined[possible] = 1
    else:
        lattices = [found for kernel in kernels if (found := _normalized_lattice(image, kernel))]
        if len(lattices) < len(kernels):
            return None
        one, *more = [_term(*both, symmetric) for both in zip(kernels, lattices, strict=True)]
        other = more[0] if more else _no_term(flat.shape[1])
        mean_field(flat, possible, one, other, strength, iterations, refined)
    return torch.from_numpy(refined).view_as(probs)


def _normalized_lattice(image: Tensor, kernel: Kernel) -> NormalizedLattice | None:
    """The lattice of a kernel on an image, from the cache if it is there.

    A kernel without colours has the same lattice for every image of one size.
    """
    depends_on = image.shape[1:] if kernel.rgb is None else (image.shape[1:], content(image))
    key = (kernel.xy, kernel.rgb, depends_on)
    found = _recent.get(key, partial(_make_lattice, image, kernel))
    return found[0] if found else None


def _make_lattice(image: Tensor, kernel: Kernel) -> tuple[NormalizedLattice, ...]:
    """Nothing where the lattice would be too large for its keys."""
    found = lattice(_features(image.numpy(), kernel))
    if found is None:
        return ()
    ones = np.ones((len(found.corners), 1), np.float32)
    return (NormalizedLattice(found, found.filter(ones)[:, 0]),)


def _features(image: NDArray[np.uint8], kernel: Kernel) -> Floats:
    """As in `functional.crf.kernels`, where torch would start threads of its own in each thread."""
    height, width = image.shape[1:]
    result = np.empty((2 if kernel.rgb is None else 5, height, width), np.float32)
    result[0] = np.arange(width, dtype=np.float32) / np.float32(kernel.xy)
    result[1] = np.arange(height, dtype=np.float32)[:, None] / np.float32(kernel.xy)
    if kernel.rgb is not None:
        np.divide(image, np.float32(kernel.rgb), out=result[2:], dtype=np.float32)
    return result.reshape(len(result), -1)


def _term(kernel: Kernel, normalized: NormalizedLattice, symmetric: bool) -> KernelTerm:
    """Symmetric normalisation divides by the root of the sums before and after the filter, the
    other one by the sums after it."""
    share = np.float32(kernel.strength * normalized.lattice.alpha) / normalized.row_sums
    if symmetric:
        root = np.sqrt(share)
        return KernelTerm(normalized.lattice, root, root)
    return KernelTerm(normalized.lattice, share, np.ones_like(share))


def _no_term(points: int) -> KernelTerm:
    """In place of the second kernel where there is only one.

    All pixels get zero from vertex 0, which stands for no vertex, and add nothing to it.
    """
    corners = np.zeros((points, 1), np.int32)
    zeros = np.zeros(points, np.float32)
    return KernelTerm(Lattice(corners, zeros[:, None], 2, ()), zeros, zeros)


def mean_field(
    probs: Floats,
    labels: Ints,
    one: KernelTerm,
    other: KernelTerm,
    strength: float,
    iterations: int,
    refined: Floats,
) -> None:
    """Write the marginals of some labels into `refined` [C,N], from probabilities [C,N]. `strength`
    is that of both kernels together."""
    terms = (one, other)
    width = padded_width(len(labels))
    energy = as_rows(aligned(probs.shape[1], width))
    arrays = [_arrays(term) for term in terms]
    before = [aligned_zeros(term.lattice.size, width) for term in terms]
    after = [aligned(term.lattice.size, width) for term in terms]
    logs = np.full((width, _TILE), _PADDING)
    shift = np.float32(strength / 2)
    _start(probs, labels, logs, energy, shift, *arrays, *map(as_rows, before))
    for _ in range(iterations - 1):
        for term, vertices, others in zip(terms, before, after, strict=True):
            term.lattice.blur(vertices)
            others[:] = 0
        _step(energy, *arrays, *map(as_rows, before), *map(as_rows, after))
        before, after = after, before
    for term, vertices in zip(terms, before, strict=True):
        term.lattice.blur(vertices)
    tile = as_rows(aligned(_TILE, width))
    _finish(energy, *arrays, *map(as_rows, before), tile, labels, refined)


def _arrays(term: KernelTerm) -> KernelArrays:
    corners = as_rows(term.lattice.corners)
    weights = as_rows(term.lattice.weights)
    return KernelArrays(corners, weights, term.slice_scale, term.splat_scale)


@compiled
def _energies(probs: Floats, labels: Ints, first: int, logs: Floats, energy: Rows) -> None:
    """Logarithms of probabilities [C,N], as rows: of the pixels from the first on that `logs`
    [L,TILE] has room for. What `logs` has after the last label fills up the rows."""
    here = min(logs.shape[1], probs.shape[1] - first)
    # first logarithms one after the other, many at once, then one by one to their places
    for place in range(len(labels)):
        row = probs[labels[place], first : first + here]
        for p in range(here):
            logs[place, p] = _log(max(row[p], _LEAST))
    for p in range(here):
        numbers = energy[first + p]["numbers"]
        for place in range(len(numbers)):
            numbers[place] = logs[place, p]


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
def _marginals(tile: Rows, labels: Ints, first: int, refined: Floats) -> None:
    """The rows of some pixels back to [C,N], from the first pixel on."""
    here = min(len(tile), refined.shape[1] - first)
    for place in range(len(labels)):
        row = refined[labels[place], first : first + here]
        for p in range(here):
            row[p] = tile[p]["numbers"][place]


@compiled
def _slice(term: KernelArrays, point: int, vertices: Rows) -> Any:
    """What a pixel gets from the vertices around it."""
    corners = term.corners[point]["numbers"]
    weights = term.weights[point]["numbers"]
    row = fill(0.0, vertices)
    for k in range(len(corners)):
        row += load(vertices, corners[k]) * weights[k]
    return row * term.slice_scale[point]


@compiled
def _splat(term: KernelArrays, point: int, row: Any, vertices: Rows) -> None:
    """Add a pixel's row to the vertices around it."""
    corners = term.corners[point]["numbers"]
    weights = term.weights[point]["numbers"]
    scaled = row * term.splat_scale[point]
    for k in range(len(corners)):
        store(vertices, corners[k], load(vertices, corners[k]) + scaled * weights[k])


@compiled
def _softmax(row: Any) -> Any:
    row = exp(row, _LOW, _HIGH)
    return row * (_ONE / total(row))


@compiled
def _start(
    probs: Floats,
    labels: Ints,
    logs: Floats,
    energy: Rows,
    shift: float,
    one: KernelArrays,
    other: KernelArrays,
    to_one: Rows,
    to_other: Rows,
) -> None:
    """Energies from probabilities: bring each pixel's best one to minus shift, and splat its
    softmax.

    The kernels can add twice the shift. So the best energy stays between minus shift and shift,
    and no softmax has to subtract the largest energy first.
    """
    for first in range(0, len(energy), logs.shape[1]):
        _energies(probs, labels, first, logs, energy)
        for point in range(first, min(first + logs.shape[1], len(energy))):
            row = load(energy, point)
            row += fill(-shift - highest(row), energy)
            store(energy, point, row)
            row = _softmax(row)
            _splat(one, point, row, to_one)
            _splat(other, point, row, to_other)


@compiled
def _marginal(
    energy: Rows,
    point: int,
    one: KernelArrays,
    other: KernelArrays,
    of_one: Rows,
    of_other: Rows,
) -> Any:
    """A pixel's marginals, from its energies and what both kernels add."""
    row = load(energy, point) + _slice(one, point, of_one) + _slice(other, point, of_other)
    return _softmax(row)


@compiled
def _step(
    energy: Rows,
    one: KernelArrays,
    other: KernelArrays,
    of_one: Rows,
    of_other: Rows,
    to_one: Rows,
    to_other: Rows,
) -> None:
    """One iteration: from the vertices `of` the last one `to` those of the next."""
    for point in range(len(energy)):
        row = _marginal(energy, point, one, other, of_one, of_other)
        _splat(one, point, row, to_one)
        _splat(other, point, row, to_other)


@compiled
def _finish(
    energy: Rows,
    one: KernelArrays,
    other: KernelArrays,
    of_one: Rows,
    of_other: Rows,
    tile: Rows,
    labels: Ints,
    refined: Floats,
) -> None:
    """The last iteration: the marginals go to `refined` [C,N], by way of `tile`."""
    for first in range(0, len(energy), len(tile)):
        for point in range(first, min(first + len(tile), len(energy))):
            store(tile, point - first, _marginal(energy, point, one, other, of_one, of_other))
        _marginals(tile, labels, first, refined)
