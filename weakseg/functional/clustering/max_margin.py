"""Unified max-margin clustering (Xu, Schwing and Urtasun, Learning to segment under various forms
of weak supervision, CVPR 2015).

Superpixels of one or many images are clustered by their features into classes, and all kinds of
evidence are constraints on the clusters: a mark fixes the class of a superpixel, tags name the
classes of an image, each of which must occur, and boxes bound where a class may be and require that
it is in each of them. Two steps alternate. With labels fixed, one balanced linear classifier per
class is fitted to them; with classifiers fixed, every superpixel takes the class of least cost that
the constraints allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.functional.clustering.assignment import assign_groups
from weakseg.functional.clustering.margin import (
    class_balance,
    fit_margin,
    hinge_costs,
    margin_objective,
    margin_scores,
)


class Clusters(NamedTuple):
    """What the superpixels are, and how it was found."""

    labels: Tensor
    """int64 [P]"""
    weights: Tensor
    """the classifiers, float64 [C,D+1], for `margin_scores` of other superpixels"""
    balance: Tensor
    """what a member of each class counts, float64 [C]; `hinge_costs` of other superpixels' scores
    takes it too"""
    objective: Tensor
    """float64 [K]: what is minimised, after every fit and every assignment; it never rises"""


@torch.no_grad()
def cluster(
    features: Tensor,
    allowed: Tensor,
    groups: Sequence[tuple[int, Tensor, int]],
    classes: int,
    rounds: int = 5,
    strength: float = 0.1,
    start: Tensor | None = None,
) -> Clusters:
    """Labels of P superpixels with features float [P,D] that meet the constraints: allowed bool
    [P,C], and groups of `assign_groups`.

    Superpixels of several images are simply put below each other, and every group names members of
    its own image: classifiers are then fitted to all images, while the constraints of one image
    concern that one alone. A superpixel with one allowed class has it.

    Begins at `start`, int64 [P], changed as little as the constraints need, or at `first_labels`.
    Ends after so many rounds of both steps, or as soon as labels repeat. The balance of the classes
    is that of the first labels throughout, so that both steps lower one and the same objective, and
    labels cannot go round in circles. The same input gives the same labels.

    Features should be of like size, about 1 (L2-normalised, or standardised). More `strength`
    follows the labels closer, less gives simpler classifiers.

    >>> features = torch.tensor([[0.0], [0.2], [3.0], [3.1], [0.1], [0.0]])
    >>> allowed = torch.tensor(
    ...     [[1, 0], [1, 1], [1, 1], [1, 1], [1, 1], [1, 0]]
    ... ).bool()  # a box around the middle four
    >>> cluster(features, allowed, [(1, torch.arange(1, 5), 1)], classes=2).labels
    tensor([0, 0, 1, 1, 0, 0])
    """
    _check(features, allowed, classes, rounds, start)
    if start is None:
        labels = first_labels(features, allowed, groups)
    else:
        labels = assign_groups(
            (start[:, None] != torch.arange(classes, device=start.device)).double(), allowed, groups
        )
    balance = class_balance(labels, classes)
    weights = features.new_zeros(classes, features.shape[1] + 1, dtype=torch.double)
    objective = []
    for _ in range(rounds):
        weights = _better(features, labels, balance, strength, weights)
        objective.append(margin_objective(features, labels, weights, balance, strength).sum())
        before = labels
        labels = assign_groups(
            hinge_costs(margin_scores(features, weights), balance), allowed, groups
        )
        objective.append(margin_objective(features, labels, weights, balance, strength).sum())
        if labels.equal(before):
            break
    return Clusters(labels, weights, balance, torch.stack(objective))


def first_labels(
    features: Tensor, allowed: Tensor, groups: Sequence[tuple[int, Tensor, int]]
) -> Tensor:
    """Labels int64 [P] to begin with: each superpixel has the allowed class with the nearest mean,
    as far as the constraints allow.

    The mean of a class is that of the superpixels that must have it. If there are none, it is that
    of those that may have it, where one that may be of k classes counts a k-th: so a class that
    only boxes or tags tell of begins at what its boxes or images hold.
    """
    features = features.double()
    choices = allowed.sum(1, keepdim=True)
    sure = allowed & (choices == 1)
    share = torch.where(sure.any(0), sure.double(), allowed / choices)
    means = share.T @ features / share.sum(0)[:, None].clamp(min=1e-300)
    distances = (
        features.square().sum(1, keepdim=True) - 2 * features @ means.T + means.square().sum(1)
    )
    return assign_groups(distances, allowed, groups)


def _better(
    features: Tensor, labels: Tensor, balance: Tensor, strength: float, old: Tensor
) -> Tensor:
    """The classifiers of these labels; but an old one stays if it is better by what the solver may
    be wrong by."""
    new = fit_margin(features, labels, len(balance), strength, balance=balance)
    costs = [
        margin_objective(features, labels, weights, balance, strength) for weights in (new, old)
    ]
    return new.where((costs[0] <= costs[1])[:, None], old)


def _check(
    features: Tensor, allowed: Tensor, classes: int, rounds: int, start: Tensor | None
) -> None:
    if features.ndim != 2 or allowed.shape != (len(features), classes) or len(features) == 0:
        shapes = f"{list(features.shape)} and {list(allowed.shape)}"
        raise ValueError(
            f"features should be float [P,D] and allowed bool [P,{classes}] with at least one "
            f"superpixel, but they are {shapes}"
        )
    if not bool(features.isfinite().all()):
        raise ValueError("features should be finite, but some are infinite or not a number")
    if rounds < 1:
        raise ValueError(
            "rounds should be at least 1, how often classifiers and labels alternate, but it is "
            f"{rounds}"
        )
    if start is not None and (start.shape != features.shape[:1] or start.dtype != torch.int64):
        came = f"{str(start.dtype).removeprefix('torch.')} {list(start.shape)}"
        raise ValueError(
            f"start should be int64 [{len(features)}], a class per superpixel, but it is {came}"
        )
