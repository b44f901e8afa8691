"""Runs in TensorBoard, if it is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from weakseg.reporting.drawing import Case, side_by_side
from weakseg.reporting.loggers.base import Table, View
from weakseg.reporting.loggers.panels import PANELS
from weakseg.utils.secrets import scrub


class TensorBoard(View):
    """Shows a run in TensorBoard: `tensorboard --logdir runs`."""

    def __init__(self) -> None:
        if not (find_spec("tensorboard") or find_spec("tensorboardX")):
            raise ModuleNotFoundError(
                'tensorboard is not installed; run: pip install "weakseg[tensorboard]"'
            )

    def build(self, folder: Path, config: Mapping[str, Any]) -> list[Logger]:
        """A logger that writes into `tensorboard` in the run's folder; of a run, with the panels of
        its tab Custom Scalars."""
        logger = Scrubbed(folder, name="tensorboard", version="")
        if "command" not in config and getattr(rank_zero_only, "rank", 0) == 0:
            logger.experiment.add_custom_scalars(
                {
                    section: {title: ["Multiline", tags] for title, tags in panels.items()}
                    for section, panels in PANELS.items()
                }
            )
        return [logger]


class Scrubbed(TensorBoardLogger):
    """Lightning's logger for TensorBoard, which stores no secrets among the hyper-parameters."""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Store hyper-parameters with every secret masked."""
        super().log_hyperparams(
            scrub(dict(params if isinstance(params, dict) else vars(params))), *args, **kwargs
        )


def log_pictures(
    logger: TensorBoardLogger, step: int, cases: Sequence[Case], classes: Sequence[str]
) -> None:
    """Show evidence, target, prediction and truth of each image in one row."""
    for case in cases:
        logger.experiment.add_image(
            f"val/{case.evidence.id}", side_by_side(case, len(classes)), step
        )


def log_table(logger: TensorBoardLogger, step: int, table: Table) -> None:
    """Show a table as text, and its images in rows of evidence, target, prediction and truth."""
    shown = [
        place
        for place in range(len(table.columns))
        if not any(isinstance(row[place], Case) for row in table.rows)
    ]
    head = [table.columns[place] for place in shown]
    rows = [[_text(row[place]) for place in shown] for row in table.rows]
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
    logger.experiment.add_text(table.name, "\n".join(lines), step)
    pictures = [cell for row in table.rows for cell in row if isinstance(cell, Case)]
    for number, case in enumerate(pictures, 1):
        picture = side_by_side(case, len(table.classes))
        logger.experiment.add_image(f"{table.name}/{number}", picture, step)


def _text(cell: Any) -> str:
    if cell is None or cell != cell:
        return "-"
    # a line or a stroke would end the cell
    text = f"{cell:.4g}" if isinstance(cell, float) else str(cell)
    return " ".join(text.replace("|", "\\|").split())
