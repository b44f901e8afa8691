"""Losses on logits, as plain functions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import IGNORE


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy over the pixels that the target has an opinion on; 0 where it has none at all.

    `target` is hard, int64 [B,H,W] with 255 = no opinion, or soft, float [B,C,H,W] whose sum at a pixel is the weight of that pixel.

    >>> cross_entropy(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 255]]]))
    tensor(0.6931)
    """
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    if target.ndim == logits.ndim:
        total = -(target * logits.log_softmax(1)).sum()
        trust = target.sum()
    else:
        total = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="sum")
        trust = (target != IGNORE).sum()
    return total / torch.where(trust > 0, trust, 1)
