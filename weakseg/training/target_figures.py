"""The figures of a round: what was measured of single targets, summed over the images of all
ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weakseg.training.image_statistics import ImageStatistics
from weakseg.training.image_work import Measured
from weakseg.training.label_quality import LabelQuality
from weakseg.training.target_keys import TargetKeys
from weakseg.utils.processes import gather

AT_ONCE = 1000  # images that are handed over together


class TargetFigures:
    """Adds up what is measured of targets, in whatever order it comes.

    Args:
        classes: names, the background first.
        keys: of the targets of this rank, by the index of the image.
        statistics: which keeps what speaks against single targets; None to forget it.
    """

    def __init__(
        self, classes: Sequence[str], keys: TargetKeys, statistics: ImageStatistics | None = None
    ) -> None:
        self.quality = LabelQuality(classes)
        self.classes = classes
        self.statistics = statistics
        self._keys = keys
        self._known = np.zeros(len(keys), bool)
        # that strategies return: of each image; sums are made in the order of images
        self._columns: dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]] = {}
        self._signals: list[tuple[str, dict[str, float]]] = []

    def open(self) -> list[int]:
        """The images of which nothing has been added yet."""
        return [index for index, known in zip(self._keys, self._known, strict=True) if not known]

    def add(self, index: int, id: str, measured: Measured) -> None:
        """Count the target of an image; a second time is not counted."""
        place = self._keys.place(index)
        if self._known[place]:
            return
        self._known[place] = True
        self.quality.count(measured.quality)
        self._signals.append((id, measured.signals))
        if len(self._signals) == AT_ONCE:
            self._hand_over()
        for name, value in measured.figures.items():
            values, there = self._columns.setdefault(name, self._new_column())
            values[place] = value
            there[place] = True

    def _hand_over(self) -> None:
        if self._signals and self.statistics is not None:
            self.statistics.add_signals(self._signals, self.classes)
        self._signals = []

    def figures(self) -> dict[str, float]:
        """Those of all images of all ranks, which all must call it."""
        self._hand_over()
        return self.quality.figures() | self._means()

    def _means(self) -> dict[str, float]:
        """The mean of each figure that the strategy returns over the images that have it."""
        # in the order in which images have them, whichever came first
        names = sorted(self._columns, key=lambda name: int(self._columns[name][1].argmax()))
        own = {name: _values(*self._columns[name]) for name in names}
        parts = gather(own)
        everywhere: dict[str, list[float]] = {}
        for part in parts:
            for name, each in part.items():
                everywhere.setdefault(name, []).extend(each)
        return {f"estimate/{name}": sum(each) / len(each) for name, each in everywhere.items()}

    def _new_column(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        return np.zeros(len(self._known)), np.zeros(len(self._known), bool)


def _values(values: NDArray[np.float64], there: NDArray[np.bool_]) -> list[float]:
    found: list[float] = values[there].tolist()
    return found
