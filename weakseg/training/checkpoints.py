"""Checkpoints that are whole at any moment, and taken where a run can go on as if nothing had
happened."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from weakseg.functional.agreement import CHOOSES
from weakseg.training.metrics_file import Record
from weakseg.training.own_callbacks import leave_out_unreadable
from weakseg.utils.files import check_seal, seal, write_whole
from weakseg.utils.secrets import scrub

HYPER_PARAMETERS = ("hyper_parameters", "datamodule_hyper_parameters")
# the key in a checkpoint for what a run must know to go on from it, beside what Lightning keeps
PLACE = "weakseg-run"
FORMAT = 2  # of all that callbacks keep in a checkpoint; another number: a run cannot go on from it


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there: a kill leaves the one before. A
    damaged one is not read."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write all of it or nothing. Hyper-parameters, which Lightning only stores, go without
        what is secret."""
        shown = {name: scrub(checkpoint[name]) for name in HYPER_PARAMETERS if name in checkpoint}
        buffer = io.BytesIO()
        torch.save(checkpoint | shown, buffer)
        seal(buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(path), buffer.getvalue())

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """DamagedFile if it is not what was written."""
        check_seal(Path(path))
        return super().load_checkpoint(path, *args, **kwargs)


class Checkpoints(Checkpoint):
    """Keeps `last.ckpt`, from which a run continues bit for bit, and `best.ckpt`, the one with the
    highest val/miou.

    Without any truth to measure val/miou with, the first of val/box_extent_iou, val/marks_accuracy
    and val/tags_f1 that there is counts. The best one says so itself:
    `checkpoint["weakseg"]["validation"]`. A validation after the end of the training counts too, if
    it is of the same data set.

    last.ckpt is written between two batches: when everything that follows a batch, an epoch or a
    validation has been done and logged, and before any callback hears of the next batch. So a run
    that goes on from it does nothing twice and leaves nothing out.

    Args:
        folder: where they are.
        every: optimizer steps between two writings of last.ckpt; it is also written after every
            epoch and at the end.
        recipe: a digest of the recipe that is trained, to be found in the checkpoint; None if there
            is none.
    """

    def __init__(self, folder: Path, every: int = 100, recipe: str | None = None) -> None:
        self.folder = Path(folder)
        self.every = every
        self.recipe = recipe
        self.best = -math.inf
        self.figure: str | None = None  # that this is of
        self._data: object = None  # that the training measures on
        self.saved_at = 0
        # whether last.ckpt is due before the next batch, as the run is about to end
        self.soon = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen before all other callbacks do; Lightning puts those of this kind behind them."""
        # not when the training starts: of a run that goes on after its last step, only the
        # validation is left
        if stage == "fit":
            self._data = getattr(trainer, "datamodule", None)
        others: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        others = [other for other in others if not isinstance(other, _First)]
        trainer.callbacks = [_First(self), *others]  # type: ignore[attr-defined]

    def between_batches(self, trainer: Trainer, batch_idx: int) -> None:
        """Write last.ckpt before this batch if it is due, but not amid accumulated gradients."""
        due = self.soon or batch_idx == 0 or trainer.global_step - self.saved_at >= self.every
        accumulates = batch_idx % trainer.accumulate_grad_batches != 0
        if due and not accumulates and trainer.global_step != self.saved_at:
            self._save(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find out what best.ckpt has: the one of a run's last validation, after its last
        checkpoint, is known to itself alone."""
        # what a resumed run begins with need not be written again
        self.saved_at = trainer.global_step
        figure, score = trainer.strategy.broadcast(
            _validation(self.folder / "best.ckpt", trainer.global_step)
        )
        if score > self.best:
            self.figure = figure
            self.best = score

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write best.ckpt if no validation before was as good."""
        figure = next((name for name in CHOOSES if name in trainer.callback_metrics), None)
        if figure is None or trainer.sanity_checking or not self._is_ours(trainer):
            return
        if figure != self.figure:  # scores of another figure say nothing about this one
            self.figure = figure
            self.best = -math.inf
        score = float(trainer.callback_metrics[figure])
        if score > self.best:
            self.best = score
            trainer.save_checkpoint(self.folder / "best.ckpt", weights_only=True)

    def _is_ours(self, trainer: Trainer) -> bool:
        """Whether this is a validation of the training, or after it on the same data."""
        same = self._data is not None and getattr(trainer, "datamodule", None) is self._data
        return trainer.state.fn == "fit" or (trainer.state.fn == "validate" and same)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write last.ckpt with the final weights."""
        self._save(trainer)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"best": self.best, "figure": self.figure}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The counterpart of `state_dict`."""
        # older checkpoints knew this one alone
        self.best = state_dict["best"]
        self.figure = state_dict.get("figure", CHOOSES[0])

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """How many rows of metrics.csv belong to it, how many processes have made it, and by which
        recipe; and no state of a callback that could not be read back."""
        leave_out_unreadable(checkpoint.get("callbacks", {}))
        rows = sum(logger.rows for logger in trainer.loggers if isinstance(logger, Record))
        checkpoint[PLACE] = {
            "format": FORMAT,
            "rows": rows,
            "processes": trainer.world_size,
            "recipe": self.recipe,
        }

    def _save(self, trainer: Trainer) -> None:
        self.saved_at = trainer.global_step
        trainer.save_checkpoint(self.folder / "last.ckpt")


def _validation(path: Path, steps: int) -> tuple[str | None, float]:
    """The figure and score that a checkpoint has of itself, if it was made within so many steps."""
    try:
        known = torch.load(path, map_location="cpu", mmap=True, weights_only=True)["weakseg"][
            "validation"
        ]
        return (known["figure"], known["value"]) if known["step"] <= steps else (None, -math.inf)
    except Exception:
        # there is none, it is damaged, or older: then the next validation writes it anew
        return None, -math.inf


class _First(Callback):
    """Stands before all other callbacks."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.checkpoints.between_batches(trainer, batch_idx)
