"""Pixels and objects of the images of an evaluation, counted image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Instances
from weakseg.functional.agreement import accuracy, overlap
from weakseg.functional.boundaries import count_boundaries
from weakseg.functional.calibration import (
    Reliability,
    count_reliability,
    expected_calibration_error,
)
from weakseg.functional.confusion import confusion_matrix, iou, mean_iou
from weakseg.training.average_precision import Precision

COLUMNS = ("iou", "boundary_iou", "recall", "precision", "share")
"""what is measured of each class, in the order of tables"""


class ImageFigures(NamedTuple):
    """The figures of one image; nan for what it has no pixel of."""

    number: int
    """its place in the data set"""
    name: str
    width: int
    height: int
    miou: float
    pixel_accuracy: float
    confidence: float
    """mean over its pixels of the probability of their likeliest class"""
    iou: list[float]
    """of each class"""
    cells: Tensor
    """its confusion, int64 [K,3]: class of the truth, class predicted, pixels; of those that are
    not zero"""


class PixelCounts(NamedTuple):
    """The pixels of one image that have a truth."""

    cells: Tensor
    """as in `ImageFigures`"""
    boundaries: Tensor
    """int64 [3,C], as `count_boundaries` has them"""
    reliability: Reliability


def count_pixels(confidence: Tensor, labels: Tensor, truth: Tensor, classes: int) -> PixelCounts:
    """Count one image.

    Args:
        confidence: float [H,W], the probability of the likeliest class.
        labels: int64 [H,W], the likeliest class.
        truth: uint8 [H,W] with the network's numbers of the classes, 255 = not counted.
        classes: how many the network has.
    """
    confusion = confusion_matrix(labels, truth, classes)
    counted = truth != IGNORE
    return PixelCounts(
        torch.cat([confusion.nonzero(), confusion[confusion > 0][:, None]], 1),
        count_boundaries(labels, truth, classes),
        count_reliability(confidence[counted], labels[counted] == truth[counted]),
    )


class Counts:
    """Counts over all images so far; memory grows by about a kilobyte per image.

    Args:
        classes: names of the network's classes.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        size = len(classes)
        self.confusion = torch.zeros(size, size, dtype=torch.int64)
        self.boundaries = torch.zeros(3, size, dtype=torch.int64)
        self.reliability = Reliability.empty()
        self.images: list[ImageFigures] = []
        self.precision: Precision | None = None

    def add(
        self, number: int, name: str, size: tuple[int, int], confidence: float, pixels: PixelCounts
    ) -> None:
        """Add one image.

        Args:
            number: its place in the data set.
            name: its name.
            size: its height and width.
            confidence: mean over its pixels of the probability of their likeliest class.
            pixels: what was counted on it.
        """
        confusion = torch.zeros_like(self.confusion)
        truth, predicted, count = pixels.cells.T
        confusion[truth, predicted] = count
        self.confusion += confusion
        self.boundaries += pixels.boundaries
        # in the order of the images: sums of fractions depend on it
        self.reliability += pixels.reliability
        height, width = size
        self.images.append(
            ImageFigures(
                number,
                name,
                width,
                height,
                mean_iou(confusion),
                pixel_accuracy(confusion),
                confidence,
                iou(confusion).tolist(),
                pixels.cells,
            )
        )

    def add_objects(self, objects: Mapping[str, Any]) -> None:
        """Add the objects of one image, as `count_objects` has them."""
        if self.precision is None:
            self.precision = Precision()
        self.precision.extend(objects)

    def figures(self) -> dict[str, float]:
        """All figures, such as miou and iou/cat; nan for a class that is in neither truth nor
        prediction."""
        figures: dict[str, float] = {}
        for name in COLUMNS[:-1]:
            values = self.of_classes(name)
            figures[{"iou": "miou"}.get(name, name)] = float(values.nanmean())
            figures |= {
                f"{name}/{label}": value
                for label, value in zip(self.classes, values.tolist(), strict=True)
            }
        figures["pixel_accuracy"] = pixel_accuracy(self.confusion)
        figures["calibration_error"] = expected_calibration_error(self.reliability)
        pixels = self.reliability.pixels.sum()
        figures["confidence"] = float(self.reliability.confidence.sum() / pixels)
        return figures | ({} if self.precision is None else self.precision.figures(self.classes))

    def of_classes(self, column: str) -> Tensor:
        """One of `COLUMNS`, float64 [C]."""
        if column == "iou":
            return iou(self.confusion)
        if column == "boundary_iou":
            return overlap(self.boundaries)
        if column == "recall":
            return accuracy(self.confusion)
        if column == "precision":
            return accuracy(self.confusion.T)
        return self.confusion.sum(1).double() / self.confusion.sum()


def count_objects(found: Instances, truth: Instances) -> dict[str, Any]:
    """Count the objects of one image: what `Precision` keeps of it."""
    precision = Precision()
    precision.add(found, truth)
    return precision.state


def pixel_accuracy(confusion: Tensor) -> float:
    """Which part of all pixels is right; nan of none.

    >>> pixel_accuracy(torch.tensor([[2, 1], [0, 1]]))
    0.75
    """
    return float(confusion.diagonal().sum() / confusion.sum())
