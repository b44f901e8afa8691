from pathlib import Path

import numpy as np
import pytest

from tests.data.formats.writing import assert_same, datumaro, save
from weakseg.data.formats.base import FormatError, Place, Shape, box, line, mask, point, polygon
from weakseg.data.formats.datumaro import read
from weakseg.data.formats.runs import Runs, pack, to_coco_string

HERE = Place("drawn")

# in the form of the test data of Datumaro itself
EXAMPLE = {
    "info": {},
    "categories": {
        "label": {
            "labels": [
                {"name": f"cat{number}", "parent": "", "attributes": ["x", "y"]}
                for number in range(5)
            ],
            "attributes": ["score"],
        },
        "mask": {"colormap": [{"label_id": 0, "r": 0, "g": 0, "b": 0}]},
        "points": {"items": [{"label_id": 0, "labels": ["cat1", "cat2"], "joints": [[0, 1]]}]},
    },
    "items": [
        {
            "id": "100",
            "annotations": [
                {"id": 1, "type": "caption", "attributes": {}, "group": 0, "caption": "hello"},
                {
                    "id": 3,
                    "type": "label",
                    "attributes": {"x": 1, "y": "2"},
                    "group": 0,
                    "label_id": 2,
                },
                {
                    "id": 4,
                    "type": "bbox",
                    "attributes": {"score": 1.0},
                    "group": 0,
                    "label_id": 4,
                    "z_order": 1,
                    "bbox": [1.0, 2.0, 3.0, 4.0],
                },
                {
                    "id": 5,
                    "type": "points",
                    "group": 0,
                    "label_id": 0,
                    "points": [1.0, 2.0, 2.0, 0.0],
                    "z_order": 4,
                    "visibility": [2, 1],
                },
                {
                    "id": 5,
                    "type": "mask",
                    "group": 0,
                    "label_id": 3,
                    "rle": {"counts": "06", "size": [2, 3]},
                    "z_order": 2,
                },
            ],
            "image": {"path": "100.jpg", "size": [10, 6]},
        },
        {"id": "42", "annotations": [], "image": {"path": ""}, "media": {"path": ""}},
        {
            "id": "21",
            "annotations": [
                {
                    "id": 0,
                    "type": "polyline",
                    "group": 0,
                    "label_id": 2,
                    "points": [1, 2, 3, 4],
                    "z_order": 0,
                }
            ],
        },
    ],
}


def test_the_form_of_its_own_tests(tmp_path: Path) -> None:
    first, second, third = read(save(tmp_path, "train.json", EXAMPLE))
    assert (first.image, first.size) == ("100.jpg", (6, 10))
    assert (second.image, second.size, second.shapes) == ("42", None, [])
    expected = [
        Shape("cat2", "tag", HERE),
        box("cat4", HERE, 1, 2, 4, 6, layer=1),
        point("cat0", HERE, np.array([[1, 2], [2, 0]]), layer=4),
        mask("cat3", HERE, Runs(np.array([0, 6]), 0, 0, 3, 2, by_columns=True), layer=2),
    ]
    assert_same(first.shapes, expected)
    assert [shape.place.number for shape in first.shapes] == [2, 3, 4, 5]
    assert_same(third.shapes, [line("cat2", HERE, np.array([[1, 2], [3, 4]]))])


def test_newer_files_say_media(tmp_path: Path) -> None:
    item = read(
        save(tmp_path, "a.json", datumaro(image={}, media={"path": "b/c.png", "size": [7, 9]}))
    )[0]
    assert (item.image, item.size) == ("b/c.png", (9, 7))


def test_ellipses_are_given_by_their_box(tmp_path: Path) -> None:
    shape = read(
        save(tmp_path, "a.json", datumaro({"type": "ellipse", "points": [10, 20, 50, 40]}))
    )[0].shapes[0]
    np.testing.assert_allclose(shape.parts[0].min(0), [10, 20], atol=0.1)
    np.testing.assert_allclose(shape.parts[0].max(0), [50, 40], atol=0.1)


def test_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    entries, shapes = [], []
    for number in range(30):
        points = rng.uniform(0, 99, (rng.integers(3, 9), 2))
        runs = pack(rng.random((12, 10)) < 0.3, by_columns=True)
        entries.append({"type": "polygon", "points": points.ravel().tolist(), "z_order": number})
        entries.append(
            {"type": "mask", "rle": {"size": [12, 10], "counts": to_coco_string(runs.counts)}}
        )
        shapes += [polygon("dog", HERE, [points], number), mask("dog", HERE, runs)]
    assert_same(read(save(tmp_path, "a.json", datumaro(*entries)))[0].shapes, shapes)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"type": "cuboid_3d"}, "the type should be label, bbox, .*, but it is 'cuboid_3d'"),
        (
            {"type": "label", "label_id": None},
            "the field 'label_id' should be a whole number, but it is None",
        ),
        (
            {"type": "label", "label_id": 4},
            "label_id should be the number of a label, 0 to 3, but it is 4",
        ),
        ({"type": "label", "label_id": -1}, "label_id should be the number of a label"),
        ({"type": "bbox", "bbox": [1, 2, -3, 4]}, "a box should be wider and higher than 0"),
        ({"type": "bbox"}, "bbox, x y width height, should be 4 finite numbers .*, but it is None"),
        (
            {"type": "points", "points": [1, 2], "visibility": [2, 2]},
            "visibility, one number per point, should be 1 finite numbers",
        ),
        ({"type": "mask", "rle": [1]}, "the field 'rle' should be an object with named fields"),
        ({}, "the field 'type' should be text, but it is missing"),
    ],
)
def test_what_is_wrong_is_named(entry: dict[str, object], message: str, tmp_path: Path) -> None:
    path = save(tmp_path, "a.json", datumaro({"type": "label"}, entry))
    with pytest.raises(FormatError, match=f"a.json, image 'a.jpg', object 2: {message}"):
        read(path)
    problems: list[FormatError] = []
    assert len(read(path, problems)[0].shapes) == len(problems) == 1
