from pathlib import Path

import numpy as np
import pytest

from tests.data.formats.writing import assert_same, save
from weakseg.data.formats.base import FormatError, Place, Shape, point
from weakseg.data.formats.csv_file import read

HERE = Place("drawn")


def test_tags(tmp_path: Path) -> None:
    text = (
        "\ufeffimage,class\n"
        "a.jpg,dog\n"
        '"b, the second.jpg","traffic light"\n'
        "a.jpg,cat\n"
        "\n"
        "empty.jpg,\n"
    )
    first, second, empty = read(save(tmp_path, "a.csv", text))
    assert (first.image, first.size) == ("a.jpg", None)
    assert_same(first.shapes, [Shape("dog", "tag", HERE), Shape("cat", "tag", HERE)])
    assert [shape.place.number for shape in first.shapes] == [2, 4]
    assert second.image == "b, the second.jpg"
    assert_same(second.shapes, [Shape("traffic light", "tag", HERE)])
    assert (empty.image, empty.shapes) == ("empty.jpg", [])


def test_points_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 500, (50, 2))
    rows = [f"{number % 3}.jpg,{x!r},{y!r},dog" for number, (x, y) in enumerate(places.tolist())]
    images = read(save(tmp_path, "a.csv", "\r\n".join(["Image, x, y, Class", *rows])))
    assert [image.image for image in images] == ["0.jpg", "1.jpg", "2.jpg"]
    for number, image in enumerate(images):
        assert_same(image.shapes, [point("dog", HERE, place[None]) for place in places[number::3]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line should be image,class or image,x,y,class, but it is ''"),
        ("a.jpg,dog\n", "the first line should be"),
        (
            "image,class\na.jpg,dog\na.jpg,dog,5\n",
            "line 3: a line should be image,class, but it is 'a.jpg,dog,5'",
        ),
        (
            "image,class\na.jpg,dog\n,dog\n",
            "line 3: a line should be one that begins with the name of an image",
        ),
        (
            "image,x,y,class\na.jpg,1,2,dog\na.jpg,1,nan,dog\n",
            "image 'a.jpg', line 3: x and y should be a list of finite numbers",
        ),
        (
            "image,class\na.jpg,dog\n" + '"' + "x" * 200_000 + '"\n',
            "line 3: a line should be fields with commas between",
        ),
        (
            'image,class\na.jpg,dog\n"b.jpg"c,dog\n',
            "line 3: a line should be fields with commas between",
        ),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=message):
        read(save(tmp_path, "a.csv", text))


def test_a_broken_line_leaves_the_others(tmp_path: Path) -> None:
    problems: list[FormatError] = []
    images = read(
        save(tmp_path, "a.csv", "image,x,y,class\na.jpg,1,2,dog\na.jpg,x,2,dog\nb.jpg,1,2,cat\n"),
        problems,
    )
    assert [len(image.shapes) for image in images] == [1, 1]
    assert [problem.place.number for problem in problems] == [3]
