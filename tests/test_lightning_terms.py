"""What Lightning's users know by name, from the command line: callbacks, early stopping, short runs
and runs by the clock, together with rounds, checkpoints, the report and resume=."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from weakseg.config.recipe import RecipeError
from weakseg.fit import main
from weakseg.run import fit
from weakseg.training.metrics_file import read_record

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    *("network=tests.small.TinyNet", "network.classes=3"),
    *("data=tests.small.Squares", "data.train=6", "data.val=2", "data.batch_size=2"),
    *("rounds.workers=0", "trainer.enable_progress_bar=false", "trainer.accelerator=cpu"),
    *("trainer.log_every_n_steps=1", "trainer.check_val_every_n_epoch=1"),
]
STEPS = 9  # of the runs here: three epochs
WORDS = dict(
    word.split("=", 1) for word in ["recipe=boxes_rect", *SMALL, f"trainer.max_steps={STEPS}"]
)
OWN = '''
from pathlib import Path

from pytorch_lightning import Callback


class Diary(Callback):
    """Writes down what it finds."""

    def __init__(
        self, file: str, every: int = 1, fails_at: int | None = None, token: str = ""
    ) -> None:
        self.file, self.every, self.fails_at = Path(file), every, fails_at
        self.batches = 0

    def note(self, text):
        with self.file.open("a") as file:
            file.write(text + "\\n")

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.batches += 1
        if trainer.global_step == self.fails_at:
            raise RuntimeError("the diary is full")
        if self.batches % self.every == 0:
            self.note(f"{self.batches} {' '.join(sorted(batch.ids))}")

    def on_validation_end(self, trainer, pl_module):
        self.note(f"miou {float(trainer.callback_metrics['val/miou']):.3f}")

    def on_train_epoch_end(self, trainer, pl_module):
        rounds = next(each for each in trainer.callbacks if type(each).__name__ == "Rounds")
        self.note(f"round {rounds.round}")

    def state_dict(self):
        return {"batches": self.batches}

    def load_state_dict(self, state):
        self.batches = state["batches"]


class Keeps(Diary):
    """With a state that only code could read back."""

    def state_dict(self):
        return {"files": [self.file]}


class KeepsLater(Diary):
    """With such a state as soon as there is something in it."""

    def state_dict(self):
        return {"files": [self.file] * self.batches}
'''
DIARY = ["callbacks.diary=diaries.Diary", "callbacks.diary.file=diary.txt"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "diaries.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("diaries", None)


def small(*words: str) -> list[str]:
    """These words above those of the runs here."""
    return [
        f"{key}={value}" for key, value in (WORDS | dict(w.split("=", 1) for w in words)).items()
    ]


def losses(run: Path) -> list[float]:
    return [
        float(row["loss/total"]) for row in read_record(run / "metrics.csv") if row["loss/total"]
    ]


def weights(run: Path) -> dict[str, torch.Tensor]:
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    found: dict[str, torch.Tensor] = last["state_dict"]
    return found


def mistakes(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What is said of words that cannot work, before the training."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert list(Path().glob("runs/*/2*")) == []
    return [line for line in capsys.readouterr().err.splitlines() if "images/s]" not in line]


# callbacks of one's own ---------------------------------------------------------------------------


def test_a_callback_of_ones_own_finds_what_the_run_has_logged() -> None:
    rounds = ["rounds.when=epochs", "rounds.count=2", "strategy=tests.small.Refine"]
    run = main(small(*rounds, *DIARY, "callbacks.diary.every=2"))
    notes = Path("diary.txt").read_text().splitlines()
    kinds = [note.partition(" ")[0] for note in notes]
    # it hears of the end of an epoch when the next round is made
    assert kinds == ["2", "miou", "round", "4", "6", "miou", "round", "8", "miou", "round"]
    assert [note for note in notes if note.startswith("round")] == ["round 1", "round 1", "round 1"]
    measured = [row["val/miou"] for row in read_record(run / "metrics.csv") if row["val/miou"]]
    assert [note[5:] for note in notes if note.startswith("miou")] == [
        f"{float(value):.3f}" for value in measured
    ]
    kept = yaml.safe_load((run / "recipe.yaml").read_text())["callbacks"]
    assert kept == {"diary": {"name": "diaries.Diary", "file": "diary.txt", "every": 2}}


def test_its_state_goes_on_with_the_run_and_so_do_its_arguments() -> None:
    whole = main(small(*DIARY))
    undisturbed = Path("diary.txt").read_text()
    Path("diary.txt").unlink()
    part = main(small(*DIARY, "trainer.max_steps=4", "optimizer.schedule=constant"))
    Path("diary.txt").write_text("")
    main([f"resume={part}", f"trainer.max_steps={STEPS}", "callbacks.diary.every=2"])
    numbers = [line.split()[0] for line in Path("diary.txt").read_text().splitlines()]
    assert [number for number in numbers if number.isdigit()] == ["6", "8"]
    assert undisturbed.splitlines()[-3].split()[0] == str(STEPS)
    assert len(losses(whole)) == len(losses(part)) == STEPS


def test_a_run_whose_callback_raises_says_where_and_goes_on() -> None:
    whole = main(small(*DIARY))
    with pytest.raises(RuntimeError, match="the diary is full") as caught:
        main(small(*DIARY, "callbacks.diary.fails_at=5"))
    assert any("error.txt" in note for note in caught.value.__notes__)
    (broken,) = (path for path in Path("runs/boxes_rect").glob("2*") if path.name != whole.name)
    assert "diaries.py" in (broken / "error.txt").read_text()
    main([f"resume={broken}", "callbacks.diary.fails_at=null"])
    assert losses(broken) == losses(whole)
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(broken).items())
    main([f"resume={broken}", "callbacks=null", "trainer.max_steps=12"])
    assert len(losses(broken)) == 12


def test_what_a_callback_is_given_as_a_secret_stays_in_the_recipe_of_the_run() -> None:
    with pytest.raises(RuntimeError):
        main(small(*DIARY, "callbacks.diary.token=hunter2go", "callbacks.diary.fails_at=2"))
    (run,) = Path("runs/boxes_rect").glob("2*")
    main([f"resume={run}", "callbacks.diary.fails_at=null", "logger=tensorboard"])
    holding = {
        file.name for file in run.rglob("*") if file.is_file() and b"hunter2go" in file.read_bytes()
    }
    assert holding == {"recipe.yaml"}


def test_a_recipe_has_a_list_of_them() -> None:
    recipe = {
        "strategy": "boxes_rect",
        "network": {"name": "tests.small.TinyNet", "classes": 3},
        "data": {"name": "tests.small.Squares", "train": 4, "val": 1, "batch_size": 2},
        "trainer": {"max_steps": 2, "enable_progress_bar": False, "num_sanity_val_steps": 0},
        "callbacks": [{"name": "diaries.Diary", "file": "diary.txt"}, "early_stopping"],
    }
    Path("mine.yaml").write_text(yaml.safe_dump(recipe))
    run = main(["recipe=mine.yaml", "rounds.workers=0"])
    assert len(Path("diary.txt").read_text().splitlines()) == 4
    again = yaml.safe_load((run / "recipe.yaml").read_text())
    assert list(again["callbacks"]) == ["Diary", "early_stopping"]
    assert main([f"recipe={run}/recipe.yaml"]) != run


def test_a_state_that_could_not_be_read_back_is_no_reason_to_lose_a_run() -> None:
    words = ["callbacks.diary=diaries.KeepsLater", "callbacks.diary.file=diary.txt"]
    with pytest.warns(UserWarning, match="the state of KeepsLater cannot be read back .*left out"):
        run = main(small(*words, "trainer.max_steps=4"))
    with pytest.warns(UserWarning, match="KeepsLater"):
        main([f"resume={run}", "trainer.max_steps=6"])
    assert len(losses(run)) == 6


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            [*DIARY, "callbacks.second=diaries.Diary", "callbacks.second.file=x"],
            "callbacks.second: it has the same state_key as callbacks.diary, so that a resumed run "
            "could not tell their states apart; give its class a property state_key that differs",
        ),
        (
            ["callbacks.keeps=diaries.Keeps", "callbacks.keeps.file=x"],
            "callbacks.keeps: the state of Keeps cannot be read back from a checkpoint: "
            "its state['files'][0] is a PosixPath; return numbers, texts, tensors, lists and dicts "
            "of them from state_dict",
        ),
        (
            ["callbacks.rate=pytorch_lightning.callbacks.LearningRateFinder"],
            "callbacks.rate: LearningRateFinder trains before the run and starts over, which "
            "checkpoints and rounds cannot follow; try a few values in runs of their own",
        ),
        (
            ["callbacks.early_stopping=true", "data.val=0"],
            "callbacks.early_stopping: there is no validation that would measure anything: the "
            "data set has no validation images, or trainer.limit_val_batches is 0; monitor "
            "loss/total instead",
        ),
        (
            ["callbacks.early_stopping.monitor=val/miou", "trainer.limit_val_batches=0"],
            "callbacks.early_stopping: there is no validation that would measure val/miou: the "
            "data set has no validation images, or trainer.limit_val_batches is 0; monitor "
            "loss/total instead",
        ),
        (
            ["callbacks.early_stopping.monitor=val/iou/brigth"],
            "callbacks.early_stopping.monitor: no validation measures val/iou/brigth; did you mean "
            "val/iou/bright?",
        ),
        (
            ["callbacks.model_checkpoint.monitor=val/mio"],
            "callbacks.model_checkpoint.monitor: no validation measures val/mio; did you mean "
            "val/miou?",
        ),
        (
            ["callbacks.model_checkpoint=true", "trainer.enable_checkpointing=false"],
            "trainer: Trainer was configured with `enable_checkpointing=False` but found "
            "`ModelCheckpoint` in callbacks list.",
        ),
        (
            ["callbacks.rich_progress_bar=true"],
            "trainer: Trainer was configured with `enable_progress_bar=False` but found "
            "`RichProgressBar` in callbacks list.",
        ),
        (
            ["trainer.barebones=true"],
            "trainer: ",
        ),
        (
            ["trainer.overfit_batches=-1"],
            "trainer: ",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_the_training(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = mistakes(small(*words), capsys)
    assert found.startswith(line) if line.endswith(": ") else found == line


@pytest.mark.parametrize(
    ("word", "line"),
    [
        (
            "limit_train_batches=0.01",
            "an epoch has 3 batches, of which 0.01 is less than one; set it to 0.333 or more, or "
            "to a number of batches",
        ),
        (
            "limit_val_batches=0.5",
            "a validation has 1 batch, of which 0.5 is less than one; set it to 1 or more, or to a "
            "number of batches",
        ),
        (
            "overfit_batches=0.5",
            "a validation has 1 batch, of which 0.5 is less than one; set it to 1 or more, or to a "
            "number of batches",
        ),
        (
            "val_check_interval=4",
            "an epoch has 3 batches, so that there is no validation after 4 of it; set "
            "trainer.check_val_every_n_epoch=null to count over all epochs",
        ),
    ],
)
def test_too_few_batches_are_told_of_before_any_target_is_estimated(
    word: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weakseg.training.rounds.check_evidence", None)
    with pytest.raises(ValueError, match=f"^trainer.{word.partition('=')[0]}: ") as caught:
        main(small(f"trainer.{word}"))
    assert str(caught.value).partition(": ")[2] == line
    assert list(Path().glob("runs/*/2*")) == []


@pytest.mark.parametrize(
    "words",
    [
        ["trainer.limit_train_batches=0.34", "trainer.limit_val_batches=1.0"],
        ["trainer.val_check_interval=3"],
        ["trainer.val_check_interval=4", "trainer.check_val_every_n_epoch=null"],
        ["trainer.limit_val_batches=0", "trainer.limit_train_batches=2"],
    ],
)
def test_as_many_batches_as_there_are_is_enough(words: list[str]) -> None:
    assert (main(small(*words, "trainer.max_steps=4")) / "report.html").is_file()


def test_a_checkpoint_on_an_exception_cannot_work_with_several_processes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["callbacks.model_checkpoint.save_on_exception=true", "trainer.devices=2"]
    (line,) = mistakes(small(*words), capsys)
    assert line.startswith("callbacks.model_checkpoint.save_on_exception: with several processes")


# Lightning's own callbacks ------------------------------------------------------------------------


def test_early_stopping_is_said_on_the_screen_and_in_the_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=1"]
    run = main(small(*words))
    sentence = "stopped at step 6: val/miou has not improved for 1 validation (the best: "
    assert sentence in capsys.readouterr().out
    assert sentence in (run / "report.html").read_text()
    assert len(losses(run)) == 6
    rows = read_record(run / "metrics.csv")
    assert len([row for row in rows if row["val/miou"]]) == 2  # none is left for the end
    assert main([f"resume={run}"]) == run
    assert sentence in capsys.readouterr().out
    assert read_record(run / "metrics.csv") == rows
    main([f"resume={run}", "callbacks.early_stopping=null"])
    assert "stopped at" not in capsys.readouterr().out
    assert len(losses(run)) == STEPS


def test_lightnings_checkpoints_have_a_folder_of_their_own() -> None:
    words = [
        "callbacks.model_checkpoint.monitor=val/miou",
        "callbacks.model_checkpoint.mode=max",
        "callbacks.model_checkpoint.save_top_k=2",
        "callbacks.model_checkpoint.save_last=true",
    ]
    run = main(small(*words))
    folder = run / "checkpoints"
    assert {path.name for path in folder.iterdir()} == {
        "last.ckpt",
        "best.ckpt",
        "model_checkpoint",
    }
    names = {path.name for path in (folder / "model_checkpoint").iterdir()}
    assert "last.ckpt" in names
    assert len(names) == 3
    plain = main(small())
    assert all(torch.equal(value, weights(plain)[name]) for name, value in weights(run).items())


def test_the_learning_rate_is_logged_with_and_without_lightnings_monitor() -> None:
    words = ["optimizer.lr=0.01", "callbacks.learning_rate_monitor=true"]
    rows = read_record(main(small(*words)) / "metrics.csv")
    ours = [float(row["learning_rate"]) for row in rows if row["learning_rate"]]
    assert ours == pytest.approx([0.01 * (1 - step / STEPS) ** 0.9 for step in range(STEPS)])
    theirs = [float(row["lr-AdamW/pg1"]) for row in rows if row["lr-AdamW/pg1"]]
    assert theirs == pytest.approx(ours)


def test_the_gradient_norm_is_logged_before_it_is_clipped() -> None:
    plain = read_record(main(small("trainer.max_steps=1")) / "metrics.csv")
    clipped = read_record(
        main(small("trainer.max_steps=1", "trainer.gradient_clip_val=0.001")) / "metrics.csv"
    )
    (norm,), (same,) = (
        [float(row["gradient_norm"]) for row in rows if row["gradient_norm"]]
        for rows in (plain, clipped)
    )
    assert norm == same > 0.001


# Trainer's arguments ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["true", "2"])
def test_fast_dev_run_goes_through_everything_once(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    callbacks = ["callbacks.early_stopping=true", "callbacks.learning_rate_monitor=true"]
    run = main(small(f"trainer.fast_dev_run={value}", *callbacks, "logger=tensorboard"))
    steps = 1 if value == "true" else 2
    printed = capsys.readouterr().out
    assert f"trainer.fast_dev_run: {steps} step" in printed
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"] == steps
    assert not (run / "metrics.csv").exists()
    assert (run / "report.html").is_file()
    whole = main(small("trainer.max_steps=4"))
    before = (whole / "checkpoints/last.ckpt").read_bytes()
    with pytest.raises(SystemExit):
        main([f"resume={whole}", "trainer.fast_dev_run=true"])
    assert "leave it out with resume=" in capsys.readouterr().err
    assert (whole / "checkpoints/last.ckpt").read_bytes() == before


def test_overfit_batches_shows_the_same_batches_in_every_epoch() -> None:
    run = main(small(*DIARY, "trainer.overfit_batches=2"))
    notes = [line.split()[1:] for line in Path("diary.txt").read_text().splitlines()]
    batches = [note for note in notes if note and note[0].startswith("disc/")]
    assert batches == batches[:2] * 4 + batches[:1]
    assert batches[0] != batches[1]
    assert losses(run)[-1] < losses(run)[0]


@pytest.mark.parametrize("steps", ["null", "-1"])
def test_the_clock_alone_ends_a_run_with_rounds(
    steps: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(1000))
    clock = type("Clock", (), {"monotonic": staticmethod(lambda: float(next(seconds)))})
    monkeypatch.setattr("pytorch_lightning.callbacks.timer.time", clock)
    rounds = ["rounds.when=epochs", "rounds.restart_network=true", "strategy=tests.small.Refine"]
    words = [*rounds, "optimizer.schedule=constant", "trainer.max_time=00:00:00:30"]
    run = main(small(f"trainer.max_steps={steps}", *words))
    count = len(losses(run))
    assert count > 4
    assert f"stopped at step {count}: the time of trainer.max_time is over" in (
        capsys.readouterr().out
    )


TOGETHER = [
    "trainer.gradient_clip_val=0.5",
    "trainer.accumulate_grad_batches=2",
    "trainer.precision=bf16-mixed",
    "trainer.profiler=simple",
    "trainer.detect_anomaly=true",
    "trainer.limit_train_batches=4",
    "trainer.limit_val_batches=1",
    "trainer.val_check_interval=0.5",
    "trainer.num_sanity_val_steps=1",
    "data.train=10",
    "rounds.when=epochs",
    "rounds.count=3",
    "rounds.restart_network=true",
    "strategy=tests.small.Refine",
    "callbacks.early_stopping.patience=2",
    *DIARY,
]


@pytest.mark.filterwarnings("ignore:Anomaly Detection", "ignore:.*val_check")
def test_all_of_them_work_together_and_in_a_run_that_goes_on() -> None:
    words = small(*TOGETHER, "trainer.max_steps=10")
    whole = main(words)
    with pytest.raises(RuntimeError, match="the diary is full"):
        main([*words, "callbacks.diary.fails_at=5"])
    (part,) = (path for path in Path("runs/boxes_rect").glob("2*") if path.name != whole.name)
    main([f"resume={part}", "callbacks.diary.fails_at=null"])
    assert losses(part) == losses(whole)
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(part).items())
    for run in (whole, part):
        assert "Profiler Report" in (run / "fit-profile.txt").read_text()
    rows = read_record(whole / "metrics.csv")
    assert [row["round"] for row in rows if row["round"]] == ["0", "1", "2"]
    assert (whole / "report.html").is_file()


def test_python_has_the_same_sentence_for_what_cannot_work() -> None:
    from weakseg.config.recipe import load, resolve

    recipe = resolve(load(small("callbacks.early_stopping=true", "data.val=0")))
    with pytest.raises(RecipeError, match="there is no validation that would measure"):
        fit(recipe)


@pytest.mark.slow
def test_two_processes_stop_together() -> None:
    words = small(
        "trainer.devices=2",
        "callbacks.early_stopping.patience=1",
        "callbacks.early_stopping.min_delta=1",
    )
    done = subprocess.run(
        [sys.executable, "-m", "weakseg.fit", *words],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path.cwd()}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("val/miou has not improved for 1 validation") == 1
    (run,) = Path("runs/boxes_rect").glob("2*")
    assert len([row for row in read_record(run / "metrics.csv") if row["val/miou"]]) == 2
