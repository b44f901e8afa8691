from pathlib import Path

import pytest

from tests.data.layouts import photo, text
from weakseg.data.formats.base import FormatError, Place
from weakseg.data.listing import Pictures, positions, read_names

HERE = Place("notes.json")


def test_images_by_path_and_by_bare_name(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "sub/a.png", "sub/c d.jpg"):
        photo(tmp_path / name)
    text(tmp_path / "notes.txt", "")
    pictures = Pictures(tmp_path)
    assert list(pictures.names) == ["a.png", "b.JPG", "sub/a.png", "sub/c d.jpg"]
    assert pictures.find("sub/a.png", HERE) == "sub/a.png"
    assert pictures.find("C:\\photos\\c d.jpg", HERE) == "sub/c d.jpg"
    assert pictures.find("a.png", HERE) == "a.png"
    with pytest.raises(
        FormatError, match=r"notes.json: the image should be one of a name that only one image has, but it is a.png, which 2 have"
    ):
        pictures.find("x/a.png", HERE)
    with pytest.raises(FormatError, match=r"the image should be in .*, but it is missing; did you mean c d.jpg\?"):
        pictures.find("cd.jpg", HERE)
    for name in ("../a.png", "/a.png"):
        with pytest.raises(FormatError, match="inside of the folder"):
            pictures.find(name, HERE)


def test_lists(tmp_path: Path) -> None:
    assert read_names(text(tmp_path / "train.txt", "a b.jpg\n\n  c.jpg\r\n")) == ["a b.jpg", "c.jpg"]
    with pytest.raises(ValueError, match=r"there is no list .*trn.txt; did you mean train.txt\?"):
        read_names(tmp_path / "trn.txt")
    with pytest.raises(ValueError, match=r"there is no list in .*nowhere"):
        read_names(tmp_path / "nowhere" / "a.txt")


def test_names_of_a_list_in_its_order() -> None:
    problems: list[FormatError] = []
    assert positions(["c", "x", "a", "c"], ["a", "b", "c"], "l.txt", problems) == ["c", "a"]
    assert [(problem.place.number, problem.came) for problem in problems] == [(2, "'x'"), (4, "'c again'")]
