"""Masks of objects, each with how sure its model is of it, as one map of classes."""

from __future__ import annotations

import torch
from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.functional.boxes import pixel_boxes

MARGIN = 0.05
"""how much of a box's sides an object may reach beyond them: people draw boxes that are a little
too tight"""
LIKE = 0.9  # two masks are of equal size, if the smaller is this part of the larger or more


def choose_masks(masks: Tensor, scores: Tensor, largest: float = 1.0) -> tuple[Tensor, Tensor]:
    """Of several masks for each object the one with the best score: bool [N,H,W] and float [N].

    Empty masks, and those that cover more than a part of the image, are taken only where an object
    has no other: of these the smallest that is not empty, with the score 0.

    Args:
        masks: bool [N,K,H,W].
        scores: float [N,K], from 0 to 1.
        largest: the part.

    >>> masks = torch.tensor([[[[True, True]], [[True, False]]]])
    >>> choose_masks(masks, torch.tensor([[0.9, 0.8]]), largest=0.6)
    (tensor([[[ True, False]]]), tensor([0.8000]))
    """
    shares = masks.flatten(2).float().mean(2)
    fits = (shares > 0) & (shares <= largest)
    # from -1 where the mask is as large as the image; an empty one comes last
    rank = torch.where(fits, scores.clamp(min=0), torch.where(shares > 0, -shares, -2.0))
    rows = torch.arange(len(masks), device=masks.device)
    best = rank.argmax(1)
    return masks[rows, best], torch.where(fits, scores, 0.0)[rows, best]


def clip_masks(masks: Tensor, boxes: Tensor, margin: float = MARGIN) -> Tensor:
    """Masks bool [N,H,W] without what lies outside of their boxes.

    Args:
        boxes: float [N,4].
        margin: how much of its sides each box is enlarged, on each side.
    """
    beyond = margin * (boxes[:, 2:] - boxes[:, :2])
    grown = torch.cat([boxes[:, :2] - beyond, boxes[:, 2:] + beyond], 1)
    return masks & box_masks(grown, *masks.shape[1:])


def box_masks(boxes: Tensor, height: int, width: int) -> Tensor:
    """The pixels of each box, bool [N,H,W]."""
    left, top, right, bottom = pixel_boxes(boxes, height, width)[:, :, None, None].unbind(1)
    rows = torch.arange(height, device=boxes.device)[:, None]
    columns = torch.arange(width, device=boxes.device)
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)


def labels_of_masks(
    masks: Tensor,
    scores: Tensor,
    classes: Tensor,
    least: float,
    places: Tensor | None = None,
    outside: int = 0,
) -> Tensor:
    """The class of each pixel, uint8 [H,W], by the smallest object there.

    255 where that is an object of which the model is not sure, or which has no mask: in all of its
    place, or else in its mask. And where an object of another class, of the same size or nearly, is
    there as well.

    Args:
        masks: bool [N,H,W].
        scores: float [N], from 0 to 1.
        classes: int64 [N].
        least: score of which a model is sure.
        places: bool [N,H,W], where each object can be, such as its box.
        outside: the label outside of all objects.

    >>> masks = torch.tensor([[[True, True, True, False]], [[False, False, True, False]]])
    >>> labels_of_masks(masks, torch.tensor([0.9, 0.8]), torch.tensor([1, 2]), least=0.5)
    tensor([[1, 1, 2, 0]], dtype=torch.uint8)
    >>> labels_of_masks(masks, torch.tensor([0.9, 0.4]), torch.tensor([1, 2]), least=0.5)
    tensor([[  1,   1, 255,   0]], dtype=torch.uint8)
    """
    areas = masks.flatten(1).sum(1)
    unsure = (scores < least) | (areas == 0)
    if places is not None:
        masks = torch.where(unsure[:, None, None], places | masks, masks)
        areas = masks.flatten(1).sum(1)
    labels = torch.full(masks.shape[1:], outside, dtype=torch.uint8, device=masks.device)
    top = torch.full(masks.shape[1:], -1, dtype=torch.int64, device=masks.device)
    for number in areas.argsort(descending=True, stable=True).tolist():
        labels[masks[number]] = IGNORE if unsure[number] else int(classes[number])
        top[masks[number]] = number
    for number in (~unsure).nonzero().flatten().tolist():
        # the smallest at a pixel is no larger than this one
        as_large = (classes != classes[number]) & (areas >= LIKE * areas[number]) & ~unsure
        labels[masks[number] & as_large[top.clamp(min=0)]] = IGNORE
    return labels
