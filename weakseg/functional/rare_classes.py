"""Losses with which a class of few pixels is learned: focal cross-entropy, Dice and Tversky, as
functions of logits and hard or soft targets."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.evidence import IGNORE

_TINY = 1e-6  # a power below 1 has an infinite slope at 0


def focal_cross_entropy(
    logits: Tensor, target: Tensor, gamma: float, weights: Tensor | None = None
) -> Tensor:
    """The mean of (1 - p)^gamma times the cross-entropy, where p is the probability of a pixel's
    label; 0 where no pixel has one (Lin and others, "Focal Loss for Dense Object Detection", ICCV
    2017).

    Pixels that are right already count little, so that a few hard ones are not drowned. The mean is
    over the pixels, as for `cross_entropy`, and not over their factors.

    Args:
        logits: float [B,C,H,W].
        target: int64 [B,H,W] with 255 = ignored, or float [B,C,H,W] whose sum at a pixel is its
            weight.
        gamma: the exponent; 0 is plain cross-entropy.
        weights: float [C], how much a pixel of each class counts; None for all alike.

    >>> focal_cross_entropy(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 255]]]), gamma=2.0)
    tensor(0.1733)
    """
    log_probs = _single_precision(logits).log_softmax(1)
    shares = label_shares(target, logits.shape[1]).to(log_probs)
    if weights is not None:
        shares = shares * weights.to(log_probs)[:, None, None]
    missing = (-log_probs.expm1()).clamp(min=_TINY)
    total = -(shares * missing.pow(gamma) * log_probs).sum()
    trust = shares.sum()
    return total / torch.where(trust > 0, trust, 1)


def focal_of(each: Tensor, gamma: float) -> Tensor:
    """The focal loss of single pixels from their cross-entropy."""
    missing = (-(-each).expm1()).clamp(min=_TINY)
    return missing.pow(gamma) * each


def dice_loss(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """1 - Dice of probabilities and target, the mean over the classes that the target has; 0 where
    it has none.

    The Dice of a class is 2 sum(p y) / (sum(p) + sum(y)), over all pixels of the batch that have a
    label (Milletari, Navab and Ahmadi, "V-Net", 3DV 2016, without the squares). A class of few
    pixels counts as much as any other.

    Args:
        logits: float [B,C,H,W].
        target: int64 [B,H,W] with 255 = ignored, or float [B,C,H,W] whose sum at a pixel is its
            weight.
        weights: float [C], how much each class counts in the mean; None for all alike.

    >>> dice_loss(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 255]]]))
    tensor(0.3333)
    """
    return tversky_loss(logits, target, 0.5, 0.5, weights)


def tversky_loss(
    logits: Tensor,
    target: Tensor,
    alpha: float = 0.3,
    beta: float = 0.7,
    weights: Tensor | None = None,
) -> Tensor:
    """1 - Tversky index of probabilities and target, the mean over the classes that the target has;
    0 where it has none.

    The index of a class is hits / (hits + alpha too many + beta missed), over all pixels of the
    batch that have a label (Salehi, Erdogmus and Gholipour, "Tversky loss function for image
    segmentation", 2017). 0.5 and 0.5 are Dice; 1 and 1 are IoU.

    Args:
        logits: float [B,C,H,W].
        target: int64 [B,H,W] with 255 = ignored, or float [B,C,H,W] whose sum at a pixel is its
            weight.
        alpha: what probability outside of the class counts.
        beta: what counts that is missing inside of it. More than alpha finds more of a rare class.
        weights: float [C], how much each class counts in the mean; None for all alike.

    >>> tversky_loss(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 255]]]), alpha=1.0, beta=1.0)
    tensor(0.5000)
    """
    overlap = _overlap(logits, target)
    there = overlap.labelled > 0
    share = there.to(overlap.hits)
    if weights is not None:
        share = share * weights.to(share)
    too_many = overlap.predicted - overlap.hits
    missed = overlap.labelled - overlap.hits
    whole = overlap.hits + alpha * too_many + beta * missed
    index = overlap.hits / torch.where(there & (whole > 0), whole, 1)
    count = share.sum()
    return (share * (1 - index)).sum() / torch.where(count > 0, count, 1)


class _Overlap(NamedTuple):
    """Sums over the pixels that have a label, each float [C]."""

    hits: Tensor
    """of the probability of a class where the target has it"""
    predicted: Tensor
    """of the probability of a class"""
    labelled: Tensor
    """of the target"""


def _overlap(logits: Tensor, target: Tensor) -> _Overlap:
    probs = _single_precision(logits).softmax(1)
    shares = label_shares(target, logits.shape[1])
    shares = shares.to(probs)
    known = shares.sum(1, keepdim=True)
    pixels = (0, 2, 3)
    return _Overlap((probs * shares).sum(pixels), (probs * known).sum(pixels), shares.sum(pixels))


def label_shares(target: Tensor, classes: int) -> Tensor:
    """How much a pixel is of each class, [B,C,H,W]: bool of a hard target, and nothing where that
    is 255; a soft one as it is."""
    if target.is_floating_point():
        return target
    numbers = torch.arange(classes, device=target.device)[:, None, None]
    # 255 is the number of no class, as there are 255 classes at most
    return (target[:, None] == numbers) & (target != IGNORE)[:, None]


def _single_precision(logits: Tensor) -> Tensor:
    """At least: sums over an image overflow the half."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
