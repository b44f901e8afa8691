from pathlib import Path
from typing import Any

import pytest

from tests.data.formats.writing import CLASSES, save
from weakseg.data.formats.base import FormatError
from weakseg.data.formats.clicks import read


def test_clicks_by_image(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        "p.json",
        {"a": [{"x": 1.5, "y": 2, "cls": 2, "rank": 1}, {"x": 0, "y": 0.25, "cls": 0}], "b": []},
    )
    first, second = read(path, CLASSES)
    assert (first.image, second.image, second.shapes) == ("a", "b", [])
    assert [(shape.name, shape.kind, shape.parts[0].tolist()) for shape in first.shapes] == [
        ("dog", "point", [[1.5, 2]]),
        ("background", "point", [[0, 0.25]]),
    ]


@pytest.mark.parametrize(
    ("click", "says"),
    [
        ({"x": 1, "y": 1, "cls": 4}, "cls should be the number of a class, 0 to 3, but it is 4"),
        ({"x": 1, "y": 1, "cls": -1}, "cls should be the number of a class"),
        ({"x": 1, "y": 1}, "cls should be"),
        ({"x": 1, "cls": 1}, "x and y should be"),
        ([1, 2], "cls should be"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, click: Any, says: str) -> None:
    path = save(tmp_path, "p.json", {"a": [click, {"x": 1, "y": 1, "cls": 1}]})
    with pytest.raises(FormatError, match=f"image 'a', object 1: {says}"):
        read(path, CLASSES)
    problems: list[FormatError] = []
    assert len(read(path, CLASSES, problems)[0].shapes) == len(problems) == 1
