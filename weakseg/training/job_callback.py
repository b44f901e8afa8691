"""NoteJob, the callback that notes which run folder a job of a scheduler trains in."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer

from weakseg.training.rank_monitor import RankMonitor
from weakseg.utils.job import JobRecord


class NoteJob(Callback):
    """Notes it when all processes are there: one that reads the record later would take the run for
    one that goes on.

    Args:
        record: of the job; None for a run that no scheduler will start anew.
        rank_monitor: which knows the folder.
    """

    def __init__(self, record: JobRecord | None, rank_monitor: RankMonitor) -> None:
        self.record = record
        self.rank_monitor = rank_monitor

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before anything long begins."""
        self._write(trainer, finished=False)

    def finish(self, trainer: Trainer) -> None:
        """The run is complete, with its report."""
        self._write(trainer, finished=True)

    def _write(self, trainer: Trainer, finished: bool) -> None:
        folder = self.rank_monitor.folder
        if self.record is not None and folder is not None and trainer.is_global_zero:
            self.record.write(folder, finished)
