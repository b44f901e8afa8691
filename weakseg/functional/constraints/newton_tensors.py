"""The decisions of the solver for bounds in tensors: what `newton_compiled` does, on the device
where the sums over pixels are, so that nobody waits for these.

All arguments are [B,R], numbers of R bounds on each of B images, but for what is said.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.functional.constraints.newton_compiled import (
    _DEPENDENT,
    _FIRST_REACH,
    _GROWTH,
    _RIDGE,
    _SUFFICIENT,
)


class Bounds(NamedTuple):
    """R bounds on each of B images."""

    lower: Tensor
    upper: Tensor
    least: Tensor
    """the least multiplier worth trying"""
    most: Tensor
    share: Tensor
    """how much of the image each bound is about; as much it weighs in the dual"""
    pixels: Tensor
    """[B,1]: how many the image has"""


class State(NamedTuple):
    """How far the images have come."""

    best: Tensor
    """the best multipliers so far"""
    value: Tensor
    """[B,1]: the dual there; infinite before the first judgement"""
    means: Tensor
    """the mean probabilities there, which the slope is made of"""
    curvature: Tensor
    """[B,R,R]"""
    trial: Tensor
    """the multipliers to be judged next"""
    aim: Tensor
    """the bound that each multiplier is to meet there"""
    reach: Tensor
    """how far the next step may go, in logits, about"""
    unmet: Tensor
    """bool [B,1]: images that are not done"""
    steps: Tensor
    """int64 [B,1]"""


def begin(start: Tensor) -> State:
    """With these multipliers as the first to be judged."""
    images, bounds = start.shape
    return State(
        best=start,
        value=start.new_full((images, 1), torch.inf),
        means=torch.zeros_like(start),
        curvature=start.new_zeros(images, bounds, bounds),
        trial=start,
        aim=torch.zeros_like(start),
        reach=torch.full_like(start, _FIRST_REACH),
        unmet=torch.ones_like(start[:, :1], dtype=torch.bool),
        steps=torch.zeros_like(start[:, :1], dtype=torch.int64),
    )


def judge(
    bounds: Bounds,
    state: State,
    logs: Tensor,
    totals: Tensor,
    curvature: Tensor,
    beta: float,
    eps: float,
) -> State:
    """Take the trials over that lower the dual, by the sums over the pixels of each image; adapt
    how far the next ones may go. The arguments are those of its compiled twin, in tensors."""
    trial = state.trial
    step = trial - state.best
    means = totals / (bounds.pixels * bounds.share).clamp(min=1)
    limit = torch.where(trial > 0, bounds.lower, bounds.upper)
    moved = trial != 0
    kept = _total(moved, trial * bounds.share * limit)
    value = logs / (bounds.pixels * beta) - kept
    noise = 1 + state.value.abs() + _total(moved, trial.abs() * bounds.share)
    promised = _total(step != 0, step * bounds.share * (state.means - state.aim)).clamp(max=0)
    good = value <= state.value + _SUFFICIENT * promised + eps * noise
    taken = state.unmet & good
    return state._replace(
        best=torch.where(taken, trial, state.best),
        value=torch.where(taken, value, state.value),
        means=torch.where(taken, means, state.means),
        curvature=torch.where(
            taken[:, :, None], curvature * (beta / bounds.pixels[:, :, None]), state.curvature
        ),
        reach=torch.where(
            state.unmet & (state.steps > 0), _adapted(state, means, good), state.reach
        ),
    )


def _adapted(state: State, means: Tensor, good: Tensor) -> Tensor:
    """How far the next step may go: further, or less far for the bounds that went too far, or for
    all if none did."""
    overshot = (means - state.aim) * (state.trial - state.best) > 0
    back = overshot | ~(good | overshot.any(1, keepdim=True))
    further = torch.where(good, (state.reach * _GROWTH).clamp(max=1e9), state.reach)
    return torch.where(back, (state.reach / _GROWTH).clamp(min=1e-9), further)


def advance(bounds: Bounds, state: State, tolerance: float) -> State:
    """Set the next trials of images that are not done."""
    excess = excesses(bounds, state)
    largest = excess.abs().amax(1, keepdim=True)
    unmet = largest > tolerance
    trial, aim = _newton(bounds, state, excess, largest)
    return state._replace(
        unmet=unmet,
        steps=state.steps + unmet,
        trial=torch.where(unmet, trial, state.trial),
        aim=torch.where(unmet, aim, state.aim),
    )


def excesses(bounds: Bounds, state: State) -> Tensor:
    """How far each mean is above the bound that its multiplier is about, or below zero: how far
    below. 0 if the multiplier is at its limit; a multiplier of zero is about no bound as long as
    both are met."""
    here = state.best
    low = state.means - bounds.lower
    high = state.means - bounds.upper
    raised = (here > 0) | ((here == 0) & (low < 0))
    lowered = (here < 0) | (high > 0)
    excess = torch.where(raised, low, torch.where(lowered, high, 0))
    ended = ((excess < 0) & (here >= bounds.most)) | ((excess > 0) & (here <= bounds.least))
    return torch.where(ended, 0, excess)


def _newton(bounds: Bounds, state: State, excess: Tensor, largest: Tensor) -> tuple[Tensor, Tensor]:
    """The trials: a Newton step of all multipliers that have an excess, cut off where a multiplier
    would change its sign; and the bounds that they are about."""
    best = state.best
    active = excess != 0
    both = active[:, :, None] & active[:, None, :]
    matrix = torch.where(both, state.curvature, 0)
    # this keeps the step within reach; it fades as the bounds are met
    matrix.diagonal(dim1=1, dim2=2).add_(bounds.share * largest / state.reach + _RIDGE)
    step = _solved(matrix, excess * bounds.share)
    up = (best > 0) | ((best == 0) & (excess < 0))
    least = torch.where(up, 0, bounds.least)
    most = torch.where(up, bounds.most, 0)
    trial = torch.where(active, (best - step).maximum(least).minimum(most), best)
    return trial, torch.where(up, bounds.lower, bounds.upper)


def _solved(matrix: Tensor, right: Tensor) -> Tensor:
    """The solution x of matrix x = right, where the matrices [B,R,R] have no negative curvature;
    both are changed. A solver of torch would wait to see whether there is one."""
    size = right.shape[1]
    own = matrix.diagonal(dim1=1, dim2=2).clone()
    unit = torch.eye(size, dtype=matrix.dtype, device=matrix.device)
    for r in range(size):
        gone = (matrix[:, r, r] <= _DEPENDENT * own[:, r])[:, None]
        factor = torch.where(gone, 0, matrix[:, r + 1 :, r] / matrix[:, r, r, None])
        right[:, r + 1 :] -= factor * right[:, r, None]
        matrix[:, r + 1 :] -= factor[:, :, None] * matrix[:, r, None]
        right[:, r] = torch.where(gone[:, 0], 0, right[:, r])
        matrix[:, r] = torch.where(gone, unit[r], matrix[:, r])
    for r in range(size - 1, -1, -1):
        known = (matrix[:, r, r + 1 :] * right[:, r + 1 :]).sum(1)
        right[:, r] = (right[:, r] - known) / matrix[:, r, r]
    return right


def _total(counted: Tensor, values: Tensor) -> Tensor:
    """The sum over the bounds that count: [B,1]."""
    return torch.where(counted, values, 0).sum(1, keepdim=True)
