"""What's the Point: one JSON file of clicks on images of PASCAL VOC, `{image: [{x, y, cls}]}`,
where cls is the number of a VOC class.

(Bearman, Russakovsky, Ferrari and Fei-Fei, ECCV 2016.)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from weakseg.data.formats.base import (
    Annotation,
    FormatError,
    Place,
    Shape,
    field,
    noting,
    numbers,
    point,
    wholes,
)
from weakseg.data.formats.opening import read_json


def read(
    path: Path, names: Sequence[str], problems: list[FormatError] | None = None
) -> list[Annotation]:
    """The images of the file, in its order. `names` are the classes in the order of their
    numbers."""
    top = read_json(path)
    file = Place(str(path))
    if not isinstance(top, dict):
        raise file.wrong("the file", "an object with a list of clicks for each image", top)
    images = []
    for image in top:
        place = file._replace(image=image)
        shapes: list[Shape] = []
        with noting(problems):
            for number, click in enumerate(field(top, image, list, place), 1):
                with noting(problems):
                    shapes.append(_click(click, names, place._replace(number=number)))
        images.append(Annotation(image, shapes, None, place))
    return images


def _click(click: Any, names: Sequence[str], place: Place) -> Shape:
    label = int(wholes([click.get("cls") if isinstance(click, dict) else None], place, "cls", 1)[0])
    if not 0 <= label < len(names):
        raise place.wrong("cls", f"the number of a class, 0 to {len(names) - 1}", label)
    return point(
        names[label],
        place,
        numbers([click.get("x"), click.get("y")], place, "x and y", 2).reshape(1, 2),
    )
