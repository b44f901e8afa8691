"""YOLO: one text file per image. A line is the number of a class and a box, or a polygon, in shares
of the image's width and height.

Files for poses look like those of polygons; `kpt_shape` in data.yaml separates them. There a line
is a class, a box, and key points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from weakseg.data.formats.base import (
    Annotation,
    Floats,
    FormatError,
    Part,
    Place,
    Shape,
    box,
    noting,
    numbers,
    point,
    polygon,
    wholes,
)
from weakseg.data.formats.opening import read_text, read_yaml

ROUNDED = 1e-3  # tools write six digits or fewer, so that a share may leave 0 to 1 by this much
KEYS: tuple[tuple[str, Part], ...] = (
    ("train", "train"),
    ("val", "val"),
    ("valid", "val"),
    ("test", "test"),
)


class Header(NamedTuple):
    """What a data.yaml, or a list of names, has for all files."""

    names: list[str]
    """of the classes, in the order of their numbers"""
    parts: Mapping[Part, list[str]] = {}  # never written to
    """folders or lists of the images of the data set's own split, as the file has them"""
    key_points: tuple[int, int] | None = None
    """how many key points an object has, and how many numbers each: x y, or x y and whether it is
    seen; None for boxes and polygons"""


def read(
    path: Path,
    names: Sequence[str],
    image: str,
    size: tuple[int, int],
    problems: list[FormatError] | None = None,
    key_points: tuple[int, int] | None = None,
) -> Annotation:
    """Boxes, polygons and key points of one image of this width and height. `read_header` finds the
    names and the number of points."""
    place = Place(str(path), image)
    shapes: list[Shape] = []
    for number, text in enumerate(read_text(path).splitlines(), 1):
        if text.strip():
            with noting(problems):
                shapes += _line(text, names, size, place._replace(number=number), key_points)
    return Annotation(image, shapes, None, place)


def _line(
    text: str,
    names: Sequence[str],
    size: tuple[int, int],
    place: Place,
    key_points: tuple[int, int] | None,
) -> list[Shape]:
    first, *rest = text.split()
    if not (first.isascii() and first.isdigit() and len(first) < 7 and int(first) < len(names)):
        raise place.wrong(
            "a line", f"one that begins with the number of a class, 0 to {len(names) - 1}", first
        )
    name = names[int(first)]
    if key_points is not None:
        return _pose(rest, name, size, place, key_points)
    if len(rest) != 4 and (len(rest) < 6 or len(rest) % 2):
        raise FormatError(
            place,
            "a line",
            "a class and 4 numbers for a box, or 3 or more x y for a polygon",
            f"{len(rest)} numbers",
        )
    shares = _shares(rest, place)
    if len(rest) > 4:
        return [polygon(name, place, [shares.reshape(-1, 2) * np.array(size)])]
    return [_box(name, shares, size, place)]


def _pose(
    rest: list[str], name: str, size: tuple[int, int], place: Place, key_points: tuple[int, int]
) -> list[Shape]:
    """A box and, if any is labelled, its points. A point is not labelled if its visibility is 0, or
    it stands at 0 0 where the file has no visibility."""
    count, each = key_points
    if len(rest) != 4 + count * each:
        expected = (
            f"a class, 4 numbers for a box and {count} times {each} for key points, as kpt_shape "
            "in data.yaml says"
        )
        raise FormatError(place, "a line", expected, f"a class and {len(rest)} numbers")
    points = numbers(rest[4:], place, "key points").reshape(count, each)
    seen = points[:, 2] > 0 if each == 3 else points.any(1)
    places = _shares(points[seen, :2].ravel().tolist(), place).reshape(-1, 2)
    shapes = [_box(name, _shares(rest[:4], place), size, place)]
    return [*shapes, point(name, place, places * np.array(size))] if len(places) else shapes


def _box(name: str, shares: Floats, size: tuple[int, int], place: Place) -> Shape:
    x, y, width, height = (shares * np.array(size * 2)).tolist()
    return box(name, place, x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _shares(values: Sequence[str | float], place: Place) -> Floats:
    shares = numbers(list(values), place, "a line")
    if not ((shares >= -ROUNDED) & (shares <= 1 + ROUNDED)).all():
        raise place.wrong(
            "every number", "a share of the image from 0 to 1", " ".join(map(str, values))
        )
    return shares


def read_names(path: Path) -> list[str]:
    """The classes of a `classes.txt`, one per line, or of a `data.yaml` with `names`, a list or
    numbers with names."""
    return read_header(path).names


def read_header(path: Path) -> Header:
    """The same with the split and the number of key points, which only a data.yaml has."""
    if path.suffix not in (".yaml", ".yml"):
        return Header([line.strip() for line in read_text(path).splitlines() if line.strip()])
    found = read_yaml(path)
    place = Place(str(path))
    fields = found if isinstance(found, dict) else {}
    return Header(
        _names(fields.get("names"), place),
        _parts(fields),
        _key_points(fields.get("kpt_shape"), place),
    )


def _names(names: object, place: Place) -> list[str]:
    if isinstance(names, dict):
        in_order = [str(number) for number in range(len(names))]
        names = [names[number] for number in in_order] if set(names) == set(in_order) else names
    if (
        not isinstance(names, list)
        or not names
        or not all(isinstance(name, str) and name for name in names)
    ):
        raise place.wrong(
            "names", "a list of classes, or all numbers from 0 on with a class each", names
        )
    return names


def _parts(fields: dict[str, object]) -> dict[Part, list[str]]:
    """Where nothing, or something other than paths, stands, there is no such part."""
    parts: dict[Part, list[str]] = {}
    for key, part in KEYS:
        value = fields.get(key)
        paths = value if isinstance(value, list) else [value]
        if found := [path for path in paths if isinstance(path, str) and path]:
            parts[part] = found
    return parts


def _key_points(values: object, place: Place) -> tuple[int, int] | None:
    if values is None:
        return None
    shape = wholes(values, place, "kpt_shape", 2).tolist()
    if not (1 <= shape[0] <= 1000 and shape[1] in (2, 3)):
        raise place.wrong(
            "kpt_shape", "the number of key points, and 2 or 3 numbers for each", values
        )
    return shape[0], shape[1]
