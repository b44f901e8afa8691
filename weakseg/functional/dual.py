"""A solver for bounds on the mean probabilities of classes, for many images at once; `weakseg.functional.posterior` puts it to use.

Every bound has a multiplier, in logits, by which its class is raised in its region (lowered, if the multiplier is negative). The
best ones minimise a convex function, the dual of CCNN's problem (Pathak, Krähenbühl and Darrell, ICCV 2015). Its authors descend
along the slope; Newton steps need a few evaluations where that needs dozens.
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

import torch
from torch import Tensor

_MARGIN = 40.0  # logits beyond the range of an image's own ones at which nothing changes any more, as exp(-40) is next to nothing
_SUFFICIENT = 1e-4  # a step is good if the dual falls by this part of what its slope promises
_FLOAT32 = 1e-6  # the finest tolerance that float32 can tell
_NEARLY = 1e-3  # the tolerance of a beginning
_FIRST_REACH = 3.0  # logits that the first step may go, about
_GROWTH = 4.0  # further with each good step, and less far with each that is taken back
_COARSE = 7  # of so many pixels one is looked at to find where to begin; no power of two, so that these lie in all columns
_MANY = 4096  # pixels from which that pays, and from which the share of one pixel is within the reach of float32
_RIDGE = 1e-15  # where the dual is flat and its slope zero, the Newton step is zero instead of undefined


class Rows(NamedTuple):
    """Bounds on the mean probability of a class over a region: R of them on each of B images with K classes and N pixels.

    What has N in its shape may be float32 where there are many pixels; sums over pixels become float64.
    """

    scores: Tensor
    """float [B,K,N]: logits, minus infinity where a class is impossible"""
    counted: Tensor
    """float [B,N]: 1, or 0 at padding"""
    picks: Tensor
    """float [B,R,K]: 1 at the class that the bound is about"""
    regions: Tensor
    """float [B,R,N]: 1 at the pixels that the bound is about, never at padding; [B,1,N], the same as counted, if all are about the image"""
    lower: Tensor
    """float [B,R]; minus infinity: no lower bound"""
    upper: Tensor
    """float [B,R]; infinity: no upper bound"""
    slack_lower: Tensor
    """float [B,R]: logits by which the class may be raised at most to meet the lower bound; infinity: as many as it takes"""
    slack_upper: Tensor
    """float [B,R]: the same for lowering it"""


def precision(logits: Tensor, tolerance: float) -> tuple[torch.dtype, torch.dtype]:
    """The types of bounds and of pixels for logits [B,C,N].

    Both float64, as the share of one pixel at hardness 1000 is beyond float32; but many pixels make up for that, and take half the time.
    Apple's GPUs have no float64.
    """
    if logits.device.type == "mps":
        return torch.float32, torch.float32
    enough = logits.dtype != torch.float64 and logits.shape[2] >= _MANY and tolerance >= _FLOAT32
    return torch.float64, torch.float32 if enough else torch.float64


class Solution(NamedTuple):
    """What `solve` found."""

    multipliers: Tensor
    """float [B,R], in logits"""
    means: Tensor
    """float [B,R]: the mean probabilities that the bounds are about"""
    converged: Tensor
    """bool [B]"""
    steps: Tensor
    """int64 [B]: Newton steps, those included that were taken back"""


class _Point(NamedTuple):
    """The dual at some multipliers, where a bound that covers a tenth of the image weighs a tenth."""

    value: Tensor
    """float [B]"""
    means: Tensor
    """float [B,R]; what the slope is made of"""
    curvature: Tensor
    """float [B,R,R]"""


def solve(rows: Rows, hardness: float, tolerance: float, most_steps: int) -> Solution:
    """Minimise the dual of all images by Newton steps, cut off at the limits of the multipliers.

    A step that does not lower the dual is taken back and tried again, less far in the bounds that went too far. An image is done
    when, up to `tolerance` in mean probability, each bound is met or has used up its slack, and no multiplier is larger than that
    takes. Bounds that cannot be met together would drive their multipliers up for ever; they end where nothing changes any more,
    and `converged` is False.
    """
    share = _shares(rows)
    limits = _limits(rows)
    best = _start(rows, hardness, most_steps).clamp(*limits)
    point = _evaluate(rows, best, hardness, share)
    reach = torch.full_like(best, _FIRST_REACH)
    steps = torch.zeros_like(point.value, dtype=torch.int64)
    every = 1 if best.device.type == "cpu" else 4  # asking a GPU whether it is done makes both wait
    for number in range(most_steps):
        done = _distance(rows, best, point.means, limits) <= tolerance
        if number % every == 0 and bool(done.all()):
            break
        step = torch.where(done[:, None], 0, _newton(rows, best, point, share, reach, limits))
        trial = best + step
        fresh = _evaluate(rows, trial, hardness, share)
        aim = _aim(rows, trial, step)
        good = fresh.value <= point.value + _SUFFICIENT * _slope(share, step, point.means - aim) + _noise(rows, trial, point, share)
        reach = _adapted(reach, good, (fresh.means - aim) * step > 0)
        best = torch.where(good[:, None], trial, best)
        point = _Point(*(torch.where(good.view(-1, *[1] * (new.ndim - 1)), new, old) for new, old in zip(fresh, point, strict=True)))
        steps += ~done
    open_end = _distance(rows, best, point.means, (-rows.slack_upper, rows.slack_lower))
    return Solution(best, point.means, (open_end <= tolerance) & (rows.lower <= rows.upper).all(1), steps)


def _start(rows: Rows, hardness: float, most_steps: int) -> Tensor:
    """Multipliers to begin with, float [B,R]: those of a part of the pixels if there are many, which saves most steps on all of them."""
    nothing = torch.zeros_like(rows.lower)
    if rows.scores.shape[2] < _MANY:
        return nothing
    scores, counted, regions = (values[..., ::_COARSE].contiguous() for values in (rows.scores, rows.counted, rows.regions))
    few = rows._replace(scores=scores, counted=counted, regions=regions)
    met = few.regions.any(2)  # a region may have none of them
    few = few._replace(lower=few.lower.where(met, -torch.inf), upper=few.upper.where(met, torch.inf))
    found = solve(few, hardness, _NEARLY, most_steps)
    return torch.where(found.converged[:, None], found.multipliers, nothing)


def _shares(rows: Rows) -> Tensor:
    """How much of the image each bound is about: float [B,R]."""
    return _total(rows, rows.regions).expand_as(rows.lower) / _total(rows, rows.counted)[:, None].clamp(min=1)


def _total(rows: Rows, values: Tensor) -> Tensor:
    """The sum over pixels, which come last."""
    return values.sum(-1).to(rows.lower.dtype)


def softmax_after(rows: Rows, multipliers: Tensor, hardness: float) -> Tensor:
    """The labels that belong to multipliers float [B,R]: float [B,K,N]."""
    return _moved(rows, multipliers, hardness).softmax(1)


def _moved(rows: Rows, multipliers: Tensor, hardness: float) -> Tensor:
    """The logits after the multipliers, times the hardness: float [B,K,N]."""
    raised = (rows.picks * multipliers[:, :, None]).mT.to(rows.scores.dtype)
    if rows.regions.shape[1] < raised.shape[2]:
        return rows.scores.add(raised.sum(2, keepdim=True)).mul_(hardness)
    return torch.baddbmm(rows.scores, raised, rows.regions).mul_(hardness)


def _evaluate(rows: Rows, multipliers: Tensor, hardness: float, share: Tensor) -> _Point:
    """The dual at multipliers float [B,R] whose regions cover `share` float [B,R] of the image."""
    scores = _moved(rows, multipliers, hardness)
    top = scores.amax(1, keepdim=True)
    smallest = 0.45 * log(torch.finfo(scores.dtype).tiny)  # below it squares, and later exp, take ten times as long to become nothing
    probs = scores.sub_(top).clamp_(min=smallest).exp_()
    total = probs.sum(1, keepdim=True)
    probs /= total
    pixels = _total(rows, rows.counted)[:, None].clamp(min=1)
    potential = _total(rows, total.log_().add_(top).mul_(rows.counted[:, None])) / (pixels * hardness)
    gain = torch.where(multipliers != 0, multipliers * torch.where(multipliers > 0, rows.lower, rows.upper) * share, 0)
    sums, both, products = _moments(rows, probs)
    curvature = torch.bmm(rows.picks, rows.picks.mT) * both - products
    means = sums / (pixels * share).clamp(min=1)
    return _Point(potential.squeeze(1) - gain.sum(1), means, curvature * (hardness / pixels[:, :, None]))


def _moments(rows: Rows, probs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over the pixels of each bound's region of its class's probs float [B,K,N]: float [B,R].

    And for each two bounds, float [B,R,R]: those over the pixels that both are about, and those of the product of both.
    """
    dtype, picks = rows.lower.dtype, rows.picks
    if rows.regions.shape[1] < picks.shape[1]:
        mine = probs * rows.regions
        sums = torch.bmm(picks, _total(rows, mine)[:, :, None])
        return sums.squeeze(2), sums.expand(-1, -1, picks.shape[1]), picks @ torch.bmm(mine, mine.mT).to(dtype) @ picks.mT
    mine = torch.bmm(picks.to(probs.dtype), probs).mul_(rows.regions)
    return _total(rows, mine), torch.bmm(mine, rows.regions.mT).to(dtype), torch.bmm(mine, mine.mT).to(dtype)


def _limits(rows: Rows) -> tuple[Tensor, Tensor]:
    """The least and the largest multiplier worth trying, float [B,R] each."""
    highest = rows.scores.amax((1, 2))
    lowest = rows.scores.masked_fill(rows.scores == -torch.inf, torch.inf).amin((1, 2))
    # regions overlap, and classes are raised one above the other, so as many times the range as there are bounds
    far = ((highest - lowest).to(rows.lower.dtype).clamp(min=0) + _MARGIN)[:, None] * (rows.lower.shape[1] + 1)
    return -rows.slack_upper.minimum(far), rows.slack_lower.minimum(far)


def _distance(rows: Rows, multipliers: Tensor, means: Tensor, limits: tuple[Tensor, Tensor]) -> Tensor:
    """How far each image is from its solution: the most by which a mean calls for a multiplier that could still move, float [B]."""
    too_little = torch.where(multipliers < 0, rows.upper, rows.lower) - means
    too_much = means - torch.where(multipliers > 0, rows.lower, rows.upper)
    rise = torch.where(multipliers < limits[1], too_little, 0)
    fall = torch.where(multipliers > limits[0], too_much, 0)
    return rise.maximum(fall).clamp(min=0).amax(1)


def _newton(rows: Rows, multipliers: Tensor, point: _Point, share: Tensor, reach: Tensor, limits: tuple[Tensor, Tensor]) -> Tensor:
    """The step [B,R] of all multipliers that may move; cut off where one would change its sign, as the other bound begins there."""
    up = (multipliers > 0) | ((multipliers == 0) & (point.means < rows.lower))
    down = ~up & ((multipliers < 0) | (point.means > rows.upper))
    excess = torch.where(up | down, point.means - torch.where(up, rows.lower, rows.upper), 0)
    floor, ceiling = torch.where(up, 0, limits[0]), torch.where(up, limits[1], 0)
    free = ((excess < 0) & (multipliers < ceiling)) | ((excess > 0) & (multipliers > floor))
    excess = torch.where(free, excess, 0)
    # added to the curvature, this keeps the step within reach; it fades as the bounds are met, so the last steps are pure Newton
    damping = share * excess.abs().amax(1, keepdim=True) / reach + _RIDGE
    curvature = torch.where(free[:, :, None] & free[:, None, :], point.curvature, 0)
    matrix = curvature + torch.diag_embed(torch.where(free, damping, 1))
    step = -torch.linalg.solve_ex(matrix, excess * share)[0]
    step = (multipliers + step).maximum(floor).minimum(ceiling) - multipliers
    return torch.where(free, step, 0)


def _aim(rows: Rows, trial: Tensor, step: Tensor) -> Tensor:
    """The bound that each step to `trial` tries to meet, float [B,R]."""
    return torch.where((trial > 0) | ((trial == 0) & (step < 0)), rows.lower, rows.upper)


def _slope(share: Tensor, step: Tensor, excess: Tensor) -> Tensor:
    """By how much the dual should fall along a step to first order, float [B]; 0 where it should not, as after cutting off."""
    return torch.where(step != 0, step * share * excess, 0).sum(1).clamp(max=0)


def _adapted(reach: Tensor, good: Tensor, overshot: Tensor) -> Tensor:
    """How far the next step may go, float [B,R]: further, or less far for the bounds that went too far, or for all if none did."""
    shorter = overshot | ~(good | overshot.any(1))[:, None]
    longer = good[:, None] & ~overshot
    return torch.where(shorter, reach / _GROWTH, torch.where(longer, reach * _GROWTH, reach)).clamp(1e-9, 1e9)


def _noise(rows: Rows, trial: Tensor, point: _Point, share: Tensor) -> Tensor:
    """What rounding may add to the dual, float [B]: less than that of single pixels, which are many where they are float32."""
    eps = max(64 * torch.finfo(trial.dtype).eps, 2 * torch.finfo(rows.scores.dtype).eps)
    return eps * (1 + point.value.abs() + (trial.abs() * share).sum(1))
