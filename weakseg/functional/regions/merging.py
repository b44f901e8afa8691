"""Pseudo-labels that follow superpixels: a piece of the image that mostly has one label gets all of
it.

The merging rule of SEPL (Chen, Mai, Li and Chao, "Segment Anything Model (SAM) Enhanced
Pseudo-labels for Weakly Supervised Semantic Segmentation", 2023), which has the masks of SAM for
pieces. An object takes every piece of which it covers more than half, and every piece that holds
nearly all of the object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le, Lt, doc
from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.functional.regions.region_graph import Superpixels
from weakseg.functional.regions.superpixels import region_counts
from weakseg.utils.limits import check_limits

SUPERPIXELS = Superpixels()
Covered = Annotated[float, Ge(0.5), Lt(1), doc("a part of a piece, half or more")]
Held = Annotated[float, Gt(0), Le(1), doc("a part of an object, or null")]


@dataclass(frozen=True)
class Merging:
    """How targets are made to follow the pieces of an image.

    superpixels: how the image is cut into pieces.
    covered: a label takes the pieces of which it covers more than this part. SEPL has a half; with
        superpixels that is too little on photographs.
    held: an object, all of a class that is not the background, takes a piece that holds this part
        of it or more; null for none. With superpixels, which are no objects, it makes small objects
        as large as the pieces they lie in.
    """

    superpixels: Superpixels = SUPERPIXELS
    covered: Covered = 0.7
    held: Held | None = None

    def __post_init__(self) -> None:
        check_limits(self, "regions.{}")


def merge_labels(labels: Tensor, segments: Tensor, merging: Merging) -> Tensor:
    """Labels uint8 [H,W], 255 = ignored, with one label for every piece that a label takes, the
    larger numbers on top where several do. All other pieces keep their labels.

    Ignored pixels count to the size of a piece: where most of it is ignored, nothing takes it.

    Args:
        segments: int64 [H,W], the piece of each pixel, from 0 without gaps.

    >>> merge_labels(
    ...     torch.tensor([[1, 1, 0, 0, 1, 255]]).byte(),
    ...     torch.tensor([[0, 0, 0, 1, 1, 2]]),
    ...     Merging(covered=0.5),
    ... )
    tensor([[  1,   1,   1,   0,   1, 255]], dtype=torch.uint8)
    """
    known = labels[labels != IGNORE]
    if not known.numel():
        return labels
    counts = region_counts(labels, segments, int(known.max()) + 1)
    taken = _taken(counts, torch.bincount(segments.flatten()), merging)
    numbers = torch.arange(1, counts.shape[1] + 1)
    # 0 where nothing takes the piece
    winner = (taken * numbers).amax(1)[segments]
    return torch.where(winner > 0, (winner - 1).to(torch.uint8), labels)


def merge_mask(mask: Tensor, segments: Tensor, merging: Merging) -> Tensor:
    """The mask of an object, bool [H,W], by the rule of SEPL: the pieces that it takes, and nothing
    of the others. A mask that takes none stays as it is.

    >>> mask = torch.tensor([[True, True, False, True]])
    >>> merge_mask(mask, torch.tensor([[0, 0, 0, 1]]), Merging(covered=0.5))
    tensor([[True, True, True, True]])
    """
    counts = region_counts(mask.to(torch.uint8), segments, 2)
    taken = _taken(counts, counts.sum(1), merging)[:, 1]
    return taken[segments] if bool(taken.any()) else mask


def merge_with_masks(
    labels: Tensor, masks: Tensor, covered: float = 0.5, held: float = 0.85
) -> Tensor:
    """Labels uint8 [H,W], 255 = ignored, by the rule of SEPL with masks that may overlap and leave
    pixels out, as those of SAM do: bool [N,H,W].

    An object, all of a class that is not the background, becomes the union of the masks of which it
    covers more than a part, and of those that hold a part of it; each mask goes to one class. Of
    its pixels those in no mask at all stay, the others become background. Later classes paint over
    earlier ones.

    Args:
        labels: of an image.
        masks: of its pieces.
        covered: the part of a mask.
        held: the part of an object.

    >>> masks = torch.tensor(
    ...     [[[True, True, True, False, False]], [[False, False, True, True, True]]]
    ... )
    >>> merge_with_masks(torch.tensor([[255, 1, 1, 0, 0]]).byte(), masks)
    tensor([[1, 1, 1, 0, 0]], dtype=torch.uint8)
    """
    merged = labels.where((labels == 0) | (labels == IGNORE), 0)
    sizes = masks.flatten(1).sum(1)
    free = ~masks.any(0)
    unused = torch.ones(len(masks), dtype=torch.bool, device=masks.device)
    for label in torch.unique(labels[labels != IGNORE]).tolist():
        if label == 0:
            continue
        own = labels == label
        common = (masks & own).flatten(1).sum(1)
        taken = unused & ((common > covered * sizes) | (common >= held * own.sum()))
        unused &= ~taken
        merged[masks[taken].any(0) | (own & free)] = label
    return merged


def _taken(counts: Tensor, sizes: Tensor, merging: Merging) -> Tensor:
    """Which labels take which pieces, bool [N,C], by the pixels of each label in each piece."""
    taken = counts > merging.covered * sizes[:, None]
    if merging.held is not None:
        objects = counts.clone()
        objects[:, 0] = 0  # the background is no object
        taken |= (objects > 0) & (objects >= merging.held * objects.sum(0))
    return taken
