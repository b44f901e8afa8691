"""How well labels agree with the truth: one confusion matrix over the whole data set, and
intersection over union from it."""

from __future__ import annotations

import torch
from torch import Tensor

from weakseg.evidence import IGNORE


def confusion_matrix(prediction: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Count pixels: int64 [C,C], rows are the classes of the truth, columns those of the
    prediction. Add up those of all images.

    Integers of any shape. Pixels whose truth is 255 are not counted. Pixels whose prediction is 255
    are not counted either: a network never predicts 255, but a target has it where it is unknown;
    its coverage says how many pixels those are.

    >>> confusion_matrix(torch.tensor([0, 1, 1, 255]), torch.tensor([0, 0, 1, 1]), classes=2)
    tensor([[1, 1],
            [0, 1]])
    """
    if prediction.shape != truth.shape:
        raise ValueError(
            f"prediction and truth should have one size, but they are {list(prediction.shape)} "
            f"and {list(truth.shape)}: compare them at the image's own resolution"
        )
    counted = (prediction != IGNORE) & (truth != IGNORE)
    columns = _labels("prediction", prediction, classes)[counted]
    rows = _labels("truth", truth, classes)[counted]
    return torch.bincount(rows * classes + columns, minlength=classes**2).view(classes, classes)


def iou(confusion: Tensor) -> Tensor:
    """Intersection over union of each class, float64 [C]; nan for a class in neither truth nor
    prediction."""
    right = confusion.diagonal().double()
    return right / (confusion.sum(0) + confusion.sum(1) - right)


def mean_iou(confusion: Tensor) -> float:
    """The mean of `iou` over the classes that occur; nan if none does.

    >>> mean_iou(torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 0]]))
    0.5
    """
    return float(iou(confusion).nanmean())


def _labels(name: str, values: Tensor, classes: int) -> Tensor:
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise ValueError(
            f"{name} should be integers, one class per pixel, but it is {values.dtype}: take the "
            "argmax of scores"
        )
    values = values.long()
    wrong = torch.unique(values[((values < 0) | (values >= classes)) & (values != IGNORE)]).tolist()
    if wrong:
        raise ValueError(
            f"{name} should be classes from 0 to {classes - 1} or 255, but it has "
            f"{', '.join(map(str, wrong))}"
        )
    return values
