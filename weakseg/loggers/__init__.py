"""Dashboards beside metrics.csv, by the name a recipe gives them."""

from typing import TYPE_CHECKING

from weakseg.lazy import lazily

if TYPE_CHECKING:
    from weakseg.loggers.base import Nothing as Nothing
    from weakseg.loggers.base import View as View
    from weakseg.loggers.record import Record as Record
    from weakseg.loggers.tensorboard import TensorBoard as TensorBoard
    from weakseg.loggers.wandb import Wandb as Wandb

NAMES = {
    "none": "weakseg.loggers.base.Nothing",
    "wandb": "weakseg.loggers.wandb.Wandb",
    "tensorboard": "weakseg.loggers.tensorboard.TensorBoard",
}

__getattr__ = lazily(__name__, [*NAMES.values(), "weakseg.loggers.base.View", "weakseg.loggers.record.Record"])
