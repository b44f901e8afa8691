from pathlib import Path

import pytest

from tests.data.formats.writing import save
from tests.data.layouts import scribble
from weakseg.data.formats.base import FormatError
from weakseg.data.formats.scribblesup import read


def test_strokes_by_class_through_the_middles_of_pixels(tmp_path: Path) -> None:
    content = (
        scribble("plane", (3, 4), (5, 6))
        + scribble("background", (0, 0), (1, 1), (2, 2))
        + scribble("cat", (7, 7))
    )
    path = save(
        tmp_path,
        "2007_000033.xml",
        f"<annotation><size><width>9</width><height>8</height></size>{content}</annotation>",
    )
    found = read(path)
    assert (found.image, found.size) == ("2007_000033", (9, 8))
    assert [(shape.name, shape.kind) for shape in found.shapes] == [
        ("aeroplane", "line"),
        ("background", "line"),
        ("cat", "point"),
    ]
    assert found.shapes[0].parts[0].tolist() == [[3.5, 4.5], [5.5, 6.5]]


def test_what_is_wrong_is_noted_and_the_rest_is_read(tmp_path: Path) -> None:
    content = (
        scribble("cat", (1, 1), (2, 2))
        + "<polygon><tag></tag></polygon>"
        + "<polygon><tag>dog</tag><point><X>a</X></point></polygon>"
    )
    path = save(tmp_path, "a.xml", f"<annotation>{content}{scribble('dog')}</annotation>")
    problems: list[FormatError] = []
    assert len(read(path, problems).shapes) == 1
    assert [problem.place.number for problem in problems] == [2, 3, 4]
    with pytest.raises(FormatError, match="object 2: the field 'tag' should be text"):
        read(path)
