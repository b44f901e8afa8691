"""The projection loss of boxes: a tight box has some of its object in each row and column."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from weakseg.functional.boxes import pixel_boxes


def projection_loss(
    probs: Tensor,
    boxes: Sequence[Tensor],
    box_classes: Sequence[Tensor],
    valid: Tensor | None = None,
) -> Tensor:
    """How much of the rows and columns of boxes shows nothing of their class; 0 where there is no
    box.

    A box is tight, so each of its rows and columns contains a pixel of its object (Hsu and others,
    "Weakly Supervised Instance Segmentation using the Bounding Box Tightness Prior", NeurIPS 2019;
    Tian and others, "BoxInst", CVPR 2021). The term of an axis is 1 - Dice of the greatest
    probability in each row (or column) of the box and the profile of the box, which is 1
    throughout, with squares in the denominator: 1 - 2 sum(q) / (sum(q^2) + length). The mean over
    both axes of all boxes.

    A side at the rim of the image may have been cut by a crop, and what is cut off may hold the
    pixels that fill a row. So the rows of a box with a vertical side at the rim take no part, nor
    do the columns of one with a horizontal side there.

    Args:
        probs: float [B,C,H,W].
        boxes: of each image float [N,4], x1 y1 x2 y2 in pixel edges of `probs`.
        box_classes: of each image int64 [N].
        valid: bool [B,H,W], False in the padding; None where there is none.

    >>> probs = torch.tensor([[[[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0.0]]]])
    >>> projection_loss(probs, [torch.tensor([[1.0, 1, 2, 3]])], [torch.tensor([0])])
    tensor(0.1667)
    """
    probs = probs.to(torch.promote_types(probs.dtype, torch.float32))
    if valid is None:
        valid = torch.ones_like(probs[:, 0], dtype=torch.bool)
    parts = [_image_terms(*image) for image in zip(probs, boxes, box_classes, valid, strict=True)]
    total = torch.stack([part[0] for part in parts]).sum()
    count = torch.stack([part[1] for part in parts]).sum()
    return total / count.clamp(min=1)


def _image_terms(
    probs: Tensor, boxes: Tensor, classes: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor]:
    """The sum of the terms of one image, and how many there are."""
    height, width = valid.shape
    left, top, right, bottom = pixel_boxes(boxes, height, width)[:, :, None].unbind(1)
    y = torch.arange(height, device=probs.device)
    x = torch.arange(width, device=probs.device)
    down = (y >= top) & (y < bottom)
    across = (x >= left) & (x < right)
    rows, columns = _greatest(probs, classes, down, across)
    row_terms = _one_minus_dice(rows, down)
    column_terms = _one_minus_dice(columns, across)
    # a cut at the left or right may have taken what fills a row, at the top or below a column
    whole_rows = _ends_inside(across, valid.any(0))
    whole_columns = _ends_inside(down, valid.any(1))
    total = (row_terms * whole_rows).sum() + (column_terms * whole_columns).sum()
    return total, whole_rows.sum() + whole_columns.sum()


def _greatest(
    probs: Tensor, classes: Tensor, down: Tensor, across: Tensor
) -> tuple[Tensor, Tensor]:
    """The greatest probability of each box's class in its rows, [N,H], and in its columns,
    [N,W]."""
    # the places are found without a graph, which would keep an image for each box
    with torch.no_grad():
        inside = probs[classes].masked_fill(~(down[:, :, None] & across[:, None]), -1)
        column_of_row = inside.argmax(2)
        row_of_column = inside.argmax(1)
    own = classes[:, None]
    y = torch.arange(down.shape[1], device=probs.device)
    x = torch.arange(across.shape[1], device=probs.device)
    return probs[own, y, column_of_row], probs[own, row_of_column, x]


def _one_minus_dice(greatest: Tensor, profile: Tensor) -> Tensor:
    """Of [N,L] within a profile bool [N,L]: float [N], 0 where the profile is empty."""
    q = torch.where(profile, greatest, 0)
    length = profile.sum(1)
    dice = 2 * q.sum(1) / (q.square().sum(1) + length).clamp(min=1)
    return torch.where(length > 0, 1 - dice, 0)


def _ends_inside(profile: Tensor, seen: Tensor) -> Tensor:
    """Whether a profile, bool [N,L], has some of the places that are seen, bool [L], but neither
    the first nor the last one: bool [N]."""
    first = seen & (seen.cumsum(0) == 1)
    last = seen & (seen.flip(0).cumsum(0).flip(0) == 1)
    return (profile & seen).any(1) & ~(profile & (first | last)).any(1)
