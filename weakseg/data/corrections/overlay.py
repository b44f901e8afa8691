"""Corrections laid over the evidence of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from weakseg.data.corrections.events import Event
from weakseg.data.corrections.history import History
from weakseg.data.formats.base import Place, Shape
from weakseg.data.formats.painting import Patch, patch_of
from weakseg.data.formats.runs import pack, to_coco_string
from weakseg.data.simulate.derive import LARGE
from weakseg.evidence import IGNORE, Evidence

NEAR = 1.0  # pixels of the file: an edge that is no farther away is the same
PLACE = Place("corrections")
ADDING = frozenset(["add_box", "click", "scribble", "paint", "fill", "add_tag"])
NO_NAMES: Mapping[str, str | None] = {}  # never written to
SHAPES = {"scribble": "line", "paint": "line", "erase": "line", "fill": "polygon"}


class Overlay(NamedTuple):
    """Evidence with corrections, and what did not fit."""

    evidence: Evidence
    remarks: tuple[str, ...] = ()
    """events without any effect, such as a box to be removed that is not there"""


def lay_over(
    evidence: Evidence,
    history: History | None,
    classes: Sequence[str],
    rename: Mapping[str, str | None] = NO_NAMES,
) -> Overlay:
    """The evidence of an image with the corrections of a person, which win wherever both say
    something.

    Args:
        evidence: as the data set has it, at whatever resolution.
        history: of the corrections; None for none.
        classes: names of the classes, the background first.
        rename: what classes that these are not are called here; None leaves them out.
    """
    if history is None or not (edits := history.edits):
        return Overlay(evidence)
    layer = _Layer(evidence, history.size, classes, rename)
    remarks = [remark for event in edits if (remark := layer.lay(event))]
    return Overlay(layer.made(), tuple(f"image {evidence.id}: {remark}" for remark in remarks))


def draws(history: History, classes: Sequence[str]) -> bool:
    """Whether corrections leave anything to train on in an image that has no annotation.

    Args:
        history: of the corrections.
        classes: names of the classes of the data set.
    """
    known = [event for event in history.edits if event.label is None or event.label in classes]
    if all(event.action in ADDING for event in known):  # of nearly all images, and fast
        return bool(known)
    width, height = history.size
    nothing = Evidence(history.image, torch.zeros(3, 1, 1).expand(3, height, width))
    return bool(lay_over(nothing, history, classes).evidence.kinds)


def described(evidence: Evidence, size: tuple[int, int], classes: Sequence[str]) -> dict[str, Any]:
    """Evidence as a file of corrections keeps it for whoever reads it: what was there before.

    Args:
        evidence: of an image.
        size: width and height of its file.
        classes: names of the classes.
    """
    found: dict[str, Any] = {}
    if evidence.tags is not None:
        found["tags"] = [name for name, there in zip(classes, evidence.tags, strict=True) if there]
    if evidence.boxes is not None and evidence.box_classes is not None:
        boxes = (evidence.boxes / _scale(evidence, size)).tolist()
        labels = evidence.box_classes.tolist()
        found["boxes"] = [
            {"class": classes[label], "points": [[box[0], box[1]], [box[2], box[3]]]}
            for label, box in zip(labels, boxes, strict=True)
        ]
    if evidence.marks is not None:
        marks = evidence.marks.numpy()
        height, width = marks.shape
        found["marks"] = {
            "size": [width, height],
            "coco_runs": {
                classes[label]: to_coco_string(pack(marks == label, by_columns=True).counts)
                for label in np.unique(marks).tolist()
                if label < len(classes)
            },
        }
    return found


def _scale(evidence: Evidence, size: tuple[int, int]) -> Tensor:
    """Pixels of the evidence per pixel of the file, for x1 y1 x2 y2."""
    height, width = evidence.image.shape[-2:]
    return torch.tensor([width / size[0], height / size[1]] * 2)


class _Layer:
    """Evidence on which one event after another is laid."""

    def __init__(
        self,
        evidence: Evidence,
        size: tuple[int, int],
        classes: Sequence[str],
        rename: Mapping[str, str | None],
    ) -> None:
        self.evidence = evidence
        self.classes = classes
        self.rename = rename
        self.height, self.width = evidence.image.shape[-2:]
        self.scale = _scale(evidence, size)
        self.marks = None if evidence.marks is None else evidence.marks.clone()
        self.strokes: Tensor | None = None
        self.painted: Tensor | None = None
        self.tags = None if evidence.tags is None else evidence.tags.clone()
        self.boxes = [] if evidence.boxes is None else list(evidence.boxes)
        self.box_classes = [] if evidence.box_classes is None else evidence.box_classes.tolist()
        self.box_masks = None if evidence.box_masks is None else list(evidence.box_masks)
        self.tagged = self._tagged()

    def lay(self, event: Event) -> str:
        """Lay an event over what is there; returns why it has no effect, or nothing."""
        if event.label is not None and event.label not in self.classes:
            name = self.rename.get(event.label, event.label)
            if name is None:
                return ""  # left out, as the objects of the files
            if name not in self.classes:
                return f"{event.action}: there is no class {event.label!r} in the data set"
            event = event._replace(label=name)
        match event.action:
            case "add_box":
                return self._add_box(event)
            case "remove_box":
                return self._remove_box(event)
            case "add_tag":
                self._tag(self._number(event), True)
                self.tagged.add(self._number(event))
            case "remove_tag":
                return self._remove_tag(self._number(event))
            case "erase":
                return self._erase(self._patch(event))
            case _:
                return self._mark(event)
        return ""

    def made(self) -> Evidence:
        """The evidence with all that was laid over it."""
        boxes = torch.stack(self.boxes) if self.boxes else torch.zeros(0, 4)
        # no box at all says that all is background, which nobody has said who has drawn none
        has_boxes = bool(self.boxes) or self.evidence.boxes is not None
        masks = None
        if self.box_masks is not None:
            shape = (0, self.height, self.width)
            masks = (
                torch.stack(self.box_masks)
                if self.box_masks
                else torch.zeros(shape, dtype=torch.bool)
            )
        return self.evidence._replace(
            marks=_unless_empty(self.marks, self.evidence.marks),
            strokes=_unless_empty(self.strokes, None),
            painted=_unless_empty(self.painted, None),
            tags=self.tags,
            large=self._large(),
            boxes=boxes if has_boxes else None,
            box_classes=torch.tensor(self.box_classes, dtype=torch.int64) if has_boxes else None,
            box_masks=masks,
        )

    def _number(self, event: Event) -> int:
        assert event.label is not None
        return self.classes.index(event.label)

    def _box(self, event: Event) -> Tensor:
        edges = torch.tensor(event.box) * self.scale
        rim = torch.tensor([self.width, self.height] * 2, dtype=edges.dtype)
        inside = edges.clamp(min=0).minimum(rim)
        return inside if self.evidence.boxes is None else inside.to(self.evidence.boxes.dtype)

    def _add_box(self, event: Event) -> str:
        box = self._box(event)
        if self._number(event) == 0:
            return f"add_box: a box goes around a class, but {event.label} is the background"
        if not (box[0] < box[2] and box[1] < box[3]):
            return "add_box: the box lies outside of the image"
        self.boxes.append(box)
        self.box_classes.append(self._number(event))
        if self.box_masks is not None:
            # what the object in it looks like nobody has drawn: all of the box
            left, top, right, bottom = box.round().int().tolist()
            mask = torch.zeros(self.height, self.width, dtype=torch.bool)
            mask[top : max(bottom, top + 1), left : max(right, left + 1)] = True
            self.box_masks.append(mask)
        if self.tags is not None:
            self._tag(self._number(event), True)
        return ""

    def _remove_box(self, event: Event) -> str:
        box = self._box(event)
        label = self._number(event)
        near = NEAR * self.scale.max() + 1e-3
        for place, (other, own) in enumerate(zip(self.boxes, self.box_classes, strict=True)):
            if own == label and (other - box).abs().max() <= near:
                del self.boxes[place], self.box_classes[place]
                if self.box_masks is not None:
                    del self.box_masks[place]
                self._forget(label)
                return ""
        return f"remove_box: there is no such box of {event.label}"

    def _tagged(self) -> set[int]:
        """Classes that the annotation names without showing where."""
        if self.tags is None:
            return set()
        return {label for label in self.tags.nonzero().flatten().tolist() if not self._shows(label)}

    def _shows(self, label: int) -> bool:
        """Whether a box or a mark shows a class."""
        marked = self.marks is not None and bool((self.marks == label).any())
        return marked or label in self.box_classes

    def _forget(self, label: int) -> None:
        """A class whose last box and mark are gone is not named any more, unless the annotation has
        named it without them."""
        if self.tags is not None and label not in self.tagged and not self._shows(label):
            self.tags[label] = False

    def _tag(self, label: int, there: bool) -> None:
        if self.tags is None:
            shown = [self._shows(each) for each in range(len(self.classes))]
            self.tags = torch.tensor([True, *shown[1:]])
        self.tags[label] = there

    def _remove_tag(self, label: int) -> str:
        if self.tags is None or not self.tags[label]:
            return f"remove_tag: there is no tag {self.classes[label]}"
        self.tags[label] = False
        self.tagged.discard(label)
        return ""

    def _mark(self, event: Event) -> str:
        patch = self._patch(event)
        if not patch.covered.any():
            return f"{event.action}: it covers no pixel of the image"
        label = self._number(event)
        exact = event.action in ("paint", "fill")
        self.marks = _painted(self._blank(self.marks), patch, label)
        self.strokes = _painted(self._blank(self.strokes), patch, IGNORE if exact else label)
        self.painted = _painted(self._blank(self.painted), patch, label if exact else IGNORE)
        if self.tags is not None:
            self._tag(label, True)
        return ""

    def _erase(self, patch: Patch) -> str:
        gone = self._labels_in(patch)
        if not gone:
            return "erase: there are no marks"
        layers = (self.marks, self.strokes, self.painted)
        self.marks, self.strokes, self.painted = (
            None if layer is None else _painted(layer, patch, IGNORE) for layer in layers
        )
        for label in gone - {0}:
            self._forget(label)
        return ""

    def _labels_in(self, patch: Patch) -> set[int]:
        """The classes of the marks on the pixels of a patch."""
        if self.marks is None:
            return set()
        marks = self.marks[patch.rows, patch.columns][torch.from_numpy(patch.covered)]
        return set(torch.unique(marks).tolist()) - {IGNORE}

    def _blank(self, layer: Tensor | None) -> Tensor:
        shape = (self.height, self.width)
        return torch.full(shape, IGNORE, dtype=torch.uint8) if layer is None else layer

    def _patch(self, event: Event) -> Patch:
        """The pixels of a stroke, an outline or a click, at the resolution of the evidence."""
        scale = self.scale[:2].numpy().astype(np.float64)
        points = np.array(event.points) * scale
        width = max(1.0, event.width * float(scale.mean()))
        if event.action == "click" or len(points) == 1:
            # a disc is a line without a length
            points = np.repeat(points[:1], 2, axis=0)
        kind = SHAPES.get(event.action, "line")
        shape = Shape("", "polygon" if kind == "polygon" else "line", PLACE, (points,))
        patch = patch_of(shape, self.width, self.height, width, 0)
        if patch.covered.any() or event.action == "fill":
            return patch
        # thinner than the way from one middle of a pixel to the next: the pixel itself
        return patch_of(shape._replace(kind="point"), self.width, self.height, 0, 0)

    def _large(self) -> Tensor | None:
        """Which classes are large: as it was, but for those that are named anew or no longer."""
        before = self.evidence.large
        if before is None or self.tags is None:
            return before
        large = before & self.tags
        if self.evidence.tags is not None:
            for label in torch.nonzero(self.tags & ~self.evidence.tags).flatten().tolist():
                large[label] = self._area(label) > LARGE * self.width * self.height
        return large

    def _area(self, label: int) -> float:
        """About how many pixels boxes and marks give to a class."""
        own = [box for box, of in zip(self.boxes, self.box_classes, strict=True) if of == label]
        boxes = sum(float((box[2] - box[0]) * (box[3] - box[1])) for box in own)
        marked = 0 if self.marks is None else int((self.marks == label).sum())
        return max(boxes, marked)


def _unless_empty(layer: Tensor | None, before: Tensor | None) -> Tensor | None:
    """A layer; nothing where all that was drawn on it is gone, and there was none before."""
    empty = layer is None or (before is None and not bool((layer != IGNORE).any()))
    return None if empty else layer


def _painted(layer: Tensor, patch: Patch, label: int) -> Tensor:
    """The layer, with a label on the pixels of a patch."""
    layer[patch.rows, patch.columns][torch.from_numpy(patch.covered)] = label
    return layer
