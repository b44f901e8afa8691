"""How often labels occur, counted where they are."""

from __future__ import annotations

import torch
from torch import Tensor

from weakseg.utils.devices import on_cpu


def label_counts(labels: Tensor, bins: int) -> Tensor:
    """How often each of the numbers from 0 to bins - 1 occurs: int64 [bins]. Others are not
    counted.

    `torch.bincount` waits for a GPU, to find out how many numbers there are.

    >>> label_counts(torch.tensor([0, 2, 2, 255]), 3)
    tensor([1, 0, 2])
    """
    flat = labels.flatten().long()
    places = flat.where((flat >= 0) & (flat < bins), bins)
    if on_cpu(places):
        return torch.bincount(places, minlength=bins + 1)[:bins]
    counts = places.new_zeros(bins + 1)
    return counts.scatter_add_(0, places, torch.ones_like(places))[:bins]
