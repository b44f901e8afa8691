"""The page of an evaluation: figures, confusion, reliability, and the images that are meant by a
class or by a mistake."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from weakseg.evaluation.pictures import Panel, Thumbnail, panels
from weakseg.evaluation.results import Evaluation
from weakseg.evaluation.selection import Selection
from weakseg.evaluation.tables import class_tables, facts
from weakseg.functional.calibration import BINS
from weakseg.reporting.drawing import WRONG
from weakseg.reporting.pages import LEGIBLE, colour_keys, confusion_rows, write_page
from weakseg.reporting.reliability import reliability_diagram
from weakseg.reporting.tables import figure_text
from weakseg.utils.progress import track


class Filter(NamedTuple):
    """What a click on a class or on a cell shows: a sentence, and some of the images."""

    id: str
    title: str
    text: str
    places: list[int]
    """of the images that are meant, in the list of all"""


class Shown(NamedTuple):
    """One image of the page."""

    name: str
    score: str
    filters: list[str]
    """ids of those that show it"""
    panels: list[Panel]


def write_evaluation_page(
    path: Path,
    evaluation: Evaluation,
    selection: Selection,
    picture: Callable[[int], Thumbnail],
    *,
    title: str,
    notes: Sequence[str],
    score: str,
) -> None:
    """Write the page.

    Args:
        path: of the file.
        evaluation: what is known.
        selection: which images are shown.
        picture: gives the image at a place of the list of all.
        title: what was measured.
        notes: lines below the title.
        score: which figure of an image says how good it is.
    """
    filters = _filters(evaluation, selection)
    measured = "miou" in evaluation.figures
    write_page(
        path,
        "evaluation.html",
        title=title,
        notes=notes,
        facts=facts(evaluation),
        tables=[(table.why, table.names, table.columns) for table in class_tables(evaluation)],
        confusion=confusion_rows(evaluation.confusion, evaluation.classes) if measured else [],
        legible=len(evaluation.classes) <= LEGIBLE,
        colours=colour_keys(evaluation.classes),
        wrong=WRONG,
        reliability=reliability_diagram(_bins(evaluation), BINS),
        calibration_error=evaluation.figures.get("calibration_error"),
        filters=list(filters.values()),
        links=_links(evaluation.classes, filters),
        shown_of=_shown_of(evaluation, selection, bool(filters)),
        cases=[
            Shown(
                evaluation.images[place]["name"],
                _score(evaluation.images[place].get(score), score),
                [each.id for each in filters.values() if place in each.places],
                panels(picture(place)),
            )
            for place in track(selection.shown, len(selection.shown), "drawing")
        ],
    )


def _bins(evaluation: Evaluation) -> list[tuple[float, float, int]]:
    return [
        (row["confidence"], row["accuracy"], int(row["pixels"])) for row in evaluation.reliability
    ]


def _filters(evaluation: Evaluation, selection: Selection) -> dict[int | tuple[int, int], Filter]:
    """One for each class and for each mistake that some image shows, by their numbers."""
    names = evaluation.classes
    shown = set(selection.shown)
    filters: dict[int | tuple[int, int], Filter] = {}
    for label, places in selection.of_class.items():
        if not places:
            continue
        value = figure_text(evaluation.per_class[label]["iou"])
        text = f"IoU {value}; lowest in {_listed(evaluation, places, shown)}"
        filters[label] = Filter(f"class-{label}", names[label], text, places)
    confusion = evaluation.confusion
    for (truth, prediction), places in selection.of_cell.items():
        pixels = int(confusion[truth, prediction])
        text = f"{pixels:,} pixels; most in {_listed(evaluation, places, shown)}"
        title = f"{names[truth]} taken for {names[prediction]}"
        filters[truth, prediction] = Filter(f"cell-{truth}-{prediction}", title, text, places)
    return filters


def _listed(evaluation: Evaluation, places: Sequence[int], shown: set[int]) -> str:
    """Names of images, and which of them have no picture."""
    named = [
        f"{evaluation.images[place]['name']}{'' if place in shown else ' (not shown)'}"
        for place in places
    ]
    return ", ".join(named)


def _links(
    classes: Sequence[str], filters: dict[int | tuple[int, int], Filter]
) -> dict[str | tuple[str, str], str]:
    """Addresses by names, as `parts.html` takes them; the right pixels of a class lead to it,
    too."""
    links: dict[str | tuple[str, str], str] = {}
    for key, each in filters.items():
        if isinstance(key, tuple):
            links[classes[key[0]], classes[key[1]]] = f"#{each.id}"
        else:
            links[classes[key]] = links[classes[key], classes[key]] = f"#{each.id}"
    return links


def _shown_of(evaluation: Evaluation, selection: Selection, clickable: bool) -> str:
    count, all_of = len(selection.shown), len(evaluation.images)
    few = "All images" if count == all_of else f"{count} of {all_of} images"
    click = (
        " Click on a class, or on a cell of the confusion matrix, to see the images that are meant."
    )
    return f"{few}, the worst first.{click if clickable else ''}"


def _score(value: float | None, name: str) -> str:
    if value is None or math.isnan(value):
        return ""
    words = {"miou": "IoU", "box_extent_iou": "IoU of boxes", "tags_f1": "F1 of tags"}
    return f"{words.get(name, 'right marks')} {value:.3f}"
