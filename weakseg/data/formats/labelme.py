"""LabelMe: one JSON file per image, with rectangles, polygons, circles, masks, lines and points in
pixels and parts of pixels."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.data.formats.base import (
    MOST_PIXELS,
    Annotation,
    Floats,
    FormatError,
    Place,
    Shape,
    field,
    line,
    mask,
    noting,
    numbers,
    oval,
    point,
    polygon,
    size_of,
    upright,
)
from weakseg.data.formats.opening import read_json
from weakseg.data.formats.runs import pack

READ = "rectangle, polygon, circle, mask, line, linestrip, point, points or oriented_rectangle"


def read(path: Path, problems: list[FormatError] | None = None) -> Annotation:
    """What was drawn on one image. The name of the image is relative to the folder of the file; a
    copy of the image inside is not used."""
    top = read_json(path)
    place = Place(str(path))
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
        # drawn from any corner to the one across; the newest files have all four
        case "rectangle" | "oriented_rectangle":
            return upright(name, place, _of(points, (2, 4), form, place))
        case "mask":
            return _mask(name, entry.get("mask"), _of(points, (2,), form, place), place)
        case "circle":  # its middle, and a place on its rim
            middle, rim = _of(points, (2,), form, place).tolist()
            radius = math.dist(middle, rim)
            return oval(name, place, middle[0], middle[1], radius, radius)
    raise place.wrong("shape_type", READ, form)


def _mask(name: str, text: object, corners: Floats, place: Place) -> Shape:
    """Pixels in a window, whose corners are the first and the last pixel; they are a PNG, in which
    whatever is not 0 is inside."""
    left, top, right, bottom = np.floor(corners).astype(int).ravel().tolist()
    width = right - left + 1
    height = bottom - top + 1
    if width < 1 or height < 1 or width * height > MOST_PIXELS:
        raise FormatError(
            place,
            "a mask",
            f"at least one pixel wide and high, and of at most {MOST_PIXELS} pixels",
            f"{width} by {height}",
        )
    return mask(name, place, pack(_covered(text, (width, height), place), left, top))


def _covered(text: object, size: tuple[int, int], place: Place) -> NDArray[np.bool_]:
    if not isinstance(text, str):
        raise place.wrong("the field 'mask'", "a PNG as base64", text)
    try:
        with Image.open(
            io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]
        ) as image:
            if image.size != size:  # known before a pixel is decoded
                expected = f"as large as from its first to its last point, {size[0]} by {size[1]}"
                raise FormatError(place, "a mask", expected, "{} by {}".format(*image.size))
            return np.array(image.convert("L")) > 0
    except FormatError:
        raise
    except Exception as error:  # a decoder may fail on foreign bytes in any way
        raise FormatError(
            place,
            "the field 'mask'",
            "a PNG as base64",
            f"not: {' '.join(str(error).split())[:100]}",
        ) from None


def _of(points: Floats, counts: tuple[int, ...], form: str, place: Place) -> Floats:
    if len(points) not in counts:
        raise FormatError(
            place,
            f"a {form}",
            f"made of {' or '.join(map(str, counts))} points",
            f"one of {len(points)}",
        )
    return points
