"""The table at the end of a run: how good the network is, and how good the labels were that it
learned from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

WHOLE = 0.9995  # a share from here on is all
COLUMNS = {
    "network": ("val", "network"),
    "targets": ("label", "targets"),
    "evidence": ("evidence", "evidence alone"),
}

AGREEMENTS = {
    "val/box_extent_iou": "boxes (IoU)",
    "val/marks_accuracy": "marks (right)",
    "val/tags_f1": "tags (F1)",
}
AGREEMENT = (
    "how well the network agrees with the annotations of the validation images; none of these has "
    "a mask to measure IoU with"
)
PRECISIONS = {"val/mask_ap": "masks", "val/box_ap": "boxes", "label/mask_ap": "target masks"}


class ClassRow(NamedTuple):
    """IoU of one class, or the mean over the classes. None: not measured. nan: no image shows this
    class."""

    name: str
    network: float | None
    """of the network, on the validation images"""
    targets: float | None
    """of the targets it was trained with, against the truth"""
    evidence: float | None
    """of the evidence alone: boxes filled, marks as they are"""


def summary_rows(figures: Mapping[str, float], classes: Sequence[str]) -> list[ClassRow]:
    """One row per class and the mean below, from figures such as val/iou/cat and label/miou.

    >>> summary_rows({"val/miou": 0.5, "val/iou/cat": 0.4}, ["cat"])
    [ClassRow(name='cat', network=0.4, targets=None, evidence=None),
    ClassRow(name='mean', network=0.5, targets=None, evidence=None)]
    """
    prefixes = [prefix for prefix, _ in COLUMNS.values()]
    rows = [
        ClassRow(name, *(figures.get(f"{prefix}/iou/{name}") for prefix in prefixes))
        for name in classes
    ]
    return [*rows, ClassRow("mean", *(figures.get(f"{prefix}/miou") for prefix in prefixes))]


def summary_columns(rows: Sequence[ClassRow]) -> dict[str, list[float | None]]:
    """The columns in which anything was measured, by their headings."""
    columns = {
        heading: [getattr(row, field) for row in rows] for field, (_, heading) in COLUMNS.items()
    }
    return {
        heading: values
        for heading, values in columns.items()
        if any(value is not None for value in values)
    }


def precision_table(
    figures: Mapping[str, float], classes: Sequence[str]
) -> tuple[list[str], dict[str, list[float | None]]]:
    """Names of the rows, and the columns by their headings, of average precision; no columns where
    no objects were measured.

    >>> rows, columns = precision_table(
    ...     {"val/mask_ap": 0.4, "val/mask_ap/cat": 0.4, "val/mask_ap50": 0.7},
    ...     ["background", "cat"],
    ... )
    >>> rows
    ['cat', 'mean', 'mean at IoU .50', 'mean at IoU .75']
    >>> columns
    {'masks': [0.4, 0.4, 0.7, None]}
    """
    endings = [*(f"/{name}" for name in classes[1:]), "", "50", "75"]
    columns = {
        heading: [figures.get(f"{figure}{ending}") for ending in endings]
        for figure, heading in PRECISIONS.items()
    }
    measured = {
        heading: values
        for heading, values in columns.items()
        if any(value is not None for value in values)
    }
    return [*classes[1:], "mean", "mean at IoU .50", "mean at IoU .75"], measured


def agreement_table(
    figures: Mapping[str, float], classes: Sequence[str]
) -> tuple[list[str], dict[str, list[float | None]]]:
    """Names of the rows, and the columns by their headings, of agreement with annotations; no
    columns where it was not measured.

    >>> agreement_table({"val/tags_f1": 0.5, "val/tags_f1/cat": 0.5}, ["background", "cat"])
    (['cat', 'mean'], {'tags (F1)': [0.5, 0.5]})
    """
    # only marks can be of background
    names = [
        name for name in classes if any(f"{figure}/{name}" in figures for figure in AGREEMENTS)
    ]
    endings = [*(f"/{name}" for name in names), ""]
    columns = {
        heading: [figures.get(f"{figure}{ending}") for ending in endings]
        for figure, heading in AGREEMENTS.items()
    }
    return [*names, "mean"], {
        heading: values for heading, values in columns.items() if values[-1] is not None
    }


def measured_on(figures: Mapping[str, float]) -> str:
    """What the figures are of; IoU of targets that label few pixels means little without that
    number.

    >>> measured_on({"val/miou": 0.8})
    'network: validation images'
    >>> measured_on({"val/miou": 0.8, "label/miou": 0.9, "label/coverage": 0.02})
    'network: validation images; targets: training images; targets: 2.0 % of the pixels have one,
    and IoU is of these alone'
    >>> measured_on(
    ...     {"label/miou": 1.0, "label/coverage": 0.5, "label/iou/a": 1.0, "val/iou/b": 0.2}
    ... )
    'targets: training images; targets: 50.0 % of the pixels have one, and IoU is of these alone,
    the mean of 1 of 2 classes'
    """
    there = [name for name, (prefix, _) in COLUMNS.items() if f"{prefix}/miou" in figures]
    labels = " and ".join(name for name in there if name != "network")
    parts = ["network: validation images"] if "network" in there else []
    parts += [f"{labels}: training images"] if labels else []
    for prefix, whose in (
        ("label", "targets: {} of the pixels have one"),
        ("evidence", "evidence alone: it tells of {} of the pixels"),
    ):
        coverage = figures.get(f"{prefix}/coverage")
        if coverage is not None and coverage < WHOLE and f"{prefix}/miou" in figures:
            few = _of_few_classes(figures, prefix)
            parts.append(f"{whose.format(percent(coverage))}, and IoU is of these alone{few}")
    return "; ".join(parts)


def _of_few_classes(figures: Mapping[str, float], prefix: str) -> str:
    """That a mean IoU is of a part of the classes: a class whose pixels have no label has no IoU,
    so that a method which finds little looks good."""
    named = {name.partition("/iou/")[2] for name in figures if "/iou/" in name}
    values = [figures.get(f"{prefix}/iou/{name}", math.nan) for name in named]
    found = sum(not math.isnan(value) for value in values)
    return f", the mean of {found} of {len(named)} classes" if 0 < found < len(named) else ""


def percent(share: float) -> str:
    """A share in percent.

    >>> percent(0.5), percent(0.0004)
    ('50.0 %', '0.04 %')
    """
    return f"{100 * share:.1f} %" if share >= 0.001 or not share else f"{100 * share:.2g} %"


def figure_text(value: float | None) -> str:
    """A share with three digits, or a dash.

    >>> figure_text(0.9), figure_text(float("nan"))
    ('0.900', '-')
    """
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def print_tables(figures: Mapping[str, float], classes: Sequence[str], console: Console) -> None:
    """Print all that was measured as tables, or a line that nothing was."""
    rows = summary_rows(figures, classes)
    if any(value is not None for row in rows for value in row[1:]):
        print_table("IoU", [row.name for row in rows], len(classes), summary_columns(rows), console)
        console.print(measured_on(figures), soft_wrap=True)
    names, agreements = agreement_table(figures, classes)
    if agreements:
        print_table("agreement", names, len(names) - 1, agreements, console)
        console.print(AGREEMENT, soft_wrap=True)
    if not agreements and not summary_columns(rows):
        console.print(
            "nothing was measured: no image has a truth, and no validation image is annotated"
        )
    names, precisions = precision_table(figures, classes)
    if precisions:
        print_table(
            "average precision (AP) of objects", names, len(classes) - 1, precisions, console
        )


def print_table(
    title: str,
    names: Sequence[str],
    classes: int,
    columns: Mapping[str, Sequence[float | None]],
    console: Console,
) -> None:
    """One row per name: so many classes, and what is a mean below them."""
    table = Table("class", title=title, title_justify="left")
    for heading in columns:
        table.add_column(heading, justify="right")
    for index, name in enumerate(names):
        cells = [figure_text(values[index]) for values in columns.values()]
        table.add_row(
            Text(name),
            *cells,
            style="bold" if index == classes else None,
            end_section=index == classes - 1,
        )
    console.print(table)
