"""import_masks: masks that people have corrected in an annotation tool, as corrections of the data
set of a run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from weakseg.config.recipe import RecipeError, build_section, resolve
from weakseg.config.recipe import load as load_recipe
from weakseg.data.base import WeakData
from weakseg.data.corrections.events import MOST_POINTS, Event
from weakseg.data.corrections.folder import BESIDE, CorrectionsFolder
from weakseg.data.corrections.history import History
from weakseg.data.corrections.overlay import described
from weakseg.data.files.folder import Folder, Format
from weakseg.data.formats.images import image_size
from weakseg.data.formats.label_studio import seconds_of
from weakseg.data.formats.writing.polygons import polygons_of
from weakseg.evidence import Evidence
from weakseg.training.estimation import Failure
from weakseg.utils.limits import limited
from weakseg.utils.messages import one_line
from weakseg.utils.paths import without_link
from weakseg.utils.progress import track

INHERITED = ("root", "images", "rename")  # words of the run's data set that say where images are
Size = tuple[int, int]


class Imported(NamedTuple):
    """What a call has done."""

    folder: Path
    """of the corrections"""
    corrected: int
    """images whose masks are corrections now"""
    same: int
    """images whose masks were that already"""
    failed: tuple[Failure, ...]
    """images whose masks could not be taken, and why"""
    train: str
    """what a person types to train with the corrections"""


@limited
def import_masks(
    run: str | Path,
    annotations: Path,
    format: Format = "label_studio",
    *,
    corrections: Path | None = None,
    who: str = "",
    data: Mapping[str, Any] | None = None,
) -> Imported:
    """Take masks that people have corrected in an annotation tool as corrections of the data set of
    a run: the target of such an image is exactly its mask, and all others are estimated as
    before.

    Images that the export does not have are left alone. A second call with the same export changes
    nothing.

    Args:
        run: the run folder whose data set has the images.
        annotations: the exported file, or the folder of exported files.
        format: of the export, as data.format has it.
        corrections: the folder in which corrections are kept; null for that of the recipe, or else
            corrections/ in the run.
        who: the name that they are kept under; empty for that of the format.
        data: words about the export, beside those of the run's data set that say where the images
            are.
    """
    # `latest` leads elsewhere as soon as somebody trains with the corrections
    folder = without_link(Path(run))
    if not (folder / "recipe.yaml").is_file():
        raise RecipeError(f"run: expected a run folder, with a recipe.yaml, but {folder} is none")
    recipe = load_recipe([f"resume={folder}"])
    node = recipe.sections["data"]
    place = corrections or _path(node.get("corrections")) or folder / BESIDE
    own: WeakData = resolve(recipe, ["data"]).build("data")
    own.prepare_data()
    own.setup("fit")
    exported = _exported(own, annotations, format, node, data or {})
    times = seconds_of(annotations) if format == "label_studio" else {}
    importing = _Importing(own, exported, CorrectionsFolder(place), who or format, times)
    importing.work()
    words = [f"recipe={folder / 'recipe.yaml'}", f"data.corrections={place}"]
    train = shlex.join(["python", "-m", "weakseg.fit", *words])
    return Imported(place, importing.corrected, importing.same, tuple(importing.failed), train)


def _exported(
    own: WeakData,
    annotations: Path,
    format: Format,
    node: Mapping[str, Any],
    words: Mapping[str, Any],
) -> Folder:
    """The export as a data set of the same images with whole masks."""
    known = {name: node[name] for name in INHERITED if name in node}
    given = {
        "name": "folder",
        "classes": list(own.classes[1:]),
        "evidence": "masks",
        # in these files 255 has no label; in files of objects, what no object covers is background
        "whole": format != "mask_png",
        "format": format,
        "annotations": os.path.abspath(annotations),
        **known,
    }
    if "root" not in {**given, **words}:
        raise RecipeError(
            "data.root: expected the folder that the places of the export begin in, as the data "
            "set of the run has none; write data.root=<folder>"
        )
    found: Folder = build_section("data", given, words)
    return found


class _Importing:
    """One call of import_masks."""

    def __init__(
        self,
        own: WeakData,
        exported: Folder,
        folder: CorrectionsFolder,
        who: str,
        times: Mapping[str, float],
    ) -> None:
        self.own = own
        self.exported = exported
        self.folder = folder
        self.who = who
        self.times = times
        self.corrected = 0
        self.same = 0
        self.failed = [Failure(str(error.place), str(error)) for error in exported.problems]
        self.numbers = {
            file.resolve(): index
            for index in range(len(own))
            if (file := own.image_file(index)) is not None
        }

    def work(self) -> None:
        """Take the masks of all images."""
        for index in track(range(len(self.exported)), len(self.exported), "taking the masks"):
            id = self.exported.id_of(index)
            try:
                self._take(index)
            except Exception as error:  # one image may be broken in any way
                self.failed.append(Failure(id, one_line(error)))

    def _take(self, index: int) -> None:
        file = self.exported.image_file(index)
        number = None if file is None else self.numbers.get(file.resolve())
        if file is None or number is None:
            raise ValueError("it is no image of the run's data set")
        size = image_size(file)
        evidence, _ = self.exported.sample(index)
        seconds = self._seconds(file)
        events = list(_events(evidence, size, self.own.classes, self.who, seconds))
        id = self.own.id_of(number)
        before = self.folder.read(id)
        if before is not None and _is_same(before, events):
            self.same += 1
            return
        original, _ = self.own.sample(number)
        revision = 0 if before is None else before.revision
        seen = described(original, size, self.own.classes)
        self.folder.add_all(id, events, revision, size, seen)
        self.corrected += 1

    def _seconds(self, file: Path) -> float:
        """How long a person has worked on an image, where the export says so."""
        root = self.exported.root.resolve()
        resolved = file.resolve()
        name = resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else ""
        return self.times.get(name, self.times.get(file.name, 0.0))


def _events(
    evidence: Evidence, size: Size, classes: Sequence[str], who: str, seconds: float
) -> Iterator[Event]:
    """The mask of an image as outlines, with the verdict that it is right.

    Args:
        evidence: with the mask.
        size: width and height of the image's file.
        classes: their names.
        who: has drawn the mask.
        seconds: that it took.
    """
    if evidence.marks is None:
        raise ValueError("it has no mask")
    when = datetime.now(UTC).isoformat(timespec="seconds")
    marks = evidence.marks.numpy()
    scale = np.array(size) / marks.shape[::-1]
    for label, name in enumerate(classes):
        for ring in polygons_of(marks == label) if (marks == label).any() else ():
            if len(ring) > MOST_POINTS:
                raise ValueError(
                    f"the outline of {name} has {len(ring)} corners, more than {MOST_POINTS}"
                )
            points = tuple((float(x), float(y)) for x, y in ring * scale)
            yield Event("fill", name, points, when=when, who=who)
    yield Event("accept", when=when, who=who, seconds=seconds)


def _is_same(history: History, events: Sequence[Event]) -> bool:
    """Whether the last that was done to an image was the same."""
    last = history.applied[-len(events) :]
    return [_what(event) for event in last] == [_what(event) for event in events]


def _what(event: Event) -> tuple[str, str | None, tuple[tuple[float, float], ...]]:
    points = tuple((round(x, 2), round(y, 2)) for x, y in event.points)
    return event.action, event.label, points


def _path(value: Any) -> Path | None:
    return Path(value) if value else None
