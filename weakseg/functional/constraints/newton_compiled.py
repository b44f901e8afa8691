"""The decisions of the solver for bounds, `functional.dual`: where each image's next step goes, and
whether it was a good one.

They are about a few numbers per image, for which tensors take longer than for sums over pixels. So
they are made here for all devices.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weakseg.functional.compiled import compiled

_SUFFICIENT = 1e-4  # a step is good if the dual falls by this part of what its slope promises
_FIRST_REACH = 3.0  # logits that the first step may go, about
_GROWTH = 4.0  # further with each good step, and less far with each that is taken back
# where the dual is flat and its slope zero, the Newton step is zero instead of undefined
_RIDGE = 1e-15
# a bound of whose curvature no more is left beside those before it stays where it is
_DEPENDENT = 1e-14

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Switches = NDArray[np.bool_]


class Bounds(NamedTuple):
    """R bounds on each of B images."""

    lower: Floats
    """[B,R], and so are the others but for `pixels`"""
    upper: Floats
    least: Floats
    """the least multiplier worth trying"""
    most: Floats
    share: Floats
    """how much of the image each bound is about; as much it weighs in the dual"""
    pixels: Floats
    """[B]: how many the image has"""


class State(NamedTuple):
    """How far the images have come: arrays that `judge` and `advance` change."""

    best: Floats
    """[B,R]: the best multipliers so far"""
    value: Floats
    """[B]: the dual there; infinite before the first judgement"""
    means: Floats
    """[B,R]: the mean probabilities there, which the slope is made of"""
    curvature: Floats
    """[B,R,R]"""
    trial: Floats
    """[B,R]: the multipliers to be judged next"""
    aim: Floats
    """[B,R]: the bound that each multiplier is to meet there"""
    reach: Floats
    """[B,R]: how far the next step may go, in logits, about"""
    unmet: Switches
    """[B]: images that are not done"""
    steps: Numbers
    """[B]"""


def begin(start: Floats) -> State:
    """With multipliers [B,R] as the first to be judged."""
    images, bounds = start.shape
    return State(
        best=start.copy(),
        value=np.full(images, np.inf),
        means=np.zeros_like(start),
        curvature=np.zeros((images, bounds, bounds)),
        trial=start,
        aim=np.zeros_like(start),
        reach=np.full_like(start, _FIRST_REACH),
        unmet=np.ones(images, np.bool_),
        steps=np.zeros(images, np.int64),
    )


@compiled
def judge(
    bounds: Bounds,
    state: State,
    logs: Floats,
    totals: Floats,
    curvature: Floats,
    beta: float,
    eps: float,
) -> None:
    """Take the trials over that lower the dual, by sums over the pixels of each image; adapt how
    far the next ones may go.

    eps: what rounding may add, for each logit. Sums: [B], [B,R] and [B,R,R], as `functional.dual`
        describes them.
    """
    # loops over the bounds, as numba takes seconds to compile arithmetic with arrays
    means = np.empty(totals.shape[1])
    for image in range(len(logs)):
        if state.unmet[image]:
            pixels = bounds.pixels[image]
            best = state.best[image]
            trial = state.trial[image]
            value = logs[image] / (pixels * beta)
            promised = 0.0
            noise = 1 + abs(state.value[image])
            for r in range(len(means)):
                share = bounds.share[image, r]
                step = trial[r] - best[r]
                means[r] = totals[image, r] / max(pixels * share, 1.0)
                if trial[r] != 0:
                    value -= (
                        trial[r]
                        * share
                        * (bounds.lower[image, r] if trial[r] > 0 else bounds.upper[image, r])
                    )
                    noise += abs(trial[r]) * share
                if step != 0:
                    promised += step * share * (state.means[image, r] - state.aim[image, r])
            good = value <= state.value[image] + _SUFFICIENT * min(promised, 0.0) + eps * noise
            if state.steps[image]:
                _adapt(state, image, means, good)
            if good:
                state.value[image] = value
                for r in range(len(means)):
                    best[r], state.means[image, r] = trial[r], means[r]
                    for s in range(len(means)):
                        state.curvature[image, r, s] = curvature[image, r, s] * (beta / pixels)


@compiled
def _adapt(state: State, image: int, means: Floats, good: bool) -> None:
    """The next step may go further, or less far for the bounds that went too far, or for all if
    none did."""
    any_overshot = False
    for r in range(len(means)):
        any_overshot |= (means[r] - state.aim[image, r]) * (
            state.trial[image, r] - state.best[image, r]
        ) > 0
    for r in range(len(means)):
        overshot = (means[r] - state.aim[image, r]) * (
            state.trial[image, r] - state.best[image, r]
        ) > 0
        reach = state.reach[image, r]
        if overshot or not (good or any_overshot):
            state.reach[image, r] = max(reach / _GROWTH, 1e-9)
        elif good:
            state.reach[image, r] = min(reach * _GROWTH, 1e9)


@compiled
def advance(bounds: Bounds, state: State, tolerance: float) -> bool:
    """Set the next trials of images that are not done. Whether there are any."""
    found = False
    excess = np.empty(state.best.shape[1])
    matrix = np.empty(state.curvature.shape[1:])
    for image in range(len(state.best)):
        largest = excesses(bounds, image, state.best[image], state.means[image], excess)
        state.unmet[image] = largest > tolerance
        if state.unmet[image]:
            state.steps[image] += 1
            _newton(bounds, state, image, excess, largest, matrix)
        found |= state.unmet[image]
    return found


@compiled
def excesses(
    bounds: Bounds, image: int, multipliers: Floats, means: Floats, excess: Floats
) -> float:
    """How far each mean is above the bound that its multiplier is about, or below zero: how far
    below. And the largest, either way.

    0 if the multiplier is at its limit. A multiplier of zero is about no bound as long as both are
    met.
    """
    largest = 0.0
    for r in range(len(excess)):
        here = multipliers[r]
        low = means[r] - bounds.lower[image, r]
        high = means[r] - bounds.upper[image, r]
        excess[r] = 0
        if here > 0 or (here == 0 and low < 0):
            excess[r] = low
        elif here < 0 or high > 0:
            excess[r] = high
        if (excess[r] < 0 and here >= bounds.most[image, r]) or (
            excess[r] > 0 and here <= bounds.least[image, r]
        ):
            excess[r] = 0
        largest = max(largest, abs(excess[r]))
    return largest


@compiled
def _newton(
    bounds: Bounds, state: State, image: int, excess: Floats, largest: float, matrix: Floats
) -> None:
    """The trial of one image: a Newton step of all multipliers that have an excess.

    Cut off where a multiplier would change its sign, as its other bound begins there.
    """
    best = state.best[image]
    trial = state.trial[image]
    share = bounds.share[image]
    for r in range(len(excess)):
        for s in range(len(excess)):
            matrix[r, s] = (
                state.curvature[image, r, s] if excess[r] != 0 and excess[s] != 0 else 0.0
            )
        # this keeps the step within reach; it fades as the bounds are met, so the last steps are
        # pure Newton
        matrix[r, r] += share[r] * largest / state.reach[image, r] + _RIDGE
        trial[r] = excess[r] * share[r]
    _solve(matrix, trial)
    for r in range(len(excess)):
        up = best[r] > 0 or (best[r] == 0 and excess[r] < 0)
        least, most = (0.0, bounds.most[image, r]) if up else (bounds.least[image, r], 0.0)
        state.aim[image, r] = bounds.lower[image, r] if up else bounds.upper[image, r]
        trial[r] = min(max(best[r] - trial[r], least), most) if excess[r] != 0 else best[r]


@compiled
def _solve(matrix: Floats, right: Floats) -> None:
    """Solve matrix x = right, where the matrix [R,R] has no negative curvature: x takes the place
    of right [R]."""
    size = len(right)
    own = np.empty(size)
    for r in range(size):
        own[r] = matrix[r, r]
    for r in range(size):
        gone = matrix[r, r] <= _DEPENDENT * own[r]
        for s in range(r + 1, size):
            factor = 0.0 if gone else matrix[s, r] / matrix[r, r]
            right[s] -= factor * right[r]
            for t in range(r + 1, size):
                matrix[s, t] -= factor * matrix[r, t]
        if gone:
            right[r], matrix[r, r] = 0, 1
            for s in range(r + 1, size):
                matrix[r, s] = 0
    for r in range(size - 1, -1, -1):
        for s in range(r + 1, size):
            right[r] -= matrix[r, s] * right[s]
        right[r] /= matrix[r, r]


@compiled
def largest_excess(bounds: Bounds, state: State) -> Floats:
    """How far each image is from its solution: float64 [B]."""
    result = np.empty(len(state.best))
    excess = np.empty(state.best.shape[1])
    for image in range(len(result)):
        result[image] = excesses(bounds, image, state.best[image], state.means[image], excess)
    return result
