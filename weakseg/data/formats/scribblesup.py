"""ScribbleSup: one XML file per image of PASCAL VOC, with a stroke as the pixels it goes through,
from one to the next.

The strokes of the background have the class `background`. (Lin, Dai, Jia, He and Sun, CVPR 2016.)
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from weakseg.data.formats.base import (
    Annotation,
    FormatError,
    Place,
    Shape,
    field,
    line,
    noting,
    numbers,
    point,
    size_of,
)
from weakseg.data.formats.opening import read_xml

# shorter names of VOC's classes, which copies of these files have
VOC_NAMES = {
    "plane": "aeroplane",
    "bike": "bicycle",
    "table": "diningtable",
    "plant": "pottedplant",
    "monitor": "tvmonitor",
}


def read(path: Path, problems: list[FormatError] | None = None) -> Annotation:
    """The strokes of one image, which is called like the file; a stroke of one pixel is a point."""
    root = read_xml(path, "annotation")
    place = Place(str(path), path.stem)
    shapes: list[Shape] = []
    size: tuple[int, int] | None = None
    with noting(problems):
        size = size_of(root.findtext("size/width"), root.findtext("size/height"), place)
    for number, element in enumerate(root.findall("polygon"), 1):
        with noting(problems):
            shapes.append(_stroke(element, place._replace(number=number)))
    return Annotation(path.stem, shapes, size, place)


def _stroke(element: Element, place: Place) -> Shape:
    name = field({"tag": (element.findtext("tag") or "").strip() or None}, "tag", str, place)
    pixels = [
        [(each.findtext(axis) or "").strip() for axis in ("X", "Y")]
        for each in element.findall("point")
    ]
    # the pixels' middles
    places = (
        np.array([numbers(pair, place, "a point, X and Y,", 2) for pair in pixels]).reshape(-1, 2)
        + 0.5
    )
    make = point if len(places) == 1 else line
    return make(VOC_NAMES.get(name, name), place, places)
