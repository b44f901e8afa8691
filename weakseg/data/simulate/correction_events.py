"""The events by which a simulated person mends one mistake: a stroke or a click, a box, a tag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours
from torch import Tensor
from torchvision.ops import box_iou

from weakseg.data.corrections.events import Event, Point
from weakseg.data.simulate.derive import instances_of, objects_of
from weakseg.data.simulate.strokes import AROUND, Floats, distance_inside, draws_of, line
from weakseg.evidence import IGNORE, Evidence, Instances

Tool = Literal["scribble", "click"]
Bools = NDArray[np.bool_]
ENOUGH = 0.5  # IoU from which on a box is that of an object
EVERY = 3  # pixels from one point of a stroke to the next


class View(NamedTuple):
    """What a person who corrects has before her, and in her head."""

    shown: Tensor
    """the labels on the page, uint8 [H,W], 255 = none: the target, or the target and what the
    network predicts where that has none"""
    truth: Tensor
    """uint8 [H,W], 255 = unknown"""
    evidence: Evidence
    """of the image, with all corrections so far"""
    classes: Sequence[str]
    """the names, the background first"""
    size: tuple[int, int]
    """width and height of the image's file, to which events belong"""
    objects: Instances | None = None
    """the true objects; None for the connected regions of the truth"""


class Region(NamedTuple):
    """A connected region of pixels that should all have one class and do not."""

    label: int
    pixels: Bools
    """[H,W]"""


def mark(view: View, region: Region, tool: Tool, width: int, rng: np.random.Generator) -> Event:
    """A stroke along the middle of the region, or a click where it is deepest."""
    window = ndimage.find_objects(region.pixels.astype(np.uint8))[0]
    pixels = region.pixels[window]
    depth = distance_inside(pixels)
    if tool == "click":
        way = np.array([np.unravel_index(int(depth.argmax()), depth.shape)], float)
    else:
        way = line(draws_of(pixels, rng))
    corner = np.array([side.start for side in window])
    free = depth[tuple(np.rint(way).astype(int).T)].min()
    # a brush that stays inside of the region all along
    thin = 1 if tool == "click" else max(1, min(width, int(2 * free - 1)))
    return Event(
        tool,
        view.classes[region.label],
        _in_file(view, _fewer(way) + corner),
        round(thin * float(_scale(view).mean()), 2),
    )


def outline(view: View, region: Region) -> Event:
    """The region from its outline; a hole in it is filled, too."""
    inside = np.pad(region.pixels, 1).astype(float)
    rings = find_contours(inside, 0.5, fully_connected="high")  # type: ignore[no-untyped-call]
    ring = max(rings, key=len)[:-1] - 1
    return Event("fill", view.classes[region.label], _in_file(view, ring))


def was_drawn_on(view: View, region: Region) -> bool:
    """Whether there is a stroke of the right class on the region, or at its rim, that has not
    mended it."""
    if view.evidence.strokes is None:
        return False
    around = ndimage.binary_dilation(region.pixels, AROUND, iterations=2)
    return bool((view.evidence.strokes.numpy()[around] == region.label).any())


def erased_marks(view: View, region: Region) -> list[Event]:
    """Rub out each mark of another class on the part of the truth to which the region belongs."""
    if view.evidence.marks is None:
        return []
    marks = view.evidence.marks.numpy()
    parts, _ = ndimage.label(view.truth.numpy() == region.label, AROUND)
    here = parts == parts[region.pixels].max()
    wrong, _ = ndimage.label(here & (marks != IGNORE) & (marks != region.label), AROUND)
    width = round(float(_scale(view).mean()), 2)
    return [
        Event("erase", None, _in_file(view, np.argwhere(wrong == number)), width)
        for number in range(1, int(wrong.max()) + 1)
    ]


def wrong_tags(view: View, erased: Sequence[Event] = ()) -> list[Event]:
    """Take back the tags of classes that are not there and that nothing else names; where there is
    nothing but tags, name the classes that are."""
    tags = view.evidence.tags
    if tags is None:
        return []
    boxes = view.evidence.box_classes
    shown = torch.zeros(len(tags), dtype=torch.bool)
    for labels in (_marked(view, erased), boxes):
        if labels is not None:
            shown[labels[labels != IGNORE].long()] = True
    there = torch.zeros(len(tags), dtype=torch.bool)
    there[view.truth[view.truth != IGNORE].long()] = True
    there[0] = True
    lone = boxes is None and view.evidence.marks is None
    lost = torch.nonzero(tags & ~there & ~shown).flatten().tolist()
    missing = torch.nonzero(there & ~tags).flatten().tolist() if lone else []
    return [
        *(Event("remove_tag", view.classes[label]) for label in lost),
        *(Event("add_tag", view.classes[label]) for label in missing),
    ]


def _marked(view: View, erased: Sequence[Event]) -> Tensor | None:
    """The marks without those that are rubbed out."""
    if view.evidence.marks is None or not erased:
        return view.evidence.marks
    marks = view.evidence.marks.clone()
    for event in erased:
        across, down = (np.array(event.points) / _scale(view)).astype(int).T
        marks[down, across] = IGNORE
    return marks


def mended_boxes(view: View, region: Region) -> list[Event]:
    """The box of a missed object, the box that is wrong, or one in place of the other. Nothing if
    the boxes are right: then the estimation is wrong, and a stroke is needed."""
    boxes, labels = view.evidence.boxes, view.evidence.box_classes
    assert boxes is not None
    assert labels is not None
    objects = view.objects or instances_of(*objects_of(view.truth))
    overlap = box_iou(boxes, objects.boxes)
    fits = (overlap >= ENOUGH) & (labels[:, None] == objects.classes)
    # what has no partner: a box that was moved, or has a wrong class, gives way to the right one
    lone = torch.where(fits.any(1)[:, None] | fits.any(0), 0.0, overlap)
    missed = _missed(objects, region, ~fits.any(0))
    if missed is not None:
        wrong = _partner(lone[:, missed])
    else:
        wrong = _needless(view, region, ~fits.any(1))
        missed = None if wrong is None else _partner(lone[wrong])
    events = []
    if wrong is not None:
        events.append(_box(view, "remove_box", boxes[wrong], int(labels[wrong])))
    if missed is not None:
        events.append(_box(view, "add_box", objects.boxes[missed], int(objects.classes[missed])))
    return events


def _partner(overlap: Tensor) -> int | None:
    """The place of the largest overlap; None if there is none."""
    return int(overlap.argmax()) if bool((overlap > 0).any()) else None


def _missed(objects: Instances, region: Region, unboxed: Tensor) -> int | None:
    """The object without a right box that covers most of the region; None if none does."""
    covered = (objects.masks & torch.from_numpy(region.pixels)).flatten(1).sum(1)
    covered = torch.where(unboxed & (objects.classes == region.label), covered, 0)
    return int(covered.argmax()) if bool(covered.any()) else None


def _needless(view: View, region: Region, unfit: Tensor) -> int | None:
    """The box without an object that brings the wrong labels of the region; None if none does."""
    boxes, labels = view.evidence.boxes, view.evidence.box_classes
    assert boxes is not None
    assert labels is not None
    rows, columns = (torch.from_numpy(side) + 0.5 for side in np.nonzero(region.pixels))
    left, top, right, bottom = boxes[:, :, None].unbind(1)
    inside = (columns > left) & (columns < right) & (rows > top) & (rows < bottom)
    shown = view.shown[torch.from_numpy(region.pixels)]
    share = (inside & (shown == labels[:, None])).float().mean(1)
    share = torch.where(unfit, share, 0.0)
    return int(share.argmax()) if bool((share > ENOUGH).any()) else None


def _box(view: View, action: str, box: Tensor, label: int) -> Event:
    left, top, right, bottom = box.tolist()
    across, down = _scale(view)
    points = ((left * across, top * down), (right * across, bottom * down))
    return Event(action, view.classes[label], points)


def _scale(view: View) -> NDArray[np.float64]:
    """Pixels of the file per pixel of the labels, across and down."""
    height, width = view.truth.shape
    return np.array([view.size[0] / width, view.size[1] / height])


def _in_file(view: View, pixels: Floats | NDArray[np.intp]) -> tuple[Point, ...]:
    """The middles of pixels [N,2], rows and columns, as points of the file."""
    points = (pixels[:, ::-1] + 0.5) * _scale(view)
    return tuple((round(x, 2), round(y, 2)) for x, y in points.tolist())


def _fewer(way: Floats) -> Floats:
    """Every third point and the last one: a page sends no more."""
    return np.concatenate([way[:-1:EVERY], way[-1:]])
