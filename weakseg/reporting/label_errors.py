"""Label error apart from network error: a target that is wrong, and a network that has not learned
its target, are two mistakes with two cures.

Target against truth is the error of the labels, prediction against target that of the network, and
prediction against truth what comes of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.functional.confusion import confusion_matrix, mean_iou
from weakseg.reporting.drawing import Case

LABEL_ERROR = "label error: target against truth"
NETWORK_ERROR = "network error: prediction against target"
ERROR = "error: prediction against truth"


class LabelError(NamedTuple):
    """How one kind of labels of an image differs from another."""

    name: str
    wrong: float
    """share of the pixels that have a label in both; nan where none has"""
    iou: float
    """mean over the classes that occur in either"""


class Pair(NamedTuple):
    """Labels, and what they should be; either may be missing."""

    name: str
    labels: Tensor | None
    reference: Tensor | None


def pairs_of(case: Case) -> list[Pair]:
    """What is compared for label error, for network error, and for the error that comes of both."""
    return [
        Pair(LABEL_ERROR, case.target, case.truth),
        Pair(NETWORK_ERROR, case.prediction, case.target),
        Pair(ERROR, case.prediction, case.truth),
    ]


def error_of(pair: Pair, classes: int) -> LabelError | None:
    """How far labels are from what they should be; None where either is missing."""
    if pair.labels is None or pair.reference is None:
        return None
    counts = confusion_matrix(pair.labels, pair.reference, classes)
    compared = int(counts.sum())
    wrong = compared - int(counts.diagonal().sum())
    return LabelError(pair.name, wrong / compared if compared else math.nan, mean_iou(counts))


def ignored_share(target: Tensor) -> float:
    """The share of the pixels of a target that are ignored in training.

    >>> ignored_share(torch.tensor([[0, 255], [1, 255]], dtype=torch.uint8))
    0.5
    """
    return float((target == IGNORE).float().mean())


class ErrorSources(NamedTuple):
    """Where the wrong pixels of predictions come from, in pixels."""

    target_wrong: int = 0
    target_right: int = 0
    no_target: int = 0

    def in_words(self) -> str:
        """A sentence; nothing where no pixel is wrong.

        >>> ErrorSources(60, 30, 10).in_words()
        'Of the wrong pixels of these predictions, 60 % have a wrong target, 30 % a right one, and
        10 % none.'
        """
        wrong = sum(self)
        if not wrong:
            return ""
        in_target, right, none = (f"{100 * pixels / wrong:.0f} %" for pixels in self)
        return (
            f"Of the wrong pixels of these predictions, {in_target} have a wrong target, "
            f"{right} a right one, and {none} none."
        )


def error_sources(cases: Sequence[Case]) -> ErrorSources:
    """Where the wrong pixels come from, over all images that have prediction, target and truth."""
    found = torch.zeros(3, dtype=torch.int64)
    for case in cases:
        if case.truth is None or case.target is None or case.prediction is None:
            continue
        wrong = (case.prediction != case.truth) & (case.truth != IGNORE)
        none = case.target == IGNORE
        right = case.target == case.truth
        found += torch.stack(
            [(wrong & ~none & ~right).sum(), (wrong & right).sum(), (wrong & none).sum()]
        )
    return ErrorSources(*found.tolist())
