"""A mixture with one Gaussian per class in the space of a network's features, whose centres are the
features of marked pixels (Wu and others, CVPR 2023).

Everything here is at the resolution of the features: a cell stands for a square of pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LEAST = 1e-6  # a probability whose logarithm is taken is at least this


class Mixture(NamedTuple):
    """The mixtures of a batch, one per image."""

    scores: Tensor
    """float [B,C,h,w]: how near a cell is to the centre of a class, from 0 to 1; 0 for a class
    without a centre"""
    centres: Tensor
    """float [B,C,D]: mean features of the pixels that are marked with a class in an image; 0 where
    there are none"""
    present: Tensor
    """bool [B,C]: whether an image has pixels that are marked with a class"""


def feature_mixture(features: Tensor, marked: Tensor) -> Mixture:
    """The mixtures of a batch.

    The score of a class is exp(-d^2), where d is the mean over the channels of the absolute
    difference of features and centre.

    Args:
        features: float [B,D,h,w].
        marked: float [B,C,h,w], how many pixels of a cell are marked with a class, or their share.

    >>> features = torch.tensor([[[[0.0, 1.0, 3.0]]]])
    >>> feature_mixture(features, torch.tensor([[[[1.0, 1.0, 0.0]]]])).centres
    tensor([[[0.5000]]])
    """
    amounts = marked.flatten(2)
    totals = amounts.sum(2)
    present = totals > 0
    cells = features.flatten(2).transpose(1, 2)
    centres = (amounts @ cells) / totals.where(present, 1)[..., None]
    distances = torch.cdist(cells, centres, p=1) / features.shape[1]
    scores = (-distances.square()).exp() * present[:, None]
    maps = scores.transpose(1, 2).reshape(*present.shape, *features.shape[2:])
    return Mixture(maps, centres, present)


def mixture_loss(probs: Tensor, marked: Tensor, mixture: Mixture, valid: Tensor) -> Tensor:
    """How far the network's probabilities are from the scores of the mixture, and these from the
    marks.

    Both are half of the binary cross-entropy of each class, its mean over the classes that are
    marked in the image. The first is the mean over all valid cells, with the scores as targets; the
    second over marked pixels, with the marks as targets. Gradients go to probabilities and
    features alike.

    Args:
        probs: float [B,C,h,w], of the network.
        marked: float [B,C,h,w], as for `feature_mixture`.
        valid: bool [B,h,w].
    """
    scores = mixture.scores
    shares = mixture.present.to(scores.dtype)
    shares = shares / shares.sum(1, keepdim=True).clamp(min=1) / 2
    agreement = torch.einsum("bc,bchw->bhw", shares, _cross_entropy(scores, probs))
    all_cells = (agreement * valid).sum() / valid.sum().clamp(min=1)
    per_cell = marked.sum(1, keepdim=True)
    # a cell may have pixels of several classes: for each class, those of it and all others
    of_marks = -(marked * (scores + LEAST).log() + (per_cell - marked) * (1 - scores + LEAST).log())
    total = per_cell.sum()
    at_marks = torch.einsum("bc,bchw->", shares, of_marks) / torch.where(total > 0, total, 1)
    return all_cells + at_marks


def apart_loss(mixture: Mixture) -> Tensor:
    """How near the centres of classes are to each other, from 0 to 1: the mean of exp(-d^2) over
    pairs of classes, of their mean centres over the images that have them. 0 without a pair."""
    present = mixture.present.to(mixture.centres.dtype)
    counts = present.sum(0)
    means = (mixture.centres * present[..., None]).sum(0) / counts.clamp(min=1)[:, None]
    first, second = torch.triu_indices(len(counts), len(counts), 1, device=counts.device)
    near = (-(means[first] - means[second]).abs().mean(1).square()).exp()
    pairs = ((counts[first] > 0) & (counts[second] > 0)).to(near.dtype)
    return (near * pairs).sum() / pairs.sum().clamp(min=1)


def _cross_entropy(targets: Tensor, probs: Tensor) -> Tensor:
    """The binary cross-entropy of each class."""
    return -(targets * (probs + LEAST).log() + (1 - targets) * (1 - probs + LEAST).log())
