"""A solver for bounds on the mean probabilities of classes, for many images at once; `posterior`
puts it to use.

Every bound has a multiplier, in logits, by which its class is raised in its region (lowered, if the
multiplier is negative). The best ones minimise a convex function, the dual of CCNN's problem
(Pathak, Krähenbühl and Darrell, ICCV 2015). Its authors descend along the slope; Newton steps
need a few evaluations where that needs dozens.
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.functional.constraints import dual_compiled as compiled
from weakseg.functional.constraints import newton_compiled as newton
from weakseg.functional.constraints import newton_tensors as tensors
from weakseg.utils.devices import on_cpu

# logits beyond the range of an image's own ones at which nothing changes any more, as exp(-40) is
# next to nothing
_MARGIN = 40.0
# on a GPU, whether they are needed or not: where labels are soft a few would do, and most of the
# hard ones take no more
STEPS, STEPS_IF_HARD = 10, 40
_FLOAT32 = 1e-6  # the finest tolerance that float32 can tell
_NEARLY = 1e-3  # the tolerance of a beginning
# of so many pixels one is looked at to find where to begin; no power of two, so that these lie in
# all columns
_COARSE = 7
_MANY = 4096  # pixels from which that pays, and from which float32 will do
# pixels from which float32 will do up to this inverse temperature
_SOME = 1024
_SOFT = 10.0


class Rows(NamedTuple):
    """Bounds on the mean probability of a class over a region: R of them on each of B images with K
    classes and N pixels.

    What has N in its shape may be float32 where there are many pixels; sums over pixels become
    float64.
    """

    scores: Tensor
    """float [B,K,N]: logits, minus infinity where a class is impossible"""
    counted: Tensor
    """float [B,N]: 1, or 0 at padding"""
    picks: Tensor
    """float [B,R,K]: 1 at the class that the bound is about"""
    labels: Tensor
    """int64 [B,R]: the place of that class among the K, or -1 where it is none of them"""
    regions: Tensor
    """float [B,R,N]: 1 at the pixels that the bound is about, never at padding; [B,1,N], the same
    as counted, if all are about the image"""
    lower: Tensor
    """float [B,R]; minus infinity: no lower bound"""
    upper: Tensor
    """float [B,R]; infinity: no upper bound"""
    slack_lower: Tensor
    """float [B,R]: logits by which the class may be raised at most to meet the lower bound;
    infinity: as many as it takes"""
    slack_upper: Tensor
    """float [B,R]: the same for lowering it"""


def precision(logits: Tensor, beta: float, tolerance: float) -> tuple[torch.dtype, torch.dtype]:
    """The types of bounds and of pixels for logits [B,C,N].

    Both float64 if need be, as the share of one pixel at beta = 1000 is beyond float32. Softer
    pixels are not, and many pixels make up for that; then float32 takes half the time. Apple's GPUs
    have no float64.
    """
    if logits.device.type == "mps":
        return torch.float32, torch.float32
    enough = logits.shape[2] >= (_SOME if beta <= _SOFT else _MANY) and tolerance >= _FLOAT32
    return (
        torch.float64,
        torch.float32 if enough and logits.dtype != torch.float64 else torch.float64,
    )


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


def solve(rows: Rows, beta: float, tolerance: float, most_steps: int) -> Solution:
    """Minimise the dual of all images by Newton steps, cut off at the limits of the multipliers.

    A step that does not lower the dual is taken back and tried again, less far in the bounds that
    went too far. An image is done when, up to `tolerance` in mean probability, each bound is met or
    has used up its slack, and no multiplier is larger than that takes. Bounds that cannot be met
    together would drive their multipliers up for ever; they end where nothing changes any more, and
    `converged` is False.
    """
    if not _on_cpu(rows):
        return _solve_on_device(rows, beta, tolerance, most_steps)
    bounds, open_end = _bounds(rows)
    state = newton.begin(_start(rows, beta, most_steps).clip(bounds.least, bounds.most))
    # rounding adds less to the dual than to single pixels, which are many where they are float32
    eps = max(64 * torch.finfo(rows.lower.dtype).eps, 2 * torch.finfo(rows.scores.dtype).eps)
    for number in range(most_steps + 1):
        newton.judge(
            bounds,
            state,
            *compiled.sums(
                rows.scores,
                rows.counted,
                rows.labels,
                rows.regions,
                state.trial,
                beta,
                state.unmet,
            ),
            beta,
            eps,
        )
        if number == most_steps or not newton.advance(bounds, state, tolerance):
            break
    unmet = newton.largest_excess(open_end, state)
    converged = (
        (unmet <= tolerance) & (bounds.lower <= bounds.upper).all(1) & (state.value < np.inf)
    )
    multipliers, means = (
        torch.from_numpy(values).to(rows.lower) for values in (state.best, state.means)
    )
    return Solution(multipliers, means, torch.from_numpy(converged), torch.from_numpy(state.steps))


def _solve_on_device(rows: Rows, beta: float, tolerance: float, most_steps: int) -> Solution:
    """The same where to ask whether all images are done would be to wait for a GPU: always so many
    steps, of which those that are done take no part."""
    bounds, open_end = _bounds_on_device(rows)
    start = _start_on_device(rows, beta, tolerance, most_steps)
    state = tensors.begin(start.maximum(bounds.least).minimum(bounds.most))
    eps = max(64 * torch.finfo(rows.lower.dtype).eps, 2 * torch.finfo(rows.scores.dtype).eps)
    steps = min(most_steps, STEPS if beta <= _SOFT else STEPS_IF_HARD)
    for number in range(steps + 1):
        state = tensors.judge(bounds, state, *_sums(rows, state.trial, beta), beta, eps)
        if number < steps:
            state = tensors.advance(bounds, state, tolerance)
    unmet = tensors.excesses(open_end, state).abs().amax(1)
    converged = (unmet <= tolerance) & (bounds.lower <= bounds.upper).all(1)
    converged = converged & (state.value[:, 0] < torch.inf)
    return Solution(state.best, state.means, converged, state.steps[:, 0])


def _start_on_device(rows: Rows, beta: float, tolerance: float, most_steps: int) -> Tensor:
    """As `_start`, on a device."""
    if rows.scores.shape[2] < _MANY:
        return torch.zeros_like(rows.lower)
    found = _solve_on_device(_few(rows), beta, _NEARLY, most_steps)
    return torch.where(found.converged[:, None], found.multipliers, 0)


def _bounds_on_device(rows: Rows) -> tuple[tensors.Bounds, tensors.Bounds]:
    """As `_bounds`, on a device."""
    pixels = _total(rows, rows.counted)[:, None].clamp(min=1)
    share = (_total(rows, rows.regions) / pixels).expand_as(rows.lower)
    spans = _spans(rows.scores).to(pixels.dtype)[:, None]
    far = (spans.clamp(min=0) + _MARGIN) * (rows.lower.shape[1] + 1)
    least = -rows.slack_upper.minimum(far)
    most = rows.slack_lower.minimum(far)
    limited = tensors.Bounds(rows.lower, rows.upper, least, most, share, pixels)
    return limited, limited._replace(least=-rows.slack_upper, most=rows.slack_lower)


def _start(rows: Rows, beta: float, most_steps: int) -> NDArray[np.float64]:
    """Multipliers to begin with, [B,R]: those of a part of the pixels if there are many, which
    saves most steps on all of them."""
    if rows.scores.shape[2] < _MANY:
        return np.zeros(rows.lower.shape)
    found = solve(_few(rows), beta, _NEARLY, most_steps)
    return torch.where(found.converged[:, None], found.multipliers, 0).double().numpy()


def _few(rows: Rows) -> Rows:
    """A part of the pixels, with the bounds that are about some of them."""
    scores, counted, regions = (
        values[..., ::_COARSE].contiguous() for values in (rows.scores, rows.counted, rows.regions)
    )
    few = rows._replace(scores=scores, counted=counted, regions=regions)
    met = few.regions.any(2)  # a region may have none of them
    return few._replace(
        lower=few.lower.where(met, -torch.inf), upper=few.upper.where(met, torch.inf)
    )


def _bounds(rows: Rows) -> tuple[newton.Bounds, newton.Bounds]:
    """The bounds with limits beyond which nothing changes any more, and with no limits but the
    slack."""
    pixels = _total(rows, rows.counted)[:, None].clamp(min=1)
    share = _total(rows, rows.regions) / pixels
    spans = compiled.spans(rows.scores)
    bounds = (rows.lower, rows.upper, rows.slack_lower, rows.slack_upper)
    several = (
        one.expand_as(rows.lower)
        for one in (*bounds, pixels, share, spans.to(pixels.dtype)[:, None])
    )
    lower, upper, up, down, size, part, span = torch.stack(list(several)).double().numpy()
    # regions overlap, and classes are raised one above the other, so as many times the range as
    # there are bounds
    far = (span.clip(0) + _MARGIN) * (span.shape[1] + 1)
    limited = newton.Bounds(
        lower, upper, -np.minimum(down, far), np.minimum(up, far), part, size[:, 0].copy()
    )
    return limited, limited._replace(least=-down, most=up)


def _on_cpu(rows: Rows) -> bool:
    """Whether compiled loops do what goes over pixels, instead of tensors: they take a fraction of
    the time."""
    return on_cpu(rows.scores)


def _total(rows: Rows, values: Tensor) -> Tensor:
    """The sum over pixels, which come last."""
    return values.sum(-1).to(rows.lower.dtype)


def softmax_into(
    probs: Tensor, shown: Tensor, rows: Rows, multipliers: Tensor, beta: float
) -> None:
    """Write the labels that belong to multipliers float [B,R] to the classes shown, int64 [B,K], of
    probs float [B,C,N]."""
    if _on_cpu(rows):
        compiled.softmax_into(
            probs, shown, rows.scores, rows.labels, rows.regions, multipliers, beta
        )
        return
    places = (
        shown + torch.arange(len(shown), device=shown.device)[:, None] * probs.shape[1]
    ).flatten()
    found = _moved(rows, multipliers, beta).softmax(1).to(probs.dtype)
    # row by row; scatter takes ten times as long
    probs.view(-1, probs.shape[2]).index_copy_(0, places, found.flatten(0, 1))


def _moved(rows: Rows, multipliers: Tensor, beta: float) -> Tensor:
    """The logits after the multipliers, times beta: float [B,K,N]."""
    raised = (rows.picks * multipliers[:, :, None]).mT.to(rows.scores.dtype)
    if rows.regions.shape[1] < raised.shape[2]:
        return rows.scores.add(raised.sum(2, keepdim=True)).mul_(beta)
    return torch.baddbmm(rows.scores, raised, rows.regions).mul_(beta)


def _sums(rows: Rows, multipliers: Tensor, beta: float) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over pixels: of the logarithms of sums of exponentials, float [B,1], and of the
    probabilities that bounds are about, [B,R].

    And how fast the latter grow as the class of each bound is raised in its region, times the
    beta: float [B,R,R].
    """
    scores = _moved(rows, multipliers, beta)
    top = scores.amax(1, keepdim=True)
    # below that squares, and later exp, take ten times as long to become nothing
    probs = scores.sub_(top).clamp_(min=0.45 * log(torch.finfo(scores.dtype).tiny)).exp_()
    total = probs.sum(1, keepdim=True)
    probs /= total
    logs = _total(rows, total.log_().add_(top).mul_(rows.counted[:, None]))
    sums, both, products = _moments(rows, probs)
    return logs, sums, torch.bmm(rows.picks, rows.picks.mT) * both - products


def _moments(rows: Rows, probs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over the pixels of each bound's region of its class's probs float [B,K,N]: float [B,R].

    And for each two bounds, float [B,R,R]: those over the pixels that both are about, and those of
    the product of both.
    """
    dtype = rows.lower.dtype
    picks = rows.picks
    if rows.regions.shape[1] < picks.shape[1]:
        mine = probs * rows.regions
        sums = torch.bmm(picks, _total(rows, mine)[:, :, None])
        return (
            sums.squeeze(2),
            sums.expand(-1, -1, picks.shape[1]),
            picks @ torch.bmm(mine, mine.mT).to(dtype) @ picks.mT,
        )
    mine = torch.bmm(picks.to(probs.dtype), probs).mul_(rows.regions)
    return (
        _total(rows, mine),
        torch.bmm(mine, rows.regions.mT).to(dtype),
        torch.bmm(mine, mine.mT).to(dtype),
    )


def _spans(scores: Tensor) -> Tensor:
    """How far the possible scores of each image lie apart: float [B]."""
    return scores.amax((1, 2)) - scores.masked_fill(scores == -torch.inf, torch.inf).amin((1, 2))
