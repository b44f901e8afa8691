"""The report of a run: one HTML file that needs no other file, no script and no network."""

from __future__ import annotations

import importlib.resources
import math
import statistics
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined, Template
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.reporting.charts import Point, line_chart, read_series
from weakseg.reporting.drawing import Case, draw_evidence, overlay, palette, png_base64
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
from weakseg.utils.files import write_whole

LEGIBLE = 12  # classes up to which the cells of the confusion matrix have numbers in them


class Panel(NamedTuple):
    """One picture of an image; None for what there is not."""

    name: str
    caption: str
    picture: str | None
    """PNG as base64"""


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
    recipe: str,
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
        recipe: the recipe as text.
        notes: lines below the title.
    """
    page = _template().render(
        title=title,
        notes=notes,
        facts=_facts(figures, final),
        tables=_tables(final, classes),
        confusion=[] if confusion is None else _confusion(confusion, classes),
        legible=len(classes) <= LEGIBLE,
        charts=_charts(figures),
        colours=list(zip(classes, palette(len(classes)).tolist(), strict=True)),
        cases=_gallery(sorted(cases, key=_badness), classes),
        training=_gallery(training, classes),
        recipe=recipe,
    )
    write_whole(Path(path), page.encode())


@cache
def _template() -> Template:
    """The page, in which every text is escaped and a misspelled name is an error."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": figure_text, "known": _known}
    page = importlib.resources.files("weakseg.reporting") / "report.html"
    return environment.from_string(page.read_text("utf-8"))


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
        "of the pixels have a target": _percent(final.get("label/coverage")),
        "rounds": _rounds(read_series(figures, "round")),
        "per step": _seconds(read_series(figures, "time/step")),
        "per step waiting for images": _seconds(read_series(figures, "time/wait")),
    }
    return {name: value for name, value in facts.items() if value not in ("", "-")}


def _percent(share: float | None) -> str:
    return percent(share) if share is not None and _known(share) else ""


def _rounds(points: Sequence[Point]) -> str:
    return f"{max(y for _, y in points) + 1:g}" if points else ""


def _seconds(points: Sequence[Point]) -> str:
    if not points:
        return ""
    middle = statistics.median(y for _, y in points)
    return f"{middle:.2f} s" if middle >= 1 else f"{1000 * middle:.3g} ms"


def _known(value: float | None) -> bool:
    return value is not None and not math.isnan(value)


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


def _confusion(
    confusion: Tensor, classes: Sequence[str]
) -> list[tuple[str, list[tuple[str, int, float]]]]:
    """Each class of the truth with its cells: the class predicted, pixels, and share of the row."""
    shares = confusion.double() / confusion.sum(1, keepdim=True).clamp(min=1)
    return [
        (name, list(zip(classes, counts, row, strict=True)))
        for name, counts, row in zip(classes, confusion.tolist(), shares.tolist(), strict=True)
    ]


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
    labels = ("label/miou", "label/coverage", "label/churn", "evidence/miou")
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
        "Time in milliseconds": line_chart(times, "step", low=0),
    }
    return {name: chart for name, chart in charts.items() if chart}


def _badness(case: Case) -> float:
    """Images without a score come last."""
    return case.score if case.score is not None and _known(case.score) else math.inf


def _gallery(cases: Sequence[Case], classes: Sequence[str]) -> list[tuple[Case, list[Panel]]]:
    """Images with their pictures; without one for the truth where none has any."""
    names = ["target", "prediction"]
    if any(case.truth is not None for case in cases):
        names.append("truth")
    gallery = []
    for case in cases:
        evidence = case.evidence
        annotated = png_base64(draw_evidence(evidence, len(classes)))
        panels = [Panel("evidence", f"evidence: {_in_words(evidence, classes)}", annotated)]
        for name in names:
            labels: Tensor | None = getattr(case, name)
            drawn = None if labels is None else png_base64(overlay(evidence.image, labels))
            panels.append(Panel(name, name, drawn))
        gallery.append((case, panels))
    return gallery


def _in_words(evidence: Evidence, classes: Sequence[str]) -> str:
    """What is annotated on an image."""
    parts = []
    if evidence.boxes is not None:
        parts.append(f"{len(evidence.boxes)} box{'es' * (len(evidence.boxes) != 1)}")
    if evidence.marks is not None:
        parts.append(f"{int((evidence.marks != IGNORE).sum())} marked pixels")
    if evidence.tags is not None:
        tagged = zip(classes[1:], evidence.tags.tolist()[1:], strict=True)
        parts.append(", ".join(name for name, there in tagged if there) or "no object")
    return "; ".join(parts) or "none"
