"""COCO: one JSON file for many images, with boxes, polygons, masks as runs, and key points.

Boxes are x, y, width and height from the upper left corner, in pixels and parts of pixels. A crowd
(`iscrowd`) is read like an object: its pixels are of its class, and its box has some of them.
Captions, and segments whose pixels are in files of their own (panoptic), are passed over. Ids of
annotations are not used, so that they may repeat.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from weakseg.data.class_names import BACKGROUND
from weakseg.data.formats.base import (
    FARTHEST,
    Annotation,
    FormatError,
    Place,
    Shape,
    box,
    excerpt,
    field,
    mask,
    noting,
    numbers,
    pairs,
    point,
    polygon,
    size_of,
    wholes,
)
from weakseg.data.formats.label_studio import image_name
from weakseg.data.formats.opening import read_json
from weakseg.data.formats.runs import Runs, from_coco_string

PASSED_OVER = frozenset(["caption", "segments_info"])
ADDRESSES = ("/data/upload/", "/data/local-files/")  # how names begin that Label Studio wrote


def read(path: Path, problems: list[FormatError] | None = None) -> list[Annotation]:
    """Every image of the file, in its order; those without an object too, unless the file marks it
    as not annotated."""
    top = read_json(path)
    place = Place(str(path))
    entries = _entries(top, place)
    categories = [] if entries is None else field(top, "categories", list, place)
    names = _categories(categories, place, problems)
    images: dict[int | str, Annotation] = {}
    for entry in field(top, "images", list, place):
        with noting(problems):
            number = _id(entry, "id", place)
            if number in images:
                raise FormatError(
                    place,
                    "the id of an image",
                    "its own",
                    f"{excerpt(number)}, which another image has too",
                )
            images[number] = _image(entry, place)
    for count, entry in entries or ():
        if (plain := _plain_box(entry, images, names, count)) is not None:
            images[entry["image_id"]].shapes.append(plain)
            continue
        with noting(problems):
            image = _known(images, entry, "image_id", place._replace(number=count))
            here = image.place._replace(number=count)
            # a file may hold a box and a broken polygon of one object: keep the box, name the
            # polygon
            for shape in _shapes(_known(names, entry, "category_id", here), entry, here, problems):
                image.shapes.append(shape)
    if not categories:
        return [image._replace(absent="not annotated") for image in images.values()]
    return [image._replace(absent=None) if image.shapes else image for image in images.values()]


def _plain_box(
    entry: Any,
    images: Mapping[int | str, Annotation],
    names: Mapping[int | str, str],
    count: int,
) -> Shape | None:
    """The box of an object that has nothing else, and nothing wrong: most files hold a great many
    of these, for which the way with all of its checks takes more than twice as long. None for any
    other."""
    if not isinstance(entry, dict) or entry.get("segmentation") or entry.get("keypoints"):
        return None
    bbox, number, category = entry.get("bbox"), entry.get("image_id"), entry.get("category_id")
    if type(number) is not int or type(category) is not int or type(bbox) is not list:
        return None
    if len(bbox) != 4 or number not in images or category not in names:
        return None
    if not all(type(side) in (int, float) for side in bbox):
        return None
    if max(map(abs, bbox)) > FARTHEST:  # a whole number may be too large for a float
        return None
    x, y, width, height = map(float, bbox)
    if not (x < x + width and y < y + height):  # NaN is not
        return None
    corners = np.array([[x, y], [x + width, y + height]])
    here = images[number].place._replace(number=count)
    return Shape(names[category], "box", here, (corners,))


def joined(one: Annotation, other: Annotation) -> Annotation | None:
    """The annotations of one image in two files, such as instances and key points, each object
    once.

    None if they are two versions of the same: both have areas or boxes of a class, and not the same
    ones.
    """
    known = {_content(shape) for shape in one.shapes}
    new = [shape for shape in other.shapes if _content(shape) not in known]
    objects = {
        (shape.name, shape.kind) for shape in one.shapes if shape.kind in ("box", "polygon", "mask")
    }
    if any((shape.name, shape.kind) in objects for shape in new):
        return None
    return one._replace(shapes=[*one.shapes, *new], size=one.size or other.size)


def _content(shape: Shape) -> tuple[object, ...]:
    """What a shape is, to the hundredth of a pixel, wherever it stands."""
    runs = None if shape.runs is None else (shape.runs.counts.tobytes(), *shape.runs[1:])
    return shape.name, shape.kind, tuple(np.round(part, 2).tobytes() for part in shape.parts), runs


def _entries(top: Any, place: Place) -> list[tuple[int, Any]] | None:
    """The annotations that are read, with their places in the list; None if the file is about
    something else than classes of objects."""
    if isinstance(top, dict) and "images" in top and "annotations" not in top:
        return None
    entries = field(top, "annotations", list, place)
    readable = [
        (count, entry)
        for count, entry in enumerate(entries, 1)
        if not (isinstance(entry, dict) and PASSED_OVER & entry.keys())
    ]
    return None if entries and not readable else readable


def _image(entry: Any, place: Place) -> Annotation:
    """An image without objects; where even its size is null, as Label Studio writes it, it was
    never opened."""
    name = field(entry, "file_name", str, place)
    here = place._replace(image=image_name(name) if name.startswith(ADDRESSES) else name)
    size = size_of(entry.get("width"), entry.get("height"), here)
    unopened = "width" in entry and entry["width"] is None and entry.get("height") is None
    return Annotation(
        here.image or "", [], size, here, absent="not annotated" if unopened else None
    )


def _categories(
    entries: list[Any], place: Place, problems: list[FormatError] | None
) -> dict[int | str, str]:
    names: dict[int | str, str] = {}
    for entry in entries:
        with noting(problems):
            number = _id(entry, "id", place)
            if number in names:
                raise FormatError(
                    place,
                    "the id of a category",
                    "its own",
                    f"{excerpt(number)}, which another category has too",
                )
            names[number] = field(entry, "name", str, place)
    return names


def _shapes(
    name: str, entry: dict[str, Any], place: Place, problems: list[FormatError] | None
) -> Iterator[Shape]:
    bbox = entry.get("bbox")
    area = entry.get("segmentation")
    keys = entry.get("keypoints")
    # the box of such an area was not drawn
    if bbox is not None and not (area and name == BACKGROUND):
        with noting(problems):
            x, y, width, height = numbers(bbox, place, "bbox, x y width height,", 4).tolist()
            yield box(name, place, x, y, x + width, y + height)
    if area:
        with noting(problems):
            yield (
                coco_mask(name, area, place)
                if isinstance(area, dict)
                else _polygon(name, area, place)
            )
    if keys:
        with noting(problems):
            yield from _key_points(name, keys, place)
    if bbox is None and not area and not keys:
        yield Shape(name, "tag", place)


def _polygon(name: str, rings: object, place: Place) -> Shape:
    if not isinstance(rings, list):
        raise place.wrong("segmentation", "polygons or runs", rings)
    return polygon(name, place, [pairs(ring, place, "a polygon of segmentation") for ring in rings])


def coco_mask(name: str, area: dict[str, Any], place: Place, layer: int = 0) -> Shape:
    """A mask of `size` (height, width) and `counts`, a list of runs down the columns or the same as
    a compressed string."""
    height, width = wholes(
        area.get("size"), place, "the size of a mask, height and width,", 2
    ).tolist()
    counts = area.get("counts")
    try:
        lengths = (
            from_coco_string(counts)
            if isinstance(counts, str)
            else wholes(counts, place, "counts, runs of pixels,")
        )
    except FormatError:
        raise
    except ValueError as error:
        raise FormatError(place, "counts", "a compressed mask", f"not: it has {error}") from None
    return mask(name, place, Runs(lengths, 0, 0, width, height, by_columns=True), layer)


def _key_points(name: str, values: object, place: Place) -> Iterator[Shape]:
    """Those that are labelled; 0 as the third number means that one is not."""
    flat = numbers(values, place, "keypoints")
    if len(flat) % 3:
        raise FormatError(place, "keypoints", "x, y and visibility in turn", f"{len(flat)} numbers")
    triples = flat.reshape(-1, 3)
    if len(labelled := triples[triples[:, 2] > 0]):
        yield point(name, place, labelled[:, :2])


def _id(entry: object, key: str, place: Place) -> int | str:
    value = entry.get(key) if isinstance(entry, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise place.wrong(f"the field {key!r}", "a whole number or text", value)
    return value


def _known(table: dict[int | str, Any], entry: object, key: str, place: Place) -> Any:
    number = _id(entry, key, place)
    if number not in table:
        raise FormatError(
            place,
            f"the field {key!r}",
            f"one of the {len(table)} ids that the file defines",
            excerpt(number),
        )
    return table[number]
