"""Make the files beside this one anew, with the tools themselves: `python make.py datumaro`, in an
environment that has the tool.

Six images of noise, 32 by 24 pixels; on each an object at 6 5 20 15 (x1 y1 x2 y2): cats on 0, 2 and
4, dogs on 1, 3 and 5. Images are not kept; tests make their own. Made with datumaro 1.13.12,
label-studio-sdk 2.1.2, labelme 6.3.1 and supervision 0.31.2.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PARTS = ("train", "train", "train", "val", "val", "test")
NAMES = ("cat", "dog")
WIDTH, HEIGHT = 32, 24


def datumaro() -> None:
    """Every format of its that weakseg reads, from one data set with the parts train, val and test;
    and VOC read and written as COCO."""
    import numpy as np
    from datumaro.components.annotation import (
        AnnotationType,
        Bbox,
        Caption,
        LabelCategories,
        Mask,
        MaskCategories,
        Points,
    )
    from datumaro.components.dataset import Dataset
    from datumaro.components.dataset_base import DatasetItem
    from datumaro.components.media import Image

    covered = np.zeros((HEIGHT, WIDTH), bool)
    covered[5:15, 6:20] = True
    items = []
    for number, part in enumerate(PARTS):
        image = Image.from_numpy(
            np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8),
            ext=".png",
        )
        label = 1 + number % 2
        drawn: list[Any] = [
            Bbox(6, 5, 14, 10, label=label, id=1, group=1),
            Mask(covered, label=label, id=1, group=1),
        ]
        if number == 0:
            drawn += [
                Points([7, 7, 2, 2], [2, 0], label=1, id=2, group=2),
                Bbox(1, 1, 4, 4, label=1, id=2, group=2),
                Caption("a cat", id=3),
            ]
        items.append(DatasetItem(id=f"img_{number}", subset=part, media=image, annotations=drawn))
    labels = LabelCategories.from_iterable(["background", *NAMES])
    colours = MaskCategories({0: (0, 0, 0), 1: (250, 50, 83), 2: (51, 221, 255)})
    data = Dataset.from_iterable(
        items, categories={AnnotationType.label: labels, AnnotationType.mask: colours}
    )
    with tempfile.TemporaryDirectory() as folder:
        for form in ("coco", "datumaro", "voc_segmentation", "yolo", "yolo_ultralytics", "cvat"):
            data.export(f"{folder}/{form}", form, save_media=True)
            keep(Path(folder, form), f"datumaro_{form}")
        boxes = Dataset.from_iterable(items, categories=["background", *NAMES])
        boxes.export(f"{folder}/voc", "voc_detection", save_media=True)
        Dataset.import_from(f"{folder}/voc", "voc").export(
            f"{folder}/voc_to_coco", "coco_instances", save_media=True
        )
        keep(Path(folder, "voc_to_coco"), "datumaro_voc_to_coco")


def label_studio_sdk() -> None:
    """Four tasks: drawn, skipped, not begun, drawn; and what its converter makes of them. Files
    came through the browser."""
    from label_studio_sdk.converter import Converter

    tasks = []
    for number in range(4):
        name = f"0000000{number}-img_{number}.png"
        value = {
            "x": 18.75,
            "y": 500 / 24,
            "width": 43.75,
            "height": 1000 / 24,
            "rotation": 0,
            "rectanglelabels": [NAMES[number % 2]],
        }
        size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
        drawn = {
            "id": f"r{number}",
            "type": "rectanglelabels",
            "from_name": "label",
            "to_name": "image",
            **size,
            "value": value,
        }
        skipped = {"id": number, "completed_by": 1, "was_cancelled": True, "result": []}
        people = {1: [skipped], 2: []}.get(
            number, [{"id": number, "completed_by": 1, "was_cancelled": False, "result": [drawn]}]
        )
        about = {
            "data": {"image": f"/data/upload/1/{name}"},
            "file_upload": name,
            "predictions": [],
            "drafts": [],
            "meta": {},
        }
        tasks.append({"id": number, "annotations": people, **about})
    view = (
        '<View><Image name="image" value="$image"/><RectangleLabels name="label" '
        'toName="image">{}</RectangleLabels></View>'
    )
    labels = "".join(f'<Label value="{name}"/>' for name in NAMES)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "tasks.json")
        file.write_text(json.dumps(tasks))
        for form in ("JSON", "COCO", "YOLO"):
            made = Converter(
                view.format(labels), folder, upload_dir=folder, download_resources=False
            )
            made.convert(str(file), f"{folder}/{form}", form, is_dir=False)
            keep(Path(folder, form), f"label_studio_{form.lower()}")


def labelme() -> None:
    """A mask as its AI tools make it, and a turned rectangle, for img_0 and img_1."""
    import numpy as np
    from labelme._label_file import write_label_file
    from labelme.utils import img_arr_to_b64

    covered = np.ones((10, 14), np.uint8)
    covered[0, 0] = 0
    bare = {"group_id": None, "description": "", "flags": {}}
    mask = {
        "label": "cat",
        "points": [[6.0, 5.0], [19.0, 14.0]],
        "shape_type": "mask",
        "mask": img_arr_to_b64(covered),
        **bare,
    }
    corners = [[6.0, 5.0], [20.0, 5.0], [20.0, 15.0], [6.0, 15.0]]
    turned = {
        "label": "dog",
        "points": corners,
        "shape_type": "oriented_rectangle",
        "mask": None,
        **bare,
    }
    with tempfile.TemporaryDirectory() as folder:
        for number, shape in enumerate((mask, turned)):
            name = f"img_{number}"
            write_label_file(
                f"{folder}/{name}.json",
                shapes=[shape],
                image_path=f"{name}.png",
                image_height=HEIGHT,
                image_width=WIDTH,
            )
        keep(Path(folder), "labelme")


def supervision() -> None:
    """Masks of img_0 to img_2 as COCO, YOLO and VOC, and nothing on img_3. (This one also wants
    opencv-python-headless.)"""
    import cv2
    import numpy as np
    import supervision as sv

    covered = np.zeros((1, HEIGHT, WIDTH), bool)
    covered[0, 5:15, 6:20] = True
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/img_{number}.png" for number in range(4)]
        for number, path in enumerate(paths):
            cv2.imwrite(
                path,
                np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8),
            )
        found = [
            sv.Detections(
                np.array([[6.0, 5, 20, 15]]), mask=covered, class_id=np.array([number % 2])
            )
            for number in range(3)
        ]
        data = sv.DetectionDataset(
            list(NAMES), paths, dict(zip(paths, [*found, sv.Detections.empty()], strict=True))
        )
        data.as_coco(f"{folder}/coco/images", f"{folder}/coco/annotations.json")
        data.as_yolo(f"{folder}/yolo/images", f"{folder}/yolo/labels", f"{folder}/yolo/data.yaml")
        data.as_pascal_voc(f"{folder}/voc/images", f"{folder}/voc/annotations")
        for form in ("coco", "yolo", "voc"):
            keep(Path(folder, form), f"supervision_{form}")


def keep(made: Path, name: str) -> None:
    """Copy all but images, whose names are written into a list; masks in colours are kept."""
    shutil.rmtree(HERE / name, ignore_errors=True)
    shutil.copytree(
        made,
        HERE / name,
        ignore=shutil.ignore_patterns(
            "SegmentationObject", "panoptic_train", "panoptic_val", "panoptic_test"
        ),
    )
    images = [
        path
        for path in sorted((HERE / name).rglob("*.png"))
        if path.parent.name != "SegmentationClass"
    ]
    for path in images:
        path.unlink()
    names = "".join(f"{path.relative_to(HERE / name).as_posix()}\n" for path in images)
    (HERE / name / "images.lst").write_text(names)


if __name__ == "__main__":
    for tool in sys.argv[1:]:
        {
            "datumaro": datumaro,
            "label-studio-sdk": label_studio_sdk,
            "labelme": labelme,
            "supervision": supervision,
        }[tool]()
