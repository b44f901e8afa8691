"""label with the corrections of a person."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.data.corrections.events import EXCLUDE, box, correct
from tests.labelling.methods import ESTIMATED
from tests.small import SIZE
from weakseg.config.recipe import RecipeError
from weakseg.labelling.dataset import label_dataset

FILE = (SIZE, SIZE)


@pytest.fixture
def run(once: Path, tmp_path: Path) -> Path:
    """A run, with a correction of one of its images in its folder."""
    folder = tmp_path / "runs" / "boxes" / "1"
    shutil.copytree(once, folder)
    shutil.copytree(once.parents[1] / "labels", tmp_path / "runs" / "labels")
    correct(folder / "corrections", "disc/1", box("dark", 1, 1, 5, 5), size=FILE)
    return folder


def summary(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return content


def test_corrections_in_the_folder_of_a_run_are_found(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label_dataset(run=run, out=tmp_path / "out", subset="training", device="cpu")
    assert ESTIMATED == ["disc/1"]
    line = f"corrections: those in {run / 'corrections'} are laid over the data set"
    assert line in capsys.readouterr().err
    assert summary(tmp_path / "out")["corrections"] == {
        "folder": str(run / "corrections"),
        "corrected": 1,
        "accepted": 0,
        "skipped": 0,
        "excluded": 0,
        "seconds": 0,
    }


@pytest.mark.parametrize("chosen", [None, "elsewhere"])
def test_what_was_said_counts_more(
    run: Path, chosen: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    correct(tmp_path / "elsewhere", "disc/3", box("dark", 1, 1, 5, 5), size=FILE)
    corrections = None if chosen is None else str(tmp_path / chosen)
    data = {"corrections": corrections}
    label_dataset(run=run, out=tmp_path / "out", subset="training", device="cpu", data=data)
    assert ([] if chosen is None else ["disc/3"]) == ESTIMATED
    assert "are laid over" not in capsys.readouterr().err
    said = summary(tmp_path / "out")["corrections"]
    assert (said and said["folder"]) == corrections


def test_a_folder_that_is_not_there_is_refused(run: Path, tmp_path: Path) -> None:
    data = {"corrections": str(tmp_path / "nowhere")}
    with pytest.raises(RecipeError, match=r"data\.corrections: there is no folder .*nowhere"):
        label_dataset(run=run, out=tmp_path / "out", device="cpu", data=data)
    assert not (tmp_path / "out").exists()


def test_another_data_set_has_other_images(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"name": "tests.small.Everything"}
    label_dataset(run=run, out=tmp_path / "out", subset="training", device="cpu", data=data)
    assert "are laid over" not in capsys.readouterr().err
    assert summary(tmp_path / "out")["corrections"] is None


def test_an_excluded_image_is_labelled_but_not_among_those_to_train_on(
    run: Path, tmp_path: Path
) -> None:
    correct(run / "corrections", "disc/2", EXCLUDE, size=FILE)
    trained = label_dataset(run=run, out=tmp_path / "a", subset="training", device="cpu")
    every = label_dataset(run=run, out=tmp_path / "b", device="cpu")
    assert (trained.labelled, every.labelled) == (11, 17)


def test_a_damaged_file_breaks_its_image_alone(run: Path, tmp_path: Path) -> None:
    corrections = correct(run / "corrections", "disc/2", EXCLUDE, size=FILE)
    corrections.file("disc/2").write_text("{")
    done = label_dataset(run=run, out=tmp_path / "out", device="cpu")
    assert done.labelled == 16
    assert [failure.reason for failure in done.broken] == [
        f"the corrections in {corrections.file('disc/2')} cannot be read: Expecting property name "
        "enclosed in double quotes: line 1 column 2 (char 1)"
    ]
