"""What reading changes or leaves out without an error, counted by what it is, so that the check can
show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import torch
from torch import Tensor

from weakseg.data.class_names import Naming
from weakseg.data.formats.base import Annotation, Kind, Shape
from weakseg.data.formats.evidence import PAINTED, overhang
from weakseg.data.formats.painting import LEAST_WIDTH, patch_of
from weakseg.evidence import IGNORE, Evidence
from weakseg.utils.lengths import Length, in_pixels

MANY: dict[str, str] = {
    "box": "boxes",
    "polygon": "polygons",
    "line": "lines",
    "point": "points",
    "tag": "tags",
    "mask": "masks",
}
SMALL = 4.0  # pixels of area: only a polygon below that may lie between the middles of all pixels
THIN = 1.5  # pixels of width: only a thinner line may do so


def count_shapes(
    annotation: Annotation,
    naming: Naming,
    used: Collection[Kind] | None,
    size: tuple[int, int],
    line_width: Length,
) -> Counter[str]:
    """The shapes of an image that are left out, or not used as they are.

    Args:
        annotation: of the image, without the shapes that are wrong.
        naming: the classes of the data set.
        used: the kinds of shapes that evidence or truth is made from; None for all.
        size: width and height of the image, before it shrinks.
        line_width: of lines, in pixels or as a share.
    """
    counts = Counter[str]()
    for shape in annotation.shapes:
        many = MANY[shape.kind]
        if shape.name not in naming.classes:
            pixels = "background" if naming.fill == 0 else "ignored"
            counts[
                f"{many} left out, whose class the data set does not have; their pixels are "
                f"{pixels}"
            ] += 1
        elif used is not None and shape.kind not in used:
            counts[f"{many} not used, as data.evidence wants other kinds"] += 1
        elif overhang(shape, *size) > 0:
            counts[f"{many} cut off at the rim of the image"] += 1
        elif _covers_nothing(shape, size, line_width):
            counts[f"{many} too small to cover the middle of a pixel"] += 1
    return counts


def count_lost(
    annotation: Annotation | None,
    naming: Naming,
    used: Collection[Kind] | None,
    evidence: Evidence,
    truths: tuple[Tensor | None, ...],
) -> Counter[str]:
    """What cannot be seen any more in the evidence and the truth as they are read.

    Args:
        annotation: of the image, without the shapes that are wrong.
        naming: the classes of the data set.
        used: the kinds of shapes that evidence is made from; None for all.
        evidence: as it is read.
        truths: the truth before the image shrinks and as it is read.
    """
    counts = Counter[str]()
    if evidence.boxes is not None:
        sides = evidence.boxes[:, 2:] - evidence.boxes[:, :2]
        counts["boxes narrower than a pixel of the image as it is read"] += int(
            (sides < 1).any(1).sum()
        )
    if annotation is not None and evidence.marks is not None:
        painted = [
            shape.name
            for shape in annotation.shapes
            if shape.kind in PAINTED and (used is None or shape.kind in used)
        ]
        named = {naming.classes.index(name) for name in painted if name in naming.classes}
        counts[
            "images on which all marks of a class are below other marks, or too small to be seen"
        ] += not named <= _labels(evidence.marks)
    before, after = truths
    if before is not None and after is not None:
        counts["images whose mask loses a class as data.long_side shrinks them"] += not _labels(
            before
        ) <= _labels(after)
    return +counts


def _covers_nothing(shape: Shape, size: tuple[int, int], line_width: Length) -> bool:
    width, height = size
    small = shape.kind == "polygon" and sum(map(_area, shape.parts)) < SMALL
    thin = shape.kind == "line" and in_pixels(line_width, height, width, LEAST_WIDTH) < THIN
    return (small or thin) and not patch_of(shape, width, height, line_width, 0).covered.any()


def _area(ring: object) -> float:
    x, y = torch.as_tensor(ring).T
    return abs(float((x * y.roll(-1) - x.roll(-1) * y).sum())) / 2


def _labels(labels: Tensor) -> set[int]:
    return set(torch.unique(labels).tolist()) - {IGNORE}
