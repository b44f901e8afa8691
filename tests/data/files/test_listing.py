import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from tests.data.layouts import photo, text, voc_xml
from weakseg.data.files.folder import Folder
from weakseg.data.files.listing import PICTURES, Pictures, positions, read_names
from weakseg.data.formats.base import FormatError, Place
from weakseg.data.formats.images import PHOTOS

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
        FormatError,
        match=(
            r"notes.json: the image should be one of a name that only one image has, but it is "
            r"a.png, which 2 have"
        ),
    ):
        pictures.find("x/a.png", HERE)
    with pytest.raises(
        FormatError, match=r"the image should be in .*, but it is missing; did you mean c d.jpg\?"
    ):
        pictures.find("cd.jpg", HERE)
    for name in ("../a.png", "/a.png"):
        with pytest.raises(FormatError, match="inside of the folder"):
            pictures.find(name, HERE)


def test_uploads_of_label_studio_are_the_files_as_they_were(tmp_path: Path) -> None:
    for name in ("cat.jpg", "my dog (2).jpg", "0a1b2c3d-bird.jpg", "x/cow.jpg", "y/cow.jpg"):
        photo(tmp_path / name)
    pictures = Pictures(tmp_path)
    assert pictures.find("00000000-cat.jpg", HERE) == "cat.jpg"
    assert pictures.find("8d3bf1a2-my_dog_2.jpg", HERE) == "my dog (2).jpg"
    assert pictures.find("0a1b2c3d-bird.jpg", HERE) == "0a1b2c3d-bird.jpg"
    with pytest.raises(FormatError, match="which 2 have"):
        pictures.find("00000000-cow.jpg", HERE)
    for name in ("00000000cat.jpg", "0000000g-cat.jpg", "my_dog_2.jpg", "0-cat.jpg"):
        with pytest.raises(FormatError, match="missing"):
            pictures.find(name, HERE)


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for name in ("train/a.jpg", "val/a.jpg", "val/b.jpg"):
        photo(tmp_path / name)
    pictures = Pictures(tmp_path)
    assert pictures.find("data/val/a.jpg", HERE) == "val/a.jpg"
    assert pictures.find("a.jpg", HERE, "train") == "train/a.jpg"
    assert pictures.find("b", HERE) == "val/b.jpg"
    with pytest.raises(FormatError, match="which 2 have"):
        pictures.find("a.jpg", HERE)


def test_a_name_may_begin_with_the_folder_of_the_images_itself(tmp_path: Path) -> None:
    for name in ("a.jpg", "below/a.jpg"):
        photo(tmp_path / "photos" / name)
    pictures = Pictures(tmp_path / "photos")
    assert pictures.find("photos/a.jpg", HERE) == "a.jpg"
    assert pictures.find("photos/below/a.jpg", HERE) == "below/a.jpg"
    with pytest.raises(FormatError, match="which 2 have"):
        pictures.find("others/a.jpg", HERE)


def test_accents_are_the_same_however_a_computer_writes_them(tmp_path: Path) -> None:
    photo(tmp_path / unicodedata.normalize("NFD", "käse.jpg"))
    assert Pictures(tmp_path).find("käse.jpg", HERE) == unicodedata.normalize("NFD", "käse.jpg")


def test_an_image_of_a_kind_that_is_not_read_is_not_called_missing(tmp_path: Path) -> None:
    text(tmp_path / "a.heic", "")
    with pytest.raises(
        FormatError,
        match=r"it is a file of a kind that is not read \(.heic\); save it as PNG or JPEG",
    ):
        Pictures(tmp_path).find("a.heic", HERE)


def test_every_suffix_of_the_kinds_of_image_that_are_read_is_known() -> None:
    suffixes = {suffix for suffix, kind in Image.registered_extensions().items() if kind in PHOTOS}
    assert suffixes <= PICTURES
    # which old versions of Pillow do not read
    assert PICTURES - suffixes <= {".avif", ".avifs", ".pfm"}


def test_lists(tmp_path: Path) -> None:
    assert read_names(text(tmp_path / "train.txt", "a b.jpg\n\n  c.jpg\r\n")) == [
        "a b.jpg",
        "",
        "c.jpg",
    ]
    with pytest.raises(ValueError, match=r"there is no list .*trn.txt; did you mean train.txt\?"):
        read_names(tmp_path / "trn.txt")
    with pytest.raises(ValueError, match=r"there is no list in .*nowhere"):
        read_names(tmp_path / "nowhere" / "a.txt")


def test_names_of_a_list_in_its_order(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        photo(tmp_path / f"{name}.png")
    pictures = Pictures(tmp_path)
    problems: list[FormatError] = []
    assert positions(["c.png", "", "xyz", "a.png", "c"], pictures, "l.txt", problems) == [
        "c.png",
        "a.png",
    ]
    assert [(problem.place.number, problem.came) for problem in problems] == [
        (3, "'xyz'"),
        (5, "'c.png again'"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "img00",
        "img00.jpg",
        "img00 1",
        '"img00.jpg"',
        "images/img00.jpg",
        "./images/img00",
        "data/images/img00.jpg",
    ],
)
def test_a_list_that_is_named_is_read_like_one_that_is_found(line: str, tmp_path: Path) -> None:
    for number in range(2):
        photo(tmp_path / "images" / f"img0{number}.jpg", number)
        text(tmp_path / "annotations" / f"img0{number}.xml", voc_xml("dog", (3, 2, 8, 7)))
    text(tmp_path / "train.txt", f"{line}\n")
    text(tmp_path / "val.txt", f"{line.replace('img00', 'img01')}\n")
    for lists in ({}, {"train": "train.txt", "val": "val.txt"}):
        data = Folder(tmp_path, "voc_xml", **lists)
        assert not data.problems
        assert [entry.id for entry in data.entries] == ["img00.jpg", "img01.jpg"]
        assert list(data.validation) == [1]
