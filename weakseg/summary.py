"""The table at the end of a run: how good the network is, and how good the labels were that it learned from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

MEASURED_ON = "network: validation images; targets and evidence: training images"
COLUMNS = {"network": ("val", "network"), "targets": ("label", "targets"), "evidence": ("evidence", "evidence alone")}

PRECISIONS = {"val/mask_ap": "masks", "val/box_ap": "boxes", "label/mask_ap": "target masks"}


class Row(NamedTuple):
    """IoU of one class, or the mean over the classes. None: not measured. nan: nobody shows this class."""

    name: str
    network: float | None
    """of the network, on the validation images"""
    targets: float | None
    """of the targets it was trained with, against the truth"""
    evidence: float | None
    """of the evidence alone: boxes filled, marks as they are"""


def summary_rows(figures: Mapping[str, float], classes: Sequence[str]) -> list[Row]:
    """One row per class and the mean below, from figures such as val/iou/cat and label/miou.

    >>> summary_rows({"val/miou": 0.5, "val/iou/cat": 0.4}, ["cat"])
    [Row(name='cat', network=0.4, targets=None, evidence=None), Row(name='mean', network=0.5, targets=None, evidence=None)]
    """
    prefixes = [prefix for prefix, _ in COLUMNS.values()]
    rows = [Row(name, *(figures.get(f"{prefix}/iou/{name}") for prefix in prefixes)) for name in classes]
    return [*rows, Row("mean", *(figures.get(f"{prefix}/miou") for prefix in prefixes))]


def summary_columns(rows: Sequence[Row]) -> dict[str, list[float | None]]:
    """The columns in which anything was measured, by their headings."""
    columns = {heading: [getattr(row, field) for row in rows] for field, (_, heading) in COLUMNS.items()}
    return {heading: values for heading, values in columns.items() if any(value is not None for value in values)}


def precision_table(figures: Mapping[str, float], classes: Sequence[str]) -> tuple[list[str], dict[str, list[float | None]]]:
    """Names of the rows, and the columns by their headings, of average precision; no columns where no objects were measured.

    >>> rows, columns = precision_table({"val/mask_ap": 0.4, "val/mask_ap/cat": 0.4, "val/mask_ap50": 0.7}, ["background", "cat"])
    >>> rows
    ['cat', 'mean', 'mean at IoU .50', 'mean at IoU .75']
    >>> columns
    {'masks': [0.4, 0.4, 0.7, None]}
    """
    endings = [*(f"/{name}" for name in classes[1:]), "", "50", "75"]
    columns = {heading: [figures.get(f"{figure}{ending}") for ending in endings] for figure, heading in PRECISIONS.items()}
    measured = {heading: values for heading, values in columns.items() if any(value is not None for value in values)}
    return [*classes[1:], "mean", "mean at IoU .50", "mean at IoU .75"], measured


def shown(value: float | None) -> str:
    """A share with three digits, or a dash.

    >>> shown(0.9), shown(float("nan"))
    ('0.900', '-')
    """
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def print_summary(rows: Sequence[Row], console: Console) -> None:
    """Print the rows as a table; says so if nothing was measured."""
    columns = summary_columns(rows)
    if not columns:
        console.print("nothing was measured: no image has a truth")
        return
    table = Table(title="IoU", title_justify="left")
    table.add_column("class")
    for heading in columns:
        table.add_column(heading, justify="right")
    for index, row in enumerate(rows):
        mean = index == len(rows) - 1
        cells = [shown(values[index]) for values in columns.values()]
        table.add_row(Text(row.name), *cells, style="bold" if mean else None, end_section=index == len(rows) - 2)
    console.print(table)
    console.print(MEASURED_ON, soft_wrap=True)


def print_precision(figures: Mapping[str, float], classes: Sequence[str], console: Console) -> None:
    """Print the average precision of objects as a table, if any was measured."""
    names, columns = precision_table(figures, classes)
    if not columns:
        return
    table = Table("class", title="average precision (AP) of objects", title_justify="left")
    for heading in columns:
        table.add_column(heading, justify="right")
    for index, name in enumerate(names):
        cells = [shown(values[index]) for values in columns.values()]
        table.add_row(Text(name), *cells, style="bold" if name == "mean" else None, end_section=index == len(classes) - 2)
    console.print(table)
