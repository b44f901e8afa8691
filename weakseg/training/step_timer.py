"""Where the time of a training step goes: computing, or waiting for images."""

from __future__ import annotations

import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class StepTimer(Callback):
    """Logs time/step, seconds from a batch's arrival to the end of its step, and time/wait, seconds
    until it arrived."""

    def __init__(self) -> None:
        self._started = self._ended = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The first batch of an epoch is waited for from here on."""
        self._ended = time.perf_counter()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The batch has arrived."""
        self._started = time.perf_counter()
        pl_module.log("time/wait", self._started - (self._ended or self._started))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The step is done."""
        self._ended = time.perf_counter()
        pl_module.log("time/step", self._ended - self._started)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A validation between two batches is no waiting for images."""
        self._ended = time.perf_counter()
