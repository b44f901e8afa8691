"""One small data set in any of the formats: which classes are on which images, said as each format
says it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args
from xml.sax.saxutils import quoteattr

import numpy as np

from tests.data.layouts import HEIGHT, WIDTH, indexed, photo, square, text, voc_xml
from weakseg.data.files.folder import Format

FORMATS: tuple[str, ...] = get_args(Format)
SINGLE = ("voc_xml", "yolo", "labelme", "mask_png")  # with a file for each image
JSON = ("coco", "labelme", "datumaro", "label_studio")
XML = ("voc_xml", "cvat")
BOX = [2.0, 1.0, 8.0, 7.0]
Drawn = Mapping[
    str, Sequence[str] | None
    # classes of the boxes on each image; none for one searched in vain, None for one that nobody
    # annotated
]
PETS: Drawn = {
    "0.jpg": ["dog"],
    "1.jpg": ["cat"],
    "2.jpg": ["dog", "cat"],
    "3.jpg": [],
    "4.jpg": ["dog"],
}


def write_set(
    root: Path, format: str, drawn: Drawn = PETS, names: Sequence[str] = ("cat", "dog")
) -> list[Path]:
    """Images and annotation files; each object is a box at 2 1 8 7, or what the format has instead.
    Returns the annotation files."""
    for number, image in enumerate(drawn):
        photo(root / "images" / image, number)
    made = (
        _single(root, format, drawn, list(names))
        if format in SINGLE
        else [_many(root, format, drawn, list(names))]
    )
    return [path for path in made if path is not None]


def _single(root: Path, format: str, drawn: Drawn, names: list[str]) -> list[Path | None]:
    if format == "yolo":
        text(
            root / "data.yaml",
            "names:\n" + "".join(f"  {number}: {name}\n" for number, name in enumerate(names)),
        )
    if format == "mask_png":
        lines = [
            f"{name}:{number},{number},0::" for number, name in enumerate(["background", *names])
        ]
        text(root / "labelmap.txt", "# label:color_rgb:parts:actions\n" + "\n".join(lines))
    return [
        _one(root / "annotations", format, image, there, names) for image, there in drawn.items()
    ]


def _one(
    place: Path, format: str, image: str, there: Sequence[str] | None, names: list[str]
) -> Path | None:
    stem = image.rpartition(".")[0]
    if there is None:
        return None
    if format == "voc_xml":
        objects = "".join(
            voc_xml(name, (3, 2, 8, 7)).partition("</size>")[2].removesuffix("</annotation>")
            for name in there
        )
        return text(
            place / f"{stem}.xml", f"<annotation><filename>{image}</filename>{objects}</annotation>"
        )
    if format == "yolo":
        return text(
            place / f"{stem}.txt",
            "".join(f"{names.index(name)} {5 / 12} 0.4 0.5 0.6\n" for name in there),
        )
    if format == "mask_png":
        values = np.where(square(1) == 1, names.index(there[0]) + 1 if there else 0, 0)
        colours = [channel for number in range(256) for channel in (number, number, 0)]
        path = indexed(place / f"{stem}.png", values)
        _with_palette(path, colours)
        return path
    shapes = [
        {"label": name, "points": [[2, 1], [8, 7]], "shape_type": "rectangle"} for name in there
    ]
    content = {
        "imagePath": image,
        "imageData": None,
        "shapes": shapes,
        "imageWidth": WIDTH,
        "imageHeight": HEIGHT,
    }
    return text(place / f"{stem}.json", json.dumps(content))


def _with_palette(path: Path, colours: list[int]) -> None:
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        image.putpalette(colours)
        image.save(path)


def _many(root: Path, format: str, drawn: Drawn, names: list[str]) -> Path:
    seen = {image: there for image, there in drawn.items() if there is not None}
    place = root / "annotations"
    if format == "coco":
        return text(place / "all.json", json.dumps(_coco(seen, names)))
    if format == "cvat":
        box = '<box label={} xtl="2" ytl="1" xbr="8" ybr="7" z_order="0"></box>'
        images = [
            f'<image name="{image}" width="{WIDTH}" '
            f'height="{HEIGHT}">{"".join(box.format(quoteattr(name)) for name in there)}</image>'
            for image, there in seen.items()
        ]
        return text(
            place / "all.xml", f"<annotations><version>1.1</version>{''.join(images)}</annotations>"
        )
    if format == "datumaro":
        return text(place / "all.json", json.dumps(_datumaro(seen, names)))
    if format == "label_studio":
        return text(
            place / "all.json", json.dumps([_task(image, there) for image, there in drawn.items()])
        )
    if format != "csv":
        raise KeyError(
            f"write_set cannot write {format} yet: add it here, and to SINGLE, JSON or XML"
        )
    rows = [f'{image},"{name}"' for image, there in seen.items() for name in there or [""]]
    return text(place / "all.csv", "image,class\n" + "".join(f"{row}\n" for row in rows))


def _coco(seen: Drawn, names: list[str]) -> dict[str, Any]:
    listed = [
        {"id": number, "file_name": image, "width": WIDTH, "height": HEIGHT}
        for number, image in enumerate(seen)
    ]
    pairs = [(number, name) for number, there in enumerate(seen.values()) for name in there or ()]
    objects = [
        {
            "id": own,
            "image_id": number,
            "category_id": 1 + names.index(name),
            "bbox": [2, 1, 6, 6],
            "segmentation": [],
        }
        for own, (number, name) in enumerate(pairs)
    ]
    return {
        "images": listed,
        "annotations": objects,
        "categories": [{"id": 1 + place, "name": name} for place, name in enumerate(names)],
    }


def _datumaro(seen: Drawn, names: list[str]) -> dict[str, Any]:
    items = []
    for image, there in seen.items():
        objects = [
            {"type": "bbox", "label_id": names.index(name), "bbox": [2, 1, 6, 6], "z_order": 0}
            for name in there or ()
        ]
        items.append(
            {
                "id": image.rpartition(".")[0],
                "image": {"path": image, "size": [HEIGHT, WIDTH]},
                "annotations": objects,
            }
        )
    return {
        "info": {},
        "categories": {"label": {"labels": [{"name": name} for name in names]}},
        "items": items,
    }


def _task(image: str, there: Sequence[str] | None) -> dict[str, Any]:
    place = {"x": 100 / 6, "y": 10, "width": 50, "height": 60, "rotation": 0}
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    results = [
        {"type": "rectanglelabels", **size, "value": {**place, "rectanglelabels": [name]}}
        for name in there or ()
    ]
    people = [] if there is None else [{"id": 1, "was_cancelled": False, "result": results}]
    return {
        "id": 1,
        "data": {"image": f"/data/upload/1/0000abcd-{image}"},
        "annotations": people,
        "predictions": [],
    }
