"""Training steps and predictions on a device: each strategy against the bare network."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from gpu_functions import batch_on
from gpu_pictures import CLASSES, draw_batch, draw_photo
from gpu_sheet import Disagreement, Sheet
from predict import Contest, draw_photos
from torch import Tensor

from weakseg.config.recipe import Recipe
from weakseg.evidence import Batch
from weakseg.networks import DeepLabV3Plus
from weakseg.optimizers.descent import AdamW
from weakseg.prediction.work import half_precision
from weakseg.strategies import NAMES, Full
from weakseg.strategies.base import Strategy
from weakseg.trained.checkpoint import CheckpointModel
from weakseg.trained.model import Origin
from weakseg.training.segmenter import Segmenter
from weakseg.utils.devices import keep_host_copies

NAMES_OF_CLASSES = tuple(f"class{number}" for number in range(CLASSES))
PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}
COUNTED = 3  # steps after those that are measured, whose waits are counted
UNTRAINED = Origin("untrained", "checkpoint", "0" * 64, "", None, "random")
# how far logits may be off, of the largest: TF32 and half precision are as rough as that
FARTHEST = {"float32": 0.02, "bfloat16": 0.2}
EVERY = 10**6  # steps between logged ones: none is, as those may wait


def step_counts(sheet: Sheet) -> tuple[int, int]:
    """Steps that warm up, and those that are measured after them."""
    return (1, 1) if sheet.quick else (5, 20)


class Drawn(pl.LightningDataModule):
    """The same few batches again and again, which are in memory."""

    classes = NAMES_OF_CLASSES

    def __init__(self, sheet: Sheet) -> None:
        super().__init__()
        images, size = (2, 64) if sheet.quick else (16, 320)
        self.batches = [draw_batch(images, size, seed) for seed in range(2)]

    def train_dataloader(self) -> Any:
        return self

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield from self.batches

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Any:
        """As data sets of weakseg do it."""
        moved = super().transfer_batch_to_device(batch, device, dataloader_idx)
        keep_host_copies(batch, moved)
        return moved


class Timing(pl.Callback):
    """The mean time of the steps in the middle, and the waits of the last ones."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.warm, self.steps = step_counts(sheet)
        self.last = self.warm + self.steps + COUNTED
        self.milliseconds = 0.0
        self.waits: float | None = None
        self._start = 0.0
        self._counting: Any = None
        self._found: list[str] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.warm:
            self.sheet.wait()
            self._start = perf_counter()
        if trainer.global_step == self.warm + self.steps:
            self.sheet.wait()
            self.milliseconds = (perf_counter() - self._start) / self.steps * 1e3
            self._counting = self.sheet.counting_waits()
            self._found = self._counting.__enter__()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        # the last step may wait: what ends with it is looked at
        if trainer.global_step == self.last and self._counting is not None:
            self._counting.__exit__(None, None, None)
            self._counting = None
            if self.sheet.device.type == "cuda":
                self.waits = len(self._found) / COUNTED


def make_network(sheet: Sheet) -> DeepLabV3Plus:
    torch.manual_seed(0)
    encoder = "mobilenet_v2" if sheet.quick else "resnet50"
    return DeepLabV3Plus(classes=CLASSES, encoder=encoder)


def fit(sheet: Sheet, strategy: Strategy, data: Drawn, precision: str, last: bool) -> Timing:
    """A training of a few steps. `last`: with channels last in memory."""
    network = make_network(sheet)
    if last:
        network = network.to(memory_format=torch.channels_last)
    timing = Timing(sheet)
    trainer = pl.Trainer(
        accelerator="gpu" if sheet.device.type == "cuda" else "cpu",
        devices=[sheet.device.index or 0] if sheet.device.type == "cuda" else 1,
        precision=PRECISIONS[precision],  # type: ignore[arg-type]
        max_steps=timing.last + 1,
        callbacks=[timing],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=EVERY,
        limit_val_batches=0,
    )
    trainer.fit(Segmenter(network, strategy, NAMES_OF_CLASSES, AdamW()), data)
    return timing


class Bare:
    """The loop that one would write without any library, on the same batches."""

    def __init__(self, sheet: Sheet, data: Drawn, precision: str, last: bool) -> None:
        self.sheet = sheet
        self.batches = data.batches
        self.half = precision == "bfloat16"
        kept = torch.channels_last if last else torch.preserve_format
        self.network = make_network(sheet).to(sheet.device, memory_format=kept).train()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-4, fused=True)
        self.mean = torch.tensor([124.0, 116, 104], device=sheet.device).view(3, 1, 1)

    def step(self, number: int) -> None:
        batch = batch_on(self.batches[number % len(self.batches)], self.sheet.device)
        assert batch.target is not None
        image = (batch.image.float() - self.mean) / 58
        with torch.autocast(self.sheet.device.type, torch.bfloat16, enabled=self.half):
            logits = self.network(image)
            enlarged = F.interpolate(logits, image.shape[-2:], mode="bilinear")
            loss = F.cross_entropy(enlarged, batch.target, ignore_index=255)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def milliseconds(self) -> float:
        warm, steps = step_counts(self.sheet)
        for number in range(warm):
            self.step(number)
        self.sheet.wait()
        start = perf_counter()
        for number in range(steps):
            self.step(number)
        self.sheet.wait()
        return (perf_counter() - start) / steps * 1e3


def losses_of_their_own() -> dict[str, Strategy]:
    """The strategies that compute something in a step; others train as `full` does. The one for
    Mask R-CNN is left out."""
    made = {}
    for name, path in NAMES.items():
        module, _, kind = path.rpartition(".")
        strategy = getattr(import_module(module), kind)
        if strategy.loss is not Strategy.loss and not strategy.wants.box_masks:
            made[name] = strategy
    return {name: strategy() for name, strategy in made.items()}


def measure_steps(sheet: Sheet) -> None:
    """First the bare loop and `full`, with and without channels last, then every strategy."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    data = Drawn(sheet)
    full: dict[str, float] = {}
    for precision in PRECISIONS:
        for last in (False, True):
            what = f"full, {precision}{', channels_last' if last else ''}"
            row = sheet.measure(what, partial(_against_bare, sheet, data, precision, last))
            if last and row.figures:
                full[precision] = row.figures["ms"] or 0.0
    for name, strategy in losses_of_their_own().items():
        for precision in PRECISIONS:
            work = partial(_against_full, sheet, strategy, data, precision, full.get(precision))
            sheet.measure(f"{name}, {precision}, channels_last", work)


def _against_bare(sheet: Sheet, data: Drawn, precision: str, last: bool) -> dict[str, Any]:
    bare = Bare(sheet, data, precision, last).milliseconds()
    timing = fit(sheet, Full(), data, precision, last)
    ours = timing.milliseconds
    return {"ms": ours, "against": bare, "times": ours / bare, "waits": timing.waits}


def _against_full(
    sheet: Sheet, strategy: Strategy, data: Drawn, precision: str, full: float | None
) -> dict[str, Any]:
    timing = fit(sheet, strategy, data, precision, True)
    ours = timing.milliseconds
    figures = {"ms": ours, "against": full, "waits": timing.waits}
    return {**figures, "times": ours / full if full else None}


def measure_prediction(sheet: Sheet) -> None:
    """The network alone, in two precisions, and a folder of JPEG files."""
    size = (40, 56) if sheet.quick else (375, 500)
    segmenter = Segmenter(make_network(sheet), Full(), NAMES_OF_CLASSES).eval()
    images = torch.stack([draw_photo(*size, seed) for seed in range(2 if sheet.quick else 8)])
    with torch.no_grad():
        expected = segmenter(images[:1])
    model = CheckpointModel(segmenter, Recipe("", {}), UNTRAINED, sheet.device)
    for precision in PRECISIONS:
        work = partial(_logits_figures, sheet, model, images, expected, precision)
        sheet.measure(f"logits, batch {len(images)}, {precision}", work)
    sheet.measure("a folder of JPEG files, auto", partial(_folder_figures, sheet, model))


def _logits_figures(
    sheet: Sheet, model: CheckpointModel, images: Tensor, expected: Tensor, precision: str
) -> dict[str, Any]:
    there = images.to(sheet.device)
    dtype = half_precision(precision, sheet.device)  # type: ignore[arg-type]

    def logits() -> Tensor:
        with torch.autocast(sheet.device.type, dtype or torch.bfloat16, enabled=dtype is not None):
            return model.logits(there)

    off = float((logits()[:1].cpu() - expected).abs().max() / expected.abs().max())
    if not off < FARTHEST[precision]:
        raise Disagreement(f"logits are off by {off:.1e} of the largest")
    took = sheet.milliseconds(logits)
    return {"ms": took / len(images), "off by": off, "images/s": len(images) / took * 1e3}


def _folder_figures(sheet: Sheet, model: CheckpointModel) -> dict[str, Any]:
    count = 2 if sheet.quick else 96
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder)
        draw_photos(photos, count, 64 if sheet.quick else 500)
        contest = Contest(model, photos, batch_size=8, workers=2)
        contest.folder()
        bare = contest.bare().seconds
        took = contest.folder().seconds
    figures = {"ms": took / count * 1e3, "against": bare / count * 1e3, "times": took / bare}
    return {**figures, "images/s": count / took}
