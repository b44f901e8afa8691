"""Pixels and objects of the images of an evaluation, counted image by image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
        self, number: int, name: str, confidence: Tensor, labels: Tensor, truth: Tensor
    ) -> None:
        """Count one image.

        Args:
            number: its place in the data set.
            name: its name.
            confidence: float [H,W], the probability of the likeliest class.
            labels: int64 [H,W], the likeliest class.
            truth: uint8 [H,W] with the network's numbers of the classes, 255 = not counted.
        """
        confusion = confusion_matrix(labels, truth, len(self.classes))
        self.confusion += confusion
        self.boundaries += count_boundaries(labels, truth, len(self.classes))
        counted = truth != IGNORE
        self.reliability += count_reliability(
            confidence[counted], labels[counted] == truth[counted]
        )
        cells = confusion.nonzero()
        self.images.append(
            ImageFigures(
                number,
                name,
                truth.shape[1],
                truth.shape[0],
                mean_iou(confusion),
                pixel_accuracy(confusion),
                float(confidence.mean()),
                iou(confusion).tolist(),
                torch.cat([cells, confusion[confusion > 0][:, None]], 1),
            )
        )

    def add_objects(self, found: Instances, truth: Instances) -> None:
        """Count the objects of one image."""
        if self.precision is None:
            self.precision = Precision()
        self.precision.add(found, truth)

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


def pixel_accuracy(confusion: Tensor) -> float:
    """Which part of all pixels is right; nan of none.

    >>> pixel_accuracy(torch.tensor([[2, 1], [0, 1]]))
    0.75
    """
    return float(confusion.diagonal().sum() / confusion.sum())
