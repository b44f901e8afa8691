"""Labels for tests of their files: odd sizes, odd names, all labels; and the same labels as our
reader finds them in the files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from weakseg.data.files.folder import Folder
from weakseg.data.formats.writing.formats import write_labels
from weakseg.data.formats.writing.labels import LabelledImage
from weakseg.data.toy.dataset import Toy

CLASSES = ("background", "cat", "dog", "traffic light")
ODD_CLASSES = (
    "background",
    "Katze äöü 猫",
    "a \"quoted\" 'name'",
    "<b>&amp;</b>",
    "x,y;z",
    "a/b\\c",
)
ODD_NAMES = (
    "a.jpg",
    "sub/a.png",
    "sub/deeper/ä ö 猫.jpg",
    "x \"y\" 'z'.png",
    "<b>&amp;#+%20?.png",
    "a.b.c.JPG",
    "1,2;3=4.png",
)


def random_labels(
    count: int, height: int, width: int, rng: np.random.Generator, ignored: float = 0.2
) -> np.ndarray:
    """Blocks of any labels, single pixels of others, some without a label."""
    labels = rng.integers(0, count, (-(-height // 3), -(-width // 3)))
    labels = labels.repeat(3, 0).repeat(3, 1)[:height, :width]
    single = rng.random((height, width)) < 0.1
    labels[single] = rng.integers(0, count, int(single.sum()))
    labels[rng.random((height, width)) < ignored] = 255
    return labels.astype(np.uint8)


def varied(classes: Sequence[str], seed: int = 0) -> list[LabelledImage]:
    """One image of each kind that is easily lost, under the odd names in turn."""
    rng = np.random.default_rng(seed)
    last = len(classes) - 1
    empty = np.zeros((5, 7), np.uint8)
    one_pixel = empty.copy()
    one_pixel[4, 6] = last
    ring = empty.copy()
    ring[0:5, 1:6] = 1
    ring[2, 3] = 0
    maps = [
        random_labels(len(classes), 19, 23, rng),
        empty,
        one_pixel,
        np.full((1, 9), last, np.uint8),
        np.array([[255], [0], [last], [255]], np.uint8),
        np.full((3, 4), 255, np.uint8),
        ring,
    ]
    scores = [None, 0.25, *np.linspace(0, 1, 5).tolist()]
    return [LabelledImage(*each) for each in zip(ODD_NAMES, maps, scores, strict=True)]


def photos(folder: Path, images: Sequence[LabelledImage]) -> Path:
    """The images that the labels are of, all grey."""
    for image in images:
        height, width = image.size
        (folder / image.name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height), "grey").save(folder / image.name)
    return folder


# how our reader takes the files of each format, from the folder that they were written to
READ: dict[str, dict[str, Any]] = {
    "png": {"format": "mask_png", "annotations": ""},
    "coco": {"format": "coco", "annotations": "coco.json"},
    "coco_polygons": {"format": "coco", "annotations": "coco_polygons.json"},
    "cvat": {"format": "cvat", "annotations": "cvat.xml"},
    "cvat_masks": {"format": "mask_png", "annotations": "cvat_masks/SegmentationClass"},
    "datumaro": {"format": "datumaro", "annotations": "datumaro"},
    "label_studio": {"format": "label_studio", "annotations": "label_studio.json"},
    "labelme": {"format": "labelme", "annotations": "labelme"},
    "voc": {"format": "mask_png", "annotations": "voc/SegmentationClass"},
}


def reader(
    format: str, out: Path, photos: Path, classes: Sequence[str], place: str | None = None
) -> Folder:
    """The data set of photos with the files of the format, or with what is at another place."""
    read = READ[format]
    return Folder(
        photos,
        read["format"],
        list(classes),
        annotations=str(out / (read["annotations"] if place is None else place)),
        whole=read["format"] != "mask_png",
        evidence="masks",
        val_share=0,
    )


def round_trip(
    format: str, images: Sequence[LabelledImage], classes: Sequence[str], folder: Path
) -> dict[str, np.ndarray]:
    """The labels by image as our reader finds them, once as evidence and once as truth."""
    write_labels(format, iter(images), classes, folder / "out", images_in=folder / "photos")
    for path in (folder / "out").glob("*.zip"):  # our reader takes folders
        with zipfile.ZipFile(path) as archive:
            archive.extractall(path.with_suffix(""))
    data = reader(format, folder / "out", photos(folder / "photos", images), classes)
    assert data.problems == []
    found = {}
    for number, entry in enumerate(data.entries):
        evidence, truth = data.sample(number)
        assert evidence.marks is not None
        assert truth is not None
        np.testing.assert_array_equal(evidence.marks.numpy(), truth.numpy())
        found[entry.id] = truth.numpy()
    return found


def toy_photos(folder: Path, count: int, size: int) -> Path:
    """Toy images as files, in two folders, and their boxes as a COCO file: a data set as a user has
    it."""
    toy = Toy(train=count, val=0, size=size)
    entries: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    for number in range(count):
        evidence, _ = toy.sample(number)
        assert evidence.boxes is not None
        assert evidence.box_classes is not None
        name = f"{('north', 'south')[number % 2]}/{number:03}.png"
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(evidence.image.permute(1, 2, 0).numpy()).save(path)
        about = {"id": number, "file_name": name, "width": size, "height": size}
        entries["images"].append(about)
        for box, label in zip(evidence.boxes.tolist(), evidence.box_classes.tolist(), strict=True):
            x, y, right, bottom = box
            place = {"bbox": [x, y, right - x, bottom - y], "category_id": label}
            entries["annotations"].append({"image_id": number, **place})
    categories = [{"id": label, "name": name} for label, name in list(enumerate(toy.classes))[1:]]
    (folder / "boxes.json").write_text(json.dumps(entries | {"categories": categories}))
    return folder
