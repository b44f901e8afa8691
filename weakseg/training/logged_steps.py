"""Which steps of a training are logged: in these alone the processor waits for the device."""

from __future__ import annotations

from pytorch_lightning import Trainer


def is_logged(trainer: Trainer) -> bool:
    """Whether the figures of the present step will be written. Lightning decides it by
    `trainer.log_every_n_steps`."""
    return bool(trainer._logger_connector.should_update_logs)


def ends_with_this_step(trainer: Trainer) -> bool:
    """Whether a validation, a round or the end of the training may follow this step, as it is the
    last one of an epoch, or of the run."""
    last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
    return last or trainer.global_step + 1 >= trainer.max_steps > 0
