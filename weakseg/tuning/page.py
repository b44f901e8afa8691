"""The page of what was tried: scores, their differences, and pictures of some images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from weakseg.labelling.source import Source
from weakseg.reporting.drawing import draw_evidence, overlay, picture_address
from weakseg.reporting.interval_chart import Difference, interval_chart
from weakseg.reporting.pages import colour_keys, write_page
from weakseg.reporting.tables import figure_text
from weakseg.tuning.measuring import Measured
from weakseg.tuning.results import TRUTH, Row, Tuned, percent
from weakseg.utils.progress import track
from weakseg.utils.versions import versions

PICTURES = 8


class Panel(NamedTuple):
    """One picture of an image."""

    name: str
    address: str


def write_tuning_page(path: Path, tuned: Tuned, measured: Measured, source: Source) -> None:
    """Write the page.

    Args:
        path: of the file.
        tuned: what was found.
        measured: with the targets of each setting.
        source: of the images.
    """
    made_by = ", ".join(f"{name} {version}" for name, version in versions().items())
    shown = _shown(tuned)
    write_page(
        path,
        "tuning.html",
        title=f"Settings of {source.name}",
        notes=[tuned.verdict, f"{made_by}; command: {tuned.command}"],
        facts=_facts(tuned),
        meaning=tuned.meaning,
        features=tuned.features,
        measures=list(tuned.measures),
        headings=headings(tuned),
        rows=[
            ([row.name, *cells(row, tuned)], place == tuned.chosen)
            for place, row in enumerate(tuned.rows)
        ],
        chart=interval_chart([Difference(row.short, *row.difference) for row in tuned.rows[1:]]),
        classes=tuned.classes,
        class_rows=[
            (row.short, [_relative(row, tuned.rows[0], name) for name in tuned.classes])
            for row in tuned.rows
        ],
        colours=colour_keys(source.segmenter.classes),
        cases=[
            (measured.ids[place], _panels(measured, source, place, shown))
            for place in track(_places(measured, shown, source), PICTURES, "drawing")
        ],
    )


def headings(tuned: Tuned) -> list[str]:
    """Of the columns of the table of settings, without that of its names."""
    labelled = ["labelled"] if _abstains(tuned) else []
    truth = [TRUTH] if tuned.has_truth else []
    return [*tuned.measures, "difference", "objects", *labelled, *truth]


def cells(row: Row, tuned: Tuned) -> list[str]:
    """A row of the table of settings, without its name."""
    value, low, high = (f"{100 * end:+.1f}" for end in row.difference)
    labelled = [figure_text(row.coverage)] if _abstains(tuned) else []
    truth = [figure_text(row.truth)] if tuned.has_truth else []
    return [
        *(f"{score:.4g}" for score in row.scores.values()),
        "" if row is tuned.rows[0] else f"{value} % ({low} to {high})",
        figure_text(row.objects),
        *labelled,
        *truth,
    ]


def _abstains(tuned: Tuned) -> bool:
    """Whether some setting leaves pixels without a label."""
    return any(row.coverage < 1 for row in tuned.rows)


def _facts(tuned: Tuned) -> dict[str, str]:
    best = tuned.rows[tuned.best]
    return {
        "settings tried": str(len(tuned.rows)),
        "images": str(tuned.images),
        f"lead of {best.short}": percent(best.difference.value),
    }


def _relative(row: Row, first: Row, name: str) -> str:
    base = first.classes[name]
    return "-" if not base else percent((row.classes[name] - base) / abs(base))


def _shown(tuned: Tuned) -> dict[str, int]:
    """The settings whose labels are shown, by what they are."""
    shown = {"the recipe as it is": 0}
    best, worst = tuned.rows[tuned.best], tuned.rows[tuned.worst]
    if tuned.best != 0:
        shown[f"best: {best.short}"] = tuned.best
    if tuned.worst not in shown.values():
        shown[f"worst: {worst.short}"] = tuned.worst
    return shown


def _places(measured: Measured, shown: dict[str, int], source: Source) -> list[int]:
    """The images on which the shown settings differ most."""
    apart = []
    for place, index in enumerate(measured.indices):
        evidence, _ = source.corrected(index)
        labels = [measured.all_of_it[each].labels(index, evidence) for each in shown.values()]
        differing = torch.stack([each != labels[0] for each in labels]).any(0)
        apart.append((-float(differing.float().mean()), place))
    return [place for _, place in sorted(apart)[:PICTURES]]


def _panels(
    measured: Measured, source: Source, place: int, shown: dict[str, int]
) -> Sequence[Panel]:
    index = measured.indices[place]
    evidence, truth = source.corrected(index)
    classes = len(source.segmenter.classes)
    panels = [Panel("evidence", picture_address(draw_evidence(evidence, classes)))]
    for name, each in shown.items():
        labels = measured.all_of_it[each].labels(index, evidence)
        panels.append(Panel(name, picture_address(overlay(evidence.image, labels))))
    if truth is not None:
        panels.append(Panel(TRUTH, picture_address(overlay(evidence.image, truth))))
    return panels
