import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.formats.writing import assert_same, coco, coco_object, save
from weakseg.data.formats.base import (
    Annotation,
    FormatError,
    Place,
    Shape,
    box,
    mask,
    point,
    polygon,
)
from weakseg.data.formats.coco import joined, read
from weakseg.data.formats.runs import pack, to_coco_string

HERE = Place("drawn")
TRIANGLE = np.array([[10.5, 20.25], [30, 20.25], [10.5, 60]])

# in the form of the documentation of COCO's data format, with an image that has no object
EXAMPLE = {
    "info": {
        "year": 2017,
        "version": "1.0",
        "description": "COCO 2017 Dataset",
        "contributor": "COCO Consortium",
        "url": "",
        "date_created": "",
    },
    "licenses": [{"id": 1, "name": "Attribution License", "url": ""}],
    "images": [
        {
            "id": 397133,
            "width": 640,
            "height": 427,
            "file_name": "000000397133.jpg",
            "license": 1,
            "flickr_url": "",
            "coco_url": "",
            "date_captured": "",
        },
        {
            "id": 37777,
            "width": 352,
            "height": 230,
            "file_name": "000000037777.jpg",
            "license": 1,
            "flickr_url": "",
            "coco_url": "",
            "date_captured": "",
        },
    ],
    "annotations": [
        {
            "id": 1768,
            "image_id": 397133,
            "category_id": 1,
            "segmentation": [
                [388.66, 69.92, 498.07, 69.92, 498.07, 347.54],
                [400, 10, 410, 10, 410, 20, 400, 20],
            ],
            "area": 18234.62,
            "bbox": [388.66, 69.92, 109.41, 277.62],
            "iscrowd": 0,
            "keypoints": [433, 94, 2, 434, 90, 1, 0, 0, 0],
            "num_keypoints": 2,
        }
    ],
    "categories": [
        {
            "supercategory": "person",
            "id": 1,
            "name": "person",
            "keypoints": ["nose", "left_eye", "tail"],
            "skeleton": [[1, 2]],
        }
    ],
}


def test_the_documented_form(tmp_path: Path) -> None:
    first, second = read(save(tmp_path, "instances.json", EXAMPLE))
    assert (first.image, first.size) == ("000000397133.jpg", (640, 427))
    assert (second.image, second.size, second.shapes) == ("000000037777.jpg", (352, 230), [])
    rings = [
        np.array([[388.66, 69.92], [498.07, 69.92], [498.07, 347.54]]),
        np.array([[400.0, 10], [410, 10], [410, 20], [400, 20]]),
    ]
    expected = [
        box("person", HERE, 388.66, 69.92, 498.07, 347.54),
        polygon("person", HERE, rings),
        point("person", HERE, np.array([[433.0, 94], [434, 90]])),
    ]
    assert_same(first.shapes, expected)
    assert {shape.place.number for shape in first.shapes} == {1}


def test_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    objects, shapes = [], []
    for number in range(40):
        x, y, w, h = rng.uniform(1, 50, 4)
        ring = rng.uniform(0, 99, (rng.integers(3, 9), 2))
        runs = pack(rng.random((12, 10)) < 0.3, by_columns=True)
        counts = runs.counts.tolist() if number % 2 else to_coco_string(runs.counts)
        objects.append(coco_object(number, bbox=[x, y, w, h], segmentation=[ring.ravel().tolist()]))
        objects.append(
            coco_object(number, id=100 + number, segmentation={"size": [12, 10], "counts": counts})
        )
        shapes += [
            box("dog", HERE, x, y, x + w, y + h),
            polygon("dog", HERE, [ring]),
            mask("dog", HERE, runs),
        ]
    assert_same(read(save(tmp_path, "a.json", coco(objects)))[0].shapes, shapes)


def test_key_points_that_nobody_labelled_are_none(tmp_path: Path) -> None:
    annotation = read(
        save(tmp_path, "a.json", coco([coco_object(1, keypoints=[0, 0, 0] * 3, bbox=[1, 1, 2, 2])]))
    )[0]
    assert [shape.kind for shape in annotation.shapes] == ["box"]


def test_an_object_with_nothing_but_a_class_is_a_tag(tmp_path: Path) -> None:
    annotation = read(save(tmp_path, "a.json", coco([coco_object(1, segmentation=[])])))[0]
    assert_same(annotation.shapes, [Shape("dog", "tag", HERE)])


WRONG = {
    "flat box": ({"bbox": [1, 2, 0, 4]}, "a box should be wider and higher than 0"),
    "NaN": (
        {"bbox": [1, float("nan"), 3, 4]},
        r"4 finite numbers from .*, but it is \[1, nan, 3, 4\]",
    ),
    "infinity": ({"segmentation": [[1, 2, 3, float("inf"), 5, 6]]}, "a list of finite numbers"),
    "NaN as an id": (
        {"category_id": float("nan")},
        "the field 'category_id' should be a whole number or text, but it is nan",
    ),
    "NaN as text": (
        {"bbox": [1, 2, "nan", 4]},
        "bbox, x y width height, should be 4 finite numbers",
    ),
    "three numbers": ({"bbox": [1, 2, 3]}, "should be 4 finite numbers"),
    "truth value": ({"bbox": [1, 2, 3, True]}, "should be 4 finite numbers"),
    "huge": ({"bbox": [1, 2, 10**400, 4]}, "should be 4 finite numbers"),
    "odd polygon": (
        {"segmentation": [[1, 2, 3, 4, 5, 6, 7]]},
        "x and y in turn, an even number of numbers, but it is 7 numbers",
    ),
    "two points": (
        {"segmentation": [[1, 2, 3, 4]]},
        "a polygon should be made of 3 points or more, but it is one of 2",
    ),
    "text": (
        {"segmentation": "polygon"},
        "segmentation should be polygons or runs, but it is 'polygon'",
    ),
    "short runs": (
        {"segmentation": {"size": [2, 3], "counts": [1, 2]}},
        "a mask should be runs of 6 pixels together, .*, but it is 2 runs of 3",
    ),
    "fractions": (
        {"segmentation": {"size": [2, 3], "counts": [1.5, 4.5]}},
        "counts, runs of pixels, should be whole numbers",
    ),
    "damaged string": (
        {"segmentation": {"size": [2, 3], "counts": "0 6"}},
        "counts should be a compressed mask, but it is not: it has a character",
    ),
    "bomb": (
        {"segmentation": {"size": [60000, 60000], "counts": [60000 * 1000]}},
        "a mask should be at least one pixel .* but it is 60000 by 60000",
    ),
    "no size": (
        {"segmentation": {"counts": [6]}},
        "the size of a mask, height and width, should be 2 finite numbers",
    ),
    "pairs": (
        {"keypoints": [1, 2, 2, 4]},
        "keypoints should be x, y and visibility in turn, but it is 4 numbers",
    ),
    "unknown category": (
        {"category_id": 99},
        "the field 'category_id' should be one of the 3 ids that the file defines, but it is 99",
    ),
    "unknown image": ({"image_id": 8}, "the field 'image_id' should be one of the 1 ids"),
    "no image": (
        {"image_id": None},
        "the field 'image_id' should be a whole number or text, but it is None",
    ),
}


@pytest.mark.parametrize(("fields", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_and_the_rest_can_be_kept(
    fields: dict[str, object], message: str, tmp_path: Path
) -> None:
    objects = [
        coco_object(1, bbox=[1, 1, 2, 2]),
        coco_object(2, **fields),
        coco_object(3, bbox=[1, 1, 2, 2]),
    ]
    path = save(tmp_path, "a.json", coco(objects))
    with pytest.raises(FormatError, match=rf"a.json(, image 'a.jpg')?, object 2: .*{message}"):
        read(path)
    problems: list[FormatError] = []
    assert [shape.place.number for shape in read(path, problems)[0].shapes] == [1, 3]
    assert [problem.place.number for problem in problems] == [2]


def test_a_number_too_large_for_any_computer(tmp_path: Path) -> None:
    path = save(tmp_path, "a.json", coco([coco_object(1, bbox=[1, 2, 3, 4])]))
    path.write_text(path.read_text().replace("[1, 2, 3, 4]", "[1, 2, 1e999, 4]"))
    with pytest.raises(
        FormatError, match=r"object 1: bbox.* 4 finite numbers .* but it is \[1, 2, inf, 4\]"
    ):
        read(path)


def test_a_broken_polygon_leaves_the_box(tmp_path: Path) -> None:
    problems: list[FormatError] = []
    path = save(
        tmp_path,
        "a.json",
        coco([coco_object(1, bbox=[1, 1, 2, 2], segmentation=[[1, 2]], keypoints=[3, 4, 2])]),
    )
    assert [shape.kind for shape in read(path, problems)[0].shapes] == ["box", "point"]
    assert len(problems) == 1


def test_the_same_id_twice(tmp_path: Path) -> None:
    top = coco([])
    path = save(tmp_path, "a.json", {**top, "images": top["images"] * 2})
    with pytest.raises(
        FormatError,
        match="the id of an image should be its own, but it is 7, which another image has too",
    ):
        read(path)
    problems: list[FormatError] = []
    assert len(read(path, problems)) == len(problems) == 1
    path = save(tmp_path, "a.json", {**top, "categories": top["categories"] * 2})
    with pytest.raises(FormatError, match="the id of a category should be its own"):
        read(path)


@pytest.mark.parametrize(
    "top",
    [
        [],
        {},
        {"images": 5, "annotations": [], "categories": []},
        "x",
        {"images": [], "annotations": {}, "categories": []},
    ],
)
def test_a_file_of_something_else(top: object, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"an entry should be|the field '.*' should be a list"):
        read(save(tmp_path, "a.json", top if not isinstance(top, str) else f'"{top}"'))


def test_ids_of_annotations_may_repeat_or_be_missing(tmp_path: Path) -> None:
    objects = [
        coco_object(number, bbox=[1, 1, 2, 2]) | {"id": id}
        for number, id in enumerate((7, 8, 7), 1)
    ]
    assert len(read(save(tmp_path, "a.json", coco(objects)))[0].shapes) == 3
    for entry in objects:
        del entry["id"]
    assert len(read(save(tmp_path, "a.json", coco(objects)))[0].shapes) == 3


def test_captions_and_panoptic_segments_are_passed_over(tmp_path: Path) -> None:
    top = coco(
        [
            {"id": 1, "image_id": 7, "caption": "a dog"},
            {"image_id": 7, "segments_info": [], "file_name": "a.png"},
        ]
    )
    assert [(image.shapes, image.absent) for image in read(save(tmp_path, "a.json", top))] == [
        ([], "not annotated")
    ]
    del top["categories"]  # as in the captions of COCO
    assert read(save(tmp_path, "a.json", top))[0].absent == "not annotated"
    del top["annotations"]  # as in its lists of images
    assert read(save(tmp_path, "a.json", top))[0].absent == "not annotated"


def test_an_image_that_nobody_annotated_is_not_one_without_objects(tmp_path: Path) -> None:
    assert read(save(tmp_path, "a.json", coco([])))[0].absent is None
    # as Label Studio has it
    assert (
        read(save(tmp_path, "a.json", coco([], width=None, height=None)))[0].absent
        == "not annotated"
    )
    drawn = coco([coco_object(1, bbox=[1, 1, 2, 2])], width=None, height=None)
    assert read(save(tmp_path, "a.json", drawn))[0].absent is None


def test_two_files_about_an_image_are_joined_unless_they_contradict_each_other(
    tmp_path: Path,
) -> None:
    def image(*objects: dict[str, object]) -> Annotation:
        return read(
            save(
                tmp_path,
                "a.json",
                coco([coco_object(number, **one) for number, one in enumerate(objects)]),
            )
        )[0]

    instances = image(
        {"bbox": [1, 1, 2, 2], "segmentation": [[1, 1, 3, 1, 3, 3]]}, {"bbox": [5, 5, 2, 2]}
    )
    both = joined(instances, image({"bbox": [1.0, 1, 2, 2.001], "keypoints": [2, 2, 2]}))
    assert [shape.kind for shape in both.shapes] == ["box", "polygon", "box", "point"]
    assert joined(instances, image({"bbox": [1, 1, 2, 3]})) is None
    assert joined(instances, image({"bbox": [1, 1, 2, 3], "category_id": 10})) is not None


def test_the_box_of_an_area_of_background_is_none(tmp_path: Path) -> None:
    """As in VOC that Datumaro has turned into COCO."""
    area = {"size": [2, 3], "counts": [1, 5]}
    top = coco(
        [
            coco_object(1, bbox=[1, 1, 2, 2], segmentation=area, category_id=5),
            coco_object(2, bbox=[1, 1, 2, 2]),
        ]
    )
    top["categories"].append({"id": 5, "name": "background"})
    assert [
        (shape.name, shape.kind) for shape in read(save(tmp_path, "a.json", top))[0].shapes
    ] == [("background", "mask"), ("dog", "box")]


SIDES = [0, 3, 2.5, -1, 1e7, float("nan"), float("inf"), 10**400, True, "4", None, 1e-13, 1e5]


def test_plain_boxes_are_read_on_the_short_way_as_on_the_long_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    objects: list[dict[str, object]] = [
        {
            "image_id": [1, 2, 7, "a"][random.integers(4)],
            "category_id": [1, 2, True][random.integers(3)],
            "bbox": [SIDES[place] for place in random.integers(len(SIDES), size=4)],
        }
        for _ in range(300)
    ]
    objects += [
        {"image_id": 1, "category_id": 1, "bbox": box.tolist()}
        for box in random.uniform(0, 9, (50, 4)).round(2)
    ]
    more = [{"segmentation": []}, {"segmentation": [[1, 1, 5, 1, 5, 5]]}, {"keypoints": [1, 1, 2]}]
    objects += [{**objects[-1], **each} for each in more] + [{"image_id": 1, "category_id": 1}]
    file = tmp_path / "all.json"
    names = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    classes = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    content = {"images": names, "annotations": objects, "categories": classes}
    file.write_text(json.dumps(content))
    short: list[FormatError] = []
    found = read(file, short)
    monkeypatch.setattr("weakseg.data.formats.coco._plain_box", lambda *_: None)
    long: list[FormatError] = []
    assert repr(found) == repr(read(file, long))
    assert list(map(str, short)) == list(map(str, long))
    assert sum(len(annotation.shapes) for annotation in found) > 50
