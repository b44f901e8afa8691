"""Images per second where loaders augment, and where the device does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import pytorch_lightning as pl
import torch
from gpu_pictures import CLASSES, draw_photo, draw_probs
from gpu_sheet import Disagreement, Sheet
from torch import Tensor

from weakseg.data.base import WeakData, collate_of
from weakseg.data.unaugmented import Unaugmented
from weakseg.evidence import Batch, Evidence

COLOURS = (0.0, 0.3)
# mean over all pixels, as a part of the largest value: kernels round otherwise
FARTHEST = 0.005


class Photos(WeakData):
    """Pictures of the size of photographs with whole labels, which are in memory."""

    classes = tuple(f"class{number}" for number in range(CLASSES))

    def __init__(self, quick: bool, **loading: Any) -> None:
        super().__init__(**loading)
        size = (48, 64) if quick else (375, 500)
        count = 2 if quick else 16
        self.pictures = [draw_photo(*size, seed) for seed in range(count)]
        self.labels = [
            draw_probs(CLASSES, *size, seed).argmax(0).to(torch.uint8) for seed in range(count)
        ]

    def __len__(self) -> int:
        return len(self.pictures)

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        """A picture, of which all pixels are marked."""
        image = self.pictures[index]
        return Evidence(str(index), image, marks=self.labels[index]), None

    def target(self, evidence: Evidence) -> Tensor | None:
        """The same labels."""
        return evidence.marks


def measure_augmentation(sheet: Sheet) -> None:
    """What a core of a loader does, and what the device does, with and without colours."""
    for colour in COLOURS:
        name = f"colour {colour:g}"
        batch = sheet.measure(f"host, {name}", partial(_loaders, sheet, "host", colour, None))
        host = batch.figures.get("ms")
        work = partial(_loaders, sheet, "device", colour, host)
        sheet.measure(f"device, {name}: its loader", work)
        sheet.measure(f"device, {name}: itself", partial(_device, sheet, colour, host))


def make_data(sheet: Sheet, where: Any, colour: float) -> Photos:
    """As a trainer has it."""
    size = 40 if sheet.quick else 321
    data = Photos(sheet.quick, crop=size, scale=(0.5, 2.0), colour=colour, augment_on=where)
    data.seed = 0
    trainer: Any = SimpleNamespace(precision_plugin=pl.plugins.Precision())
    data.trainer = trainer
    return data


def load(data: Photos, time: int) -> Batch | Unaugmented:
    """A batch of all pictures, as a loader makes it."""
    one: Callable[..., Any] = (
        data.training_item if data.augment_on == "host" else data.unaugmented_item
    )
    return collate_of(data, [one(time, index) for index in range(len(data))])


def _loaders(sheet: Sheet, where: str, colour: float, host: float | None) -> dict[str, Any]:
    """On one core, each turn with other random numbers."""
    data = make_data(sheet, where, colour)
    times = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a loader process
    try:
        for turn in range(1 if sheet.quick else 9):
            start = perf_counter()
            load(data, turn)
            times.append((perf_counter() - start) * 1e3 / len(data))
            if sheet.is_over:
                break
    finally:
        torch.set_num_threads(threads)
    took = median(times)
    times_host = None if host is None else took / host
    return {"ms": took, "against": host, "times": times_host, "images/s": 1e3 / took}


def _device(sheet: Sheet, colour: float, host: float | None) -> dict[str, Any]:
    """From pinned memory, the copy included, against a core that augments."""
    data = make_data(sheet, "device", colour)
    batch: Any = load(data, 0)
    expected: Any = load(make_data(sheet, "host", colour), 0)
    if sheet.device.type == "cuda":
        batch = batch.pin_memory()

    def move() -> Batch:
        moved: Batch = data.transfer_batch_to_device(batch, sheet.device, 0)
        return moved

    found = move()
    differs = found.image.cpu().float() - expected.image.float()
    off = float(differs.abs().mean() / 255)
    assert found.target is not None
    if not off < FARTHEST or not torch.equal(found.target.cpu(), expected.target):
        raise Disagreement(f"images are off by {off:.1e} of the largest value, or targets differ")
    took = sheet.milliseconds(move) / len(data)
    figures = {"ms": took, "against": host, "times": None if host is None else took / host}
    return {**figures, "off by": off, "waits": sheet.waits(move), "images/s": 1e3 / took}
