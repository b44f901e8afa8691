"""Which data set a network is measured on, and which of its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.fakes import SeesBrightness
from tests.small import Squares
from weakseg.config.recipe import RecipeError
from weakseg.config.values import Text
from weakseg.data.base import WeakData
from weakseg.evaluation.dataset import choose, open_data

TOY = {"name": "toy", "train": 6, "val": 2, "size": 32, "evidence": "scribbles"}
TOY_CLASSES = ("background", "leaf", "wheel", "fish", "umbrella")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten images, each with a mask whose values are 0 to 2."""
    for place in ("images", "annotations"):
        (tmp_path / place).mkdir()
    for number in range(10):
        values = np.full((9, 12), number % 3, np.uint8)
        Image.fromarray(values).save(tmp_path / "annotations" / f"{number}.png")
        Image.fromarray(values * 90).convert("RGB").save(tmp_path / "images" / f"{number}.jpg")
    return tmp_path


def words(folder: Path, **more: Any) -> dict[str, Any]:
    """As they come from a command line."""
    given = {"name": "folder", "root": folder, "format": "mask_png", "classes": "[bright,dark]"}
    return {key: Text(value) for key, value in {**given, **more}.items()}


def test_the_own_data_set_gives_its_validation_images() -> None:
    model = SeesBrightness((*TOY_CLASSES, "bright", "dark"), data=TOY)
    measured = open_data(model, None, "auto")
    assert (measured.indices, measured.subset) == ([6, 7], "validation")
    assert measured.sentence == "the 2 validation images of toy"
    assert measured.section["evidence"] == "scribbles"
    changed = open_data(model, {"val": Text("3")}, "auto")
    assert changed.indices == [6, 7, 8]


@pytest.mark.parametrize(
    ("subset", "expected"),
    [("training", [*range(6)]), ("all", [*range(8)]), ("validation", [6, 7])],
)
def test_a_word_chooses_other_images(subset: Any, expected: list[int]) -> None:
    model = SeesBrightness((*TOY_CLASSES, "bright", "dark"), data=TOY)
    assert open_data(model, None, subset).indices == expected


def test_a_folder_that_nobody_split_is_measured_on_as_a_whole(folder: Path) -> None:
    model = SeesBrightness(data=TOY)
    measured = open_data(model, words(folder), "auto")
    assert len(measured.data.validation) == 2  # held out for whoever would train on it
    assert (len(measured.indices), measured.subset) == (10, "all")
    assert measured.sentence == f"all 10 images of folder {folder}"


def test_a_split_that_somebody_made_counts(folder: Path) -> None:
    model = SeesBrightness()
    assert len(open_data(model, words(folder, val_share="0.3"), "auto").indices) == 3
    (folder / "val.txt").write_text("3.jpg\n")
    assert len(open_data(model, words(folder, val="val.txt"), "auto").indices) == 1


def test_so_does_the_part_of_a_folder_that_was_not_trained_on(folder: Path) -> None:
    model = SeesBrightness(data=words(folder))
    assert len(open_data(model, None, "auto").indices) == 2
    assert len(open_data(model, {"long_side": Text("8")}, "auto").indices) == 2


def test_the_kind_of_evidence_of_the_training_is_not_that_of_another_data_set(
    folder: Path,
) -> None:
    """Masks that were read as scribbles would be no truth."""
    data = open_data(SeesBrightness(data=TOY), words(folder), "auto").data
    assert data.sample(0)[1] is not None


def test_a_data_set_in_python_is_taken_as_it_is() -> None:
    data = Squares(train=3, val=2)
    measured = open_data(SeesBrightness(), data, "auto")
    assert measured.data is data
    assert (measured.indices, measured.section) == ([3, 4], {})
    assert measured.sentence == "the 2 validation images of Squares"


def test_classes_are_matched_by_their_names() -> None:
    model = SeesBrightness(("background", "dark", "bright"))
    table = open_data(model, Squares(), "auto").table
    assert table is not None
    assert table[:3].tolist() == [0, 2, 1]
    assert open_data(SeesBrightness(), Squares(), "auto").table is None


def test_a_network_of_other_classes_is_refused() -> None:
    model = SeesBrightness(("background", "bright", "dusk"))
    with pytest.raises(RecipeError, match=r"data: .* dark is none of the classes .*data\.rename"):
        open_data(model, Squares(), "auto")


def test_a_file_that_knows_no_data_set_wants_one() -> None:
    with pytest.raises(RecipeError, match=r"data: missing; net\.onnx does not say which data set"):
        open_data(SeesBrightness(), None, "auto")
    with pytest.raises(RecipeError, match=r"data: missing"):
        open_data(SeesBrightness(), {"long_side": Text("8")}, "auto")


def test_an_exported_file_in_the_folder_of_its_run_knows_the_data_set_of_the_run(
    tmp_path: Path,
) -> None:
    lines = [*(f"  {key}: {value}" for key, value in TOY.items())]
    parts = ["strategy: full", "network: unet", "data:", *lines]
    (tmp_path / "recipe.yaml").write_text("\n".join(parts))
    model = SeesBrightness((*TOY_CLASSES, "bright", "dark"))
    model.origin = model.origin._replace(path=str(tmp_path / "exported" / "best.onnx"))
    measured = open_data(model, None, "auto")
    assert measured.sentence == "the 2 validation images of toy"


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    with pytest.raises(RecipeError, match=r"data: there should be images in .*images"):
        open_data(SeesBrightness(), words(tmp_path), "auto")


def test_images_that_are_not_there_are_refused() -> None:
    data: WeakData = Squares(train=3, val=0)
    assert choose(data, "auto", own=True) == ([0, 1, 2], "all")
    with pytest.raises(RecipeError, match="no validation images, but 3 others; subset=all"):
        choose(data, "validation", own=True)


def test_files_that_cannot_be_read_are_not_passed_over(folder: Path) -> None:
    (folder / "annotations" / "no-image.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 problem in the files.*\n.*no-image"):
        open_data(SeesBrightness(), words(folder), "auto")
