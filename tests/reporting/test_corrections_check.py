"""What `check` says of the corrections of a person."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.data.corrections.events import (
    ACCEPT,
    EXCLUDE,
    box,
    click,
    correct,
    unbox,
)
from tests.data.layouts import photo, text, voc_xml
from tests.data.sets import write_set
from tests.small import SIZE, Squares
from weakseg.check import main as check
from weakseg.data.base import WeakData
from weakseg.data.corrections.counts import CorrectionCounts
from weakseg.data.corrections.events import Event
from weakseg.data.corrections.folder import CorrectionsFolder
from weakseg.data.corrections.overlay import described
from weakseg.data.files.folder import Folder
from weakseg.reporting.contact_sheet import draw_sheet
from weakseg.reporting.dataset_check import check_dataset, print_check

FILE = (12, 10)
WHAT = (
    *("its corrections", "what was corrected", "each step of its corrections", "corrections"),
    *("an excluded image", "the folder", "its classes"),
)


def problems(data: WeakData, level: str = "warning") -> list[str]:
    return [
        str(problem).partition(": ")[2]
        for problem in check_dataset(data).problems
        if problem.level == level and problem.what in WHAT
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_set(tmp_path, "voc_xml")
    return tmp_path


def folder(root: Path, **how: Any) -> Folder:
    return Folder(root, "voc_xml", corrections=root / "own", **how)


def begin(root: Path, image: str, event: Event) -> None:
    """The first event of an image, with the evidence before it."""
    data = Folder(root, "voc_xml")
    index = next(i for i in range(len(data)) if data.id_of(i) == image)
    before = described(data.sample(index)[0], FILE, data.classes)
    CorrectionsFolder(root / "own").add(image, event, 0, FILE, before)


def test_what_was_done_is_counted_and_printed(root: Path) -> None:
    begin(root, "0.jpg", click("dog", 3, 3)._replace(seconds=6))
    begin(root, "1.jpg", ACCEPT)
    begin(root, "2.jpg", EXCLUDE)
    found = check_dataset(folder(root))
    assert found.corrections == CorrectionCounts(1, 1, 0, 1, 6)
    assert (found.errors, problems(folder(root))) == (0, [])
    # the click is among the marks
    marked = found.counts["images with marks", found.classes.index("dog")]
    assert marked == 1
    file = io.StringIO()
    print_check(found, Console(file=file, width=200))
    assert (
        f"corrections of {root / 'own'}: 1 image corrected, 1 accepted, 1 excluded, in 0.1 minutes"
        in file.getvalue()
    )
    assert check_dataset(Folder(root, "voc_xml")).corrections is None


def test_without_effect(root: Path) -> None:
    begin(root, "0.jpg", unbox("dog", 0, 0, 1, 1))
    correct(root / "own", "0.jpg", click("cow", 1, 1), size=FILE)
    assert problems(folder(root)) == [
        "image 0.jpg: each step of its corrections should be one that changes something, but it is "
        "remove_box: there is no such box of dog",
        "image 0.jpg: each step of its corrections should be one that changes something, but it is "
        "click: there is no class 'cow' in the data set",
    ]


def test_an_annotation_that_is_another_one_now(root: Path) -> None:
    begin(root, "0.jpg", ACCEPT)
    begin(root, "1.jpg", ACCEPT)
    text(root / "annotations" / "0.xml", voc_xml("dog", (5, 2, 8, 7)))
    text(root / "annotations" / "1.xml", voc_xml("dog", (3, 2, 8, 7)))
    assert sorted(problems(folder(root))) == [
        f"image {name}: what was corrected should be as it was then, but it is the annotation has "
        f"had other {what}"
        for name, what in (("0.jpg", "boxes"), ("1.jpg", "tags, boxes"))
    ]
    # shrinking an image changes nothing
    write_set(root, "voc_xml")
    assert problems(folder(root, long_side=7)) == []


def test_an_image_that_has_another_size_now(root: Path) -> None:
    begin(root, "3.jpg", ACCEPT)
    photo(root / "images" / "3.jpg", 3, 24, 20)
    assert problems(folder(root)) == [
        "image 3.jpg: what was corrected should be as it was then, but it is the image was 12 by "
        "10 pixels large, and is 24 by 20"
    ]


def test_images_that_there_are_none_of(root: Path) -> None:
    correct(root / "own", "elsewhere.jpg", ACCEPT, size=FILE)
    assert problems(folder(root)) == [
        f"{root / 'own'}: corrections should be of images of the data set, but it is not, for "
        "those of 1 image: elsewhere.jpg"
    ]


def test_an_excluded_image_that_is_measured_on(root: Path) -> None:
    data = folder(root, val_share=0.2)
    begin(root, data.id_of(data.validation[0]), EXCLUDE)
    (line,) = problems(folder(root, val_share=0.2))
    assert "should be one to train on, but it is one that is measured on still" in line


@pytest.mark.parametrize("files", [True, False])
def test_damaged_files_are_errors(files: bool, root: Path) -> None:
    data: WeakData = folder(root) if files else Squares(corrections=root / "own")
    corrections = correct(root / "own", data.id_of(1), ACCEPT, size=FILE)
    corrections.file(data.id_of(1)).write_text("{")
    (root / "own" / "classes.json").write_text("{")
    data = folder(root) if files else Squares(corrections=root / "own")
    (image, classes) = problems(data, "error")
    assert image.startswith(f"image {data.id_of(1)}: its corrections should be whole")
    assert str(corrections.file(data.id_of(1))) in image
    assert "classes.json" in classes


def test_a_folder_that_is_not_there_is_an_error(root: Path) -> None:
    assert problems(folder(root), "error") == [
        f"data.corrections: the folder should be there, but it is missing: {root / 'own'}"
    ]


def test_the_command(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(root, "0.jpg", click("dog", 3, 3))
    words = [f"data.root={root}", "data.format=voc_xml", f"data.corrections={root / 'own'}"]
    assert check(["data=folder", *words, "out=null", "cost=false"]) == 0
    assert "1 image corrected" in capsys.readouterr().out


def test_the_contact_sheet_shows_corrected_evidence(tmp_path: Path) -> None:
    plain = draw_sheet(Squares(2, 0))
    correct(tmp_path, "disc/0", box("dark", 1, 1, 20, 20), size=(SIZE, SIZE))
    assert draw_sheet(Squares(2, 0, corrections=tmp_path)).tobytes() != plain.tobytes()
