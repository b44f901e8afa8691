"""Early stopping with rounds, resumed runs and its own arguments; and why a run has ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning import callbacks

from tests.small import KillBefore, Refine, Squares, TinyNet, trainer
from weakseg.training.checkpoints import Checkpoints, WholeFiles
from weakseg.training.early_stopping import EarlyStopping, why_ended
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter


class Script(pl.Callback):
    """Logs val/score as it is written, one value per validation."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values = list(values)
        self.at = 0

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("val/score", self.values[self.at])
        self.at += 1

    def state_dict(self) -> dict[str, Any]:
        return {"at": self.at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.at = state_dict["at"]


def fit(
    folder: Path,
    stopping: EarlyStopping,
    values: Sequence[float] = (),
    steps: int = 60,
    more: Sequence[pl.Callback] = (),
    rounds: Rounds | None = None,
    ckpt_path: Path | None = None,
    data: Squares | None = None,
    **arguments: Any,
) -> tuple[pl.Trainer, Segmenter]:
    """Train with a validation after each epoch of 3 steps, unless the arguments say otherwise."""
    torch.manual_seed(0)
    made = trainer(
        folder,
        steps=steps,
        callbacks=[
            rounds or Rounds(workers=0),
            *([Script(values)] if values else []),
            stopping,
            *more,
            Checkpoints(folder / "checkpoints"),
        ],
        plugins=[WholeFiles()],
        **arguments,
    )
    data = data or Squares()
    segmenter = Segmenter(TinyNet(), Refine(), data.classes)
    made.fit(segmenter, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return made, segmenter


def test_training_ends_after_validations_without_an_improvement(tmp_path: Path) -> None:
    stopping = EarlyStopping("val/score", patience=2)
    made, _ = fit(tmp_path, stopping, [0.1, 0.3, 0.2, 0.3, 0.9])
    assert made.global_step == 12
    assert why_ended(made) == (
        "stopped at step 12: val/score has not improved for 2 validations (the best: 0.300 after "
        "step 6)"
    )


@pytest.mark.parametrize(
    ("arguments", "values", "reason"),
    [
        ({"mode": "min"}, [3, 2, 2, 2, 2], "step 12: val/score has not improved for 2"),
        ({"min_delta": 0.2}, [0.1, 0.4, 0.5, 0.55], "step 12: val/score has not improved for 2"),
        ({"stopping_threshold": 0.5}, [0.1, 0.6], "step 6: val/score 0.600 has reached 0.5"),
        ({"divergence_threshold": 0.2}, [0.3, 0.1], "step 6: val/score 0.100 is worse than 0.2"),
        ({}, [0.3, math.nan], "step 6: val/score is nan"),
    ],
)
def test_every_reason_has_its_sentence(
    arguments: dict[str, Any], values: list[float], reason: str, tmp_path: Path
) -> None:
    made, _ = fit(tmp_path, EarlyStopping("val/score", patience=2, **arguments), values)
    assert why_ended(made).startswith(f"stopped at {reason}")


def test_a_loss_is_sought_low_and_all_else_high() -> None:
    assert [EarlyStopping(name).mode for name in ("loss/total", "val/miou", None)] == [
        "min",
        "max",
        "max",
    ]
    assert EarlyStopping("val/miou", mode="min").mode == "min"
    with pytest.raises(ValueError, match="patience should be at least 1, but it is 0"):
        EarlyStopping(patience=0)


def test_without_a_name_it_watches_what_best_ckpt_is_chosen_by(tmp_path: Path) -> None:
    stopping = EarlyStopping(patience=1, min_delta=1.0)
    made, segmenter = fit(tmp_path, stopping)
    assert made.global_step == 6
    assert why_ended(made).startswith("stopped at step 6: val/miou has not improved")
    known = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)["weakseg"]
    assert known["validation"]["step"] in (3, 6)
    assert segmenter.validated_at == 6  # so nothing is left to be measured at the end


def test_without_validations_every_epoch_counts(tmp_path: Path) -> None:
    made, _ = fit(
        tmp_path, EarlyStopping("loss/total", patience=1, min_delta=1e3), data=Squares(val=0)
    )
    assert (made.global_step, made.current_epoch) == (6, 2)


def test_epochs_without_a_validation_do_not_count_where_there_are_some(tmp_path: Path) -> None:
    stopping = EarlyStopping("val/score", patience=1)
    made, _ = fit(tmp_path, stopping, [0.2, 0.1], check_val_every_n_epoch=2)
    assert (made.global_step, stopping.best_step) == (12, 6)


def test_only_the_last_of_several_rounds_is_watched(tmp_path: Path) -> None:
    rounds = Rounds("epochs", every=2, count=2, workers=0)
    stopping = EarlyStopping("val/score", patience=1)
    # falls from the first validation on; the second round begins after epoch 1
    made, _ = fit(tmp_path, stopping, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], rounds=rounds)
    assert rounds.round == 1
    assert made.global_step == 12
    assert stopping.best_step == 9


def test_without_a_number_of_rounds_every_validation_counts(tmp_path: Path) -> None:
    rounds = Rounds("epochs", workers=0)
    made, _ = fit(tmp_path, EarlyStopping("val/score", patience=1), [0.9, 0.8], rounds=rounds)
    assert (made.global_step, rounds.round) == (6, 1)


VALUES = [0.1, 0.3, 0.2, 0.25, 0.2, 0.1, 0.1]


@pytest.mark.parametrize("kill", [4, 7, 10])
def test_a_resumed_run_counts_on(kill: int, tmp_path: Path) -> None:
    whole, undisturbed = fit(tmp_path / "a", EarlyStopping("val/score"), VALUES)
    with pytest.raises(BaseException, match=r"^$"):
        fit(tmp_path / "b", EarlyStopping("val/score"), VALUES, more=[KillBefore(kill)])
    last = tmp_path / "b" / "checkpoints" / "last.ckpt"
    made, resumed = fit(tmp_path / "b", EarlyStopping("val/score"), VALUES, ckpt_path=last)
    assert (why_ended(made), made.global_step) == (why_ended(whole), 15)
    theirs = undisturbed.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in resumed.state_dict().items())


@pytest.mark.parametrize(("interval", "step"), [(1.0, 15), (1 / 3, 5)])
def test_a_run_that_was_ended_goes_on_only_with_more_patience(
    interval: float, step: int, tmp_path: Path
) -> None:
    more = {"val_check_interval": interval, "steps": 21}
    values = [*VALUES, *[0.1] * 20]
    last = tmp_path / "b" / "checkpoints" / "last.ckpt"
    ended, _ = fit(tmp_path / "b", EarlyStopping("val/score"), values, **more)
    same, _ = fit(tmp_path / "b", EarlyStopping("val/score"), values, ckpt_path=last, **more)
    assert (ended.global_step, same.global_step) == (step, step)
    assert why_ended(same) == why_ended(ended) != ""
    patient = EarlyStopping("val/score", patience=99)
    made, resumed = fit(tmp_path / "b", patient, values, ckpt_path=last, **more)
    assert (made.global_step, why_ended(made)) == (21, "")
    if interval < 1:  # amid an epoch, whose other images are left out
        return
    _, undisturbed = fit(tmp_path / "a", EarlyStopping("val/score", patience=99), values, **more)
    theirs = undisturbed.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in resumed.state_dict().items())


def test_a_figure_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no figure val/x after .* one of .*val/miou"):
        fit(tmp_path, EarlyStopping("val/x"))


class Stops(pl.Callback):
    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step == 2


def test_other_ends_are_told_apart(tmp_path: Path) -> None:
    patient = EarlyStopping(patience=99)
    made, _ = fit(tmp_path / "a", patient, more=[Stops()])
    assert why_ended(made) == "stopped at step 2: a callback has set trainer.should_stop"
    made, _ = fit(tmp_path / "b", patient, max_time={"seconds": 0})
    assert why_ended(made) == "stopped at step 0: the time of trainer.max_time is over"
    theirs = callbacks.EarlyStopping("val/score", mode="max", patience=1)
    made, _ = fit(tmp_path / "c", EarlyStopping(patience=99), [0.2, 0.1], more=[theirs])
    assert why_ended(made).startswith("stopped at step 6: Monitored metric val/score did not")
    made, _ = fit(tmp_path / "d", patient, steps=2)
    assert why_ended(made) == ""
