"""Pages of one HTML file each, which need no other file, no script and no network: what their
templates show, and how they are written.

A page of `templates` extends `page.html` and shows its parts by the macros of `parts.html`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.reporting.drawing import (
    Case,
    draw_errors,
    draw_evidence,
    overlay,
    palette,
    picture_address,
)
from weakseg.reporting.label_errors import LabelError, error_of, ignored_share, pairs_of
from weakseg.reporting.tables import figure_text, percent
from weakseg.utils.files import write_whole

LEGIBLE = 12  # classes up to which the cells of the confusion matrix have numbers in them

NAMES = ("target", "prediction", "truth")

ConfusionRows = list[tuple[str, list[tuple[str, int, float]]]]


class Panel(NamedTuple):
    """One picture of an image; None for what there is not."""

    name: str
    caption: str
    picture: str | None
    """its address, `data:image/...`, which holds all of it"""


class Shown(NamedTuple):
    """One image of a gallery."""

    case: Case
    panels: list[Panel]
    """evidence, target, prediction, and truth where any image has one"""
    errors: list[tuple[LabelError, Panel, int]]
    """where the image has a truth: label error and network error, and in which column each stands,
    below the labels that it is an error of"""


def write_page(
    path: Path,
    template: str,
    *,
    title: str,
    notes: Sequence[str],
    facts: Mapping[str, str] | None = None,
    **names: Any,
) -> None:
    """Write a page, whole or not at all.

    Args:
        path: of the file.
        template: file name of a template.
        title: of the page.
        notes: lines below the title.
        facts: the large numbers below the notes, by what they are.
        names: whatever else the template shows; each text is escaped.
    """
    page = _environment().get_template(template)
    text = page.render(title=title, notes=notes, facts=facts or {}, **names)
    write_whole(Path(path), text.encode())


@cache
def _environment() -> Environment:
    """The templates, in which every text is escaped and a misspelled name is an error."""
    environment = Environment(
        loader=PackageLoader("weakseg.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure_text, "known": is_known, "percent": percent}
    return environment


def is_known(value: float | None) -> bool:
    """Whether a figure was measured.

    >>> is_known(0.5), is_known(float("nan")), is_known(None)
    (True, False, False)
    """
    return value is not None and not math.isnan(value)


def colour_keys(classes: Sequence[str]) -> list[tuple[str, list[int]]]:
    """The colour of each class, for the legend of pictures and for the heads of a matrix.

    >>> colour_keys(["background", "cat"])
    [('background', [0, 0, 0]), ('cat', [128, 0, 0])]
    """
    return list(zip(classes, palette(len(classes)).tolist(), strict=True))


def confusion_rows(confusion: Tensor, classes: Sequence[str]) -> ConfusionRows:
    """Each class of the truth with its cells: the class predicted, pixels, and share of the row.

    Args:
        confusion: counts of pixels, int64 [C,C] with a row per class of the truth.
        classes: their names.
    """
    shares = confusion.double() / confusion.sum(1, keepdim=True).clamp(min=1)
    return [
        (name, list(zip(classes, counts, row, strict=True)))
        for name, counts, row in zip(classes, confusion.tolist(), shares.tolist(), strict=True)
    ]


def gallery(cases: Sequence[Case], classes: Sequence[str]) -> list[Shown]:
    """Images with their pictures; without one for the truth where none has any."""
    names = NAMES if any(case.truth is not None for case in cases) else NAMES[:2]
    return [
        Shown(case, _panels(case, names, classes), _error_panels(case, len(classes)))
        for case in cases
    ]


def _panels(case: Case, names: Sequence[str], classes: Sequence[str]) -> list[Panel]:
    evidence = case.evidence
    annotated = picture_address(draw_evidence(evidence, len(classes)))
    panels = [Panel("evidence", f"evidence: {_in_words(evidence, classes)}", annotated)]
    for name in names:
        labels: Tensor | None = getattr(case, name)
        drawn = None if labels is None else picture_address(overlay(evidence.image, labels))
        panels.append(Panel(name, _caption(name, labels), drawn))
    return panels


def _caption(name: str, labels: Tensor | None) -> str:
    """The name of labels, with the share of ignored pixels in a target."""
    ignored = ignored_share(labels) if name == "target" and labels is not None else 0.0
    return f"{name}, {percent(ignored)} ignored" if ignored else name


def _error_panels(case: Case, classes: int) -> list[tuple[LabelError, Panel, int]]:
    if case.truth is None:
        return []
    panels = []
    for column, pair in enumerate(pairs_of(case), 2):
        error = error_of(pair, classes)
        if error is None or pair.labels is None or pair.reference is None:
            continue
        picture = draw_errors(case.evidence.image, pair.labels, pair.reference)
        panel = Panel(pair.name.partition(":")[0], pair.name, picture_address(picture))
        panels.append((error, panel, column))
    return panels


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
