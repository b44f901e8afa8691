"""Pseudo-labels from a network's own predictions, weighted by how sure it is."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 255  # weights are stored in so many steps: they compress well


def weighted_labels(probs: Tensor, least: float = 0.0) -> Tensor:
    """The likeliest class of each pixel with a weight, as a soft target float [C,H,W]: nothing but
    the likeliest class is not 0, and its value is the weight.

    The weight of a probability p is (C p - 1) / (C - 1): 0 where all C classes are alike, 1 where
    one is certain. Of equal classes the first counts.

    Args:
        probs: float [C,H,W].
        least: pixels whose class is less probable than this weigh 0.

    >>> weighted_labels(torch.tensor([[[0.5, 0.9]], [[0.5, 0.1]]]), least=0.6)
    tensor([[[0.0000, 0.8000]],
            [[0.0000, 0.0000]]])
    """
    classes = len(probs)
    sure, likeliest = probs.max(0)
    weight = (classes * sure - 1) / max(1, classes - 1)
    weight = weight.clamp(0, 1).where(sure >= least, 0)
    weight = (weight * STEPS).round() / STEPS
    return weight * (likeliest == torch.arange(classes)[:, None, None])
