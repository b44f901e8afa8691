"""Callbacks of Lightning that a recipe may name in its section `callbacks`; any other goes by its
module and class."""

from __future__ import annotations

LIGHTNING = "pytorch_lightning.callbacks"

NAMES = {
    "early_stopping": "weakseg.training.early_stopping.EarlyStopping",
    "model_checkpoint": f"{LIGHTNING}.ModelCheckpoint",
    "learning_rate_monitor": f"{LIGHTNING}.LearningRateMonitor",
    "model_summary": f"{LIGHTNING}.ModelSummary",
    "rich_progress_bar": f"{LIGHTNING}.RichProgressBar",
}
