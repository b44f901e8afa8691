"""Whatever moment a kill comes at, the run that goes on leaves what an undisturbed one does, and
makes its rounds where that does."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

import weakseg.run
from tests.faults.runs import TINY, differences, go_on, outcome, start
from weakseg.training.metrics_file import Record

ROUNDS = [
    "recipe=scribbles",
    *TINY,
    "data.train=4",
    "data.batch_size=2",
    "trainer.max_steps=13",
    "trainer.log_every_n_steps=1",
]  # rounds at steps 0, 4 and 8, and a last epoch that is cut short


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the undisturbed run leaves."""
    found = outcome(start(tmp_path_factory.mktemp("whole"), ROUNDS))
    assert [row["step"] for row in found["metrics"] if row["round"]] == ["0", "4", "8"]
    return found


class States:
    """Keeps a copy of a folder as it is right before and after each file is written: all that a
    kill can leave of it."""

    def __init__(self, root: Path, copies: Path, which: Callable[[int], bool]) -> None:
        self.root, self.copies, self.which = root, copies, which
        self.count = 0

    def keep(self) -> None:
        begun = any(
            self.root.glob("*/[0-9]*/recipe.yaml")
        )  # before, there is nothing to go on with
        if begun and self.which(self.count):
            shutil.copytree(
                self.root,
                self.copies / str(self.count),
                symlinks=True,  # `latest` is a link, also in the copy
                ignore=shutil.ignore_patterns(".lock"),
            )
        self.count += 1

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = work(*args, **kwargs)
            self.keep()
            return result

        return wrapped


def watch_files(states: States, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        states.keep()  # the part is whole, and beside its place
        moved = replace(self, target)
        states.keep()
        return moved

    monkeypatch.setattr(Path, "replace", watched)
    monkeypatch.setattr(Record, "log_metrics", states.around(Record.log_metrics))


def check_states(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: dict[str, Any],
    which: Callable[[int], bool],
) -> int:
    states = States(tmp_path / "run", tmp_path / "copies", which)
    with monkeypatch.context() as patch:
        watch_files(states, patch)
        start(tmp_path / "run", ROUNDS)
    wrong = {}
    for copy in sorted((tmp_path / "copies").iterdir(), key=lambda copy: int(copy.name)):
        if found := differences(whole, outcome(go_on(copy, ROUNDS))):
            wrong[copy.name] = found
    assert not wrong
    return states.count


@pytest.mark.slow
def test_every_state_that_the_disk_has_leads_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Any]
) -> None:
    assert check_states(tmp_path, monkeypatch, whole, lambda number: True) > 60


# by a callback ------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


HOOKS = [
    name for name in vars(pl.Callback) if name.startswith("on_") or name in ("setup", "teardown")
]


class Kill(pl.Callback):
    """Counts every hook, and ends the run at one of them: the so-manieth, or the first of a name at
    a step."""

    def __init__(self, at: int | tuple[str, int]) -> None:
        self.at, self.count, self.done = at, 0, False
        for name in HOOKS:
            setattr(self, name, self.hook(name))

    def hook(self, name: str) -> Callable[..., None]:
        def called(trainer: pl.Trainer, *_: Any, **__: Any) -> None:
            here = self.at in (self.count, (name, trainer.global_step))
            self.count += 1
            if here and not self.done:  # the hooks that clean up are called as well
                self.done = True
                raise Killed

        return called


class KillLast(Kill, Checkpoint):
    """Behind the callbacks of weakseg, where Lightning puts those of this kind."""


def kill_and_go_on(
    root: Path, kill: Kill, monkeypatch: pytest.MonkeyPatch, words: Sequence[str] = ROUNDS
) -> Path:
    usual = weakseg.run._callbacks

    def with_kill(*arguments: Any) -> list[Any]:
        callbacks = usual(*arguments)
        return [kill, *callbacks] if type(kill) is Kill else [*callbacks, kill]

    with monkeypatch.context() as patch:
        patch.setattr(weakseg.run, "_callbacks", with_kill)
        try:
            return start(root, words)
        except Killed:
            pass
    return go_on(root, words)


SEAMS = [
    ("on_train_epoch_end", 4),
    ("on_train_epoch_start", 4),
    ("on_train_batch_start", 4),
    ("on_validation_end", 8),
    ("on_train_end", 13),
    ("on_validation_start", 13),
]


@pytest.mark.parametrize("seam", SEAMS, ids=str)
def test_a_kill_at_a_seam_of_rounds_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Any], seam: tuple[str, int]
) -> None:
    kill = Kill(seam)
    run = kill_and_go_on(tmp_path, kill, monkeypatch)
    assert kill.done
    assert not differences(whole, outcome(run))


@pytest.mark.parametrize("step", [4, 5, 6])
def test_a_run_that_goes_on_logs_the_same_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Where it does not log each: after a validation, amid an epoch and at the end of one without a
    validation."""
    words = [word for word in ROUNDS if "log_every" not in word] + ["trainer.log_every_n_steps=3"]
    run = kill_and_go_on(tmp_path, Kill(("on_train_batch_end", step)), monkeypatch, words)
    rows = outcome(run)["metrics"]
    assert [row["step"] for row in rows if row["loss/total"]] == ["2", "5", "8", "11"]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "first"), [(Kill, 0), (KillLast, 1)])
def test_a_kill_at_every_hook_and_step_changes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: dict[str, Any],
    kind: type[Kill],
    first: int,
) -> None:
    """At every second one by a callback before those of weakseg, at the others by one behind
    them."""
    wrong, number = {}, first
    while True:
        kill = kind(number)
        run = kill_and_go_on(tmp_path / str(number), kill, monkeypatch)
        if not kill.done:  # there are no more hooks
            break
        if found := differences(whole, outcome(run)):
            wrong[number] = found
        number += 2
    assert not wrong
    assert number > 100
