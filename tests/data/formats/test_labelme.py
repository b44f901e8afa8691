import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.formats.writing import assert_same, labelme, save
from weakseg.data.formats.base import FormatError, Place, box, line, mask, point, polygon
from weakseg.data.formats.labelme import read
from weakseg.data.formats.runs import pack

HERE = Place("drawn")


def png(values: object, size: tuple[int, int] | None = None) -> str:
    """A grey picture as base64, as LabelMe keeps masks."""
    image = Image.new("L", size) if size else Image.fromarray(np.array(values, np.uint8))
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_every_form(tmp_path: Path) -> None:
    shapes = [
        {"shape_type": "rectangle", "points": [[30.5, 70], [10, 20.25]]},
        {"shape_type": "rectangle", "points": [[10, 20], [30, 20], [30, 70], [10, 70]]},
        {"shape_type": "polygon", "points": [[1, 2], [3, 4], [5, 0.5]], "label": "cat"},
        {"shape_type": "linestrip", "points": [[1, 2], [3, 4], [5, 0.5]]},
        {"shape_type": "line", "points": [[1, 2], [3, 4]]},
        {"shape_type": "point", "points": [[7, 8]]},
        {"shape_type": "oriented_rectangle", "points": [[20, 0], [40, 20], [20, 40], [0, 20]]},
        {"shape_type": "mask", "points": [[3, 4], [5, 5]], "mask": png([[1, 0, 1], [0, 255, 0]])},
    ]
    annotation = read(save(tmp_path, "a.json", labelme(*shapes)))
    assert (annotation.image, annotation.size) == ("a.jpg", (100, 120))
    bends = np.array([[1, 2], [3, 4], [5, 0.5]])
    expected = [
        box("dog", HERE, 10, 20.25, 30.5, 70),
        box("dog", HERE, 10, 20, 30, 70),
        polygon("cat", HERE, [bends]),
        line("dog", HERE, bends),
        line("dog", HERE, bends[:2]),
        point("dog", HERE, np.array([[7, 8]])),
        box("dog", HERE, 0, 0, 40, 40),
        mask("dog", HERE, pack(np.array([[1, 0, 1], [0, 1, 0]], bool), 3, 4)),
    ]
    assert_same(annotation.shapes, expected)


def test_a_circle_is_its_middle_and_a_place_on_its_rim(tmp_path: Path) -> None:
    shape = read(
        save(tmp_path, "a.json", labelme({"shape_type": "circle", "points": [[50, 60], [53, 64]]}))
    ).shapes[0]
    assert shape.kind == "polygon"
    distances = np.linalg.norm(shape.parts[0] - [50, 60], axis=1)
    np.testing.assert_allclose(distances, 5)


def test_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    entries, shapes = [], []
    for _ in range(40):
        points = rng.uniform(0, 100, (rng.integers(3, 9), 2))
        entries.append({"shape_type": "polygon", "points": points.tolist(), "label": "cat"})
        shapes.append(polygon("cat", HERE, [points]))
        entries.append({"shape_type": "linestrip", "points": points.tolist()})
        shapes.append(line("dog", HERE, points))
    assert_same(read(save(tmp_path, "a.json", labelme(*entries))).shapes, shapes)


def test_paths_of_windows_and_files_without_size(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        "a.json",
        labelme(imagePath="..\\images\\a.jpg", imageWidth=None, imageHeight=None),
    )
    annotation = read(path)
    assert (annotation.image, annotation.size, annotation.shapes) == ("../images/a.jpg", None, [])


def test_old_files_without_a_form_hold_polygons(tmp_path: Path) -> None:
    assert (
        read(save(tmp_path, "a.json", labelme({"points": [[1, 2], [3, 4], [5, 6]]}))).shapes[0].kind
        == "polygon"
    )


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            {"shape_type": "cube", "points": [[1, 2]]},
            "shape_type should be rectangle, polygon, .*, but it is 'cube'",
        ),
        (
            {"shape_type": "rectangle", "points": [[1, 2]]},
            "a rectangle should be made of 2 or 4 points, but it is one of 1",
        ),
        (
            {"shape_type": "rectangle", "points": [[1, 2], [1, 5]]},
            "a box should be wider and higher than 0",
        ),
        (
            {"shape_type": "circle", "points": [[1, 2], [1, 2]]},
            "an ellipse should be wider and higher than 0",
        ),
        ({"shape_type": "polygon", "points": [[1, 2], [3]]}, "a point should be 2 finite numbers"),
        (
            {"shape_type": "polygon", "points": []},
            "a polygon should be made of 3 points or more, but it is one of 0",
        ),
        ({"shape_type": "line", "points": [[1, 2]]}, "a line should be made of 2 points or more"),
        (
            {"shape_type": "point", "points": [], "label": "x"},
            "a point should be a pair of numbers or more",
        ),
        (
            {"shape_type": "mask", "points": [[1, 2], [3, 4]]},
            "the field 'mask' should be a PNG as base64, but it is None",
        ),
        (
            {"shape_type": "mask", "points": [[1, 2], [3, 4]], "mask": "Zm9v"},
            "the field 'mask' should be a PNG as base64, but it is not",
        ),
        (
            {"shape_type": "mask", "points": [[1, 2], [3, 4]], "mask": "\0"},
            "the field 'mask' should be a PNG as base64, but it is not",
        ),
        (
            {"shape_type": "mask", "points": [[1, 2], [3, 4]], "mask": png([[1]])},
            "a mask should be as large as from its first to its last point, 3 by 3, but it is 1 "
            "by 1",
        ),
        (
            {"shape_type": "mask", "points": [[3, 2], [1, 4]], "mask": png([[1]])},
            "a mask should be at least one pixel wide",
        ),
        (
            {"shape_type": "mask", "points": [[0, 0], [9e5, 9e5]], "mask": png([[1]])},
            "a mask should be .* of at most 89000000 pixels",
        ),
        ({"points": [[1, 2]], "label": 5}, "the field 'label' should be text, but it is 5"),
        ({"shape_type": "point"}, "the field 'points' should be a list, but it is missing"),
    ],
)
def test_what_is_wrong_is_named(shape: dict[str, object], message: str, tmp_path: Path) -> None:
    path = save(tmp_path, "a.json", labelme({"shape_type": "point", "points": [[1, 2]]}, shape))
    with pytest.raises(FormatError, match=f"a.json, image 'a.jpg', object 2: {message}"):
        read(path)
    problems: list[FormatError] = []
    assert len(read(path, problems).shapes) == len(problems) == 1
