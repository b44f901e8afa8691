"""Writers for round trips, each after the documentation of its tool; readers must give back what
was drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weakseg.data.formats.base import Annotation, Place, Shape

CLASSES = ("background", "cat", "dog", "traffic light")
WIDTH, HEIGHT = 100, 120  # of the image of all tests, unless they say otherwise


def save(folder: Path, name: str, content: object) -> Path:
    """A file with this text, or this object as JSON."""
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def coco(annotations: list[Any], **image: Any) -> dict[str, Any]:
    entry = {"id": 7, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT, **image}
    categories = [
        {"id": 10 * number, "name": name, "supercategory": "thing"}
        for number, name in enumerate(CLASSES)
        if number
    ]
    return {
        "info": {},
        "licenses": [],
        "images": [entry],
        "categories": categories,
        "annotations": annotations,
    }


def coco_object(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 7, "category_id": 20, "iscrowd": 0, "area": 1, **fields}


def labelme(*shapes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    whole = [
        {"label": "dog", "group_id": None, "description": "", "flags": {}, "mask": None, **shape}
        for shape in shapes
    ]
    top = {
        "version": "5.5.0",
        "flags": {},
        "shapes": whole,
        "imagePath": "a.jpg",
        "imageData": None,
    }
    return {**top, "imageHeight": HEIGHT, "imageWidth": WIDTH, **fields}


def cvat(content: str, width: int = WIDTH, height: int = HEIGHT) -> str:
    return f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><id>4</id><name>animals</name><size>1</size><mode>annotation</mode></task></meta>
  <image id="0" name="a.jpg" width="{width}" height="{height}">
    {content}
  </image>
</annotations>
"""


def datumaro(*annotations: dict[str, Any], **item: Any) -> dict[str, Any]:
    labels = [{"name": name, "parent": "", "attributes": []} for name in CLASSES]
    whole = [
        {"id": 0, "attributes": {}, "group": 0, "label_id": 2, "z_order": 0, **one}
        for one in annotations
    ]
    entry = {
        "id": "a",
        "annotations": whole,
        "image": {"path": "a.jpg", "size": [HEIGHT, WIDTH]},
        **item,
    }
    return {
        "info": {},
        "categories": {"label": {"labels": labels, "attributes": []}},
        "items": [entry],
    }


def label_studio(*results: dict[str, Any], **task: Any) -> list[dict[str, Any]]:
    about = {
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "from_name": "label",
        "to_name": "image",
        "origin": "manual",
    }
    whole = [{"id": f"r{number}", **about, **result} for number, result in enumerate(results)]
    annotation = {
        "id": 1,
        "completed_by": 1,
        "was_cancelled": False,
        "ground_truth": False,
        "result": whole,
    }
    return [
        {
            "id": 5,
            "data": {"image": "a.jpg"},
            "annotations": [annotation],
            "predictions": [],
            **task,
        }
    ]


def voc(
    *objects: str, size: str = f"<width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth>"
) -> str:
    return f"""<annotation>
	<folder>VOC2012</folder>
	<filename>a.jpg</filename>
	<source><database>The VOC2007 Database</database>
		<annotation>PASCAL VOC2007</annotation><image>flickr</image></source>
	<size>{size}</size>
	<segmented>1</segmented>
	{"".join(objects)}
</annotation>
"""


def voc_object(
    x1: object, y1: object, x2: object, y2: object, name: str = "dog", more: str = ""
) -> str:
    edges = f"<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>"
    flags = "<pose>Left</pose><truncated>0</truncated><difficult>0</difficult>"
    return f"<object><name>{name}</name>{flags}{edges}{more}</object>"


def brush(mask: NDArray[np.uint8]) -> list[int]:
    """Bytes of a mask [height,width] of paint from 0 to 255, as Label Studio packs them: repeated
    bytes and others in packets of bits."""
    values = np.repeat(mask.ravel(), 4)
    bits = [f"{len(values):032b}", "00111", "0010", "0011", "0111", "1111"]
    sizes = (3, 4, 8, 16)
    at = 0
    while at < len(values):
        end = at + 1
        while end < len(values) and values[end] == values[at] and end - at < 65536:
            end += 1
        repeated = end - at > 1
        if not repeated:  # as many as differ from the byte before them
            while end < len(values) and values[end] != values[end - 1] and end - at < 65536:
                end += 1
        which = next(number for number, size in enumerate(sizes) if end - at <= 1 << size)
        bits.append(f"{int(repeated)}{which:02b}{end - at - 1:0{sizes[which]}b}")
        bits += [f"{values[at]:08b}"] if repeated else [f"{value:08b}" for value in values[at:end]]
        at = end
    stream = "".join(bits)
    stream += "0" * (-len(stream) % 8)
    return [int(stream[at : at + 8], 2) for at in range(0, len(stream), 8)]


def drawn(
    *shapes: Shape, image: str = "a.jpg", size: tuple[int, int] | None = (WIDTH, HEIGHT)
) -> Annotation:
    return Annotation(image, list(shapes), size, Place("drawn", image))


def assert_same(found: list[Shape], expected: list[Shape], within: float = 1e-9) -> None:
    assert [(shape.name, shape.kind, shape.layer) for shape in found] == [
        (shape.name, shape.kind, shape.layer) for shape in expected
    ]
    for mine, other in zip(found, expected, strict=True):
        assert len(mine.parts) == len(other.parts)
        for a, b in zip(mine.parts, other.parts, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=within)
        if mine.runs is not None and other.runs is not None:
            assert mine.runs[1:3] == other.runs[1:3]
            np.testing.assert_array_equal(mine.runs.unpack(), other.runs.unpack())
        assert (mine.runs is None) == (other.runs is None)
