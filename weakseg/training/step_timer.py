"""Where the time of a training step goes: computing, or waiting for images."""

from __future__ import annotations

import time
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from weakseg.training.logged_steps import is_logged


class StepTimer(Callback):
    """Logs time/step, seconds from a batch's arrival to the end of its step, and time/wait, seconds
    until it arrived: means of the steps since the row before.

    A GPU works behind the processor, which waits for it in logged steps alone. So single steps in
    between tell nothing, but their mean does.
    """

    def __init__(self) -> None:
        self._started = self._ended = 0.0
        self._waits: list[float] = []
        self._steps: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The first batch of an epoch is waited for from here on."""
        self._ended = time.perf_counter()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The batch has arrived."""
        self._started = time.perf_counter()
        self._waits.append(self._started - (self._ended or self._started))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The step is done."""
        self._ended = time.perf_counter()
        self._steps.append(self._ended - self._started)
        if is_logged(trainer):
            self._log(pl_module)

    def _log(self, pl_module: LightningModule) -> None:
        figures = {"time/wait": self._waits, "time/step": self._steps}
        pl_module.log_dict(
            # as tensors, which stay on the CPU
            {name: torch.tensor(sum(values) / len(values)) for name, values in figures.items()}
        )
        self._waits = []
        self._steps = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A validation between two batches is no waiting for images."""
        self._ended = time.perf_counter()
