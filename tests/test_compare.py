"""The command compare, from run folders and from folders of evaluate."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from weakseg import compare, evaluate, export
from weakseg.fit import main as fit

ROOT = Path(__file__).parents[1]
HOLDS = """
import os, sys
from pathlib import Path
from weakseg.utils.files import only_user
with only_user(Path(os.environ["FOLDER"])):
    print("held", flush=True)
    sys.stdin.read()
"""
WORDS = [
    "network=tests.small.TinyNet",
    "data=tests.small.Squares",
    "data.train=6",
    "data.val=6",
    "rounds.workers=0",
    "trainer.max_steps=2",
    "trainer.enable_progress_bar=false",
    "trainer.accelerator=cpu",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs that differ in a key, and a recipe of another strategy; only the first one is
    evaluated."""
    root = f"trainer.default_root_dir={tmp_path_factory.mktemp('runs')}"
    runs = [
        fit(["recipe=boxes_rect", *WORDS, root]),
        fit(["recipe=boxes_rect", *WORDS, root, "optimizer.lr=0.1"]),
        fit(["recipe=boxes_em", *WORDS, root]),
    ]
    evaluate.main([f"run={runs[0]}", "device=cpu"])
    return runs


@pytest.fixture
def runs(trained: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Copies, in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    for name, run in zip("abc", trained, strict=True):
        shutil.copytree(run, tmp_path / name)
    return ["a", "b", "c"]


def words(*runs: str) -> list[str]:
    return [f"runs=[{','.join(runs)}]", "device=cpu", "samples=50"]


def refusal(words: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """What is printed about words that are refused."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as caught:
        compare.main(words)
    assert caught.value.code == 2
    return capfd.readouterr().err


def test_runs_are_compared_and_evaluated_first_where_they_were_not(
    runs: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    compare.main([*words(*runs[:2]), "pictures=2"])
    printed, err = capfd.readouterr()
    assert "B - A (95 % interval)" in printed
    assert "seconds of annotation per image" not in printed  # Squares does not say what it has
    assert "training images: A 6, B 6" in printed
    assert f"{os.path.realpath('b')} has no evaluation" in err
    assert f"{os.path.realpath('a')} has no evaluation" not in err
    folder = Path("runs/compare")
    assert {"comparison.html", "comparison.json", "comparison.csv"} <= set(os.listdir(folder))
    content = json.loads((folder / "comparison.json").read_text())
    assert [(row["key"], row["values"][1]) for row in content["recipes"]] == [
        ("optimizer.lr", "0.1")
    ]
    page = (folder / "comparison.html").read_text()
    assert page.count('<article class="case">') == 2
    assert page.count('alt="who is right where they differ"') == 2
    assert "<script" not in page
    compare.main(words(*runs[:2]))
    assert "has no evaluation" not in capfd.readouterr().err


def test_more_than_two_are_each_compared_with_the_first(runs: list[str]) -> None:
    comparison = compare.main([*words(*runs), "out=three", "pictures=1"])
    assert [len(figure.differences) for figure in comparison.figures] == [2] * len(
        comparison.figures
    )
    page = Path("three/comparison.html").read_text()
    assert page.count("C - A") >= 2
    assert page.count("<figcaption") == 5  # image, truth, three predictions


def test_folders_of_evaluations_are_taken_as_they_are_on_their_common_images(
    runs: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    evaluate.main(["run=a", "subset=all", "out=every", "device=cpu"])
    comparison = compare.main(words("every", "a/evaluation"))
    assert len(comparison.common.images) == 6
    assert [side.name for side in comparison.sides][1].endswith("/a")
    assert "compared on the 6 images that all have: of their own, A 12, B 6" in (
        capfd.readouterr().out
    )
    assert comparison.figures[0].differences[0].value == pytest.approx(0, abs=1e-9)
    evaluate.main(["run=a", "subset=training", "out=others", "device=cpu"])
    assert "no image in common" in refusal(words("others", "a/evaluation"), capfd)


def test_an_evaluation_of_older_weights_is_made_anew_and_its_folder_has_no_predictions(
    runs: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree("a/evaluation", "old")
    shutil.copy("b/checkpoints/best.ckpt", "a/checkpoints/best.ckpt")
    comparison = compare.main([*words("a", "c"), "pictures=0"])
    assert f"{os.path.realpath('a')} has no evaluation of these weights" in (capfd.readouterr().err)
    assert comparison.sides[0].unchanged
    shutil.rmtree("a/checkpoints")
    shutil.copytree("a/evaluation", "moved")
    compare.main([*words("moved", "c/evaluation"), "out=later"])
    page = Path("later/comparison.html").read_text()
    assert "no predictions of A" in page
    assert "B, IoU" in page


def test_published_networks_are_measured_on_the_data_of_the_others(
    runs: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    export.main(["run=a", "format=hub", "out=hub"])
    comparison = compare.main([*words("hub", "b", "a/checkpoints/last.ckpt"), "pictures=1"])
    hub, other, last = comparison.sides
    assert hub.evaluation.folder == Path("hub-evaluation").absolute()
    assert hub.evaluation.measured_on == other.evaluation.measured_on
    assert last.evaluation.folder == Path("a/evaluation-last").absolute()
    assert Path("a/evaluation/summary.json").is_file()  # that of the best weights stays
    assert not hub.recipe
    assert other.recipe["optimizer.lr"] == "0.1"
    page = Path("runs/compare/comparison.html").read_text()
    assert "A, IoU" in page
    assert "no predictions" not in page
    capfd.readouterr()
    compare.main([*words("hub", "b", "a/checkpoints/last.ckpt"), "pictures=0"])
    assert "has no evaluation" not in capfd.readouterr().err


def test_networks_that_know_no_data_set_need_one_that_does(
    runs: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    for run in runs[:2]:
        export.main([f"run={run}", "format=hub", f"out=published/{run}"])
    wrong = refusal(words("published/a", "published/b"), capfd)
    assert "does not say which data set it was trained on" in wrong


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("[a]", "expected two or more"),
        ("[a,nowhere]", "there is no nowhere; expected a run or an evaluation of one"),
        ("[a,a/]", "a is given twice"),
        ("[a,empty]", "empty is neither"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_line(
    runs: list[str], capfd: pytest.CaptureFixture[str], given: str, message: str
) -> None:
    Path("empty").mkdir()
    err = refusal([f"runs={given}", "device=cpu"], capfd)
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_folder_that_cannot_be_made_or_is_another_process_s_is_said_before_any_work(
    runs: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("")
    assert "out: the folder file cannot be made" in refusal([*words("a", "b"), "out=file"], capfd)
    Path("taken").mkdir()
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDS], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "FOLDER": os.path.abspath("taken")},
    )  # fmt: skip
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(ValueError, match="another process is working in taken"):
        compare.main([*words("a", "b"), "out=taken"])
    other.communicate()
    assert "evaluated first" not in capfd.readouterr().err
    assert not Path("b/evaluation").exists()


def test_a_level_beyond_its_limits_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert "level: it should be a share of the draws" in refusal(["runs=[a,b]", "level=95"], capfd)
