"""Dashboards beside metrics.csv, by the name a recipe gives them."""

from typing import TYPE_CHECKING

from weakseg.utils.late_imports import lazily

if TYPE_CHECKING:
    from weakseg.reporting.loggers.base import Nothing as Nothing
    from weakseg.reporting.loggers.base import View as View
    from weakseg.reporting.loggers.tensorboard import TensorBoard as TensorBoard
    from weakseg.reporting.loggers.wandb import Wandb as Wandb
    from weakseg.training.metrics_file import Record as Record

NAMES = {
    "none": "weakseg.reporting.loggers.base.Nothing",
    "wandb": "weakseg.reporting.loggers.wandb.Wandb",
    "tensorboard": "weakseg.reporting.loggers.tensorboard.TensorBoard",
}

__getattr__ = lazily(
    __name__,
    [
        *NAMES.values(),
        "weakseg.reporting.loggers.base.View",
        "weakseg.training.metrics_file.Record",
    ],
)
