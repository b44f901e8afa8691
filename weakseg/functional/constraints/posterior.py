"""The labels nearest to a network's prediction that keep bounds on how much each class covers, and
the loss that pulls towards them.

Nearest in the sense of KL(P||Q), where Q is the softmax of the network's logits and P the labels,
as in CCNN (Pathak, Krähenbühl and Darrell, ICCV 2015). `weakseg.functional.constraints.bounds`
states the bounds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from weakseg.functional.constraints.bounds import Constraints
from weakseg.functional.constraints.dual import Rows, precision, softmax_into, solve
from weakseg.functional.describing import described
from weakseg.utils.devices import host_copy, on_cpu


class Posterior(NamedTuple):
    """The labels found, and how well they keep the bounds."""

    probs: Tensor
    """float [B,C,H,W]"""
    converged: Tensor
    """bool [B]: nearest to the network, and each bound is met or has used up its slack; False where
    bounds contradict each other"""
    violations: Tensor
    """float [B,R]: by which share of its region each bound is missed, 0 where it is met"""
    multipliers: Tensor
    """float [B,R]: by how many logits the class was raised because of each bound; below zero:
    lowered"""
    steps: Tensor
    """int64 [B]: how many Newton steps that took"""


@torch.no_grad()
def constrained_posterior(
    logits: Tensor,
    tags: Tensor,
    constraints: Constraints,
    valid: Tensor | None = None,
    tolerance: float = 1e-5,
    most_steps: int = 200,
) -> Posterior:
    """The probabilities nearest to the softmax of logits float [B,C,H,W] that keep the bounds, for
    each image by itself.

    Classes that tags bool [B,C] does not name get exactly nothing, and so does a class in a region
    where an upper bound with infinite slack is 0, except in pixels where no class would be left. A
    class that is alone takes everything. Pixels that valid bool [B,H,W] leaves out do not count and
    keep their softmax, and so do all pixels of an image without any tag.
    """
    _check(logits, tags, constraints, valid)
    dtype = logits.dtype if logits.dtype == torch.float64 else torch.float32
    scores = logits.to(dtype).flatten(2)
    everywhere = torch.ones_like(scores[:, 0], dtype=torch.bool)
    counted = tags.any(1, keepdim=True) & (everywhere if valid is None else valid.flatten(1))
    everything = _all_counted(tags, valid, counted)
    rows, shown, bounds = _rows(scores, tags, constraints, counted, everything, tolerance)
    solution = solve(rows, constraints.inverse_temperature, tolerance, most_steps)
    probs = scores.new_zeros(scores.shape)
    softmax_into(probs, shown, rows, solution.multipliers, constraints.inverse_temperature)
    if not everything:
        probs.mT[~counted] = scores.mT[~counted].softmax(1)
    missed = (rows.lower - solution.means).maximum(solution.means - rows.upper).clamp(min=0)
    nothing = torch.zeros_like(constraints.label, dtype=missed.dtype)
    violations = nothing.scatter(1, bounds, missed)
    multipliers = nothing.scatter(1, bounds, solution.multipliers)
    return Posterior(
        probs.view_as(logits),
        solution.converged,
        violations.to(dtype),
        multipliers.to(dtype),
        solution.steps,
    )


def kl_to_posterior(logits: Tensor, posterior: Tensor, valid: Tensor | None = None) -> Tensor:
    """KL(P||Q) of the posterior's probs float [B,C,H,W], held constant, to the softmax Q of the
    logits; the mean over valid pixels.

    The gradient is (Q - P) / N. 0 if valid bool [B,H,W] leaves nothing.

    >>> kl_to_posterior(torch.zeros(1, 2, 1, 1), torch.tensor([1.0, 0.0]).view(1, 2, 1, 1))
    tensor(0.6931)
    """
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    divergence: Tensor = _Divergence.apply(logits, posterior.detach().to(logits.dtype), valid)
    return divergence


class _Divergence(torch.autograd.Function):
    """See `kl_to_posterior`. Written out since most classes are not in an image: those cost one
    softmax, and nothing else."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
        logs = logits.log_softmax(1)
        few, own, there = target, logs, None if valid is None else valid[:, None]
        if on_cpu(target):  # to find the classes would be to wait for a GPU
            images, classes = (target.amax((2, 3)) > 0).nonzero(as_tuple=True)
            few, own = target[images, classes], logs[images, classes]
            there = None if valid is None else valid[images]
        divergence = torch.xlogy(few, few) - few * own
        if there is not None:
            divergence = torch.where(there, divergence, 0)
        pixels = torch.tensor(target[:, 0].numel()) if valid is None else valid.sum().clamp(min=1)
        ctx.save_for_backward(logs, target, valid, pixels)
        return divergence.sum() / pixels

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "kl_to_posterior has no second derivative: call backward without create_graph"
            )
        logs, target, valid, pixels = ctx.saved_tensors
        scale = (gradient / pixels).to(logs.dtype)
        wrong = logs.exp().mul_(target.sum(1, keepdim=True)).sub_(target).mul_(scale)
        return wrong if valid is None else wrong.masked_fill_(~valid[:, None], 0), None, None


def _all_counted(tags: Tensor, valid: Tensor | None, counted: Tensor) -> bool:
    """Whether all pixels count; where only a GPU would know, they are taken not to."""
    if on_cpu(counted):
        return bool(counted.all())
    return valid is None and bool(host_copy(tags).any(1).all())


def _check(logits: Tensor, tags: Tensor, constraints: Constraints, valid: Tensor | None) -> None:
    if logits.ndim != 4 or not logits.is_floating_point() or logits.numel() == 0:
        raise ValueError(
            "logits should be float [B,C,H,W] with at least one pixel, but it is "
            f"{described(logits)}"
        )
    images, classes, height, width = logits.shape
    if tags.dtype != torch.bool or tags.shape != (images, classes):
        raise ValueError(
            f"tags should be bool [{images},{classes}], for each image and class of the logits, "
            f"but it is {described(tags)}"
        )
    if valid is not None and (valid.dtype != torch.bool or valid.shape != (images, height, width)):
        raise ValueError(
            f"valid should be bool [{images},{height},{width}], the size of the logits, but it is "
            f"{described(valid)}"
        )
    if len(constraints.label) != images:
        raise ValueError(
            f"constraints should be for {images} images, as many as there are logits, but it is "
            f"for {len(constraints.label)}"
        )
    first, last = (int(label) for label in host_copy(constraints.label).aminmax())
    if first < 0 or last >= classes:
        raise ValueError(
            f"label of constraints should name classes 0 to {classes - 1}, those of the logits, "
            f"but goes from {first} to {last}"
        )
    region = constraints.region
    if region is not None and region.shape[2:] != (height, width):
        came = "x".join(map(str, region.shape[2:]))
        raise ValueError(
            f"the regions of constraints should be {height}x{width}, the size of the logits, but "
            f"they are {came}"
        )


def _rows(
    logits: Tensor,
    tags: Tensor,
    constraints: Constraints,
    counted: Tensor,
    everything: bool,
    tolerance: float,
) -> tuple[Rows, Tensor, Tensor]:
    """The problem without absent classes and bounds that say nothing, and which classes [B,K] and
    bounds [B,R] are left.

    `everything`: all pixels are counted.
    """
    regions = (
        counted[:, None]
        if constraints.region is None
        else counted[:, None] & constraints.region.flatten(2)
    )
    bounding = (constraints.lower > 0) | (
        tags.gather(1, constraints.label) & (constraints.upper < 1)
    )
    bounding = bounding & regions.any(2)
    most_classes, most_bounds = _most(tags, constraints, bounding)
    shown = tags.int().argsort(dim=1, descending=True, stable=True)[:, :most_classes]
    bounds = bounding.int().argsort(dim=1, descending=True, stable=True)[:, :most_bounds]
    there = tags.gather(1, shown)
    # any class will do for an image without tags, in which no pixel counts
    there[:, 0] |= ~tags.any(1)
    images = torch.arange(len(tags), device=tags.device)[:, None]
    if constraints.region is not None:
        regions = regions[images, bounds]
    picks = (constraints.label.gather(1, bounds)[:, :, None] == shown[:, None]) & there[:, None]
    bounding, lower, upper, slack_lower, slack_upper = (
        value.gather(1, bounds)
        for value in (
            bounding,
            constraints.lower,
            constraints.upper,
            constraints.slack_lower,
            constraints.slack_upper,
        )
    )
    never = bounding & (upper <= 0) & (slack_upper == torch.inf)
    wide, dtype = precision(logits, constraints.inverse_temperature, tolerance)
    scores = logits[images, shown].to(dtype)
    weights = counted.to(dtype)
    if not everything:
        scores.masked_fill_(~counted[:, None], 0)
    rows = Rows(
        scores=scores.masked_fill_(
            ~_possible(there, picks & never[:, :, None], regions), -torch.inf
        ),
        counted=weights,
        picks=picks.to(wide),
        labels=torch.where(picks.any(2), picks.byte().argmax(2), -1),
        regions=weights[:, None] if constraints.region is None else regions.to(dtype),
        lower=torch.where(bounding & (lower > 0), lower.to(wide), -torch.inf),
        upper=torch.where(bounding & (upper < 1), upper.to(wide), torch.inf),
        slack_lower=slack_lower.to(wide),
        slack_upper=slack_upper.to(wide),
    )
    return rows, shown, bounds


def _most(tags: Tensor, constraints: Constraints, bounding: Tensor) -> tuple[int, int]:
    """How many classes and how many bounds the image has that has the most of them; of bounds on a
    GPU perhaps more, as those of empty regions are counted."""
    if not on_cpu(tags):
        tags = host_copy(tags)
        bounding = (host_copy(constraints.lower) > 0) | (
            tags.gather(1, host_copy(constraints.label)) & (host_copy(constraints.upper) < 1)
        )
    most = torch.stack([tags.sum(1).amax(), bounding.sum(1).amax()]).clamp(min=1)
    classes, bounds = most.tolist()
    return classes, bounds


def _possible(there: Tensor, never: Tensor, regions: Tensor) -> Tensor:
    """Where each class may be at all, bool [B,K,N]: `never` bool [B,R,K] bans classes from regions,
    unless that leaves none."""
    shared = regions.shape[1] < never.shape[1]
    banned = (
        never.any(1)[:, :, None] if shared else torch.bmm(never.mT.float(), regions.float()) > 0
    )
    allowed = there[:, :, None] & ~banned
    return torch.where(allowed.any(1, keepdim=True), allowed, there[:, :, None])
