"""Checkpoints that are whole at any moment, and taken where a run can go on as if nothing had happened."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from weakseg.files import write_whole


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there: a kill leaves the one before."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write all of it or nothing."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(path), buffer.getvalue())


class Checkpoints(Checkpoint):
    """Keeps `last.ckpt`, from which a run continues bit for bit, and `best.ckpt`, the one with the highest val/miou.

    Arguments:
        folder: where they are.
        every: optimizer steps between two writings of last.ckpt; it is also written after every epoch and at the end.
    """

    def __init__(self, folder: Path, every: int = 100) -> None:
        self.folder, self.every = Path(folder), every
        self.best = -math.inf
        self._saved_at = 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Write last.ckpt if it is due, but never where Lightning would resume wrongly.

        That is between the last batch of an epoch and what follows it, before a validation, and amid accumulated gradients.
        """
        done = batch_idx + 1
        ends = done >= trainer.num_training_batches or trainer.global_step >= trainer.max_steps != -1
        validates = isinstance(trainer.val_check_batch, int) and done % trainer.val_check_batch == 0
        accumulates = done % trainer.accumulate_grad_batches != 0
        if trainer.global_step - self._saved_at >= self.every and not (ends or validates or accumulates):
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write best.ckpt if no validation before was as good."""
        score = float(trainer.callback_metrics.get("val/miou", -math.inf))
        if trainer.state.fn == "fit" and not trainer.sanity_checking and score > self.best:
            self.best = score
            trainer.save_checkpoint(self.folder / "best.ckpt", weights_only=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write last.ckpt: callbacks of this kind come after all others, so a round that was due is in it."""
        self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write last.ckpt with the final weights."""
        self._save(trainer)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The counterpart of `state_dict`."""
        self.best = state_dict["best"]

    def _save(self, trainer: Trainer) -> None:
        self._saved_at = trainer.global_step
        trainer.save_checkpoint(self.folder / "last.ckpt")
