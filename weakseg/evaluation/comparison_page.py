"""The page of a comparison: figures side by side, differences with their intervals, recipes, costs,
and the images on which the networks differ most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from weakseg.evaluation.annotation_cost import MEASURED, SOURCES
from weakseg.evaluation.compared import Comparison, Figure
from weakseg.evaluation.comparison_files import (
    cost_texts,
    difference_text,
    heading,
    images_text,
    level_text,
)
from weakseg.evaluation.comparison_pictures import WHO, Pictures
from weakseg.evaluation.sides import Side
from weakseg.reporting.drawing import FIRST, SECOND
from weakseg.reporting.interval_chart import Difference, interval_chart
from weakseg.reporting.pages import colour_keys, write_page
from weakseg.reporting.tables import figure_text


class Row(NamedTuple):
    """A row of the table of figures."""

    name: str
    values: list[str]
    differences: list[tuple[str, bool]]
    """as text, and whether the interval excludes zero"""
    of_class: bool


def write_comparison_page(
    path: Path,
    comparison: Comparison,
    pictures: Pictures,
    command: str,
    versions: Mapping[str, str],
) -> None:
    """Write the page.

    Args:
        path: of the file.
        comparison: what is known.
        pictures: the images that are shown.
        command: that has made the comparison.
        versions: of the packages that have.
    """
    sides = comparison.sides
    made_by = ", ".join(f"{name} {version}" for name, version in versions.items())
    write_page(
        path,
        "comparison.html",
        title=" and ".join(side.name for side in sides)
        if len(sides) == 2
        else f"{sides[0].name} and {len(sides) - 1} others",
        notes=[
            images_text(comparison),
            *comparison.common.notes,
            f"{made_by}; command: {command}",
        ],
        facts=_facts(comparison),
        sides=[(side.letter, side.name) for side in sides],
        about=_about(comparison),
        sources=_sources(comparison),
        rows=[_row(figure) for figure in comparison.figures],
        level=level_text(comparison.draws.level),
        samples=comparison.draws.samples,
        charts={
            f"{side.letter} - {sides[0].letter}: {side.name}": _chart(comparison, place)
            for place, side in enumerate(sides[1:])
        },
        keys=comparison.keys,
        recipes_known=[side.letter for side in sides if side.recipe],
        cases=pictures.images,
        picture_notes=pictures.notes,
        colours=colour_keys(pictures.classes),
        who=_who(sides) if any(WHO in names for names in _names(pictures)) else [],
    )


def _sources(comparison: Comparison) -> str:
    """Where the numbers of what annotation costs come from."""
    if not cost_texts(comparison):
        return ""
    corrected = any(side.cost.corrections is not None for side in comparison.sides)
    return f"{SOURCES} {MEASURED}" if corrected else SOURCES


def _facts(comparison: Comparison) -> dict[str, str]:
    """The mean IoU of each side, and how far each is from the first."""
    miou = comparison.figures[0]
    facts = {
        f"mean IoU of {side.letter}, {side.name}": figure_text(value.value)
        for side, value in zip(comparison.sides, miou.values, strict=True)
    }
    for side, difference in zip(comparison.sides[1:], miou.differences, strict=True):
        text = difference_text(difference)
        interval = text.partition(" ")[2].strip("()")
        name = f"{side.letter} - {comparison.sides[0].letter}"
        facts[f"{name}, {interval}" if interval else name] = text.partition(" ")[0]
    return facts


def _about(comparison: Comparison) -> dict[str, list[str]]:
    """What is to be known of each side, by what it is."""
    models = [side.evaluation.model for side in comparison.sides]
    rows = {
        "network": [str(side.weights) for side in comparison.sides],
        "recipe": [model["recipe"] or "-" for model in models],
        "trained steps": ["-" if model["step"] is None else str(model["step"]) for model in models],
        "initial weights": [model["weights"] or "-" for model in models],
        "measured on": [side.evaluation.measured_on for side in comparison.sides],
    }
    return rows | cost_texts(comparison)


def _row(figure: Figure) -> Row:
    return Row(
        heading(figure.name),
        [figure_text(value.value) for value in figure.values],
        [(difference_text(each), each.excludes_zero) for each in figure.differences],
        figure.name.startswith("iou/"),
    )


def _chart(comparison: Comparison, place: int) -> str:
    """The differences of a side from the first: mean IoU, and the IoU of each class."""
    shown = [
        figure
        for figure in comparison.figures
        if figure.name == "miou" or figure.name.startswith("iou/")
    ]
    return interval_chart(
        [Difference(heading(figure.name), *figure.differences[place]) for figure in shown]
    )


def _who(sides: Sequence[Side]) -> list[tuple[str, tuple[int, int, int]]]:
    """The legend of the pictures that tell who is right."""
    only = [f"only {side.letter} is right" for side in sides[:2]]
    return list(
        zip([*only, "they differ, and neither is"], [FIRST, SECOND, (0, 0, 0)], strict=True)
    )


def _names(pictures: Pictures) -> list[list[str]]:
    return [[panel.name for panel in panels] for _, panels in pictures.images]
