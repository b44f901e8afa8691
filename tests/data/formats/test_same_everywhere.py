"""One and the same thing in every format is the same evidence: nobody counts from another end, or
one pixel further."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.formats.writing import (
    CLASSES,
    HEIGHT,
    WIDTH,
    brush,
    coco,
    coco_object,
    cvat,
    datumaro,
    label_studio,
    labelme,
    save,
    voc,
    voc_object,
)
from weakseg.data.formats import coco as coco_reader
from weakseg.data.formats import csv_file, mask_png, voc_xml, yolo
from weakseg.data.formats import cvat as cvat_reader
from weakseg.data.formats import datumaro as datumaro_reader
from weakseg.data.formats import label_studio as label_studio_reader
from weakseg.data.formats import labelme as labelme_reader
from weakseg.data.formats.base import Annotation
from weakseg.data.formats.evidence import to_evidence
from weakseg.evidence import Evidence

IMAGE = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
# a dog of 10 by 20 pixels: columns 30 to 39 and rows 50 to 69, counted from 0
DOG = np.zeros((HEIGHT, WIDTH), bool)
DOG[50:70, 30:40] = True
PER_CENT = {"x": 30, "y": 50 / 1.2, "width": 10, "height": 20 / 1.2}
CORNERS = [[30, 50], [40, 50], [40, 70], [30, 70]]
FLAT = [number for corner in CORNERS for number in corner]


def coco_of(folder: Path, **fields: object) -> Annotation:
    return coco_reader.read(save(folder, "a.json", coco([coco_object(1, **fields)])))[0]


def labelme_of(folder: Path, form: str, points: object) -> Annotation:
    return labelme_reader.read(
        save(folder, "a.json", labelme({"shape_type": form, "points": points}))
    )


def cvat_of(folder: Path, element: str) -> Annotation:
    return cvat_reader.read(save(folder, "a.xml", cvat(element)))[0]


def datumaro_of(folder: Path, **fields: object) -> Annotation:
    return datumaro_reader.read(save(folder, "a.json", datumaro(fields)))[0]


def studio_of(folder: Path, kind: str, **value: object) -> Annotation:
    return label_studio_reader.read(
        save(folder, "a.json", label_studio({"type": kind, "value": {**value, kind: ["dog"]}}))
    )[0]


def yolo_of(folder: Path, line: str) -> Annotation:
    return yolo.read(save(folder, "a.txt", line), CLASSES, "a.jpg", (WIDTH, HEIGHT))


def csv_of(folder: Path, text: str) -> Annotation:
    return csv_file.read(save(folder, "a.csv", text))[0]


def mask_of(folder: Path) -> Annotation:
    image = Image.fromarray(np.where(DOG, 2, 255).astype(np.uint8))
    image.putpalette(bytes(range(256)) * 3)
    image.save(folder / "a.png")
    return mask_png.read(folder / "a.png", CLASSES, "a.jpg")


Reader = Callable[[Path], Annotation]
BOXES: dict[str, Reader] = {
    "voc": lambda folder: voc_xml.read(save(folder, "a.xml", voc(voc_object(31, 51, 40, 70)))),
    "coco": lambda folder: coco_of(folder, bbox=[30, 50, 10, 20]),
    "yolo": lambda folder: yolo_of(folder, "2 0.35 0.5 0.1 0.166666666667"),
    "labelme": lambda folder: labelme_of(folder, "rectangle", [[40.0, 70.0], [30.0, 50.0]]),
    "cvat": lambda folder: cvat_of(
        folder,
        '<box label="dog" occluded="0" xtl="30.00" ytl="50.00" xbr="40.00" ybr="70.00" '
        'z_order="0"></box>',
    ),
    "datumaro": lambda folder: datumaro_of(folder, type="bbox", bbox=[30.0, 50.0, 10.0, 20.0]),
    "label studio": lambda folder: studio_of(folder, "rectanglelabels", **PER_CENT, rotation=0),
}
AREAS: dict[str, Reader] = {
    "coco polygon": lambda folder: coco_of(folder, segmentation=[FLAT]),
    "coco runs": lambda folder: coco_of(
        folder, segmentation={"size": [HEIGHT, WIDTH], "counts": [3650, *[20, 100] * 9, 20, 7250]}
    ),
    "coco string": lambda folder: coco_of(
        folder, segmentation={"size": [HEIGHT, WIDTH], "counts": "Rb3d0T300000000000000000^o6"}
    ),
    "yolo polygon": lambda folder: yolo_of(
        folder, "2 " + " ".join(f"{x / WIDTH} {y / HEIGHT:.9f}" for x, y in CORNERS)
    ),
    "labelme polygon": lambda folder: labelme_of(folder, "polygon", CORNERS),
    "cvat polygon": lambda folder: cvat_of(
        folder, '<polygon label="dog" points="30.0,50.0;40.0,50.0;40.0,70.0;30.0,70.0"></polygon>'
    ),
    "cvat mask": lambda folder: cvat_of(
        folder, '<mask label="dog" rle="0, 200" left="30" top="50" width="10" height="20"></mask>'
    ),
    "datumaro polygon": lambda folder: datumaro_of(folder, type="polygon", points=FLAT),
    "datumaro mask": lambda folder: datumaro_of(
        folder, type="mask", rle={"size": [HEIGHT, WIDTH], "counts": "Rb3d0T300000000000000000^o6"}
    ),
    "label studio polygon": lambda folder: studio_of(
        folder, "polygonlabels", points=[[x, y / 1.2] for x, y in CORNERS], closed=True
    ),
    "label studio brush": lambda folder: studio_of(
        folder, "brushlabels", format="rle", rle=brush(np.where(DOG, 255, 0).astype(np.uint8))
    ),
    "mask": mask_of,
}
# a click into column 33 of row 55
CLICKS: dict[str, Reader] = {
    "coco": lambda folder: coco_of(folder, keypoints=[33, 55, 2, 0, 0, 0], num_keypoints=1),
    "labelme": lambda folder: labelme_of(folder, "point", [[33.4, 55.9]]),
    "cvat": lambda folder: cvat_of(folder, '<points label="dog" points="33.40,55.90"></points>'),
    "datumaro": lambda folder: datumaro_of(
        folder, type="points", points=[33.4, 55.9, 1, 1], visibility=[2, 0]
    ),
    "label studio": lambda folder: studio_of(
        folder, "keypointlabels", x=33.4, y=55.9 / 1.2, width=0.2
    ),
    "csv": lambda folder: csv_of(folder, "image,x,y,class\na.jpg,33,55,dog\n"),
}
TAGS: dict[str, Reader] = {
    "coco": coco_of,
    "cvat": lambda folder: cvat_of(folder, '<tag label="dog" source="manual"></tag>'),
    "datumaro": lambda folder: datumaro_of(folder, type="label"),
    "label studio": lambda folder: studio_of(folder, "choices"),
    "csv": lambda folder: csv_of(folder, "image,class\na.jpg,dog\n"),
}


def evidence_of(annotation: Annotation) -> Evidence:
    assert annotation.image == "a.jpg"
    assert annotation.size in (None, (WIDTH, HEIGHT))
    evidence = to_evidence(annotation, IMAGE, CLASSES)
    evidence.check(len(CLASSES))
    return evidence


@pytest.mark.parametrize("read", BOXES.values(), ids=BOXES)
def test_a_box(read: Reader, tmp_path: Path) -> None:
    evidence = evidence_of(read(tmp_path))
    assert evidence.kinds == ("boxes",)
    torch.testing.assert_close(
        evidence.boxes, torch.tensor([[30.0, 50, 40, 70]]), rtol=0, atol=1e-4
    )
    assert evidence.box_classes.tolist() == [2]


@pytest.mark.parametrize("read", AREAS.values(), ids=AREAS)
def test_an_area(read: Reader, tmp_path: Path) -> None:
    evidence = evidence_of(read(tmp_path))
    assert evidence.kinds == ("marks",)
    np.testing.assert_array_equal(evidence.marks.numpy(), np.where(DOG, 2, 255))


@pytest.mark.parametrize("read", CLICKS.values(), ids=CLICKS)
def test_a_click(read: Reader, tmp_path: Path) -> None:
    evidence = evidence_of(read(tmp_path))
    assert evidence.kinds == ("marks",)
    assert torch.nonzero(evidence.marks != 255).tolist() == [[55, 33]]
    assert evidence.marks[55, 33] == 2


@pytest.mark.parametrize("read", TAGS.values(), ids=TAGS)
def test_a_tag(read: Reader, tmp_path: Path) -> None:
    evidence = evidence_of(read(tmp_path))
    assert evidence.kinds == ("tags",)
    assert evidence.tags.tolist() == [True, False, True, False]
