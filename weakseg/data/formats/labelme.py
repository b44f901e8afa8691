"""LabelMe: one JSON file per image, with rectangles, polygons, circles, lines and points in pixels and parts of pixels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from weakseg.data.formats.base import (
    Annotation,
    Floats,
    FormatError,
    Place,
    Shape,
    field,
    line,
    noting,
    numbers,
    oval,
    point,
    polygon,
    size_of,
    upright,
)
from weakseg.data.formats.opening import read_json

READ = "rectangle, polygon, circle, line, linestrip, point or points"


def read(path: Path, problems: list[FormatError] | None = None) -> Annotation:
    """What was drawn on one image. The name of the image is relative to the folder of the file; a copy of the image inside is not used."""
    top, place = read_json(path), Place(str(path))
    image = field(top, "imagePath", str, place).replace("\\", "/")  # files from Windows
    place = place._replace(image=image)
    size: tuple[int, int] | None = None
    with noting(problems):
        size = size_of(top.get("imageWidth"), top.get("imageHeight"), place)
    shapes: list[Shape] = []
    for number, entry in enumerate(field(top, "shapes", list, place), 1):
        with noting(problems):
            shapes.append(_shape(entry, place._replace(number=number)))
    return Annotation(image, shapes, size, place)


def _shape(entry: Any, place: Place) -> Shape:
    name = field(entry, "label", str, place)
    form = entry.get("shape_type") or "polygon"  # old files have nothing else
    listed = field(entry, "points", list, place)
    points = np.array([numbers(pair, place, "a point", 2) for pair in listed]).reshape(-1, 2)
    match form:
        case "polygon":
            return polygon(name, place, [points])
        case "line" | "linestrip":
            return line(name, place, points)
        case "point" | "points":
            return point(name, place, points)
        case "rectangle":  # drawn from any corner to the one across; the newest files have all four
            return upright(name, place, _of(points, (2, 4), form, place))
        case "circle":  # its middle, and a place on its rim
            middle, rim = _of(points, (2,), form, place).tolist()
            radius = math.dist(middle, rim)
            return oval(name, place, middle[0], middle[1], radius, radius)
    raise place.wrong("shape_type", READ, form)


def _of(points: Floats, counts: tuple[int, ...], form: str, place: Place) -> Floats:
    if len(points) not in counts:
        raise FormatError(place, f"a {form}", f"made of {' or '.join(map(str, counts))} points", f"one of {len(points)}")
    return points
