"""Runs with the corrections of a person."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.data.corrections.events import ACCEPT, EXCLUDE, UNDO, box, click, correct, unbox
from tests.data.layouts import photo
from tests.faults.runs import outcome
from tests.labelling.methods import ESTIMATED
from tests.small import SIZE, Killed, Squares
from tests.training import test_processes as processes
from weakseg.config.recipe import RecipeError, load, resolve
from weakseg.data.corrections.events import Event
from weakseg.data.corrections.folder import Corrections, CorrectionsFolder
from weakseg.fit import main as fit
from weakseg.run import fit as run_recipe
from weakseg.strategies.boxes_rect import BoxesRect
from weakseg.training import corrections_check
from weakseg.training.corrections_check import share_corrections
from weakseg.training.estimation import EstimationError
from weakseg.training.evidence_check import check_evidence
from weakseg.training.segmenter import Segmenter

FILE = (SIZE, SIZE)
WORDS = [
    *("recipe=boxes_rect", "strategy=tests.labelling.methods.Counting"),
    *("data=tests.small.Squares", "data.train=6", "data.val=2", "data.batch_size=2"),
    *("network=tests.small.TinyNet", "rounds.workers=0", "trainer.accelerator=cpu"),
    *("trainer.enable_progress_bar=false", "trainer.check_val_every_n_epoch=1"),
]


@pytest.fixture(autouse=True)
def nothing_estimated() -> None:
    ESTIMATED.clear()


def train(root: Path, *words: str, steps: int = 2) -> Path:
    return fit([*WORDS, f"trainer.max_steps={steps}", f"trainer.default_root_dir={root}", *words])


def trained() -> list[str]:
    """The training images whose targets were estimated; those of others are only measured."""
    return sorted(set(ESTIMATED) - {"disc/6", "disc/7"})


def stop(root: Path, *words: str) -> Path:
    """A run of 6 steps that is killed before the fifth, after its first checkpoint."""

    def step(self: Segmenter, *arguments: Any) -> Any:
        if self.global_step == 4:
            raise Killed
        return before(self, *arguments)

    before = Segmenter.training_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Segmenter, "training_step", step)
        with pytest.raises(Killed):
            train(root, *words, steps=6)
    return (root / "boxes_rect" / "latest").resolve()


def resume(run: Path) -> Path:
    return fit([f"resume={run}"])


def test_only_touched_targets_are_estimated_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "runs")
    assert trained() == [f"disc/{index}" for index in range(6)]
    ESTIMATED.clear()
    own = tmp_path / "own"
    correct(own, "disc/1", box("dark", 1, 1, 5, 5), size=FILE)
    correct(own, "disc/3", click("dark", 3, 3), UNDO, size=FILE)
    correct(own, "disc/4", ACCEPT, Event("look", seconds=90), size=FILE)
    correct(own, "disc/5", EXCLUDE, size=FILE)
    capsys.readouterr()
    run = train(tmp_path / "runs", f"data.corrections={own}")
    assert trained() == ["disc/1"]
    line = f"corrections of {own}: 1 image corrected, 1 accepted, 1 excluded, in 1.5 minutes"
    assert line in capsys.readouterr().err
    assert line in (run / "report.html").read_text()
    # the rest of the second run's targets is that of the first
    ESTIMATED.clear()
    train(tmp_path / "runs", f"data.corrections={own}")
    assert trained() == []


def test_what_has_no_effect_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    correct(tmp_path, "disc/1", unbox("dark", 0, 0, 1, 1), size=FILE)
    correct(tmp_path, "disc/5", EXCLUDE, size=FILE)
    correct(tmp_path, "elsewhere", EXCLUDE, size=FILE)
    check_evidence(Squares(6, 2, corrections=tmp_path), BoxesRect(), Squares.classes, 0, 1)
    lines = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith("corrections of")
    ]
    assert [line.partition(": ")[2] for line in lines] == [
        "1 image corrected, 2 excluded, in 0.0 minutes",
        "those of 1 image are of none of the data set, such as elsewhere",
        "1 step has no effect, such as image disc/1: remove_box: there is no such box of dark; "
        "python -m weakseg.check shows all of them",
    ]


def test_a_damaged_file_is_named_with_its_image(tmp_path: Path) -> None:
    corrections = correct(tmp_path, "disc/1", ACCEPT, size=FILE)
    corrections.file("disc/1").write_text("{")
    with pytest.raises(EstimationError) as error:
        check_evidence(Squares(6, 2, corrections=tmp_path), BoxesRect(), Squares.classes, 0, 1)
    assert "image disc/1: " in str(error.value)
    assert str(corrections.file("disc/1")) in str(error.value)
    assert "1 image" in str(error.value)


def test_a_folder_that_is_not_there_is_refused_before_there_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "corrections").mkdir()
    with pytest.raises(SystemExit) as ended:
        train(tmp_path / "runs", f"data.corrections={tmp_path / 'corections'}")
    assert ended.value.code == 2
    words = [*WORDS, f"data.corrections={tmp_path / 'corections'}"]
    with pytest.raises(RecipeError, match=r"there is no folder .*; did you mean corrections\?"):
        run_recipe(resolve(load(words)))
    (tmp_path / "corections").write_text("no folder")
    with pytest.raises(RecipeError, match=r"expected a folder, but .*corections is a file$"):
        run_recipe(resolve(load(words)))
    assert not (tmp_path / "runs" / "boxes_rect").exists()


def test_a_data_set_of_excluded_images_is_refused_in_words(tmp_path: Path) -> None:
    for index in range(6):
        correct(tmp_path / "own", f"disc/{index}", EXCLUDE, size=FILE)
    with pytest.raises(RecipeError, match=r"no image to train on: .* all excluded"):
        run_recipe(resolve(load([*WORDS, f"data.corrections={tmp_path / 'own'}"])))


class TestResume:
    def test_the_same_corrections_are_the_same_run(self, tmp_path: Path) -> None:
        own = f"data.corrections={tmp_path / 'own'}"
        correct(tmp_path / "own", "disc/1", box("dark", 1, 1, 5, 5), size=FILE)
        correct(tmp_path / "own", "disc/2", EXCLUDE, size=FILE)
        whole = train(tmp_path / "whole", own, steps=6)
        half = stop(tmp_path / "half", own)
        # to look again is no change
        correct(tmp_path / "own", "disc/2", Event("look", seconds=5), size=FILE)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*corrections.*")
            resume(half)
        assert_same(half, whole)

    def test_others_are_those_of_a_new_run(self, tmp_path: Path) -> None:
        own = f"data.corrections={tmp_path / 'own'}"
        correct(tmp_path / "own", "disc/1", box("dark", 1, 1, 5, 5), size=FILE)
        whole = train(tmp_path / "whole", own, steps=6)
        half = stop(tmp_path / "half", own)
        correct(tmp_path / "own", "disc/1", UNDO, size=FILE)
        correct(tmp_path / "own", "disc/2", EXCLUDE, size=FILE)
        ESTIMATED.clear()
        with pytest.warns(UserWarning, match="corrections of 2 images have changed since this run"):
            resume(half)
        assert trained() == []
        assert_same(half, whole)

    def test_a_run_without_any_stays_so(self, tmp_path: Path) -> None:
        (tmp_path / "own").mkdir()
        own = f"data.corrections={tmp_path / 'own'}"
        whole = train(tmp_path / "whole", own, steps=6)
        half = stop(tmp_path / "half", own)
        correct(tmp_path / "own", "disc/1", EXCLUDE, size=FILE)
        with pytest.warns(UserWarning, match="corrections of 1 image have changed since this run"):
            resume(half)
        assert_same(half, whole)

    def test_a_folder_that_is_gone_changes_nothing(self, tmp_path: Path) -> None:
        own = tmp_path / "own"
        correct(own, "disc/1", box("dark", 1, 1, 5, 5), size=FILE)
        whole = train(tmp_path / "whole", f"data.corrections={own}", steps=6)
        half = stop(tmp_path / "half", f"data.corrections={own}")
        own.rename(tmp_path / "elsewhere")
        with pytest.warns(UserWarning, match="corrections of 1 image have changed since this run"):
            resume(half)
        assert_same(half, whole)


def assert_same(one: Path, other: Path) -> None:
    mine, others = map(outcome, (one, other))
    for part in ("weights", "optimizer", "metrics"):
        assert mine[part] == others[part], part


def test_all_ranks_train_with_what_the_first_has_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Squares(6, 2, corrections=tmp_path)
    first_read = first.corrections_in_use
    correct(tmp_path, "disc/1", EXCLUDE, size=FILE)
    second = Squares(6, 2, corrections=tmp_path)
    assert 1 not in second.training
    monkeypatch.setattr(corrections_check, "gather", lambda own: [first_read, own])
    share_corrections(second, 2)
    assert second.corrections_in_use is first_read
    assert second.training == first.training
    assert second.corrections_in_use == Corrections({}, {})


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """A folder of photographs without annotation files, of which a person has drawn on some."""
    for number in range(8):
        photo(tmp_path / "photos" / f"{number}.jpg", number, 32, 24)
    corrections = CorrectionsFolder(tmp_path / "photos" / "corrections")
    corrections.add_class("wheel")
    for number in range(4):
        name = f"{number}.jpg"
        correct(corrections.path, name, box("wheel", 4, 4, 20, 18), size=(32, 24))
    return tmp_path / "photos"


BARE = [
    *("recipe=boxes_rect", "data=folder", "data.batch_size=2", "data.crop=null"),
    *("network=tests.small.TinyNet", "network.classes=2", "rounds.workers=0"),
    *("trainer.max_steps=2", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"),
]


def test_a_folder_without_annotation_files_is_trained_on_by_what_was_drawn(
    drawn: Path, tmp_path: Path
) -> None:
    words = [f"data.root={drawn}", f"trainer.default_root_dir={tmp_path / 'runs'}"]
    run = fit([*BARE, *words, f"data.corrections={drawn / 'corrections'}"])
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["weakseg"]
    assert last["classes"] == ["background", "wheel"]
    assert last["training_images"] + 1 >= 4  # one of them may be held out
    assert last["corrections"]["corrected"] == 4


def test_nothing_drawn_is_answered_before_there_is_a_run(drawn: Path, tmp_path: Path) -> None:
    words = [*BARE, f"data.root={drawn}", f"trainer.default_root_dir={tmp_path / 'runs'}"]
    with pytest.raises(RecipeError, match=r"python -m weakseg\.review data=folder data\.root="):
        run_recipe(resolve(load(words)))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(RecipeError, match="no class but the background"):
        run_recipe(resolve(load([*words, f"data.corrections={empty}"])))
    with pytest.raises(RecipeError, match=r"there is no folder .*nowhere"):
        run_recipe(resolve(load([*words, f"data.corrections={tmp_path / 'nowhere'}"])))
    with pytest.raises(RecipeError, match=r"nothing is annotated; draw on some images"):
        run_recipe(resolve(load([*words, f"data.corrections={empty}", "data.classes=[wheel]"])))
    assert not (tmp_path / "runs" / "boxes_rect").exists()


@pytest.mark.slow
def test_two_processes_have_the_corrections_that_one_has(tmp_path: Path) -> None:
    own = tmp_path / "own"
    correct(own, "toy-00001", box("leaf", 1, 1, 9, 9), size=(32, 32))
    correct(own, "toy-00002", EXCLUDE, size=(32, 32))
    words = [*processes.WORDS, "trainer.max_steps=2", f"data.corrections={own}", "data.workers=1"]
    one = processes.start(tmp_path / "one", *words)
    lines, _ = one.communicate(timeout=240)
    assert one.returncode == 0, lines
    two = processes.start(tmp_path / "two", *words, *processes.TWO, "data.batch_size=4")
    both, _ = two.communicate(timeout=240)
    assert two.returncode == 0, both
    for output in (lines, both):
        assert output.count(f"corrections of {own}: 1 image corrected, 1 excluded") == 1
    found, others = (processes.targets(tmp_path / name) for name in ("one", "two"))
    assert found == others
    assert not any("toy-00002" in name for name in found)
    for name in ("one", "two"):
        last = processes.only_run(tmp_path / name) / "checkpoints" / "last.ckpt"
        assert torch.load(last, weights_only=True)["weakseg"]["training_images"] == 7
