"""Sums over pixels of the solver for bounds, compiled for the processor at hand: what
`functional.dual` does in tensors, in one thread.

A few pixels at a time, so that what one loop writes is still near when the next one reads it.
"""

from __future__ import annotations

from math import factorial, log
from typing import Any

import numpy as np
import torch
from numba import types
from numba.extending import overload
from numpy.typing import NDArray
from torch import Tensor

from weakseg.functional.compiled import OPTIONS, compiled

TILE = 256  # pixels taken together
# the product of one number per pixel, none above the number of classes, is still far from the
# largest there is
FEW = 64
Floats = NDArray[Any]
"""float32 or float64"""
Numbers = NDArray[np.int64]
Switches = NDArray[np.bool_]

_PER_E = 1 / log(2)
_SERIES32 = tuple(np.float32(log(2) ** degree / factorial(degree)) for degree in range(6, -1, -1))
_SERIES64 = tuple(log(2) ** degree / factorial(degree) for degree in range(13, -1, -1))
_FAST: Any = OPTIONS | {"fastmath": {"contract", "nsz", "arcp"}}


def _exp(power: Any) -> Any:
    """e to a power from -700 to 0, or from -87 in float32. In compiled code one that is done for
    many at once."""
    return np.exp(power)


@overload(_exp, jit_options=_FAST)
def _exp_compiled(power: Any) -> Any:
    """2 to a whole power, put together from its bits, times 2 to the power of the rest, which is a
    half at most, by its Taylor series."""

    def single(power: Any) -> Any:
        twos = power * np.float32(_PER_E)
        whole = np.rint(twos)
        rest = twos - whole
        result = np.float32(0)
        for factor in _SERIES32:
            result = result * rest + factor
        return result * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)

    def double(power: Any) -> Any:
        twos = power * _PER_E
        whole = np.rint(twos)
        rest = twos - whole
        result = 0.0
        for factor in _SERIES64:
            result = result * rest + factor
        return result * np.int64((np.int64(np.int32(whole)) + 1023) << 52).view(np.float64)

    return single if power == types.float32 else double


def sums(
    scores: Tensor,
    counted: Tensor,
    labels: Tensor,
    regions: Tensor,
    multipliers: NDArray[np.float64],
    beta: float,
    wanted: Switches,
) -> list[NDArray[np.float64]]:
    """As `_sums` in `functional.dual`; zero for images that are not wanted."""
    images, bounds = multipliers.shape
    results = [np.zeros(images), np.zeros((images, bounds)), np.zeros((images, bounds, bounds))]
    least = 0.45 * log(torch.finfo(scores.dtype).tiny)
    _sums(
        *(one.numpy() for one in (scores, counted, labels, regions)),
        multipliers,
        beta,
        least,
        wanted,
        *results,
    )
    return results


def softmax_into(
    probs: Tensor,
    shown: Tensor,
    scores: Tensor,
    labels: Tensor,
    regions: Tensor,
    multipliers: Tensor,
    beta: float,
) -> None:
    """Write the softmax of scores [B,K,N] after multipliers [B,R] to the rows shown, [B,K], of
    probs [B,C,N]."""
    least = log(torch.finfo(probs.dtype).tiny)
    _softmax_into(
        *(one.numpy() for one in (probs, shown, scores, labels, regions, multipliers)),
        beta,
        least,
    )


def spans(scores: Tensor) -> Tensor:
    """How far the possible scores [B,K,N] of each image lie apart: float64 [B]."""
    result = torch.empty(len(scores), dtype=torch.float64)
    _spans(scores.numpy(), result.numpy())
    return result


@compiled
def _sums(
    scores: Floats,
    counted: Floats,
    labels: Numbers,
    regions: Floats,
    multipliers: NDArray[np.float64],
    beta: float,
    least: float,
    wanted: Switches,
    logs: NDArray[np.float64],
    totals: NDArray[np.float64],
    curvature: NDArray[np.float64],
) -> None:
    """Add up over the pixels of the wanted images [B]: scores [B,K,N], counted [B,N], labels [B,R]
    (-1: a class that is none of the K), regions [B,R,N] or one for all [B,1,N], multipliers [B,R],
    into logs [B] of the sums of exponentials, totals [B,R] of each bound's class in its region, and
    curvature [B,R,R]. Powers below `least` count as nothing.
    """
    bounds = labels.shape[1]
    probs = np.empty((scores.shape[1], TILE), scores.dtype)
    own = np.empty((bounds, TILE), scores.dtype)
    top = np.empty(TILE, scores.dtype)
    total = np.empty(TILE, scores.dtype)
    share = np.empty(TILE, scores.dtype)
    for image in range(len(scores)):
        if not wanted[image]:
            continue
        label = labels[image]
        region = regions[image]
        count = counted[image]
        for first in range(0, scores.shape[2], TILE):
            here = min(TILE, scores.shape[2] - first)
            _raise(scores[image], label, region, multipliers[image], first, here, probs)
            _softmax(probs, here, beta, least, top, total, share)
            logs[image] += _log(top, total, count[first : first + here])
            for bound in range(bounds):
                inside = region[min(bound, len(region) - 1), first : first + here]
                totals[image, bound] += _own(probs, label[bound], inside, own[bound])
                for other in range(bound + 1):
                    same = scores.dtype.type(label[bound] == label[other])
                    curvature[image, bound, other] += _curvature(
                        own[other], own[bound], inside, same
                    )
        for bound in range(bounds):
            for other in range(bound):
                curvature[image, other, bound] = curvature[image, bound, other]


@compiled
def _softmax_into(
    probs: Floats,
    shown: Numbers,
    scores: Floats,
    labels: Numbers,
    regions: Floats,
    multipliers: NDArray[np.float64],
    beta: float,
    least: float,
) -> None:
    some = np.empty((scores.shape[1], TILE), scores.dtype)
    top = np.empty(TILE, scores.dtype)
    total = np.empty(TILE, scores.dtype)
    share = np.empty(TILE, scores.dtype)
    for image in range(len(scores)):
        for first in range(0, scores.shape[2], TILE):
            here = min(TILE, scores.shape[2] - first)
            _raise(
                scores[image], labels[image], regions[image], multipliers[image], first, here, some
            )
            _softmax(some, here, beta, least, top, total, share)
            for place in range(len(some)):
                row = some[place]
                result = probs[image, shown[image, place], first : first + here]
                for p in range(here):
                    result[p] = row[p]


@compiled
def _spans(scores: Floats, result: NDArray[np.float64]) -> None:
    # as many as are compared at once
    lows = np.empty(TILE, scores.dtype)
    highs = np.empty(TILE, scores.dtype)
    for image in range(len(scores)):
        lows[:], highs[:] = np.inf, -np.inf
        for place in range(scores.shape[1]):
            for first in range(0, scores.shape[2], TILE):
                row = scores[image, place, first : first + TILE]
                for p in range(len(row)):
                    low = lows[p]
                    high = highs[p]
                    if row[p] > high:
                        high = row[p]
                    if (row[p] < low) & (row[p] > -np.inf):
                        low = row[p]
                    lows[p], highs[p] = low, high
        result[image] = np.float64(highs.max()) - np.float64(lows.min())


@compiled
def _raise(
    scores: Floats,
    labels: Numbers,
    regions: Floats,
    multipliers: NDArray[np.float64],
    first: int,
    here: int,
    raised: Floats,
) -> None:
    """The scores [K,N] of pixels first, first + 1, ..., after the multipliers [R]."""
    for place in range(len(scores)):
        source = scores[place, first : first + here]
        row = raised[place]
        for p in range(here):
            row[p] = source[p]
    for bound in range(len(labels)):
        if labels[bound] >= 0 and multipliers[bound] != 0:
            row = raised[labels[bound]]
            step = scores.dtype.type(multipliers[bound])
            inside = regions[min(bound, len(regions) - 1), first : first + here]
            for p in range(here):
                row[p] += step * inside[p]


@compiled
def _softmax(
    rows: Floats,
    here: int,
    beta: float,
    least: float,
    top: Floats,
    total: Floats,
    share: Floats,
) -> None:
    """Rows [K,TILE], times beta, become their softmax. It leaves the largest ones, and the
    sums of exponentials below those."""
    kind = rows.dtype.type
    hard = kind(beta)
    low = kind(least)
    top[:here] = -np.inf
    total[:here] = 0
    for place in range(len(rows)):
        row = rows[place]
        for p in range(here):
            score = row[p] * hard
            highest = top[p]
            if score > highest:
                highest = score
            row[p] = score
            top[p] = highest
    for place in range(len(rows)):
        row = rows[place]
        for p in range(here):
            below = row[p] - top[p]
            power = below
            if below < low:
                power = low
            power = _exp(power)
            if below < low:
                power = kind(0)
            row[p] = power
            total[p] += power
    for p in range(here):
        share[p] = kind(1) / total[p]
    for place in range(len(rows)):
        row = rows[place]
        for p in range(here):
            row[p] *= share[p]


@compiled
def _log(top: Floats, total: Floats, counted: Floats) -> float:
    """The logarithms of the sums of exponentials at the pixels that count, added up: that of their
    product is one instead of many."""
    result = 0.0
    for first in range(0, len(counted), FEW):
        product = 1.0
        for p in range(first, min(first + FEW, len(counted))):
            product *= np.float64(total[p] if counted[p] > 0 else 1)
            result += np.float64(top[p] * counted[p])
        result += np.log(product)
    return result


@compiled
def _own(probs: Floats, label: int, inside: Floats, own: Floats) -> float:
    """The probabilities of a bound's class inside of its region, and their sum."""
    own[: len(inside)] = 0
    result = inside.dtype.type(0)
    if label >= 0:
        row = probs[label]
        for p in range(len(inside)):
            own[p] = row[p] * inside[p]
            result += own[p]
    return np.float64(result)


@compiled
def _curvature(one: Floats, other: Floats, inside: Floats, same: float) -> float:
    """How fast the sum of one bound's probabilities grows as the other's class is raised inside of
    its region."""
    result = inside.dtype.type(0)
    for p in range(len(inside)):
        result += one[p] * (same * inside[p] - other[p])
    return np.float64(result)
