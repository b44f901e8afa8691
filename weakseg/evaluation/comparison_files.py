"""The table of a comparison: on the screen, as comparison.csv and in comparison.json."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from weakseg.evaluation.bootstrap import Interval
from weakseg.evaluation.compared import Comparison
from weakseg.evaluation.tables import WHOLE
from weakseg.reporting.tables import figure_text
from weakseg.utils.files import write_whole

TABLE = "comparison.csv"
SUMMARY = "comparison.json"


def heading(name: str) -> str:
    """A figure in words.

    >>> heading("miou"), heading("iou/cat")
    ('mean IoU', 'cat')
    """
    return WHOLE.get(name, name.removeprefix("iou/"))


def difference_text(interval: Interval) -> str:
    """A difference with its interval.

    >>> (
    ...     difference_text(Interval(0.03, 0.01, 0.05)),
    ...     difference_text(Interval(0.03, *[math.nan] * 2)),
    ... )
    ('+0.030 (+0.010 to +0.050)', '+0.030')
    """
    if math.isnan(interval.value):
        return "-"
    if math.isnan(interval.low):
        return f"{interval.value:+.3f}"
    return f"{interval.value:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def level_text(level: float) -> str:
    """The level of intervals in percent.

    >>> level_text(0.95), level_text(0.995)
    ('95 %', '99.5 %')
    """
    return f"{100 * level:.4g} %"


def cost_texts(comparison: Comparison) -> dict[str, list[str]]:
    """What the annotation of each side costs, by what it is; nothing where no side knows."""
    costs = [side.cost for side in comparison.sides]
    rows = {
        "seconds of annotation per image": [_or_dash(cost.seconds, ".1f") for cost in costs],
        "training images": [_or_dash(cost.images, ",") for cost in costs],
        "hours of annotation": [_or_dash(cost.hours, ".2f") for cost in costs],
        "of these, hours of corrections, measured": [
            _or_dash(cost.correction_hours, ".2f") for cost in costs
        ],
    }
    return {name: texts for name, texts in rows.items() if set(texts) != {"-"}}


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the table, and what is to be said of it."""
    sides = comparison.sides
    for side in sides:
        console.print(f"{side.letter} = {side.name}", soft_wrap=True, highlight=False)
    others = range(len(sides) - 1)
    if len(sides) == 2:
        console.print(_table(comparison, "figures", values=True, others=others))
    else:  # side by side they would not fit
        console.print(_table(comparison, "figures", values=True, others=()))
        for place in others:
            console.print(_table(comparison, "differences", values=False, others=[place]))
    for name, texts in cost_texts(comparison).items():
        each = ", ".join(
            f"{letter} {text}" for letter, text in zip(comparison.letters, texts, strict=True)
        )
        console.print(f"{name}: {each}", soft_wrap=True, highlight=False)
    for note in [images_text(comparison), *comparison.common.notes]:
        console.print(note, soft_wrap=True, highlight=False)


def _table(comparison: Comparison, title: str, *, values: bool, others: Sequence[int]) -> Table:
    """A row per figure, with the value of each side, or the differences of some from the first; in
    bold where the interval excludes zero."""
    first, *rest = comparison.letters
    table = Table("", title=title, title_justify="left")
    for letter in comparison.letters if values else ():
        table.add_column(letter, justify="right")
    for place in others:
        interval = f"({level_text(comparison.draws.level)} interval)"
        table.add_column(f"{rest[place]} - {first} {interval}", justify="right", no_wrap=True)
    whole = [figure for figure in comparison.figures if not figure.name.startswith("iou/")]
    classes = [figure for figure in comparison.figures if figure.name.startswith("iou/")]
    for figure in [*whole, *classes]:
        cells = [Text(heading(figure.name))]
        cells += [Text(figure_text(each.value)) for each in figure.values if values]
        cells += [_difference(figure.differences[place]) for place in others]
        table.add_row(*cells, end_section=figure is whole[-1])
    return table


def _difference(interval: Interval) -> Text:
    return Text(difference_text(interval), style="bold" if interval.excludes_zero else "")


def images_text(comparison: Comparison) -> str:
    """How many images, and what intervals over them mean."""
    return (
        f"{len(comparison.common.images)} images; intervals: how far a difference varies with "
        "other images of this kind, not with another seed of the training"
    )


def write_comparison(
    folder: Path, comparison: Comparison, command: str, versions: dict[str, str]
) -> None:
    """Write comparison.csv and comparison.json, each whole or not at all; the latter is the last
    one."""
    head = {"command": command, "versions": versions}
    write_whole(folder / TABLE, _csv(comparison).encode())
    text = json.dumps(head | _content(comparison), indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(folder / SUMMARY, f"{text}\n".encode())


def _csv(comparison: Comparison) -> str:
    """A line per figure and side."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    ends = ("value", "low", "high", "difference", "difference_low", "difference_high")
    table.writerow(["figure", "run", *ends])
    for figure in comparison.figures:
        none = Interval(*[math.nan] * 3)
        rows = zip(comparison.sides, figure.values, [none, *figure.differences], strict=True)
        for side, value, difference in rows:
            numbers = ["" if math.isnan(each) else each for each in (*value, *difference)]
            table.writerow([figure.name, side.name, *numbers])
    return file.getvalue()


def _content(comparison: Comparison) -> dict[str, Any]:
    first = comparison.sides[0].name
    return {
        "runs": [
            {
                "name": side.name,
                "evaluation": str(side.evaluation.folder),
                "model": side.evaluation.model,
                "measured_on": side.evaluation.measured_on,
                "seconds_per_image": side.cost.seconds,
                "training_images": side.cost.images,
                "correction_seconds": side.cost.corrections,
                "figures": {
                    figure.name: _interval(figure.values[place]) for figure in comparison.figures
                },
                "differences": {
                    figure.name: _interval(figure.differences[place - 1])
                    for figure in comparison.figures
                }
                if place
                else {},
            }
            for place, side in enumerate(comparison.sides)
        ],
        "differences_from": first,
        "bootstrap": comparison.draws._asdict(),
        "classes": comparison.common.classes,
        "notes": comparison.common.notes,
        "recipes": [{"key": key, "values": values} for key, values in comparison.keys.items()],
        "images": [
            {"name": image.name, "iou": [_number(iou) for iou in image.ious]}
            for image in comparison.apart
        ],
    }


def _interval(interval: Interval) -> dict[str, float | None]:
    return {name: _number(value) for name, value in interval._asdict().items()}


def _number(value: float) -> float | None:
    """JSON has no nan."""
    return None if math.isnan(value) else value
