"""The counting of some images by one process of many of an engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from weakseg.data.base import WeakData
from weakseg.evaluation.counted import CountedImage
from weakseg.evaluation.dataset import Subset, open_data
from weakseg.evaluation.measuring import Measurement
from weakseg.inference.multiscale import Inference
from weakseg.trained.loading import load_model


class Named(NamedTuple):
    """What the words of a call name: the network and the data set."""

    run: Path | str
    checkpoint: str
    predict: Inference | Mapping[str, Any] | None
    device: str
    data: WeakData | Mapping[str, Any] | None
    subset: Subset

    def open(self, device: str | None = None) -> Measurement:
        """Both of them, the network on a device; None for the one that the words name."""
        model = load_model(
            self.run, self.checkpoint, predict=self.predict, device=device or self.device
        )
        return Measurement(model, open_data(model, self.data, self.subset))


class CountWorker:
    """Counts images, of which it returns the counts.

    Args:
        named: network and data set.
    """

    def __init__(self, named: Named) -> None:
        self.measurement = named.open()
        self.measurement.keeps_pictures = False

    def __call__(self, indices: Sequence[int]) -> Iterator[CountedImage]:
        """What was counted on these images."""
        return self.measurement.count(indices)
