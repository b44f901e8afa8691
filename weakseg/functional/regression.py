"""Multinomial logistic regression: one linear classifier for all classes, fitted to samples whose
class may be known in part."""

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
    features = features.float()
    shares = shares.float()
    centre = features.mean(0)
    spread = features.std(0, correction=0).clamp(min=1e-6)
    samples = torch.cat([(features - centre) / spread, torch.ones_like(features[:, :1])], 1)
    total = shares.sum()
    weights = torch.zeros(shares.shape[1], samples.shape[1], device=samples.device)
    descent = torch.optim.Adam([weights], lr=RATE)
    for _ in range(STEPS):
        excess = (samples @ weights.T).softmax(1) * shares.sum(1, keepdim=True) - shares
        weights.grad = excess.T @ samples / total
        descent.step()
    slopes = weights[:, :-1] / spread
    return torch.cat([slopes, (weights[:, -1] - slopes @ centre)[:, None]], 1)
