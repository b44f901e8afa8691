"""A run whose loss or gradients are no numbers stops, wherever it notices that, and nothing is made
of its network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers.logger import DummyLogger
from torch import Tensor

from tests.small import Squares, TinyNet, trainer
from weakseg.evidence import Batch
from weakseg.optimizers import SGD, AdamW
from weakseg.optimizers.descent import Optimizer
from weakseg.strategies.base import Strategy
from weakseg.training import finite_check
from weakseg.training.checkpoints import Checkpoints, WholeFiles
from weakseg.training.finite_check import FiniteCheck, Found
from weakseg.training.metrics_file import Record, read_record
from weakseg.training.segmenter import Segmenter

BAD = 4  # the first bad step; epochs have three


class Breaks(Strategy):
    """From one step on its loss, or the gradient of it, is no number."""

    def __init__(self, what: str = "the loss", step: int = BAD) -> None:
        super().__init__()
        self.what = what
        self.step = step
        self.calls = -1

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        self.calls += self.training
        if self.calls < self.step:
            return {"mean": logits.square().mean()}
        if self.what == "the loss":
            return {"mean": logits.mean() * float("nan")}
        # finite itself, but its slope at 0 is not
        return {"mean": (logits - logits.detach()).abs().sqrt().mean()}


class Watch(pl.Callback):
    """What is done with the network after the bad step."""

    def __init__(self, stop_after: int = -1) -> None:
        self.steps = 0
        self.measured: list[int] = []
        self.epochs: list[int] = []
        self.stop_after = stop_after
        self.weights: list[Tensor] = []

    def on_train_batch_start(self, made: Any, module: Any, *_: Any) -> None:
        self.weights.append(module.network.head.weight.detach().clone())

    def on_train_batch_end(self, made: pl.Trainer, *_: Any) -> None:
        self.steps += 1
        made.should_stop = self.steps - 1 == self.stop_after

    def on_validation_batch_start(self, made: pl.Trainer, *_: Any) -> None:
        self.measured.append(made.global_step)

    def on_train_epoch_end(self, made: pl.Trainer, *_: Any) -> None:
        self.epochs.append(made.current_epoch)


def broken(
    folder: Path,
    what: str = "the loss",
    optimizer: Optimizer | None = None,
    step: int = BAD,
    watch: Watch | None = None,
    **settings: Any,
) -> tuple[Segmenter, Watch, str]:
    """A run that breaks, what was seen of it and what it said."""
    data = Squares()
    watch = watch or Watch()
    segmenter = Segmenter(TinyNet(), Breaks(what, step), data.classes, optimizer)
    callbacks = [*settings.pop("callbacks", []), watch]
    logger = settings.pop("logger", DummyLogger())
    made = trainer(
        folder, 50, callbacks=callbacks, logger=logger, plugins=[WholeFiles()], **settings
    )
    with pytest.raises(FloatingPointError) as caught:
        made.fit(segmenter, data)
    return segmenter, watch, str(caught.value)


@pytest.mark.parametrize("what", ["the loss", "a gradient"])
@pytest.mark.parametrize("optimizer", [SGD(momentum=0.9), AdamW()])
def test_the_first_bad_step_is_named_and_moves_no_weight(
    tmp_path: Path, what: str, optimizer: Optimizer
) -> None:
    segmenter, watch, message = broken(tmp_path, what, optimizer)
    assert message.startswith(f"{what} of step {BAD} is not finite, on the images disc/")
    assert message.count("disc/") == 4  # those of this step alone
    assert watch.steps == 5  # up to the last step of the epoch, which is not ended
    assert watch.epochs == [0]
    for weights in watch.weights[BAD + 1 :]:
        assert torch.equal(weights, watch.weights[BAD])
    assert torch.equal(segmenter.network.head.weight, watch.weights[BAD])
    assert torch.isfinite(segmenter.network.head.weight).all()


class Plain(Optimizer):
    """An optimizer of a user's own."""

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.Adagrad(groups, lr=self.lr)


def test_an_optimizer_that_cannot_skip_a_step_ends_the_run_all_the_same(tmp_path: Path) -> None:
    _, watch, message = broken(tmp_path, optimizer=Plain())
    assert f"the loss of step {BAD} is not finite" in message
    assert watch.epochs == [0]


def test_no_checkpoint_is_made_of_it(tmp_path: Path) -> None:
    broken(tmp_path, optimizer=Plain(), callbacks=[Checkpoints(tmp_path, every=1)])
    saved = torch.load(tmp_path / "last.ckpt", weights_only=False)
    assert saved["global_step"] == BAD  # before the bad step
    for name, value in saved["state_dict"].items():
        assert torch.isfinite(value).all(), name


def test_nor_is_it_measured(tmp_path: Path) -> None:
    _, watch, message = broken(tmp_path, step=3, val_check_interval=2)
    assert "of step 3 is" in message
    assert set(watch.measured) == {2}  # and not after the fifth step
    assert watch.steps == 5


def test_nor_is_a_row_written(tmp_path: Path) -> None:
    record = Record(tmp_path)
    _, _, message = broken(tmp_path, step=3, logger=record, log_every_n_steps=5)
    assert "of step 3 is" in message
    rows: list[Mapping[str, str]] = read_record(record.path)
    assert all(int(row["step"]) < 3 for row in rows)


def test_a_run_that_a_callback_ends_looks_as_well(tmp_path: Path) -> None:
    _, watch, message = broken(tmp_path, watch=Watch(stop_after=BAD))
    assert f"of step {BAD} is" in message
    assert watch.epochs == [0]


def test_a_new_training_begins_anew(tmp_path: Path) -> None:
    segmenter, _, _ = broken(tmp_path)
    segmenter.strategy = Breaks(step=99)
    trainer(tmp_path, 2, limit_val_batches=0).fit(segmenter, Squares())


def test_of_all_ranks_the_earliest_step_and_its_cause_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports = [
        Found(7, "a gradient", ["a"]),
        Found(8, "the loss", ["b"]),
        Found(7, "the loss", ["c"]),
        None,
    ]
    monkeypatch.setattr(finite_check, "gather", lambda _: reports)
    monkeypatch.setattr(finite_check, "anywhere", lambda _: True)
    with pytest.raises(FloatingPointError, match=r"the loss of step 7 .* on the images c;"):
        FiniteCheck().look()
