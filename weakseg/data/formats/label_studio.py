"""Label Studio: the export "JSON", one file for many images, with boxes, polygons, points,
ellipses, painted masks and choices.

Places are in per cent of the image. Turned boxes become the upright ones around them. Of several
annotations of an image, the one marked as the truth counts, or else the first that was not
cancelled; what models predicted is not read. A task that was skipped by all, or is not annotated
yet, has no annotation of its image.

In a file that was made to be imported, whose tasks have predictions and no field for annotations,
the first prediction is all that there is, and is read like an annotation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from weakseg.data.formats.base import (
    Absent,
    Annotation,
    Floats,
    FormatError,
    Place,
    Shape,
    box,
    field,
    mask,
    noting,
    numbers,
    oval,
    point,
    polygon,
    size_of,
    turned,
    upright,
    wholes,
)
from weakseg.data.formats.bitmask import unpack_bitmask
from weakseg.data.formats.brush import unpack_brush
from weakseg.data.formats.opening import read_json

# passed over: answers without place or class, and geometry without a name, which comes a
# second time with its labels
QUESTIONS = frozenset(
    ["textarea", "rating", "number", "datetime", "pairwise", "ranker", "relation"]
)
NAMELESS = frozenset(["rectangle", "polygon", "keypoint", "ellipse", "brush", "bitmask"])


def read(
    path: Path, problems: list[FormatError] | None = None, key: str = "image"
) -> list[Annotation]:
    """Every image of the file, in its order; those without an object too.

    `key` is the field of a task that holds the image's address; if there is none of this name, it
    is the only field that holds text.
    """
    top = read_json(path)
    place = Place(str(path))
    if not isinstance(top, list) or not all(
        isinstance(task, dict) and ("annotations" in task or "predictions" in task) for task in top
    ):
        raise place.wrong("the file", 'an export as "JSON", a list of tasks with annotations', top)
    images = []
    for task in top:
        with noting(problems):
            images.append(_image(task, key, place, problems))
    return images


def _image(
    task: dict[str, Any], key: str, place: Place, problems: list[FormatError] | None
) -> Annotation:
    data = field(task, "data", dict, place)
    texts = [name for name, value in data.items() if isinstance(value, str)]
    place = place._replace(
        image=image_name(
            field(data, texts[0] if key not in data and len(texts) == 1 else key, str, place)
        )
    )
    answers = "annotations" if "annotations" in task else "predictions"
    listed = field(task, answers, list, place)
    counted = [one for one in listed if isinstance(one, dict) and not one.get("was_cancelled")]
    counted.sort(key=lambda one: not one.get("ground_truth"))
    if not counted:
        absent: Absent = "skipped" if listed else "not annotated"
        return Annotation(place.image or "", [], None, place, absent=absent)
    results = field(counted[0], "result", list, place)
    size: tuple[int, int] | None = None
    shapes: list[Shape] = []
    for number, result in enumerate(results, 1):
        with noting(problems):
            here = place._replace(number=number)
            if field(result, "type", str, here) not in QUESTIONS | NAMELESS:
                size = (
                    size_of(result.get("original_width"), result.get("original_height"), here)
                    or size
                )
                shapes += _shapes(result, size, here)
    return Annotation(place.image or "", shapes, size, place)


def seconds_of(path: Path, key: str = "image") -> dict[str, float]:
    """How long people have worked on each image, by its name, as far as the file says so.

    `key` is that of `read`.
    """
    top = read_json(path)
    found: dict[str, float] = {}
    for task in top if isinstance(top, list) else []:
        answers = task.get("annotations") if isinstance(task, dict) else None
        with noting([]):
            name = _image(task, key, Place(str(path)), []).image
            times = [one.get("lead_time") for one in answers or [] if isinstance(one, dict)]
            found[name] = sum(time for time in times if isinstance(time, int | float) and time > 0)
    return found


def image_name(address: str) -> str:
    """What an image is called: the last part of an address, the whole of a local one.

    >>> (
    ...     image_name("/data/upload/1/3f2a-dog%201.jpg"),
    ...     image_name("s3://bucket/a/b.jpg"),
    ...     image_name("a/b.jpg"),
    ... )
    ('3f2a-dog 1.jpg', 'b.jpg', 'a/b.jpg')
    >>> image_name("/data/local-files/?d=a/b.jpg")
    'a/b.jpg'
    """
    try:
        parts = urlsplit(address)
    except ValueError:  # brackets that are no address: then it is a name
        return address
    if local := parse_qs(parts.query).get("d"):
        return local[0]
    return (
        PurePosixPath(unquote(parts.path)).name
        if parts.scheme or parts.path.startswith("/")
        else address
    )


def _shapes(result: dict[str, Any], size: tuple[int, int] | None, place: Place) -> Iterator[Shape]:
    value = field(result, "value", dict, place)
    names = next(
        (names for key, names in value.items() if key == "choices" or key.endswith("labels")), None
    )
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FormatError(
            place,
            f"a result of type {result['type']!r}",
            "one with labels or choices",
            "one without",
        )
    if "choices" in value:
        yield from (Shape(name, "tag", place) for name in names)
        return
    if size is None:
        raise FormatError(
            place, "a result", "one with original_width and original_height", "one without"
        )
    if numbers([result.get("image_rotation") or 0], place, "image_rotation")[0]:
        raise place.wrong(
            "image_rotation", "0, for an image that was not turned", result["image_rotation"]
        )
    for name in names:
        yield _shape(name, value, size, place)


def _shape(name: str, value: dict[str, Any], size: tuple[int, int], place: Place) -> Shape:
    if "rle" in value:
        return _mask(name, value["rle"], size, place)
    if "imageDataURL" in value:
        return _bitmask(name, field(value, "imageDataURL", str, place), size, place)
    share = np.array(size) / 100  # pixels per per cent
    if "points" in value:
        points = [
            numbers(pair, place, "a point", 2) for pair in field(value, "points", list, place)
        ]
        return polygon(name, place, [np.array(points).reshape(-1, 2) * share])
    corner = _numbers(value, ("x", "y"), place) * share
    if "radiusX" in value:
        shape = oval(
            name, place, *corner, *(_numbers(value, ("radiusX", "radiusY"), place) * share)
        )
        return shape._replace(
            parts=(turned(shape.parts[0], (corner[0], corner[1]), _angle(value, place)),)
        )
    if "height" not in value:
        return point(name, place, corner[None])
    sides = _numbers(value, ("width", "height"), place) * share
    straight = box(name, place, *corner, *(corner + sides))
    if not (angle := _angle(value, place)):
        return straight
    corners = corner + sides * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    # Label Studio turns a box around its first corner
    return upright(name, place, turned(corners, (corner[0], corner[1]), angle))


def _mask(name: str, stream: object, size: tuple[int, int], place: Place) -> Shape:
    data = wholes(stream, place, "rle")
    if len(data) and not 0 <= data.min() <= data.max() <= 255:
        raise FormatError(
            place, "rle", "a list of bytes from 0 to 255", f"one with {data.min()} to {data.max()}"
        )
    try:
        return mask(name, place, unpack_brush(data.astype(np.uint8), *size))
    except FormatError:
        raise
    except ValueError as error:
        raise FormatError(
            place, "rle", "a mask painted on this image", f"not: it has {error}"
        ) from None


def _bitmask(name: str, url: str, size: tuple[int, int], place: Place) -> Shape:
    try:
        return mask(name, place, unpack_bitmask(url, *size))
    except FormatError:
        raise
    except ValueError as error:
        raise FormatError(
            place, "imageDataURL", "a mask painted on this image", f"not: it has {error}"
        ) from None


def _numbers(value: dict[str, Any], keys: tuple[str, ...], place: Place) -> Floats:
    return numbers([value.get(key) for key in keys], place, ", ".join(keys))


def _angle(value: dict[str, Any], place: Place) -> float:
    return float(numbers([value.get("rotation") or 0], place, "rotation")[0])
