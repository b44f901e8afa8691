from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.formats.writing import assert_same, brush, label_studio, save
from weakseg.data.formats.base import FormatError, Place, Shape, box, mask, point, polygon
from weakseg.data.formats.label_studio import image_name, read
from weakseg.data.formats.runs import pack

HERE = Place("drawn")
BOX = {
    "x": 10.0,
    "y": 20.0,
    "width": 30.0,
    "height": 40.0,
    "rotation": 0,
    "rectanglelabels": ["dog"],
}

# in the form of the export "JSON", after the documentation of Label Studio
EXAMPLE = [
    {
        "id": 1,
        "annotations": [
            {
                "id": 9,
                "was_cancelled": True,
                "result": [
                    {
                        "type": "choices",
                        "value": {"choices": ["cat"]},
                        "id": "x",
                        "from_name": "c",
                        "to_name": "i",
                    }
                ],
            },
            {
                "id": 1001,
                "completed_by": 1,
                "was_cancelled": False,
                "ground_truth": False,
                "result": [
                    {
                        "id": "Dx_aB91ISN",
                        "from_name": "label",
                        "to_name": "image",
                        "type": "rectanglelabels",
                        "original_width": 600,
                        "original_height": 403,
                        "image_rotation": 0,
                        "value": {
                            "x": 50.4,
                            "y": 12.3,
                            "width": 19.2,
                            "height": 26.1,
                            "rotation": 0,
                            "rectanglelabels": ["Airplane"],
                        },
                    },
                    {
                        "id": "q1",
                        "from_name": "note",
                        "to_name": "image",
                        "type": "textarea",
                        "value": {"text": ["blurred"]},
                    },
                ],
            },
        ],
        "file_upload": "8d3bf1a2-plane.jpg",
        "data": {"image": "/data/upload/1/8d3bf1a2-plane.jpg"},
        "predictions": [{"result": [{"type": "choices", "value": {"choices": ["never"]}}]}],
    },
    {
        "id": 2,
        "annotations": [],
        "data": {"image": "https://example.com/images/b%20c.png?width=200"},
        "predictions": [],
    },
]


def studio(folder: Path, kind: str, value: dict[str, Any], **about: Any) -> list[Shape]:
    return read(save(folder, "a.json", label_studio({"type": kind, "value": value, **about})))[
        0
    ].shapes


def test_the_documented_form(tmp_path: Path) -> None:
    first, second = read(save(tmp_path, "project.json", EXAMPLE))
    assert (first.image, first.size) == ("8d3bf1a2-plane.jpg", (600, 403))
    assert (second.image, second.size, second.shapes) == ("b c.png", None, [])
    assert (first.absent, second.absent) == (None, "not annotated")
    assert_same(first.shapes, [box("Airplane", HERE, 302.4, 49.569, 417.6, 154.752)])


def predicted(name: str) -> dict[str, Any]:
    return {"result": [{"type": "choices", "value": {"choices": [name]}}], "score": 0.5}


def test_predictions_are_read_only_where_nobody_could_annotate(tmp_path: Path) -> None:
    """A file to import has tasks without the field; an export has it, empty or not."""
    tasks = [
        {"data": {"image": "a.jpg"}, "predictions": [predicted("dog"), predicted("cat")]},
        {"data": {"image": "b.jpg"}, "predictions": []},
        {"data": {"image": "c.jpg"}, "predictions": [predicted("dog")], "annotations": []},
        {**label_studio()[0], "predictions": [predicted("dog")]},
    ]
    found = read(save(tmp_path, "a.json", tasks))
    assert [[shape.name for shape in one.shapes] for one in found] == [["dog"], [], [], []]
    absent = [one.absent for one in found]
    assert absent == [None, "not annotated", "not annotated", None]


def test_a_task_with_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="a list of tasks with annotations"):
        read(save(tmp_path, "a.json", [{"data": {"image": "a.jpg"}}]))


def test_the_truth_of_several_people_counts(tmp_path: Path) -> None:
    task = label_studio()[0]
    people = [
        {
            "result": [{"type": "choices", "value": {"choices": [name]}}],
            "ground_truth": name == "cat",
        }
        for name in ("dog", "cat")
    ]
    shapes = read(save(tmp_path, "a.json", [{**task, "annotations": people}]))[0].shapes
    assert_same(shapes, [Shape("cat", "tag", HERE)])


def test_the_field_of_the_image_may_have_any_name(tmp_path: Path) -> None:
    task = label_studio()[0]
    data = [
        {"photo": "b.jpg", "number": 5},
        {"photo": "b.jpg", "image": "c.jpg"},
        {"photo": "b.jpg", "other": "c.jpg"},
    ]
    problems: list[FormatError] = []
    images = read(save(tmp_path, "a.json", [{**task, "data": one} for one in data]), problems)
    assert [one.image for one in images] == ["b.jpg", "c.jpg"]
    assert [str(problem).partition(": ")[2] for problem in problems] == [
        "the field 'image' should be text, but it is missing"
    ]


def test_a_skipped_task_is_not_an_image_searched_in_vain(tmp_path: Path) -> None:
    task = label_studio()[0]
    skipped, found_nothing = (
        {"result": [], "was_cancelled": True},
        {"result": [], "was_cancelled": False},
    )
    tasks = [
        {**task, "annotations": people}
        for people in ([skipped, skipped], [], [skipped, found_nothing])
    ]
    assert [one.absent for one in read(save(tmp_path, "a.json", tasks))] == [
        "skipped",
        "not annotated",
        None,
    ]


def test_a_box_is_turned_around_its_first_corner(tmp_path: Path) -> None:
    # 100 by 120 pixels: from 10 24 on, 30 wide and 48 high; a quarter clockwise lays it to the left
    # of its corner
    assert_same(
        studio(tmp_path, "rectanglelabels", {**BOX, "rotation": 90}),
        [box("dog", HERE, -38, 24, 10, 54)],
    )
    half = 2**-0.5
    expected = box("dog", HERE, 10 - 48 * half, 24, 10 + 30 * half, 24 + 78 * half)
    assert_same(studio(tmp_path, "rectanglelabels", {**BOX, "rotation": 45}), [expected])


def test_ellipses(tmp_path: Path) -> None:
    value = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 5, "ellipselabels": ["dog"]}
    straight, turned = (
        studio(tmp_path, "ellipselabels", {**value, "rotation": angle})[0].parts[0]
        for angle in (0, 90)
    )
    np.testing.assert_allclose(np.ptp(straight, 0), [40, 12], atol=0.1)
    np.testing.assert_allclose(np.ptp(turned, 0), [12, 40], atol=0.1)


def test_labels_apart_from_the_geometry(tmp_path: Path) -> None:
    """With separate tools and labels, the same region is there twice: bare, and with its labels."""
    bare = {key: value for key, value in BOX.items() if key != "rectanglelabels"}
    results = [
        {"type": "rectangle", "value": bare},
        {"type": "labels", "value": {**bare, "labels": ["dog", "cat"]}},
    ]
    shapes = read(save(tmp_path, "a.json", label_studio(*results)))[0].shapes
    assert_same(shapes, [box("dog", HERE, 10, 24, 40, 72), box("cat", HERE, 10, 24, 40, 72)])


def test_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    results, shapes = [], []
    size = np.array([100, 120])
    for _ in range(20):
        points = rng.uniform(0, 100, (rng.integers(3, 9), 2))
        results.append(
            {
                "type": "polygonlabels",
                "value": {
                    "points": (points / size * 100).tolist(),
                    "closed": True,
                    "polygonlabels": ["cat"],
                },
            }
        )
        x, y = points[0] / size * 100
        results.append(
            {
                "type": "keypointlabels",
                "value": {"x": x, "y": y, "width": 0.5, "keypointlabels": ["dog"]},
            }
        )
        shapes += [polygon("cat", HERE, [points]), point("dog", HERE, points[:1])]
    painted = rng.random((120, 100)) < 0.1
    results.append(
        {
            "type": "brushlabels",
            "value": {
                "format": "rle",
                "rle": brush(painted.astype(np.uint8) * 255),
                "brushlabels": ["dog"],
            },
        }
    )
    shapes.append(mask("dog", HERE, pack(painted)))
    assert_same(read(save(tmp_path, "a.json", label_studio(*results)))[0].shapes, shapes)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (
            {"value": BOX, "image_rotation": 90},
            "image_rotation should be 0, for an image that was not turned, but it is 90",
        ),
        (
            {"value": BOX, "original_width": None, "original_height": None},
            "a result should be one with original_width and original_height",
        ),
        ({"value": {**BOX, "width": 0}}, "a box should be wider and higher than 0"),
        ({"value": {**BOX, "x": None}}, "x, y should be a list of finite numbers"),
        (
            {"value": {"x": 1, "y": 2}},
            "a result of type 'rectanglelabels' should be one with labels or choices",
        ),
        ({"value": {**BOX, "rectanglelabels": [5]}}, "should be one with labels or choices"),
        (
            {"value": {"rle": [0, 0, 0, 1], "brushlabels": ["dog"]}},
            "rle should be a mask painted on this image, but it is not: it has 1 bytes",
        ),
        (
            {"value": {"rle": [0, 256], "brushlabels": ["dog"]}},
            "rle should be a list of bytes from 0 to 255",
        ),
        ({"value": {"rle": [], "brushlabels": ["dog"]}}, "it has bits that are cut off"),
        (
            {"value": {"points": [[1, 2]], "polygonlabels": ["dog"]}},
            "a polygon should be made of 3 points or more",
        ),
        (
            {"value": BOX, "original_width": 10**6, "original_height": 10**6},
            "the size of the image should be two numbers above 0, of at most",
        ),
        ({"value": 5}, "the field 'value' should be an object"),
    ],
)
def test_what_is_wrong_is_named(result: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = save(
        tmp_path,
        "a.json",
        label_studio(
            {"type": "choices", "value": {"choices": ["dog"]}},
            {"type": "rectanglelabels", **result},
        ),
    )
    # the size of an earlier result would do
    if "original_width" in result and result["original_width"] is None:
        path = save(
            tmp_path,
            "a.json",
            label_studio({"type": "rating", "value": {}}, {"type": "rectanglelabels", **result}),
        )
    with pytest.raises(FormatError, match=f"a.json, image 'a.jpg', object 2: .*{message}"):
        read(path)
    problems: list[FormatError] = []
    assert len(read(path, problems)[0].shapes) <= len(problems) == 1


@pytest.mark.parametrize("top", [{}, [{"image": "a.jpg", "label": []}], 5])
def test_other_exports_are_told_apart(top: object, tmp_path: Path) -> None:
    with pytest.raises(
        FormatError,
        match='the file should be an export as "JSON", a list of tasks with annotations',
    ):
        read(save(tmp_path, "a.json", top))


def test_names_of_images() -> None:
    assert image_name("gs://bucket/deep/a.jpg") == "a.jpg"
    assert image_name("/data/local-files/?d=sets%2Fone/a.jpg") == "sets/one/a.jpg"
    assert image_name("what? [draft].jpg") == "what? [draft].jpg"
    assert image_name("http://[bad") == "http://[bad"
