"""From the annotation of an image in a file to the evidence that strategies learn from."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from weakseg.data.formats.base import KINDS, Annotation, Floats, FormatError, Kind, Shape, excerpt
from weakseg.data.formats.painting import patch_of
from weakseg.data.names import spelling_hint, tags_named
from weakseg.evidence import IGNORE, Evidence
from weakseg.utils.lengths import Length, Share

PAINTED = ("polygon", "line", "point", "mask")
# pixels: rounding and unsteady hands reach so far over the rim of an image; what reaches further
# was drawn on another one
RIM = 2


def to_evidence(
    annotation: Annotation,
    image: Tensor,
    classes: Sequence[str],
    kinds: Collection[Kind] | None = None,
    line_width: Length = Share(0.006),
    point_radius: Length = 0,
    whole: bool = False,
    rim: float = RIM,
) -> Evidence:
    """The evidence of an image, called by its name; its first class is the background.

    Boxes become `boxes`, cut off at the rim of the image. Polygons, lines, points and masks become
    `marks`: of what overlaps, the higher layer lies on top, then the one that covers fewer pixels,
        then the later one; elsewhere nothing is marked. Tags become `tags`, which
    name the classes of all shapes of whatever kind, and the background.

    Args:
        annotation: what a reader of one of the formats returned.
        image: uint8 [3,H,W], of the size that the file has.
        classes: names of the classes.
        kinds: which kinds of shapes are used, and the image was searched for, so that an image
            without a box has an empty list of boxes. None: those that are there.
        line_width: of lines, in pixels, or as a share of the image's long side, which is three
            pixels at least.
        point_radius: of the discs around points, likewise; 0 marks one pixel.
        whole: whether all that is not marked is background, as in full masks.
        rim: how many pixels boxes, polygons and lines may reach over the rim of the image; what
            does is cut off there.
    """
    _check(annotation, image, classes, kinds, rim)
    wanted = [shape for shape in annotation.shapes if kinds is None or shape.kind in kinds]
    there = {shape.kind for shape in wanted} if kinds is None else set(kinds)
    evidence = Evidence(annotation.image, image)
    if "box" in there:
        boxes, labels = _boxes([shape for shape in wanted if shape.kind == "box"], image, classes)
        evidence = evidence._replace(boxes=boxes, box_classes=labels)
    if whole or there.intersection(PAINTED):
        painted = [shape for shape in wanted if shape.kind in PAINTED]
        evidence = evidence._replace(
            marks=_marks(painted, image, classes, line_width, point_radius, 0 if whole else IGNORE)
        )
    if "tag" in there:
        evidence = evidence._replace(
            tags=tags_named([shape.name for shape in annotation.shapes], classes)
        )
    return evidence


def check_shape(
    shape: Shape, width: int, height: int, classes: Sequence[str], rim: float = RIM
) -> None:
    """A FormatError if the shape's class is none, or if it lies outside of an image of this size or
    further over its rim than `rim`."""
    place = shape.place
    if shape.name not in classes:
        raise FormatError(
            place,
            "the class",
            "one of the data set's",
            f"{excerpt(shape.name)}; {spelling_hint(shape.name[:100], classes)}",
        )
    if shape.kind == "box" and shape.name == classes[0]:
        raise FormatError(
            place, "the class of a box", "one that is not the background", repr(shape.name)
        )
    inside = f"inside of the image, which is {width} wide and {height} high"
    if shape.runs is not None:
        left, top, right, bottom = _edges(shape)
        if left < 0 or top < 0 or right > width or bottom > height:
            raise FormatError(
                place, "a mask", inside, f"from {left:g} {top:g} to {right:g} {bottom:g}"
            )
        if shape.runs.by_columns and (right, bottom) != (width, height):
            raise FormatError(
                place,
                "a mask",
                f"of the size of the image, {width} by {height}",
                f"{right:g} by {bottom:g}",
            )
    for points in shape.parts:
        _check_part(shape._replace(parts=(points,)), width, height, inside, rim)


def _check_part(part: Shape, width: int, height: int, inside: str, rim: float) -> None:
    """A point must lie inside itself, and may lie on the rim; of an area or a line a part must be
    inside, and nothing far outside."""
    left, top, right, bottom = _edges(part)
    over = overhang(part, width, height)
    if (
        over > 0
        if part.kind == "point"
        else right <= 0 or bottom <= 0 or left >= width or top >= height
    ):
        raise FormatError(
            part.place, f"a {part.kind}", inside, f"from {left:g} {top:g} to {right:g} {bottom:g}"
        )
    if over > rim:
        most = (
            f"{inside}, or at most {rim:g} pixels over its rim (data.wrong=cut cuts off whatever "
            "lies outside)"
        )
        raise FormatError(
            part.place,
            f"a {part.kind}",
            most,
            f"{over:g} over it: from {left:g} {top:g} to {right:g} {bottom:g}",
        )


def overhang(shape: Shape, width: int, height: int) -> float:
    """How many pixels a shape reaches over the rim of an image of this size; 0 if it lies inside,
    or lies nowhere as tags do."""
    if shape.kind == "tag":
        return 0.0
    left, top, right, bottom = _edges(shape)
    return max(-left, -top, right - width, bottom - height, 0.0)


def _check(
    annotation: Annotation,
    image: Tensor,
    classes: Sequence[str],
    kinds: Collection[Kind] | None,
    rim: float,
) -> None:
    if unknown := sorted(set(kinds or ()) - set(KINDS)):
        raise ValueError(
            f"kinds should be some of {', '.join(KINDS)}, but one of them is {unknown[0]!r}"
        )
    height, width = image.shape[-2:]
    if annotation.size not in (None, (width, height)):
        came = "{} by {}; was it resized or turned since?".format(*annotation.size or ())
        raise FormatError(
            annotation.place,
            "the size of the image",
            f"as the image has it, {width} by {height}",
            came,
        )
    for shape in annotation.shapes:
        check_shape(shape, width, height, classes, rim)


def _boxes(shapes: list[Shape], image: Tensor, classes: Sequence[str]) -> tuple[Tensor, Tensor]:
    height, width = image.shape[-2:]
    corners: Floats = (
        np.array([shape.parts[0] for shape in shapes]).reshape(-1, 2, 2).clip(0, [width, height])
    )
    labels = [classes.index(shape.name) for shape in shapes]
    return torch.from_numpy(corners.reshape(-1, 4).astype(np.float32)), torch.tensor(
        labels, dtype=torch.int64
    )


def _marks(
    shapes: list[Shape],
    image: Tensor,
    classes: Sequence[str],
    line_width: Length,
    point_radius: Length,
    empty: int,
) -> Tensor:
    height, width = image.shape[-2:]
    patches = [patch_of(shape, width, height, line_width, point_radius) for shape in shapes]
    areas = [int(patch.covered.sum()) for patch in patches]
    marks = np.full((height, width), empty, np.uint8)
    for number in sorted(
        range(len(shapes)), key=lambda number: (shapes[number].layer, -areas[number])
    ):
        patch = patches[number]
        marks[patch.rows, patch.columns][patch.covered] = classes.index(shapes[number].name)
    return torch.from_numpy(marks)


def _edges(shape: Shape) -> tuple[float, float, float, float]:
    if shape.runs is not None:
        runs = shape.runs
        return runs.left, runs.top, runs.left + runs.width, runs.top + runs.height
    points = np.concatenate(shape.parts)
    (left, top) = points.min(0).tolist()
    (right, bottom) = points.max(0).tolist()
    return left, top, right, bottom
