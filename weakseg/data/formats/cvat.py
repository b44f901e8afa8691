"""CVAT: the XML export "CVAT for images 1.1", one file for many images, with boxes, polygons,
lines, points, tags and masks.

Places are in pixels and parts of pixels from the upper left corner. `z_order` is the layer. Turned
boxes become the upright ones around them.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from weakseg.data.formats.base import (
    PARTS,
    Annotation,
    Floats,
    FormatError,
    Place,
    Shape,
    line,
    mask,
    noting,
    numbers,
    oval,
    pairs,
    point,
    polygon,
    size_of,
    turned,
    upright,
    wholes,
)
from weakseg.data.formats.opening import read_xml
from weakseg.data.formats.runs import Runs

READ = "box, polygon, polyline, points, ellipse, tag or mask"


def read(path: Path, problems: list[FormatError] | None = None) -> list[Annotation]:
    """Every image of the file, in its order; those without an object too."""
    root = read_xml(path, "annotations")
    place = Place(str(path))
    if root.find("track") is not None:
        raise FormatError(
            place,
            "the file",
            'an export as "CVAT for images 1.1"',
            'one as "CVAT for video", with tracks',
        )
    images = []
    for element in root.findall("image"):
        with noting(problems):
            images.append(_image(element, place, problems))
    return images


def _image(element: Element, place: Place, problems: list[FormatError] | None) -> Annotation:
    place = place._replace(image=_text(element, "name", place))
    size = size_of(element.get("width"), element.get("height"), place)
    shapes: list[Shape] = []
    for number, child in enumerate(element, 1):
        with noting(problems):
            shapes.append(_shape(child, place._replace(number=number)))
    return Annotation(
        place.image or "", shapes, size, place, PARTS.get(element.get("subset", "").lower())
    )


def _shape(element: Element, place: Place) -> Shape:
    if element.tag not in READ.replace(",", "").split():
        raise place.wrong("an object", READ, element.tag)
    name = _text(element, "label", place)
    layer = int(_numbers(element, ["z_order"], place)[0])
    match element.tag:
        case "box":
            return upright(name, place, _corners(element, place), layer)
        case "polygon":
            return polygon(name, place, [_points(element, place)], layer)
        case "polyline":
            return line(name, place, _points(element, place), layer)
        case "points":
            return point(name, place, _points(element, place), layer)
        case "ellipse":
            return _ellipse(element, name, place, layer)
        case "mask":
            return _mask(element, name, place, layer)
    return Shape(name, "tag", place)


def _corners(element: Element, place: Place) -> Floats:
    """All four of a box, turned around its middle."""
    x1, y1, x2, y2 = _numbers(element, ["xtl", "ytl", "xbr", "ybr"], place)
    if not (x1 < x2 and y1 < y2):  # the box around inverted corners would hide that
        raise place.wrong(
            "a box", "wider and higher than 0, so that xtl < xbr and ytl < ybr", [x1, y1, x2, y2]
        )
    corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    angle = _numbers(element, ["rotation"], place)[0]
    return turned(corners, ((x1 + x2) / 2, (y1 + y2) / 2), angle) if angle else corners


def _ellipse(element: Element, name: str, place: Place, layer: int) -> Shape:
    x, y, rx, ry, angle = _numbers(element, ["cx", "cy", "rx", "ry", "rotation"], place)
    shape = oval(name, place, x, y, rx, ry, layer)
    return shape._replace(parts=(turned(shape.parts[0], (x, y), angle),)) if angle else shape


def _mask(element: Element, name: str, place: Place, layer: int) -> Shape:
    """Runs along the rows of a window."""
    counts = wholes(_text(element, "rle", place).split(","), place, "rle")
    window = [element.get(key, "") for key in ("left", "top", "width", "height")]
    left, top, width, height = wholes(window, place, "left, top, width, height", 4).tolist()
    return mask(name, place, Runs(counts, left, top, width, height), layer)


def _points(element: Element, place: Place) -> Floats:
    return pairs(_text(element, "points", place).replace(";", ",").split(","), place, "points")


def _numbers(element: Element, keys: list[str], place: Place) -> list[float]:
    absent = {"rotation": "0", "z_order": "0"}
    values: list[float] = numbers(
        [element.get(key, absent.get(key, "")) for key in keys], place, ", ".join(keys), len(keys)
    ).tolist()
    return values


def _text(element: Element, key: str, place: Place) -> str:
    value = element.get(key)
    if not value:
        raise FormatError(place, f"the attribute {key!r} of <{element.tag}>", "text", "missing")
    return value
