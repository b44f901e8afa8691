"""Datumaro: one JSON file for many images, with labels, boxes, polygons, lines, points, ellipses
and masks.

Boxes are x, y, width and height; sizes are height and width; masks are those of COCO. `z_order` is
the layer. Captions are passed over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from weakseg.data.formats.base import (
    Annotation,
    Floats,
    FormatError,
    Place,
    Shape,
    box,
    field,
    line,
    noting,
    numbers,
    oval,
    pairs,
    point,
    polygon,
    size_of,
)
from weakseg.data.formats.coco import coco_mask
from weakseg.data.formats.opening import read_json

READ = "label, bbox, polygon, polyline, points, ellipse or mask"


def read(path: Path, problems: list[FormatError] | None = None) -> list[Annotation]:
    """Every image of the file, in its order; those without an object too. An image without a path
    is called by its id."""
    top = read_json(path)
    place = Place(str(path))
    listed = field(
        field(field(top, "categories", dict, place), "label", dict, place), "labels", list, place
    )
    names = [field(label, "name", str, place) for label in listed]
    images = []
    for entry in field(top, "items", list, place):
        with noting(problems):
            images.append(_image(entry, names, place, problems))
    return images


def _image(
    entry: Any, names: list[str], place: Place, problems: list[FormatError] | None
) -> Annotation:
    image = field(entry, "id", str, place)
    size: object = None
    for key in ("media", "image"):  # newer and older files
        if isinstance(about := entry.get(key), dict):
            image = about.get("path") or image
            size = about.get("size") or size
    if not isinstance(image, str):
        raise place.wrong("the path of an image", "text", image)
    place = place._replace(image=image)
    height, width = (
        (None, None)
        if size is None
        else numbers(size, place, "the size of the image, height and width,", 2).tolist()
    )
    shapes: list[Shape] = []
    for number, item in enumerate(field(entry, "annotations", list, place), 1):
        with noting(problems):
            if field(item, "type", str, place._replace(number=number)) != "caption":
                shapes.append(_shape(item, names, place._replace(number=number)))
    return Annotation(image, shapes, size_of(width, height, place), place)


def _shape(item: dict[str, Any], names: list[str], place: Place) -> Shape:
    label = field(item, "label_id", int, place)
    if not 0 <= label < len(names):
        raise FormatError(
            place, "label_id", f"the number of a label, 0 to {len(names) - 1}", str(label)[:20]
        )
    name = names[label]
    layer = int(numbers([item.get("z_order", 0)], place, "z_order")[0])
    match item["type"]:
        case "label":
            return Shape(name, "tag", place)
        case "bbox":
            x, y, width, height = numbers(
                item.get("bbox"), place, "bbox, x y width height,", 4
            ).tolist()
            return box(name, place, x, y, x + width, y + height, layer)
        case "polygon":
            return polygon(name, place, [pairs(item.get("points"), place, "points")], layer)
        case "polyline":
            return line(name, place, pairs(item.get("points"), place, "points"), layer)
        case "points":
            return point(name, place, _seen(item, place), layer)
        case "ellipse":  # by the corners of the box around it
            x1, y1, x2, y2 = numbers(item.get("points"), place, "points", 4).tolist()
            return oval(
                name, place, (x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / 2, (y2 - y1) / 2, layer
            )
        case "mask":
            return coco_mask(name, field(item, "rle", dict, place), place, layer)
    raise place.wrong("the type", READ, item["type"])


def _seen(item: dict[str, Any], place: Place) -> Floats:
    """The points that are in the image; 0 as `visibility` means that one is not."""
    points = pairs(item.get("points"), place, "points")
    if item.get("visibility") is None:
        return points
    return points[
        numbers(item["visibility"], place, "visibility, one number per point,", len(points)) > 0
    ]
