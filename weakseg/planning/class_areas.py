"""How much of an image each class covers, as far as what is learned from tells: boxes, outlines and
masks do; clicks, scribbles and tags do not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from weakseg.data.formats.base import Shape
from weakseg.evidence import IGNORE, Evidence

Areas = dict[str, float]
"""shares of an image, by the names of classes"""


def of_shapes(shapes: Iterable[Shape], size: tuple[int, int]) -> Areas:
    """The areas of boxes and polygons, by the names that the file gives them.

    Args:
        shapes: of the kinds that are learned from.
        size: of the image, width and height.
    """
    areas: defaultdict[str, float] = defaultdict(float)
    for shape in shapes:
        if shape.kind == "box":
            width, height = np.ptp(np.concatenate(shape.parts), axis=0)
            areas[shape.name] += float(width * height) / (size[0] * size[1])
        elif shape.kind == "polygon":
            inside = sum(enclosed(ring) for ring in shape.parts)
            areas[shape.name] += inside / (size[0] * size[1])
    return dict(areas)


def enclosed(ring: NDArray[np.float64]) -> float:
    """The area within a polygon [n,2].

    >>> enclosed(np.array([[0.0, 0], [4, 0], [4, 3]]))
    6.0
    """
    x, y = ring.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def of_mask(mask: Tensor, names: Sequence[str | None]) -> Areas:
    """The areas of the classes in a mask [H,W], but for the background; of what is not ignored.

    Args:
        mask: numbers of classes.
        names: by number; None for those that are not used.
    """
    labels, counts = np.unique(np.asarray(mask), return_counts=True)
    pixels = dict(zip(labels.tolist(), counts.tolist(), strict=True))
    pixels.pop(IGNORE, None)
    known = max(1, sum(pixels.values()))
    shown = {label: pixels[label] for label in pixels if 0 < label < len(names)}
    return {name: shown[label] / known for label in shown if (name := names[label]) is not None}


def of_evidence(evidence: Evidence, classes: Sequence[str]) -> Areas | None:
    """Those of whole masks, or of boxes; None where neither is annotated."""
    if "masks" in evidence.annotations and evidence.marks is not None:
        return of_mask(evidence.marks, classes)
    if evidence.boxes is None or evidence.box_classes is None:
        return None
    height, width = evidence.image.shape[-2:]
    areas: defaultdict[str, float] = defaultdict(float)
    extents = (evidence.boxes[:, 2:] - evidence.boxes[:, :2]).tolist()
    for label, (across, down) in zip(evidence.box_classes.tolist(), extents, strict=True):
        if label < len(classes):
            areas[classes[label]] += across * down / (width * height)
    return dict(areas)


def shares_of(areas: Sequence[Mapping[str, float]], background: str) -> Areas:
    """The share of all pixels that each class has, the background with what is left.

    Args:
        areas: of some images.
        background: its name.

    >>> shares_of([{"cat": 0.5}, {}], "ground")
    {'ground': 0.75, 'cat': 0.25}
    """
    sums: defaultdict[str, float] = defaultdict(float)
    for image in areas:
        for name, area in image.items():
            sums[name] += area / len(areas)
    left = 1 - sum(sums.values())
    return {background: left, **sums} if sums and left > 0 else dict(sums)
