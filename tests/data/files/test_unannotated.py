"""Folders of images that nobody has annotated before a person draws on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.corrections.events import ACCEPT, UNDO, box, click, correct
from tests.data.layouts import indexed, photo, square, text, voc_xml
from tests.data.sets import FORMATS, write_set
from weakseg.data.corrections.folder import CorrectionsFolder
from weakseg.data.files.folder import Folder
from weakseg.data.files.listing import share_of

NAMES = [f"{number}.jpg" for number in range(10)]
SIZE = (12, 10)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        photo(tmp_path / "photos" / name, number)
    return tmp_path / "photos"


@pytest.fixture
def own(root: Path) -> Path:
    """Three images with a class, in a folder that is where `review` makes it."""
    corrections = CorrectionsFolder(root / "corrections")
    corrections.add_class("wheel")
    corrections.add_class("fish")
    for name in ("1.jpg", "5.jpg", "8.jpg"):
        correct(corrections.path, name, click("fish", 3, 3), size=SIZE)
    return corrections.path


def ids(data: Folder, indices: object) -> list[str]:
    return [data.id_of(index) for index in indices]  # type: ignore[attr-defined]


def test_what_is_drawn_on_is_trained_on(root: Path, own: Path) -> None:
    data = Folder(root, corrections=own, val_share=0)
    assert data.classes == ("background", "wheel", "fish")
    assert len(data) == 10
    assert ids(data, data.training) == ["1.jpg", "5.jpg", "8.jpg"]
    evidence, truth = data.sample(data.training[0])
    assert (evidence.kinds, truth) == ((), None)
    corrected = data.corrected(data.training[0])[0]
    corrected.check(3)
    assert corrected.annotations == ("marks",)
    assert "10 images without annotation files, 3 of them drawn on" in data.remarks[0]


def test_an_image_is_measured_on_or_trained_on_whatever_is_drawn_later(
    root: Path, own: Path
) -> None:
    held_out = share_of(NAMES, 0.2)
    for name in NAMES:
        data = Folder(root, corrections=own)
        assert set(ids(data, data.validation)) == {
            drawn for drawn in data.histories if drawn in held_out
        }
        assert not set(ids(data, data.training)) & held_out
        correct(own, name, box("wheel", 1, 1, 5, 5), size=SIZE)
    data = Folder(root, corrections=own)
    assert set(ids(data, data.validation)) == held_out
    assert len(data.training) == 8


def test_only_an_edit_that_counts_is_something_to_train_on(root: Path, own: Path) -> None:
    correct(own, "2.jpg", ACCEPT, size=SIZE)
    correct(own, "5.jpg", UNDO, size=SIZE)
    data = Folder(root, corrections=own, val_share=0)
    assert ids(data, data.training) == ["1.jpg", "8.jpg"]


def test_named_classes_are_those(root: Path, own: Path) -> None:
    data = Folder(root, corrections=own, classes=["fish"])
    assert data.classes == ("background", "fish")


def test_a_person_can_begin_with_nothing(root: Path) -> None:
    data = Folder(root, corrections=root / "corrections")
    assert data.classes == ("background",)
    assert data.training == []
    assert len(data.validation) == 0
    evidence, truth = data.sample(0)
    evidence.check(1)
    assert truth is None


def test_the_truth_may_be_there(root: Path, own: Path) -> None:
    for name in ("0", "1", "2"):
        indexed(root / "truth" / f"{name}.png", square(2))
    data = Folder(root, corrections=own, masks="truth", val_share=0.5)
    assert len(data.validation) == 2
    assert all(data.sample(index)[1] is not None for index in data.validation)
    assert data.sample(data.validation[0])[0].kinds == ()
    masks = Folder(root, corrections=own, masks="truth", evidence="masks", val_share=0)
    assert ids(masks, masks.training) == ["0.jpg", "1.jpg", "2.jpg", "5.jpg", "8.jpg"]
    assert masks.corrected(1)[0].annotations == ("masks",)
    simulated = Folder(
        root, classes=["wheel", "fish"], masks="truth", simulated=True, evidence="points"
    )
    assert len(simulated) == 3
    assert simulated.corrected(0)[0].annotations == ("marks", "tags")


def test_a_split_of_the_folder_counts(root: Path, own: Path) -> None:
    text(root / "val.txt", "1.jpg\n2.jpg\n")
    data = Folder(root, corrections=own, val="val.txt")
    assert ids(data, data.validation) == ["1.jpg"]
    assert ids(data, data.training) == ["5.jpg", "8.jpg"]


def test_without_corrections_and_classes_it_says_what_to_do(root: Path) -> None:
    with pytest.raises(ValueError, match=r"python -m weakseg\.review data=folder data\.root=") as e:
        Folder(root)
    assert str(root) in str(e.value)
    assert "data.format" in str(e.value)


@pytest.mark.parametrize("format", FORMATS)
def test_a_forgotten_format_is_proposed(format: str, tmp_path: Path) -> None:
    files = write_set(tmp_path, format)
    for how in ({}, {"corrections": tmp_path / "corrections"}, {"classes": ["cat"]}):
        with pytest.raises(ValueError, match="format should be that of the annotation files") as e:
            Folder(tmp_path, **how)  # type: ignore[arg-type]
        assert format in str(e.value)
        assert str(files[0].parent) in str(e.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("0.xml", voc_xml("cat", (3, 2, 8, 7))),
        ("0.txt", "0 0.5 0.5 0.1 0.1"),
        ("instances.json", '{"images": [], "annotations": []}'),
        ("all.csv", "image,class\n0.jpg,cat"),
    ],
)
def test_files_beside_the_images_and_in_the_root_count(
    root: Path, own: Path, name: str, content: str
) -> None:
    text(root / name, content)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        Folder(root, corrections=own)


@pytest.mark.parametrize("name", ["notes.txt", "settings.json", "runs/boxes/1/report.json"])
def test_other_files_do_not(root: Path, own: Path, name: str) -> None:
    text(root / name, '{"colour": "red"}')
    assert len(Folder(root, corrections=own)) == 10


def test_annotations_without_a_format_are_refused(root: Path, own: Path) -> None:
    with pytest.raises(ValueError, match="annotations is labels, but no format is named"):
        Folder(root, corrections=own, annotations="labels")


def test_pixels_are_those_of_the_drawn_image(root: Path, own: Path) -> None:
    data = Folder(root, corrections=own, val_share=0, point_radius=5)
    marks = data.corrected(data.training[0])[0].marks
    assert marks is not None
    expected = np.full((10, 12), 255, np.uint8)
    expected[3, 3] = 2
    assert torch.equal(marks, torch.from_numpy(expected))
