"""A run that is killed anywhere and goes on ends with the same weights, bit for bit, as one that is
not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from tests.small import Refine, Squares, TinyNet, trainer
from weakseg.optimizers import AdamW
from weakseg.training.checkpoints import Checkpoints, WholeFiles
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter


class Killed(Exception):
    pass


class KillAt(pl.Callback):
    """Ends the run when a hook is called at a step; a stand-in for kill -9 that a test can
    survive."""

    def __init__(self, hook: str, step: int) -> None:
        setattr(self, hook, self.kill)
        self.step = step

    def kill(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise Killed


def run(
    folder: Path,
    kill: KillAt | None = None,
    resume: bool = False,
    every: int = 1,
    workers: int = 0,
    **arguments: Any,
) -> tuple[list[Tensor], int]:
    pl.seed_everything(7, verbose=False)
    data = Squares(workers=workers)
    segmenter = Segmenter(TinyNet(), Refine(), data.classes, AdamW(lr=0.02))
    rounds = Rounds(when="epochs", restart_network=arguments.pop("restart_network", False))
    callbacks = [rounds, Checkpoints(folder / "checkpoints", every), *([kill] if kill else [])]
    fit = trainer(folder, callbacks=callbacks, plugins=[WholeFiles()], **{"steps": 10, **arguments})
    last = folder / "checkpoints" / "last.ckpt"
    fit.fit(
        segmenter,
        datamodule=data,
        ckpt_path=last if resume and last.exists() else None,
        weights_only=True,
    )
    return [value.clone() for value in segmenter.state_dict().values()], fit.global_step


def check(folder: Path, kill: KillAt, **arguments: Any) -> None:
    whole, steps = run(folder / "whole", **arguments)
    with pytest.raises(Killed):
        run(folder / "killed", kill, **arguments)
    resumed, resumed_steps = run(folder / "killed", resume=True, **arguments)
    assert resumed_steps == steps
    assert all(torch.equal(one, other) for one, other in zip(whole, resumed, strict=True))


@pytest.mark.parametrize("step", range(10))
def test_killed_before_any_step(tmp_path: Path, step: int) -> None:
    check(tmp_path, KillAt("on_train_batch_start", step))


@pytest.mark.parametrize("step", [1, 3, 5, 6, 9, 10])
def test_killed_after_a_step(tmp_path: Path, step: int) -> None:
    check(tmp_path, KillAt("on_train_batch_end", step), every=2)


@pytest.mark.parametrize(
    "hook",
    ["on_validation_start", "on_validation_end", "on_train_epoch_end", "on_train_epoch_start"],
)
@pytest.mark.parametrize("step", [3, 6])
def test_killed_between_epochs(tmp_path: Path, hook: str, step: int) -> None:
    check(tmp_path, KillAt(hook, step))


VARIANTS: list[dict[str, Any]] = [
    {"steps": -1, "max_epochs": 3},
    {"accumulate_grad_batches": 2, "steps": 6},
    {"val_check_interval": 2},
    {"check_val_every_n_epoch": 2},
    {"limit_train_batches": 2},
    {"restart_network": True},
    {"every": 4},
    {"steps": 9},
]


@pytest.mark.parametrize("step", [2, 4, 5])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_killed_under_other_trainer_flags(
    tmp_path: Path, variant: dict[str, Any], step: int
) -> None:
    check(tmp_path, KillAt("on_train_batch_start", step), **variant)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 3, 4])
def test_killed_with_loader_processes(tmp_path: Path, step: int) -> None:
    check(tmp_path, KillAt("on_train_batch_start", step), workers=2)


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    whole, steps = run(tmp_path)
    again, more = run(tmp_path, resume=True)
    assert steps == more == 10
    assert all(torch.equal(one, other) for one, other in zip(whole, again, strict=True))


def test_chance_differs_from_step_to_step(tmp_path: Path) -> None:
    drawn = []

    class LabelMonitor(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            drawn.append(float(torch.rand(())))

    pl.seed_everything(7, verbose=False)
    data = Squares()
    segmenter = Segmenter(TinyNet(), Refine(), data.classes)
    trainer(tmp_path, callbacks=[Rounds(), LabelMonitor()]).fit(segmenter, datamodule=data)
    assert len(set(drawn)) == 9


def test_lost_targets_of_a_later_round_are_an_error_if_the_network_has_moved_on(
    tmp_path: Path,
) -> None:
    with pytest.raises(Killed):
        run(tmp_path, KillAt("on_train_batch_start", 5))  # round 1 was made at step 3
    for file in (tmp_path / "labels").glob("*/disc_4-*"):
        file.unlink()
    with pytest.raises(FileNotFoundError, match="1 targets of round 1 are missing"):
        run(tmp_path, resume=True)


def test_a_kill_while_writing_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    WholeFiles().save_checkpoint({"step": 1}, path)

    def cut(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(os, "fsync", cut)
    with pytest.raises(Killed):
        WholeFiles().save_checkpoint({"step": 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_best_is_the_one_with_the_highest_score(tmp_path: Path) -> None:
    run(tmp_path)
    assert (
        "network.head.weight"
        in torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    )
