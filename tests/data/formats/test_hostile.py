"""Files in which anything may stand anywhere: a reader gives an annotation or a FormatError, never
another error."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.formats.test_coco import EXAMPLE as COCO
from tests.data.formats.test_cvat import EXAMPLE as CVAT
from tests.data.formats.test_datumaro import EXAMPLE as DATUMARO
from tests.data.formats.test_label_studio import EXAMPLE as LABEL_STUDIO
from tests.data.formats.test_voc_xml import PEOPLE as VOC
from tests.data.formats.writing import brush, coco, coco_object, label_studio, labelme
from weakseg.data.formats import coco as coco_reader
from weakseg.data.formats import csv_file, voc_xml, yolo
from weakseg.data.formats import cvat as cvat_reader
from weakseg.data.formats import datumaro as datumaro_reader
from weakseg.data.formats import label_studio as label_studio_reader
from weakseg.data.formats import labelme as labelme_reader
from weakseg.data.formats.base import Annotation, FormatError
from weakseg.data.formats.evidence import to_evidence

ROUNDS = 60
RNG = np.random.default_rng(0)
ODD = [
    None,
    True,
    0,
    -1,
    1e308,
    2**70,
    0.5,
    "",
    "nan",
    "../../etc/passwd",
    "\0\x1b",
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    [1, 2, 3, 4],
    "x" * 5000,
]
BRUSH = label_studio(
    {
        "type": "brushlabels",
        "value": {"rle": brush(np.eye(120, 100, dtype=np.uint8)), "brushlabels": ["dog"]},
    }
)
RUNS = coco(
    [
        coco_object(1, segmentation={"size": [2, 3], "counts": [1, 2, 3]}),
        coco_object(2, segmentation={"size": [2, 3], "counts": "06"}),
    ]
)
LABELME = labelme(
    {"shape_type": "circle", "points": [[50, 60], [53, 64]]},
    {"shape_type": "rectangle", "points": [[1, 2], [3, 4]]},
    {"shape_type": "polygon", "points": [[1, 2], [3, 4], [5, 6]]},
)
JSON: dict[str, tuple[Any, Callable[..., Any]]] = {
    "coco": (COCO, coco_reader.read),
    "coco runs": (RUNS, coco_reader.read),
    "datumaro": (DATUMARO, datumaro_reader.read),
    "label studio": (LABEL_STUDIO, label_studio_reader.read),
    "label studio brush": (BRUSH, label_studio_reader.read),
    "labelme": (LABELME, labelme_reader.read),
}
TEXTS: dict[str, tuple[str, Callable[..., Any]]] = {
    "voc": (VOC, voc_xml.read),
    "cvat": (CVAT, cvat_reader.read),
    "csv": ("image,x,y,class\na.jpg,1,2,dog\nb.jpg,3.5,4,cat\n", csv_file.read),
    "yolo": (
        "1 0.5 0.5 0.1 0.1\n0 0.1 0.1 0.2 0.1 0.2 0.2\n",
        lambda path, problems=None: yolo.read(path, ["a", "b"], "x", (9, 9), problems),
    ),
}


def places(node: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if way:
        yield way
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node[:9])
        if isinstance(node, list)
        else ()
    )
    for key, value in items:
        yield from places(value, (*way, key))


def spoiled(node: Any, way: tuple[Any, ...], value: Any) -> Any:
    top = copy.deepcopy(node)
    inner = top
    for key in way[:-1]:
        inner = inner[key]
    inner[way[-1]] = value
    return top


def try_to_read(read: Callable[..., Any], path: Path) -> None:
    problems: list[FormatError] = []
    for arguments in ((path,), (path, problems)):
        try:
            found = read(*arguments)
        except FormatError:
            continue
        for annotation in [found] if isinstance(found, Annotation) else found:
            width, height = annotation.size or (64, 48)
            if width * height < 10**6:
                classes = ["background", *sorted({shape.name for shape in annotation.shapes})]
                try:
                    evidence = to_evidence(
                        annotation, torch.zeros(3, height, width, dtype=torch.uint8), classes
                    )
                except FormatError:
                    continue
                evidence.check(len(classes))


@pytest.mark.parametrize(("content", "read"), JSON.values(), ids=JSON)
def test_anything_anywhere_in_json(content: Any, read: Callable[..., Any], tmp_path: Path) -> None:
    ways = list(places(content))
    path = tmp_path / "a.json"
    for _ in range(ROUNDS):
        path.write_text(
            json.dumps(spoiled(content, ways[RNG.integers(len(ways))], ODD[RNG.integers(len(ODD))]))
        )
        try_to_read(read, path)


@pytest.mark.parametrize(("text", "read"), TEXTS.values(), ids=TEXTS)
def test_anything_for_a_word_of_text(text: str, read: Callable[..., Any], tmp_path: Path) -> None:
    words = [match.span() for match in re.finditer(r"[\w.\-]+", text)]
    path = tmp_path / "a.txt"
    for _ in range(ROUNDS):
        start, end = words[RNG.integers(len(words))]
        odd = ODD[RNG.integers(len(ODD))]
        path.write_text(text[:start] + str(odd) + text[end:])
        try_to_read(read, path)
