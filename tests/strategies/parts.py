"""Batches for the strategies that estimate in every step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from weakseg.evidence import Batch

Boxed = list[tuple[list[float], int]]
"""the boxes of one image: corners and class"""


def a_batch(
    height: int,
    width: int,
    tags: list[list[int]] | None = None,
    boxes: list[Boxed] | None = None,
    **fields: Any,
) -> Batch:
    """Black images with tags and boxes; images are named a, b, c."""
    count = len(tags or boxes or [[]])
    if boxes is not None:
        fields["boxes"] = [
            torch.tensor([corners for corners, _ in image]).reshape(-1, 4) for image in boxes
        ]
        fields["box_classes"] = [
            torch.tensor([label for _, label in image], dtype=torch.int64) for image in boxes
        ]
    if tags is not None:
        fields["tags"] = torch.tensor(tags).bool()
    return Batch(
        list("abcdef"[:count]), torch.zeros(count, 3, height, width, dtype=torch.uint8), **fields
    )


def padded(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The same logits [B,C,H,W] with a row above and two columns on the right that are no image,
    and where there is one."""
    images, classes, height, width = logits.shape
    wide = torch.randn(images, classes, height + 1, width + 2, dtype=logits.dtype) * 9
    wide[:, :, 1:, :width] = logits
    valid = torch.zeros(images, height + 1, width + 2, dtype=torch.bool)
    valid[:, 1:, :width] = True
    return wide, valid
