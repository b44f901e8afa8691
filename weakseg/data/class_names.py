"""Which names in files are which classes of a data set, and what becomes of those that are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from weakseg.data.formats.base import Annotation, FormatError, Place
from weakseg.data.names import spelling_hint
from weakseg.evidence import IGNORE, Evidence

Others = Literal["error", "background", "ignore"]
BACKGROUND = "background"
# what Datumaro calls the rim of objects in PASCAL VOC, which counts as nothing
VOID = frozenset(["ignored"])


class Naming(NamedTuple):
    """The classes of a data set, background first."""

    classes: tuple[str, ...]
    others: Others = "error"
    """objects of another class: an error; or left out, and their pixels are background or ignored
    (255)"""
    rename: Mapping[str, str | None] = {}  # never written to
    """names in files, and what they are called here; None: left out, their pixels are background"""

    def renamed(self, annotation: Annotation) -> Annotation:
        """The annotation with the names of this data set."""
        if not self.rename:
            return annotation
        names = [self.rename.get(shape.name, shape.name) for shape in annotation.shapes]
        pairs = zip(annotation.shapes, names, strict=True)
        return annotation._replace(
            shapes=[shape._replace(name=name) for shape, name in pairs if name is not None]
        )

    def wide(self, annotation: Annotation) -> tuple[str, ...]:
        """The classes, and behind them those of the annotation that are none, where that is no
        error."""
        strange = {shape.name for shape in annotation.shapes} - set(self.classes)
        return (*self.classes, *sorted(strange & VOID if self.others == "error" else strange))

    def narrowed(self, evidence: Evidence, wide: Sequence[str] = ()) -> Evidence:
        """Evidence in the wide classes without what is no class of this data set."""
        count = len(self.classes)
        if evidence.boxes is not None and evidence.box_classes is not None:
            ours = evidence.box_classes < count
            evidence = evidence._replace(
                boxes=evidence.boxes[ours], box_classes=evidence.box_classes[ours]
            )
        if evidence.marks is not None:
            marks = evidence.marks
            for label, name in enumerate(wide):
                if name in VOID and label >= count:
                    marks = marks.masked_fill(marks == label, IGNORE)
            strange = (marks >= count) & (marks != IGNORE)
            evidence = evidence._replace(marks=marks.masked_fill(strange, self.fill))
        return evidence if evidence.tags is None else evidence._replace(tags=evidence.tags[:count])

    @property
    def fill(self) -> int:
        """The label of pixels of other classes."""
        return 0 if self.others == "background" else IGNORE

    def labels(self, values: Tensor, names: Sequence[str | None], place: Place) -> Tensor:
        """A mask whose values mean these names, as a mask of the classes; 255, and what has None as
        its name, becomes 255."""
        table = np.full(256, IGNORE, np.uint8)
        wrong = set(range(len(names), IGNORE))
        for value, name in enumerate(names):
            if name is not None and (label := self._label(name)) is not None:
                table[value] = label
            elif name is not None:
                wrong.add(value)
        mask = values.numpy()
        if strange := wrong.intersection(
            np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist()
        ):
            value = min(strange)
            name = names[value] if value < len(names) else None
            came = (
                str(value)
                if name is None
                else f"{value}, {name}; {spelling_hint(name, self.classes)}"
            )
            expected = (
                f"the number of a class, 0 to {len(names) - 1}, or 255"
                if name is None
                else "one of a class of the data set, or 255"
            )
            raise FormatError(place, "every value of the mask", expected, came)
        return torch.from_numpy(table.take(mask))

    def _label(self, name: str) -> int | None:
        new = self.rename.get(name, name)
        if new is None:
            return 0
        if new in self.classes:
            return self.classes.index(new)
        return None if self.others == "error" else self.fill


def with_background(names: Sequence[str]) -> tuple[str, ...]:
    """The classes of a data set: the background, then these names; a ValueError if one comes twice.

    >>> with_background(["cat", "dog"]), with_background(["background", "cat"])
    (('background', 'cat', 'dog'), ('background', 'cat'))
    """
    classes = tuple(names) if names and names[0] == BACKGROUND else (BACKGROUND, *names)
    if twice := [name for place, name in enumerate(classes) if name in classes[:place]]:
        raise ValueError(
            f"classes should each have a name of their own, but {twice[0]} comes twice, or is not "
            "the first"
        )
    if not 2 <= len(classes) <= IGNORE:
        raise ValueError(
            f"classes should be from 1 to {IGNORE - 1} names beside the background, but they are "
            f"{len(classes) - 1}"
        )
    return classes
