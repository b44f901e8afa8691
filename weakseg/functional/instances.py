"""Objects one by one: masks painted into one map of classes."""

from __future__ import annotations

import torch
from torch import Tensor


def paint_masks(masks: Tensor, classes: Tensor) -> Tensor:
    """Each pixel's class, uint8 [H,W], by the smallest mask that it lies in; background (0) outside
    of all masks.

    Of two equally large masks the later in the list is on top, as with boxes.

    >>> paint_masks(
    ...     torch.tensor([[[True, False, False]], [[True, True, False]]]), torch.tensor([7, 5])
    ... )
    tensor([[7, 5, 0]], dtype=torch.uint8)
    """
    if classes.shape != masks.shape[:1]:
        raise ValueError(
            f"classes should be int64 [{len(masks)}], one per mask, but it is {list(classes.shape)}"
        )
    labels = torch.zeros(masks.shape[-2:], dtype=torch.uint8, device=masks.device)
    for number in masks.flatten(1).sum(1).argsort(descending=True, stable=True).tolist():
        labels[masks[number]] = int(classes[number])
    return labels


def paint_scores(masks: Tensor, scores: Tensor, classes: Tensor, count: int) -> Tensor:
    """Probabilities float [C,H,W] of found objects: a pixel shows a class as surely as the surest
    of its objects there.

    Args:
        masks: float [N,H,W], how sure each pixel of each object is.
        scores: float [N], how sure each object is.
        classes: int64 [N].
        count: of classes, the background included.

    >>> paint_scores(torch.tensor([[[0.5, 0.0]]]), torch.tensor([0.8]), torch.tensor([1]), 2)
    tensor([[[0.6000, 1.0000]],
    <BLANKLINE>
            [[0.4000, 0.0000]]])
    """
    probs = masks.new_zeros(count, *masks.shape[-2:])
    for mask, score, label in zip(masks, scores, classes.tolist(), strict=True):
        probs[label] = torch.maximum(probs[label], score * mask)
    probs[0] = 1 - probs[1:].amax(0) if count > 1 else 1
    return probs / probs.sum(0)
