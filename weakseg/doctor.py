"""A doctor for data sets: looks at every image and every annotation, and tells all that is wrong at once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from weakseg.data.base import WeakData
from weakseg.data.folder import Folder
from weakseg.data.formats.base import FormatError, Place
from weakseg.data.formats.images import orientation
from weakseg.data.photos import Photos
from weakseg.evidence import IGNORE, Evidence
from weakseg.progress import track

COLUMNS = ("boxes", "images with a box", "images with marks", "images tagged", "images in the truth")
TURNED = 5  # EXIF notes from here on swap width and height


class Problem(NamedTuple):
    """One thing that is wrong, or that should be looked at."""

    place: str
    what: str
    expected: str
    found: str
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.level}: {self.place}: {self.what} should be {self.expected}, but it is {self.found}"


class Finding(NamedTuple):
    """What was found of one image."""

    id: str
    problems: list[Problem]
    counts: Counter[tuple[str, int]]
    """how often each class comes, by kind"""


@dataclass
class Diagnosis:
    """What was found of all images."""

    classes: tuple[str, ...]
    images: int = 0
    measured: int = 0
    """of the images, those that are only measured on"""
    seconds: float = 0.0
    problems: list[Problem] = field(default_factory=list)
    counts: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def errors(self) -> int:
        """How many problems are errors."""
        return sum(problem.level == "error" for problem in self.problems)


def diagnose(data: WeakData, workers: int = 0) -> Diagnosis:
    """Look at every image of a data set, in this process or in several."""
    found = Diagnosis(tuple(data.classes), len(data), len(data.validation))
    if isinstance(data, Photos):
        found.problems += [_problem(error) for error in data.problems]
    if isinstance(data, Folder) and data.unannotated:
        found.problems.append(_unannotated(data))
    start, ids = time.monotonic(), Counter[str]()
    for finding in track(_findings(data, workers), len(data), "looking at the images"):
        found.problems += dict.fromkeys(finding.problems)  # a mask that is annotation and truth is read twice
        found.counts += finding.counts
        ids[finding.id] += 1
    found.seconds = time.monotonic() - start
    if not isinstance(data, Photos):  # which notes this itself
        twice = [id for id, count in ids.items() if count > 1]
        found.problems += [Problem(f"image {id}", "the id", "its own", f"that of {ids[id]} images") for id in twice]
    found.problems += _never(found)
    return found


def tell(found: Diagnosis, console: Console, most: int = 200) -> None:
    """Print the problems, the counts of each class, and a line that sums up."""
    for problem in found.problems[:most]:
        console.print(str(problem), style="red" if problem.level == "error" else "yellow", markup=False, highlight=False, soft_wrap=True)
    if len(found.problems) > most:
        console.print(f"... and {len(found.problems) - most} more")
    table = Table("class", *COLUMNS)
    for number, name in enumerate(found.classes):
        table.add_row(name, *(str(found.counts[column, number]) for column in COLUMNS))
    console.print(table)
    rate = found.images / max(found.seconds, 1e-9)
    warnings = len(found.problems) - found.errors
    console.print(
        f"{found.images} images, {found.measured} of them only measured on, in {found.seconds:.1f} s ({rate:.0f} per second): "
        f"{_many(found.errors, 'error')}, {_many(warnings, 'warning')}",
        highlight=False,
        soft_wrap=True,
    )


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


class _Looks(Dataset[Finding]):
    def __init__(self, data: WeakData) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Finding:
        return look(self.data, index)


def _findings(data: WeakData, workers: int) -> Iterator[Finding]:
    """In the order of the images; workers hand over words and numbers only, no pictures."""
    loader: DataLoader[Finding] = DataLoader(_Looks(data), batch_size=8 if workers else 1, num_workers=workers, collate_fn=list)
    for findings in loader:
        yield from findings


def look(data: WeakData, index: int) -> Finding:
    """All that is wrong with one image, and how often each class comes in what is right."""
    problems: list[Problem] = []
    evidence: Evidence | None
    truth: Tensor | None
    if isinstance(data, Photos):
        errors: list[FormatError] = []
        seen = data.look(index, errors)
        id, evidence, truth = seen.entry.id, seen.evidence, seen.truth
        problems += [_problem(error) for error in errors]
        if seen.annotation is not None and not seen.annotation.shapes and not errors:
            problems.append(Problem(str(seen.annotation.place), "the annotation", "of at least one object", "empty", "warning"))
        if seen.annotation is not None and seen.annotation.size is None and (turn := _turn(data, index)):
            how = f"one that its camera turned (EXIF {turn}), and its annotation does not say for which way up"
            problems.append(Problem(str(seen.entry.image), "the image", "stored upright", how, "warning"))
    else:
        id, evidence, truth = f"number {index}", None, None
        try:
            evidence, truth = data.sample(index)
            id = str(evidence.id)
        except Exception as error:  # the user's own reader may raise anything
            problems.append(Problem(f"image {id}", "reading it", "possible", f"not: {type(error).__name__}: {error}"))
        if evidence is not None:
            problems += _checked(evidence, truth, len(data.classes))
    wrong = any(problem.level == "error" for problem in problems)
    counts = Counter[tuple[str, int]]() if evidence is None or wrong else _counts(evidence, truth)
    return Finding(id, problems, counts)


def _checked(evidence: Evidence, truth: Tensor | None, classes: int) -> list[Problem]:
    try:
        evidence.check(classes)
        evidence.check_truth(truth, classes)
    except ValueError as error:
        return [Problem(f"image {evidence.id}", "the evidence", "right", f"not: {str(error).removeprefix(f'image {evidence.id}: ')}")]
    return []


def _counts(evidence: Evidence, truth: Tensor | None) -> Counter[tuple[str, int]]:
    counts = Counter[tuple[str, int]]()
    if evidence.box_classes is not None:
        labels = evidence.box_classes.tolist()
        counts.update(("boxes", label) for label in labels)
        counts.update(("images with a box", label) for label in set(labels))
    if evidence.tags is not None:
        counts.update(("images tagged", label) for label in evidence.tags.nonzero().flatten().tolist())
    for column, labels_of in (("images with marks", evidence.marks), ("images in the truth", truth)):
        if labels_of is not None:
            shown = torch.bincount(labels_of.flatten(), minlength=IGNORE + 1)[:IGNORE].nonzero().flatten().tolist()
            counts.update((column, label) for label in shown)
    return counts


def _turn(data: Photos, index: int) -> int:
    """How the camera was held, if that swaps width and height; 0 otherwise, and where the image cannot be opened."""
    try:
        with Image.open(data.entries[index].image) as image:
            turn = orientation(image)
    except Exception:  # reported by whoever reads the pixels
        return 0
    return turn if turn >= TURNED else 0


def _unannotated(data: Folder) -> Problem:
    names = data.unannotated
    told = f"not, for {len(names)} of them, such as {', '.join(names[:3])}"
    return Problem(str(data.files), "the annotations", "about every image", told, "warning")


def _never(found: Diagnosis) -> list[Problem]:
    """Classes of which no image has anything."""
    seen = {label for (_, label), count in found.counts.items() if count}
    missing = [name for number, name in enumerate(found.classes) if number not in seen and number]
    if not missing or not seen:
        return []
    return [Problem("the data set", "every class", "shown by some image", f"not, for {', '.join(missing)}", "warning")]


def _problem(error: FormatError) -> Problem:
    place: Place = error.place
    return Problem(str(place), error.what, error.expected, error.came)
