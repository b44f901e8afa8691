"""The report of a run: one HTML file that needs no other file, no script and no network."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from weakseg.reporting.charts import Point, line_chart, read_series
from weakseg.reporting.drawing import Case
from weakseg.reporting.label_errors import error_sources
from weakseg.reporting.pages import (
    LEGIBLE,
    colour_keys,
    confusion_rows,
    gallery,
    is_known,
    write_page,
)
from weakseg.reporting.tables import (
    AGREEMENT,
    AGREEMENTS,
    agreement_table,
    figure_text,
    measured_on,
    percent,
    precision_table,
    summary_columns,
    summary_rows,
)


def write_report(
    path: Path,
    *,
    title: str,
    classes: Sequence[str],
    figures: Sequence[Mapping[str, str]],
    final: Mapping[str, float],
    confusion: Tensor | None,
    cases: Sequence[Case],
    training: Sequence[Case] = (),
    training_note: str = "",
    suspects: Sequence[Case] = (),
    review: str = "",
    recipe: str,
    commands: Sequence[str] = (),
    notes: Sequence[str],
) -> None:
    """Write the report of a run.

    Args:
        path: of the file.
        title: what the run is called.
        classes: names of the classes.
        figures: the rows of metrics.csv, for the curves.
        final: figures of the finished run, for the table.
        confusion: counts of pixels, int64 [C,C] with a row per class of the truth, or None.
        cases: validation images to show; the worst are shown first.
        training: training images to show with the targets that are trained on, in this order.
        training_note: which of them these are.
        suspects: training images that are the most suspicious, in this order; review.csv beside the
            report has all of them.
        review: the command that shows them one after the other, to be corrected.
        recipe: the recipe as text.
        commands: that have trained the run: the first start and each resume.
        notes: lines below the title.
    """
    write_page(
        path,
        "run.html",
        title=title,
        notes=notes,
        facts=_facts(figures, final),
        tables=_tables(final, classes),
        confusion=[] if confusion is None else confusion_rows(confusion, classes),
        legible=len(classes) <= LEGIBLE,
        charts=_charts(figures),
        colours=colour_keys(classes),
        cases=gallery(sorted(cases, key=_badness), classes),
        errors=error_sources(cases).in_words(),
        training=gallery(training, classes),
        training_note=training_note,
        suspects=gallery(suspects, classes),
        review=review,
        training_errors=error_sources(training).in_words(),
        commands=commands,
        recipe=recipe,
    )


def _facts(figures: Sequence[Mapping[str, str]], final: Mapping[str, float]) -> dict[str, str]:
    """The most important numbers."""
    facts = {
        "mean IoU of the network": figure_text(final.get("val/miou")),
        "IoU of the network's extents with the boxes": figure_text(final.get("val/box_extent_iou")),
        "of the marks are right in the network, mean of the classes": _percent(
            final.get("val/marks_accuracy")
        ),
        "F1 of the network for the tags": figure_text(final.get("val/tags_f1")),
        "mask AP of the network": figure_text(final.get("val/mask_ap")),
        "mask AP of the targets": figure_text(final.get("label/mask_ap")),
        "mean IoU of the targets": figure_text(final.get("label/miou")),
        "mean IoU of the evidence alone": figure_text(final.get("evidence/miou")),
        "of the target pixels are ignored": _percent(_rest(final.get("label/coverage"))),
        "rounds": _rounds(read_series(figures, "round")),
        "per step": _seconds(read_series(figures, "time/step")),
        "per step waiting for images": _seconds(read_series(figures, "time/wait")),
    }
    return {name: value for name, value in facts.items() if value not in ("", "-")}


def _percent(share: float | None) -> str:
    return percent(share) if share is not None and is_known(share) else ""


def _rest(share: float | None) -> float | None:
    return None if share is None else 1 - share


def _rounds(points: Sequence[Point]) -> str:
    return f"{max(y for _, y in points) + 1:g}" if points else ""


def _seconds(points: Sequence[Point]) -> str:
    if not points:
        return ""
    middle = statistics.median(y for _, y in points)
    return f"{middle:.2f} s" if middle >= 1 else f"{1000 * middle:.3g} ms"


def _tables(
    final: Mapping[str, float], classes: Sequence[str]
) -> list[tuple[str, list[str], dict[str, list[float | None]]]]:
    """What a table is of, the names of its rows, and its columns by their headings."""
    rows = summary_rows(final, classes)
    tables = [
        (measured_on(final), [row.name for row in rows], summary_columns(rows)),
        (AGREEMENT, *agreement_table(final, classes)),
        ("average precision of objects", *precision_table(final, classes)),
    ]
    return [table for table in tables if table[-1]]


def _charts(figures: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The charts that have a point, by their headings: SVG, in which names are escaped already."""
    terms = list(dict.fromkeys(name for row in figures for name in row if name.startswith("loss/")))
    if len(terms) == 2 and "loss/total" in terms:
        terms.remove("loss/total")  # the only term is the total
    found = list(
        dict.fromkeys(name for row in figures for name in row if name.startswith("estimate/share/"))
    )
    watched = [
        f"estimate/{name}" for name in ("coverage", "entropy", "active", "unmet", "converged")
    ]
    labels = (
        *("label/miou", "label/coverage", "label/churn", "label/consistency"),
        "evidence/miou",
    )
    rates = ("learning_rate", "learning_rate/head")
    # without the first step, which warms up and would press all others flat
    times = {
        name: [(x, 1000 * y) for x, y in read_series(figures, name)[1:]]
        for name in ("time/step", "time/wait")
    }
    charts = {
        "Loss": line_chart({name: read_series(figures, name) for name in terms}, "step", low=0),
        "Mean IoU on the validation images": line_chart(
            {"val/miou": read_series(figures, "val/miou")}, "step", low=0, high=1
        ),
        "Agreement with the annotations of the validation images": line_chart(
            {name: read_series(figures, name) for name in AGREEMENTS}, "step", low=0, high=1
        ),
        "Average precision on the validation images": line_chart(
            {name: read_series(figures, name) for name in ("val/mask_ap", "val/box_ap")},
            "step",
            low=0,
            high=1,
        ),
        "Labels of each round": line_chart(
            {name: read_series(figures, name, "round") for name in labels}, "round", low=0, high=1
        ),
        "Share of each class in what is estimated": line_chart(
            {name: read_series(figures, name) for name in found}, "step", low=0, high=1
        ),
        "What is estimated": line_chart(
            {name: read_series(figures, name) for name in watched}, "step", low=0, high=1
        ),
        "Learning rate": line_chart(
            {name: read_series(figures, name) for name in rates}, "step", low=0
        ),
        "Norm of the gradient, before it is clipped": line_chart(
            {"gradient_norm": read_series(figures, "gradient_norm")}, "step", low=0
        ),
        "Time in milliseconds": line_chart(times, "step", low=0),
    }
    return {name: chart for name, chart in charts.items() if chart}


def _badness(case: Case) -> float:
    """Images without a score come last."""
    return case.score if case.score is not None and is_known(case.score) else math.inf
