"""The work on some of the images, in this process or in one of many of an engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from weakseg.config.values import read
from weakseg.data.formats.images import Window
from weakseg.inference.multiscale import Inference
from weakseg.prediction.outputs import Wanted
from weakseg.prediction.overlap import Batches, overlapped
from weakseg.prediction.steps import Broken, Done
from weakseg.prediction.work import Precision, PredictImages
from weakseg.trained.loading import load_model
from weakseg.trained.model import TrainedModel
from weakseg.utils.output_folder import OutputFolder

PIXELS = 640 * 640  # of an image; a batch has not more than so many of these
HELD = 2**27  # bytes of images that wait for others of their size


class Network(NamedTuple):
    """Which network predicts, as `load_model` is told."""

    run: str | Path
    checkpoint: str
    predict: Mapping[str, Any] | Inference | None
    device: str


class How(NamedTuple):
    """How images are predicted."""

    network: Network
    folder: Path
    """of the results"""
    wanted: Wanted
    precision: Precision
    batch_size: int
    threads: int | None
    """that read, and as many that write; None for as many as this process has for torch"""


class PredictWorker:
    """Predicts images and writes their results; what it returns of each is to be noted.

    Args:
        how: they are predicted.
        model: the network; None to load it here.
    """

    def __init__(self, how: How, model: TrainedModel | None = None) -> None:
        run, checkpoint, predict, device = how.network
        self.how = how
        self.model = model or load_model(run, checkpoint, predict=predict, device=device)

    def __call__(self, items: Sequence[tuple[str, Path]]) -> Iterator[Done | Broken]:
        """Images by name, each with its file."""
        how = self.how
        files = dict(items)
        folder = OutputFolder(how.folder)
        window = _window(self.model)
        work = PredictImages(self.model, files, folder, how.wanted, how.precision, window)
        batches = Batches(self._most, HELD)
        return overlapped(work, list(files), batches, how.threads or torch.get_num_threads())

    def _most(self, height: int, width: int) -> int:
        size = self.how.batch_size
        return min(size, size * PIXELS // (height * width))


def _window(model: TrainedModel) -> Window | None:
    """How images of 16 bits were read in the training."""
    window = read(Window | None, model.recipe_section("data").get("window"))
    return None if window is None else (window[0], window[1])
