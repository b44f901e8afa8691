"""Small data sets on disk, in the layouts of the large ones, drawn so that the right answers can be
counted by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 12, 10


def photo(path: Path, seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """A picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    ).save(path)
    return path


def indexed(path: Path, values: NDArray[Any]) -> Path:
    """A mask as VOC has them: with a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8))
    image.putpalette([number * channel % 256 for number in range(256) for channel in (50, 90, 130)])
    image.save(path)
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def square(value: int, left: int = 2, top: int = 1, side: int = 6) -> NDArray[np.uint8]:
    """A mask of one object with a rim of 255 on its right."""
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[top : top + side, left : left + side] = value
    values[top : top + side, left + side] = 255
    return values


def voc_xml(
    name: str, box: tuple[int, int, int, int], width: int = WIDTH, height: int = HEIGHT
) -> str:
    edges = "".join(
        f"<{edge}>{value}</{edge}>"
        for edge, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return (
        f"<annotation><size><width>{width}</width><height>{height}</height></size>"
        f"<object><name>{name}</name><bndbox>{edges}</bndbox></object></annotation>"
    )


IDS = {
    "2007_000001": ("cat", 8),
    "2007_000002": ("dog", 12),
    "2007_000003": ("person", 15),
    "2007_000004": ("dog", 12),
}


def voc(root: Path) -> Path:
    """Four images: two to train on, two to measure on. Boxes are x 3..8, y 2..7 as VOC counts,
    which is 2 1 8 7 as edges."""
    home = root / "VOCdevkit" / "VOC2012"
    for number, (id, (name, value)) in enumerate(IDS.items()):
        photo(home / "JPEGImages" / f"{id}.jpg", number)
        indexed(home / "SegmentationClass" / f"{id}.png", square(value))
        text(home / "Annotations" / f"{id}.xml", voc_xml(name, (3, 2, 8, 7)))
    lists = home / "ImageSets" / "Segmentation"
    text(lists / "train.txt", "2007_000001\n2007_000002\n")
    text(lists / "val.txt", "2007_000003\n2007_000004\n")
    text(
        lists / "train_pets.txt",
        "2007_000001 1\n/JPEGImages/2007_000002.jpg /SegmentationClassAug/2007_000002.png\n",
    )
    text(lists / "val_pets.txt", "2007_000004\n")
    clicks = {id: [{"x": 4.5, "y": 3.2, "cls": value, "rank": 1}] for id, (_, value) in IDS.items()}
    text(home / "Points" / "whats_the_point.json", json.dumps(clicks))
    text(
        home / "Points" / "background_from_scribbles.json",
        json.dumps({"2007_000001": [{"x": 11.0, "y": 9.9, "cls": 0}]}),
    )
    return root


def scribble(name: str, *points: tuple[int, int]) -> str:
    inside = "".join(f"<point><X>{x}</X><Y>{y}</Y></point>" for x, y in points)
    return f"<polygon><tag>{name}</tag>{inside}</polygon>"


def coco(root: Path, part: str, objects: list[dict[str, Any]], images: int = 2) -> Path:
    """Images 000.jpg, 001.jpg, ... with a giraffe, an airplane and a dog as categories."""
    for number in range(images):
        photo(root / part / f"{number:03d}.jpg", number)
    categories = [
        {"id": 25, "name": "giraffe"},
        {"id": 5, "name": "airplane"},
        {"id": 18, "name": "dog"},
    ]
    listed = [
        {"id": number, "file_name": f"{number:03d}.jpg", "width": WIDTH, "height": HEIGHT}
        for number in range(images)
    ]
    whole = [{"id": number, "iscrowd": 0, **one} for number, one in enumerate(objects)]
    text(
        root / "annotations" / f"instances_{part}.json",
        json.dumps({"images": listed, "categories": categories, "annotations": whole}),
    )
    return root


def outlined(
    image: int, category: int, left: int, top: int, width: int, height: int
) -> dict[str, Any]:
    """An object of COCO with its box and a polygon along it."""
    right, bottom = left + width, top + height
    ring = [left, top, right, top, right, bottom, left, bottom]
    return {
        "image_id": image,
        "category_id": category,
        "bbox": [left, top, width, height],
        "segmentation": [ring],
    }


CAR, ROAD, POLE_GROUP = 26, 7, 18


def cityscapes(root: Path) -> Path:
    """An image of each part: two cars side by side on a road, below what is not measured."""
    labels = np.full((HEIGHT, WIDTH), ROAD)
    labels[:2] = POLE_GROUP
    labels[4:7, 1:4] = labels[4:7, 4:8] = CAR
    numbers = labels.copy()
    numbers[4:7, 1:4] = CAR * 1000
    numbers[4:7, 4:8] = CAR * 1000 + 1
    for part, city in (("train", "ulm"), ("val", "lindau")):
        name = f"{city}_000000_000019"
        photo(root / "leftImg8bit" / part / city / f"{name}_leftImg8bit.png")
        indexed(root / "gtFine" / part / city / f"{name}_gtFine_labelIds.png", labels)
        Image.fromarray(numbers.astype(np.uint16)).save(
            root / "gtFine" / part / city / f"{name}_gtFine_instanceIds.png"
        )
    return root
