"""How well the labels of an image are predicted by a classifier that was fitted to the labels of
other images: a measure of pseudo-labels that needs no truth.

A linear probe is fitted to features of some cells of all images but a few, and predicts the labels
of those few (cross-fitting, by image). Everything is centred within each image: what counts is
where in an image a class is, not how much of it there is. So labels are not better for covering
more.

Why this ranks labellings: let T be the labels of a cell, Y its true class and V what the probe
predicts. If V knows of T by Y alone, which is about right as it has seen other images only, then
within an image cov(T, V) = (TPR - FPR) var(Y) d, where TPR and FPR are the rates of right and wrong
labels, and d is how far V tells the class apart. Of the same images var(Y) and d are the same for
all labellings that are compared by one probe. So the covariance orders them by TPR - FPR
(informedness), although nobody knows Y.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

FOLDS = 10
PENALTY = 1.0
"""on the squared weights of standardised features. From 1 to 100 the choice among labellings was
the same on photographs (`benchmarks/tune.py`)"""


class Cells(NamedTuple):
    """Some places of one image at which a class is possible."""

    features: Tensor
    """float [N,D]"""
    shares: Tensor
    """float [S,N]: which part of each cell has the class, in each of S labellings"""
    known: Tensor
    """float [S,N]: which part of each cell has a label at all"""


class Agreement(NamedTuple):
    """How well labellings agree with the probe, image by image."""

    covariance: Tensor
    """float64 [S,I], of S labellings in I images: with the prediction of one probe, which was
    fitted to the mean of the labellings in other images. To compare labellings"""
    explained: Tensor
    """float64 [S,I]: how much of the variance of the labels their own probe predicts. It is at most
    the variance itself, a quarter where half of the cells have the class, and negative where the
    probe predicts worse than the mean does"""


def agreement(images: Sequence[Cells], folds: int = FOLDS, penalty: float = PENALTY) -> Agreement:
    """How well the labels of each image are predicted from those of the others.

    A pixel without a label counts as if it were predicted no better than by chance, so an estimator
    does not gain from leaving out what is hard.

    Args:
        images: of one class, at least two.
        folds: into how many parts the images are split; the probe of each part has seen the others.
        penalty: on the squared weights of the probe.

    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch._C.Generator ...>
    >>> truth = [torch.rand(50) < 0.5 for _ in range(8)]
    >>> noisy = [each ^ (torch.rand(50) < 0.3) for each in truth]  # three of ten are wrong
    >>> cells = [
    ...     Cells(
    ...         each[:, None] + 0.1 * torch.randn(50, 1),
    ...         torch.stack([each, other]).float(),
    ...         torch.ones(2, 50),
    ...     )
    ...     for each, other in zip(truth, noisy)
    ... ]
    >>> good, bad = agreement(cells).covariance.mean(1)
    >>> good > 2 * bad  # as 1 - 0 to 0.7 - 0.3
    tensor(True)
    """
    if len(images) < 2:
        raise ValueError(
            f"images should be two or more, as each is predicted from others, but it is "
            f"{len(images)}"
        )
    features, scale = _standardised([each.features for each in images])
    labels = [_centred(each.shares, each.known) for each in images]
    folds = min(folds, len(images))
    moments = [_moments(features[fold::folds], labels[fold::folds]) for fold in range(folds)]
    gram = torch.stack([each for each, _ in moments]).sum(0)
    cross = torch.stack([each for _, each in moments]).sum(0)
    ridge = penalty * len(images) * torch.diag((scale > 0).double())
    ridge += torch.diag((scale == 0).double())  # a feature that is the same everywhere: weight 0
    covariance = torch.zeros(len(labels[0]), len(images), dtype=torch.float64)
    explained = torch.zeros_like(covariance)
    for fold, (own_gram, own_cross) in enumerate(moments):
        weights = torch.linalg.solve(gram - own_gram + ridge, cross - own_cross)
        for place in range(fold, len(images), folds):
            own = features[place] @ weights  # [N,S]
            covariance[:, place] = labels[place] @ own.mean(1) / len(own)
            error = labels[place] - own.T
            explained[:, place] = (labels[place].square() - error.square()).mean(1)
    return Agreement(covariance, explained)


def _standardised(features: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
    """Features less their mean in each image, in units of their spread within images; and that
    spread, 0 for a feature that never varies."""
    centred = [each.double() - each.double().mean(0) for each in features]
    variance = torch.stack([each.square().mean(0) for each in centred]).mean(0)
    # what is left of a constant is rounding
    scale = variance.sqrt().where(variance > 1e-12, 0)
    divisor = scale.where(scale > 0, 1)
    return [each / divisor for each in centred], scale


def _centred(shares: Tensor, known: Tensor) -> Tensor:
    """Shares of the class less what they would be by chance, float64 [S,N]: zero where nothing is
    labelled."""
    shares = shares.double()
    known = known.double()
    mean = shares.sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp(min=1e-9)
    return shares - known * mean


def _moments(features: Sequence[Tensor], labels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Sums over images of mean products: float64 [D,D] and [D,S]. An image weighs as much as
    another, however many cells it has."""
    gram = torch.stack([each.T @ each / len(each) for each in features]).sum(0)
    pairs = zip(features, labels, strict=True)
    cross = torch.stack([each.T @ own.T / len(each) for each, own in pairs]).sum(0)
    return gram, cross
