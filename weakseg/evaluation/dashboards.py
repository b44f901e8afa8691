"""Evaluations in wandb and TensorBoard: figures, and tables of classes, images, confusions and
calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import WandbLogger

from weakseg.config.recipe import build_section
from weakseg.evaluation.results import Evaluation
from weakseg.evaluation.tables import class_tables
from weakseg.reporting.dashboards import log_tables
from weakseg.reporting.loggers.base import Table, View


def view_of(logger: View | Mapping[str, Any] | None) -> View | None:
    """The dashboard that was asked for, by the keys of the section `logger`; None for none."""
    if logger is None or isinstance(logger, View):
        return logger
    view = build_section("logger", {}, logger)
    assert isinstance(view, View)
    return view


def show_results(
    view: View,
    folder: Path,
    facts: Mapping[str, Any],
    figures: Mapping[str, float],
    tables: Sequence[Table],
    step: int = 0,
) -> None:
    """Show the results of a command as a run of their own.

    Args:
        view: the dashboard.
        folder: where it may keep files.
        facts: in the place of a recipe; `command` says which command it was.
        figures: by their names on the dashboard.
        tables: of the results.
        step: to which the figures belong.
    """
    loggers = view.build(folder, facts)
    known = {name: value for name, value in figures.items() if math.isfinite(value)}
    for logger in loggers:
        logger.log_metrics(known, step)
    log_tables(loggers, step, tables)
    for logger in loggers:
        logger.finalize("success")
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()  # in a program that goes on, the next run is another one


def show_evaluation(view: View, folder: Path, evaluation: Evaluation) -> None:
    """Show an evaluation: its figures as evaluation/miou and the like, and its tables."""
    facts = {
        "command": "evaluate",
        "model": evaluation.model,
        "data": evaluation.data,
        "predict": evaluation.settings,
        "measured_on": evaluation.measured_on,
    }
    figures = {f"evaluation/{name}": value for name, value in evaluation.figures.items()}
    step = evaluation.model.get("step") or 0
    show_results(view, folder, facts, figures, evaluation_tables(evaluation), step)


def evaluation_tables(evaluation: Evaluation) -> list[Table]:
    """The tables of an evaluation."""
    tables = [
        Table(
            f"evaluation/{table.title}",
            ["class", *table.columns],
            [
                [name, *(column[at] for column in table.columns.values())]
                for at, name in enumerate(table.names)
            ],
        )
        for table in class_tables(evaluation)
    ]
    tables.append(_rows_table("evaluation/images", evaluation.images))
    if len(evaluation.cells):
        rows = [
            [name, *pixels]
            for name, pixels in zip(evaluation.classes, evaluation.confusion.tolist(), strict=True)
        ]
        columns = ["truth", *(f"predicted {name}" for name in evaluation.classes)]
        tables.append(Table("evaluation/confusion", columns, rows))
    if evaluation.reliability:
        tables.append(_rows_table("evaluation/calibration", evaluation.reliability))
    return tables


def _rows_table(name: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows with what they have under the same headings; what is no single value is left out."""
    headings = dict.fromkeys(
        heading
        for row in rows
        for heading, value in row.items()
        if isinstance(value, str | int | float)
    )
    return Table(name, list(headings), [[row.get(heading) for heading in headings] for row in rows])
