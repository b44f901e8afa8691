from pathlib import Path

import pytest
import torch

from tests.data.layouts import cityscapes
from weakseg.data.files.cityscapes import LABELS, Cityscapes
from weakseg.data.formats.base import FormatError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return cityscapes(tmp_path)


def test_the_nineteen_classes(root: Path) -> None:
    data = Cityscapes(root)
    assert len(data.classes) == 20
    assert data.classes[:3] == ("background", "road", "sidewalk")
    assert [entry.id for entry in data.entries] == [
        "train/ulm/ulm_000000_000019",
        "val/lindau/lindau_000000_000019",
    ]
    evidence, truth = data.sample(0)
    evidence.check(20)
    assert (truth[0, 0], truth[9, 0], truth[5, 2]) == (255, 1, 14)
    assert torch.equal(evidence.marks, truth)
    assert LABELS["bicycle"] == 33


def test_touching_cars_have_a_box_each(root: Path) -> None:
    data = Cityscapes(root, evidence="boxes", classes_used=["person", "car"], others="background")
    evidence, truth = data.sample(0)
    assert evidence.boxes.tolist() == [[1, 4, 4, 7], [4, 4, 8, 7]]
    assert evidence.box_classes.tolist() == [2, 2]
    assert (truth[9, 0], truth[0, 0]) == (0, 255)


def test_a_click_for_every_car_and_for_the_road(root: Path) -> None:
    evidence, _ = Cityscapes(root, evidence="points").sample(0)
    assert sorted(evidence.marks[evidence.marks != 255].tolist()) == [1, 14, 14]


def test_other_classes_are_an_error_unless_said(root: Path) -> None:
    with pytest.raises(FormatError, match="but it is 7, road"):
        Cityscapes(root, classes_used=["car"]).sample(0)
    with pytest.raises(ValueError, match=r"'cra' is none; did you mean car\?"):
        Cityscapes(root, classes_used=["cra"])


def test_damaged_numbers_are_named(root: Path) -> None:
    path = root / "gtFine" / "train" / "ulm" / "ulm_000000_000019_gtFine_instanceIds.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FormatError, match=r"instanceIds.png: the image should be whole"):
        Cityscapes(root, evidence="boxes").sample(0)
