"""What dashboards show beside figures and pictures: tables, and files of a run that they keep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from weakseg.data.formats.writing.png import png_of, write_png
from weakseg.networks.parts.weights import read_weights
from weakseg.reporting.loggers.base import LogsFiles, LogsTables, Table
from weakseg.reporting.tables import summary_columns, summary_rows
from weakseg.training.label_quality import harden
from weakseg.utils.progress import track


def shows_tables(loggers: Iterable[Logger]) -> list[Logger]:
    """Those loggers that can show a table."""
    kinds = (LogsTables, WandbLogger, TensorBoardLogger)
    return [logger for logger in loggers if isinstance(logger, kinds)]


def log_tables(loggers: Iterable[Logger], step: int, tables: Sequence[Table]) -> None:
    """Show tables in loggers of wandb and TensorBoard, Lightning's own included, and in any with a
    method `log_tables`."""
    for logger in shows_tables(loggers):
        if isinstance(logger, LogsTables):
            logger.log_tables(step, tables)
        elif isinstance(logger, WandbLogger):
            from weakseg.reporting.loggers import wandb  # only who uses it waits for its import

            for table in tables:
                wandb.log_table(logger, step, table)
        elif isinstance(logger, TensorBoardLogger):
            from weakseg.reporting.loggers import tensorboard

            for table in tables:
                tensorboard.log_table(logger, step, table)


def class_table(figures: dict[str, float], classes: Sequence[str]) -> Table:
    """The table that a run ends with: IoU of each class, of network, targets and evidence."""
    rows = summary_rows(figures, classes)
    columns = summary_columns(rows)
    cells = [
        [row.name, *(column[at] for column in columns.values())] for at, row in enumerate(rows)
    ]
    return Table("classes", ["class", *columns], cells)


def keep_files(loggers: Iterable[Logger], folder: Path, name: str, data: Any) -> None:
    """Hand the files of a run that has ended to the loggers that keep such: the best network, and
    the targets of the last round as masks.

    Args:
        loggers: of the run.
        folder: of the run.
        name: of the recipe.
        data: with the targets in use.
    """
    keeping = [logger for logger in loggers if isinstance(logger, LogsFiles)]
    kinds = {kind for logger in keeping for kind in logger.artifacts}
    paths: dict[str, Path | None] = {}
    if "targets" in kinds:
        paths["targets"] = _write_targets(folder / "targets", data)
    if "model" in kinds:
        paths["model"] = _best_checkpoint(folder / "checkpoints")
    for logger in keeping:
        for kind in logger.artifacts:
            path = paths[kind]
            if path is not None:
                facts = _facts(path) if kind == "model" else {"classes": list(data.classes)}
                logger.log_files(kind, f"{name}-{kind}", path, facts)


def _best_checkpoint(folder: Path) -> Path | None:
    files = (folder / "best.ckpt", folder / "last.ckpt")
    return next((file for file in files if file.is_file()), None)


def _facts(path: Path) -> dict[str, Any]:
    """What a checkpoint knows of itself."""
    known = read_weights(path).get("weakseg", {})
    return {"classes": known.get("classes"), "validation": known.get("validation")}


def _write_targets(folder: Path, data: Any) -> Path | None:
    """The targets in use as indexed PNG, called like their images; None where there are none."""
    count = len(data.training)
    written = False
    for index in track(data.training, count, "writing the targets"):
        evidence, _ = data.corrected(index)
        target = data.target(evidence)
        if target is not None:
            labels = harden(target, evidence.box_classes).numpy()
            write_png(folder / png_of(evidence.id), labels, data.classes)
            written = True
    return folder if written else None
