"""What every format promises alike: damaged files are named, nothing found is not nobody looked,
and names are names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.sets import BOX, FORMATS, JSON, SINGLE, XML, write_set
from weakseg.data.files.folder import Folder

NAMES = (
    "on",
    "yes",
    "no",
    "1",
    "007",
    "1e3",
    "null",
    "~",
    "ünïcode",
    "猫",
    "traffic light",
    "a.b-c_d",
    "Background",
)
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "noise": lambda data: bytes(number * 97 % 251 for number in range(400)),
    "a program": lambda data: b"\x7fELF" + data,
    "latin-1": lambda data: b"\xe4" + data,
}
EMPTY_MEANS_NOTHING = ("yolo",)  # an empty file is an image searched in vain


def told(root: Path, format: str, **options: Any) -> list[str]:
    """All that is said about the files of a set, however early; any error but one of its own class
    would come through."""
    try:
        data = Folder(root, format, val_share=0, **options)
    except ValueError as error:
        return [str(error)]
    problems = list(data.problems)
    for index in range(len(data)):
        data.read_files(index, problems)
    return [str(problem) for problem in problems]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named_in_one_line(format: str, damage: str, tmp_path: Path) -> None:
    spoiled = write_set(tmp_path, format)[0]
    spoiled.write_bytes(DAMAGE[damage](spoiled.read_bytes()))
    lines = told(tmp_path, format)
    if not lines:  # half of a list is a shorter list
        assert (format, damage) in [("csv", "cut off"), ("yolo", "cut off")]
        return
    assert any(str(spoiled) in line for line in lines)
    assert not any("\n" in line or "254" in line for line in lines)
    assert max(map(len, lines)) < 1000


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_file_is_named(format: str, tmp_path: Path) -> None:
    spoiled = write_set(tmp_path, format)[0]
    spoiled.write_bytes(b"")
    lines = told(tmp_path, format)
    assert any(str(spoiled) in line for line in lines) != (format in EMPTY_MEANS_NOTHING)


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_cannot_be_opened_is_named(format: str, tmp_path: Path) -> None:
    spoiled = write_set(tmp_path, format)[0]
    spoiled.unlink()
    spoiled.symlink_to("/dev/zero")  # without an end, and no ordinary file
    lines = told(tmp_path, format)
    if format in SINGLE:  # the image has no annotation then, as if there were no file
        assert lines == [] or any(str(spoiled) in line for line in lines)
    else:
        assert len(lines) == 1
        assert str(tmp_path / "annotations") in lines[0]


@pytest.mark.parametrize("other", [*JSON, *XML])
@pytest.mark.parametrize("format", [*JSON, *XML])
def test_a_file_of_another_format_is_named(format: str, other: str, tmp_path: Path) -> None:
    mine, strange = (
        write_set(tmp_path / "mine", format)[0],
        write_set(tmp_path / "strange", other)[0],
    )
    mine.write_bytes(strange.read_bytes())
    lines = told(tmp_path / "mine", format)
    assert any(str(mine) in line for line in lines) == (format != other)
    assert max(map(len, lines), default=0) < 1000


@pytest.mark.parametrize("format", FORMATS)
def test_searched_in_vain_is_not_the_same_as_not_annotated(format: str, tmp_path: Path) -> None:
    write_set(tmp_path, format, {"a.jpg": ["dog"], "vain.jpg": [], "nobody.jpg": None})
    data = Folder(tmp_path, format, val_share=0)
    assert [entry.id for entry in data.entries] == ["a.jpg", "vain.jpg"]
    assert data.unannotated == ["nobody.jpg"]
    assert data.problems == []
    vain = data.sample(1)[0]
    if format == "mask_png":
        assert vain.marks.unique().tolist() == [0]
    elif format == "csv":
        assert vain.tags.tolist() == [True, False]
    else:
        assert vain.boxes.shape == (0, 4)


@pytest.mark.parametrize("format", FORMATS)
def test_names_are_what_stands_in_the_file(format: str, tmp_path: Path) -> None:
    images = {f"{number}.jpg": [name] for number, name in enumerate(NAMES)}
    write_set(tmp_path, format, images, NAMES)
    data = Folder(tmp_path, format, val_share=0)
    assert sorted(data.classes[1:]) == sorted(NAMES)
    for entry_number, entry in enumerate(data.entries):
        evidence = data.sample(entry_number)[0]
        label = data.classes.index(images[entry.id][0])
        if format == "mask_png":
            assert evidence.marks.unique().tolist() == [0, label]
        elif format == "csv":
            assert evidence.tags.nonzero().flatten().tolist() == [0, label]
        else:
            assert evidence.box_classes.tolist() == [label]
            assert evidence.boxes[0].tolist() == pytest.approx(BOX, abs=1e-4)


@pytest.mark.parametrize("format", FORMATS)
def test_a_split_into_folders_or_files_is_the_data_set_s_own(format: str, tmp_path: Path) -> None:
    parts = {"train": ["0.jpg", "1.jpg", "2.jpg"], "val": ["3.jpg"], "test": ["4.jpg"]}
    for part, images in parts.items():
        write_set(tmp_path / part, format, {image: ["dog"] for image in images}, ["dog"])
        for kind in ("images", "annotations"):
            place = (
                tmp_path / kind / part if kind == "images" or format in SINGLE else tmp_path / kind
            )
            place.mkdir(parents=True, exist_ok=True)
            for path in (tmp_path / part / kind).iterdir():
                path.rename(place / (path.name if place.name == part else f"{part}{path.suffix}"))
            (tmp_path / part / kind).rmdir()
        for path in (tmp_path / part).iterdir():
            path.rename(tmp_path / path.name)
        (tmp_path / part).rmdir()
    data = Folder(tmp_path, format)
    assert [data.entries[index].id for index in data.training] == [
        "train/0.jpg",
        "train/1.jpg",
        "train/2.jpg",
    ]
    assert [data.entries[index].id for index in data.validation] == ["val/3.jpg"]
    assert data.problems == []
    assert len(data.remarks) == 1
    assert "3 images to train on, 1 to measure on, 1 of its test part left out" in data.remarks[0]


@pytest.mark.parametrize("format", JSON)
def test_lists_nested_without_end_are_one_line(format: str, tmp_path: Path) -> None:
    spoiled = write_set(tmp_path, format)[0]
    content = spoiled.read_text()
    for deep in (
        "[" * 200_000,
        '{"a":' * 200_000,
        content.replace("2", "[" * 100_000 + "]" * 100_000, 1),
    ):
        spoiled.write_text(deep)
        lines = told(tmp_path, format)
        assert any(f"{spoiled}: the file should be JSON, but it is" in line for line in lines)
        assert max(map(len, lines)) < 500
