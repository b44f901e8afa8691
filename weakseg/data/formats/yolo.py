"""YOLO: one text file per image. A line is the number of a class and a box, or a polygon, in shares of the image's width and height."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from weakseg.data.formats.base import Annotation, FormatError, Place, Shape, box, noting, numbers, polygon
from weakseg.data.formats.opening import read_text

ROUNDED = 1e-3  # tools write six digits or fewer, so that a share may leave 0 to 1 by this much


def read(path: Path, names: Sequence[str], image: str, size: tuple[int, int], problems: list[FormatError] | None = None) -> Annotation:
    """Boxes and polygons of one image of this width and height. `names` are the classes in the order of their numbers (`read_names`)."""
    place = Place(str(path), image)
    shapes: list[Shape] = []
    for number, text in enumerate(read_text(path).splitlines(), 1):
        if text.strip():
            with noting(problems):
                shapes.append(_line(text, names, size, place._replace(number=number)))
    return Annotation(image, shapes, None, place)


def _line(text: str, names: Sequence[str], size: tuple[int, int], place: Place) -> Shape:
    first, *rest = text.split()
    if not (first.isascii() and first.isdigit() and len(first) < 7 and int(first) < len(names)):
        raise place.wrong("a line", f"one that begins with the number of a class, 0 to {len(names) - 1}", first)
    name = names[int(first)]
    if len(rest) != 4 and (len(rest) < 6 or len(rest) % 2):
        raise FormatError(place, "a line", "a class and 4 numbers for a box, or 3 or more x y for a polygon", f"{len(rest)} numbers")
    shares = numbers(list(rest), place, "a line")
    if not ((shares >= -ROUNDED) & (shares <= 1 + ROUNDED)).all():
        raise place.wrong("every number", "a share of the image from 0 to 1", text)
    if len(rest) > 4:
        return polygon(name, place, [shares.reshape(-1, 2) * np.array(size)])
    x, y, width, height = (shares * np.array(size * 2)).tolist()
    return box(name, place, x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def read_names(path: Path) -> list[str]:
    """The classes of a `classes.txt`, one per line, or of a `data.yaml` with `names`, a list or numbers with names."""
    text, place = read_text(path), Place(str(path))
    if path.suffix not in (".yaml", ".yml"):
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        found: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise FormatError(place, "the file", "YAML", f"not: {' '.join(str(error).split())}") from None
    names = found.get("names") if isinstance(found, dict) else None
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise place.wrong("names", "a list of classes, or all numbers from 0 on with a class each", names)
    return [str(name) for name in names]
