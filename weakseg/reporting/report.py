"""The report of a run: one HTML file that needs no other file, no script and no network."""

from __future__ import annotations

import importlib.resources
import math
import statistics
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.reporting.charts import Point, line_chart, read_series
from weakseg.reporting.drawing import Case, draw_evidence, overlay, palette, png_base64
from weakseg.reporting.tables import (
    AGREEMENT,
    AGREEMENTS,
    agreement_table,
    measured_on,
    percent,
    precision_table,
    shown,
    summary_columns,
    summary_rows,
)
from weakseg.utils.files import write_whole

NONE = '<p class="none-yet">none</p>'
TRAINING = """\
<section>
<h2>Training images</h2>
<p class="why">Some of the images that the network trains on, with the targets that it trained on
last. No mask tells how good these are: look at them.</p>
{}
{}
</section>"""
LEGIBLE = 12  # classes up to which the cells of the confusion matrix have numbers in them


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

    Arguments:
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
    page = Template(
        (importlib.resources.files("weakseg.reporting") / "report.html").read_text("utf-8")
    ).substitute(
        title=escape(title),
        notes="\n".join(f"<p>{escape(note)}</p>" for note in notes),
        facts=_facts(figures, final),
        summary=_summary(final, classes),
        confusion=_confusion(confusion, classes),
        curves=_curves(figures),
        legend=_legend(classes),
        gallery=_gallery(sorted(cases, key=_badness), classes),
        training=TRAINING.format(_legend(classes), _gallery(training, classes)) if training else "",
        recipe=f"<pre>{escape(recipe)}</pre>" if recipe else NONE,
    )
    write_whole(Path(path), page.encode())


def _facts(figures: Sequence[Mapping[str, str]], final: Mapping[str, float]) -> str:
    """The few numbers to look at first."""
    facts = {
        "mean IoU of the network": shown(final.get("val/miou")),
        "IoU of the network's extents with the boxes": shown(final.get("val/box_extent_iou")),
        "of the marks are right in the network, mean of the classes": _percent(
            final.get("val/marks_accuracy")
        ),
        "F1 of the network for the tags": shown(final.get("val/tags_f1")),
        "mask AP of the network": shown(final.get("val/mask_ap")),
        "mask AP of the targets": shown(final.get("label/mask_ap")),
        "mean IoU of the targets": shown(final.get("label/miou")),
        "mean IoU of the evidence alone": shown(final.get("evidence/miou")),
        "of the pixels have a target": _percent(final.get("label/coverage")),
        "rounds": _rounds(read_series(figures, "round")),
        "per step": _seconds(read_series(figures, "time/step")),
        "per step waiting for images": _seconds(read_series(figures, "time/wait")),
    }
    tiles = [
        f"<div><b>{value}</b><span>{name}</span></div>"
        for name, value in facts.items()
        if value not in ("", "-")
    ]
    return f'<div class="facts">{"".join(tiles)}</div>' if tiles else ""


def _percent(share: float | None) -> str:
    return "" if share is None or math.isnan(share) else percent(share)


def _rounds(points: Sequence[Point]) -> str:
    return f"{max(y for _, y in points) + 1:g}" if points else ""


def _seconds(points: Sequence[Point]) -> str:
    if not points:
        return ""
    middle = statistics.median(y for _, y in points)
    return f"{middle:.2f} s" if middle >= 1 else f"{1000 * middle:.3g} ms"


def _summary(final: Mapping[str, float], classes: Sequence[str]) -> str:
    rows = summary_rows(final, classes)
    tables = [(measured_on(final), [row.name for row in rows], summary_columns(rows))]
    tables += [
        (AGREEMENT, *agreement_table(final, classes)),
        ("average precision of objects", *precision_table(final, classes)),
    ]
    parts = [
        f'<p class="why">{why}</p>{_table("class", names, columns)}'
        for why, names, columns in tables
        if columns
    ]
    return "".join(parts) or NONE


def _table(corner: str, names: Sequence[str], columns: Mapping[str, Sequence[float | None]]) -> str:
    head = "".join(f"<th>{heading}</th>" for heading in columns)
    body = [
        "".join(
            [
                f"<tr><td>{escape(name)}</td>",
                *(_cell(values[index]) for values in columns.values()),
                "</tr>",
            ]
        )
        for index, name in enumerate(names)
    ]
    return (
        '<div class="scroll"><table '
        f'class="summary"><tr><th>{corner}</th>{head}</tr>{"".join(body)}</table></div>'
    )


def _cell(value: float | None) -> str:
    if value is None or math.isnan(value):
        return f"<td>{shown(value)}</td>"
    return (
        f'<td>{shown(value)}<span class="bar"><i style="width:{100 * value:.1f}%"></i></span></td>'
    )


def _confusion(confusion: Tensor | None, classes: Sequence[str]) -> str:
    if confusion is None:
        return '<p class="none-yet">none: no validation image has a mask</p>'
    shares = confusion.double() / confusion.sum(1, keepdim=True).clamp(min=1)
    head = "".join(f"<th><span>{escape(name)}</span></th>" for name in classes)
    rows = []
    for name, counts, row in zip(classes, confusion.tolist(), shares.tolist(), strict=True):
        cells = [
            f'<td style="--share:{share:.3f}"{" class=strong" if share > 0.5 else ""} '
            f'title="{escape(name)} taken for {escape(other)}: {count} '
            f'pixels">{100 * share:.0f}</td>'
            for other, count, share in zip(classes, counts, row, strict=True)
        ]
        rows.append(f"<tr><th>{escape(name)}</th>{''.join(cells)}</tr>")
    kind = "confusion" if len(classes) <= LEGIBLE else "confusion many"
    why = (
        "Rows are the truth, columns what the network says; shares of the row. Pixel counts show "
        "under the pointer."
    )
    table = (
        "<table "
        f'class="{kind}"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )
    return f'<p class="why">{why}</p><div class="scroll">{table}</div>'


def _curves(figures: Sequence[Mapping[str, str]]) -> str:
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
    shown_charts = [f"<div><h3>{name}</h3>{chart}</div>" for name, chart in charts.items() if chart]
    return f'<div class="charts">{"".join(shown_charts)}</div>' if shown_charts else NONE


def _legend(classes: Sequence[str]) -> str:
    colours = palette(len(classes)).tolist()
    keys = [
        f'<span><i style="background:rgb({red},{green},{blue})"></i>{escape(name)}</span>'
        for name, (red, green, blue) in zip(classes, colours, strict=True)
    ]
    return f'<div class="classes">{"".join(keys)}<span><i class="none"></i>no opinion</span></div>'


def _badness(case: Case) -> float:
    """Images without a score come last."""
    return math.inf if case.score is None or math.isnan(case.score) else case.score


def _gallery(cases: Sequence[Case], classes: Sequence[str]) -> str:
    """Images below each other; without a panel for the truth where none has any."""
    truth = any(case.truth is not None for case in cases)
    return "\n".join(_case(case, classes, truth) for case in cases) or NONE


def _case(case: Case, classes: Sequence[str], truth: bool) -> str:
    evidence = case.evidence
    panels = {"target": case.target, "prediction": case.prediction} | (
        {"truth": case.truth} if truth else {}
    )
    pictures = [_panel("evidence", draw_evidence(evidence, len(classes)), _said(evidence, classes))]
    pictures += [
        _panel(name, None if labels is None else overlay(evidence.image, labels))
        for name, labels in panels.items()
    ]
    score = (
        ""
        if case.score is None or math.isnan(case.score)
        else f"<span class=score>{case.score_name} {case.score:.3f}</span>"
    )
    kind = "panels" if truth else "panels three"
    return (
        f'<article class="case"><h3><span>{escape(evidence.id)}</span>{score}</h3><div '
        f'class="{kind}">{"".join(pictures)}</div></article>'
    )


def _panel(name: str, picture: Tensor | None, more: str = "") -> str:
    inside = (
        '<div class="absent">none</div>'
        if picture is None
        else f'<img alt="{name}" src="data:image/png;base64,{png_base64(picture)}">'
    )
    text = f"{name}: {more}" if more else name
    return (
        f'<figure><figcaption title="{escape(text)}">{escape(text)}</figcaption>{inside}</figure>'
    )


def _said(evidence: Evidence, classes: Sequence[str]) -> str:
    """What a person said about the image, in words."""
    said = []
    if evidence.boxes is not None:
        said.append(f"{len(evidence.boxes)} box{'es' * (len(evidence.boxes) != 1)}")
    if evidence.marks is not None:
        said.append(f"{int((evidence.marks != IGNORE).sum())} marked pixels")
    if evidence.tags is not None:
        said.append(
            ", ".join(
                name
                for name, tagged in zip(classes[1:], evidence.tags.tolist()[1:], strict=True)
                if tagged
            )
            or "no object"
        )
    return "; ".join(said) or "none"
