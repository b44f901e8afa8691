"""Logistic regression on samples whose class may be known in part: one linear classifier for all
classes, or one for each class against what it is not."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 200
RATE = 3e-3  # of Adam: no weight of a standardised feature grows beyond STEPS * RATE = 0.6


def softmax_regression(features: Tensor, shares: Tensor) -> Tensor:
    """Weights float32 [C,D+1], the last column is the bias, for features float [N,D] and the shares
    of the classes, float [N,C].

    Lowers the mean cross-entropy, in which a sample weighs as much as its shares sum to, by 200
    steps of Adam on standardised features and then stops. Many of these labels are wrong, and what
    is wrong by accident is learned last. The same input gives the same weights.

    >>> weights = softmax_regression(
    ...     torch.tensor([[0.0], [1.0], [2.0], [3.0]]), torch.eye(2).repeat_interleave(2, 0)
    ... )
    >>> (torch.tensor([[1.4, 1.0], [1.6, 1.0]]) @ weights.T).argmax(1)
    tensor([0, 1])
    """
    if features.ndim != 2 or shares.ndim != 2 or len(features) != len(shares) or not shares.any():
        raise ValueError(
            "features and shares should be float [N,D] and [N,C], and some share more than 0, "
            f"but they are {list(features.shape)} and {list(shares.shape)}"
        )
    shares = shares.float()
    samples, centre, spread = _standardised(features)
    total = shares.sum()
    weights = torch.zeros(shares.shape[1], samples.shape[1], device=samples.device)
    descent = torch.optim.Adam([weights], lr=RATE)
    for _ in range(STEPS):
        excess = (samples @ weights.T).softmax(1) * shares.sum(1, keepdim=True) - shares
        weights.grad = excess.T @ samples / total
        descent.step()
    return _of_plain_features(weights, centre, spread)


def binary_regressions(features: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Weights float32 [C,D+1], the last column is the bias, of one classifier for each class: its
    logit says how much likelier a sample is one of the class than not.

    As `softmax_regression`, where the difference of two rows of weights is such a logit: the same
    steps of twice the length.

    Args:
        features: float [N,D].
        positive: how much each sample counts as one of each class, float [N,C].
        negative: how much it counts as none of it, likewise. A class for which nothing counts has
            weights of 0.

    >>> weights = binary_regressions(
    ...     torch.tensor([[0.0], [1.0], [2.0], [3.0]]),
    ...     torch.tensor([[0.0], [0], [1], [1]]),
    ...     torch.tensor([[1.0], [1], [0], [0]]),
    ... )
    >>> torch.tensor([[1.4, 1.0], [1.6, 1.0]]) @ weights.T > 0
    tensor([[False],
            [ True]])
    """
    if features.ndim != 2 or positive.ndim != 2 or positive.shape != negative.shape:
        raise ValueError(
            "features, positive and negative should be float [N,D], [N,C] and [N,C], but they are "
            f"{list(features.shape)}, {list(positive.shape)} and {list(negative.shape)}"
        )
    samples, centre, spread = _standardised(features)
    positive = positive.float()
    counts = positive + negative.float()
    counts_sum = counts.sum(0).clamp(min=1e-12)
    positive = positive / counts_sum
    counts = counts / counts_sum
    weights = torch.zeros(positive.shape[1], samples.shape[1], device=samples.device)
    descent = torch.optim.Adam([weights], lr=2 * RATE)
    for _ in range(STEPS):
        excess = (samples @ weights.T).sigmoid() * counts - positive
        weights.grad = excess.T @ samples
        descent.step()
    return _of_plain_features(weights, centre, spread)


def _standardised(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The features with mean 0 and deviation 1, and a column of ones, [N,D+1]; the means and
    deviations that they had."""
    features = features.float()
    centre = features.mean(0)
    spread = features.std(0, correction=0).clamp(min=1e-6)
    ones = torch.ones_like(features[:, :1])
    return torch.cat([(features - centre) / spread, ones], 1), centre, spread


def _of_plain_features(weights: Tensor, centre: Tensor, spread: Tensor) -> Tensor:
    """Weights for standardised features as weights for the features themselves."""
    slopes = weights[:, :-1] / spread
    return torch.cat([slopes, (weights[:, -1] - slopes @ centre)[:, None]], 1)
