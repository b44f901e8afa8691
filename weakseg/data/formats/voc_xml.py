"""PASCAL VOC: one XML file per image, with boxes. Pixels are counted from 1, and the last one
belongs to the box."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from weakseg.data.formats.base import (
    Annotation,
    FormatError,
    Place,
    Shape,
    box,
    field,
    noting,
    numbers,
    size_of,
)
from weakseg.data.formats.opening import read_xml

EDGES = ("xmin", "ymin", "xmax", "ymax")


def read(path: Path, problems: list[FormatError] | None = None) -> Annotation:
    """The boxes of one image; `part`s of objects (heads, hands) are passed over. Without a file
    name the image is called like the file."""
    root = read_xml(path, "annotation")
    image = _text(root, "filename") or path.stem
    place = Place(str(path), image)
    size: tuple[int, int] | None = None
    with noting(problems):
        size = size_of(_text(root, "size/width"), _text(root, "size/height"), place)
    shapes: list[Shape] = []
    for number, element in enumerate(root.findall("object"), 1):
        with noting(problems):
            shapes.append(_object(element, place._replace(number=number)))
    return Annotation(image, shapes, size, place)


def _object(element: Element, place: Place) -> Shape:
    name = field({"name": _text(element, "name") or None}, "name", str, place)
    values = [_text(element, f"bndbox/{edge}") for edge in EDGES]
    x1, y1, x2, y2 = numbers(values, place, f"a bndbox of {', '.join(EDGES)}", 4).tolist()
    return box(name, place, x1 - 1, y1 - 1, x2, y2)


def _text(element: Element, way: str) -> str:
    return (element.findtext(way) or "").strip()
