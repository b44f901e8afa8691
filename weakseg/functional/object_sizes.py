"""How well labels agree with the truth for small objects, and for large ones: images are sorted by
the share that their objects cover."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

import torch
from scipy import ndimage
from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.functional.confusion import confusion_matrix

BOUNDS = (0.05, 0.15, 0.35)
SIZES = ("below 5 %", "5 to 15 %", "15 to 35 %", "35 % or more")
"""names of the size classes: shares of an image"""


def size_class(share: float) -> int:
    """The number of the size class of objects that cover this share of an image.

    >>> [SIZES[size_class(share)] for share in (0, 0.05, 0.5)]
    ['below 5 %', '5 to 15 %', '35 % or more']
    """
    return bisect_right(BOUNDS, share)


def foreground_share(truth: Tensor) -> float:
    """The share of an image that is not background, of its pixels that have a label, integers [H,W]
    with 255 for none; 0 where none has.

    >>> foreground_share(torch.tensor([[0, 2, 1, 0, 255]]))
    0.5
    """
    labelled = truth != IGNORE
    return float(((truth != 0) & labelled).sum() / labelled.sum().clamp(min=1))


def largest_piece_share(truth: Tensor) -> float:
    """The share of an image that the largest connected piece of one class covers, background apart,
    of the pixels that have a label: of many small objects, the share of one. Pixels that touch at a
    corner are connected.

    >>> largest_piece_share(torch.tensor([[0, 1, 1, 0, 1, 2, 0, 0, 255]]))
    0.25
    """
    labelled = truth != IGNORE
    largest = 0
    for label in torch.unique(truth[labelled]).tolist():
        if label == 0:
            continue
        pieces, _ = ndimage.label((truth == label).numpy(), structure=[[1] * 3] * 3)
        sizes = torch.bincount(torch.from_numpy(pieces).flatten().long())
        largest = max(largest, int(sizes[1:].max()))
    return largest / max(1, int(labelled.sum()))


class SizeRow(NamedTuple):
    """How good the labels of the images of one size class are; nan where there is nothing to
    measure."""

    images: int
    coverage: float
    """which part of the pixels has a label; the other figures are about these pixels"""
    iou: float
    """of all classes but background together, the mean over the images: intersection are pixels
    that have the right class, union those that have a class in the labels or in the truth"""
    area: float
    """pixels that are not background in the labels, for one in the truth: above 1, labels are too
    large"""


class SizeCounts:
    """Counts image by image, and how good labels are for each size class.

    The counts of several processes are added: `counts` is float64 [4,6], for each size class the
    images, the sum of their IoUs, and pixels: all, those with a label, of the labels' foreground,
    of the truth's foreground.
    """

    def __init__(self) -> None:
        self.counts = torch.zeros(len(SIZES), 6, dtype=torch.float64)

    def add(self, labels: Tensor, truth: Tensor, share: float, classes: int) -> None:
        """Count one image that has objects; one that is all background belongs to no size class.

        Args:
            labels: integers [H,W], 255 = none.
            truth: likewise; its 255 are not counted.
            share: of the image that its objects cover, by which it is sorted.
            classes: how many there are.
        """
        pixels = int((truth != IGNORE).sum())
        self.add_confusion(confusion_matrix(labels, truth, classes), share, pixels)

    def add_confusion(self, confusion: Tensor, share: float, pixels: int | None = None) -> None:
        """Count one image by its pixels of each class of the truth (rows) and of the labels
        (columns), integers [C,C].

        Args:
            confusion: of the pixels that have a label in both.
            share: as for `add`.
            pixels: that have one in the truth; None if these are all.
        """
        if share == 0:
            return
        confusion = confusion.double()
        right = confusion.diagonal()[1:].sum()
        found = confusion[:, 1:].sum()
        true = confusion[1:].sum()
        union = confusion.sum() - confusion[0, 0]
        one = torch.ones_like(right)
        labelled = confusion.sum()
        known = labelled if pixels is None else torch.as_tensor(pixels)
        figures = [one, right / union.clamp(min=1), known, labelled, found, true]
        self.counts[size_class(share)] += torch.stack(figures)

    def rows(self) -> list[SizeRow]:
        """The figures of each size class, from small to large."""
        images, ious, pixels, labelled, found, true = self.counts.unbind(1)
        figures = torch.stack([labelled / pixels, ious / images, found / true], 1)
        return [
            SizeRow(int(count), *each)
            for count, each in zip(images.tolist(), figures.tolist(), strict=True)
        ]
