"""Labels at the resolution of a network's scores, which are fewer than the pixels of the image."""

from __future__ import annotations

import torch
from torch import Tensor


def shrink(labels: Tensor, height: int, width: int) -> Tensor:
    """Labels or masks [B,H,W] as [B,height,width]: each score has the label of the pixel in the middle of what it stands for.

    A score stands for as many pixels as it takes for all scores to cover the image; the last ones may lie partly outside of it.

    >>> shrink(torch.tensor([[[1, 2, 3, 4, 5]]]), 1, 3)
    tensor([[[2, 4, 5]]])
    """
    rows, columns = (_middles(full, few, labels.device) for full, few in zip(labels.shape[-2:], (height, width), strict=True))
    return labels[:, rows[:, None], columns]


def _middles(full: int, few: int, device: torch.device) -> Tensor:
    stride = -(-full // few)
    return (torch.arange(few, device=device) * stride + stride // 2).clamp(max=full - 1)
