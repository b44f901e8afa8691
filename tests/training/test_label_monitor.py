"""What a strategy estimates in its loss is logged, and a class that is lost is named."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from tests.small import SIZE, KillBefore, Killed, Refine, Squares, TinyNet, trainer
from weakseg.evidence import Batch, Evidence
from weakseg.strategies.base import Context, Estimate, Loss, Strategy, target_loss
from weakseg.training.checkpoints import Checkpoints, WholeFiles
from weakseg.training.label_monitor import LabelMonitor
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter


class TaggedSquares(Squares):
    """With tags: background, and bright or dark by turns."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        return evidence._replace(tags=torch.tensor([True, index % 2 == 0, index % 2 == 1])), truth


class Estimates(Strategy):
    """Has the labels that it is given, whatever the image."""

    named: Tensor | None = None

    def __init__(self, labels: Tensor, **figures: float) -> None:
        super().__init__()
        self.labels, self.figures = labels, figures

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor] | Loss:
        labels = self.labels.expand(len(batch.ids), *self.labels.shape)
        named = None if self.named is None else self.named.expand(len(batch.ids), -1)
        return Loss({"size": logits.square().mean()}, labels, named, self.figures)


def hard(*runs: tuple[int, int]) -> Tensor:
    """A target in which each class, or 255, has so many rows."""
    rows = [label for label, count in runs for _ in range(count)]
    assert len(rows) == SIZE
    return torch.tensor(rows)[:, None].expand(-1, SIZE)


def fit(
    folder: Path, strategy: Strategy, data: Squares | None = None, steps: int = 3, **more: Any
) -> pl.Trainer:
    """Three steps are an epoch."""
    data = data or TaggedSquares()
    callbacks, ckpt_path = [LabelMonitor(), *more.get("callbacks", [])], more.get("ckpt_path")
    made = trainer(
        folder,
        steps=steps,
        callbacks=callbacks,
        plugins=[WholeFiles()],
        log_every_n_steps=1,
        limit_val_batches=0,
    )
    made.fit(
        Segmenter(TinyNet(), strategy, data.classes),
        datamodule=data,
        ckpt_path=ckpt_path,
        weights_only=True,
    )
    return made


def figures(made: pl.Trainer) -> dict[str, Any]:
    return {
        name.removeprefix("estimate/"): float(value)
        for name, value in made.logged_metrics.items()
        if name.startswith("estimate/")
    }


def told(caught: list[warnings.WarningMessage]) -> list[str]:
    return [
        str(warning.message)
        for warning in caught
        if "no pixel was estimated" in str(warning.message)
    ]


def test_hard_targets(tmp_path: Path) -> None:
    made = fit(tmp_path, Estimates(hard((0, 12), (1, 3), (2, 3), (255, 6)), active=0.25))
    assert figures(made) == pytest.approx(
        {
            "share/background": 12 / 18,
            "share/bright": 3 / 18,
            "share/dark": 3 / 18,
            "coverage": 18 / 24,
            "entropy": 0,
            "active": 0.25,
        }
    )


def test_soft_targets(tmp_path: Path) -> None:
    """A quarter of the rows undecided between two classes, a quarter without opinion, the others
    certain."""
    target = torch.zeros(3, SIZE, SIZE)
    target[0, :12] = 1
    target[:2, 12:18] = 0.5
    made = fit(tmp_path, Estimates(target), Squares())
    expected = {
        "share/background": 15 / 18,
        "share/bright": 3 / 18,
        "share/dark": 0,
        "coverage": 18 / 24,
    }
    assert figures(made) == pytest.approx(
        {**expected, "entropy": 0.25 * torch.tensor(2.0).log().item()}
    )


def test_no_opinion_at_all(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = fit(tmp_path, Estimates(hard((255, SIZE))))
    shares = dict.fromkeys(["share/background", "share/bright", "share/dark"], 0.0)
    assert figures(made) == {**shares, "coverage": 0, "entropy": 0}
    assert told(caught) == []


def test_a_strategy_that_returns_terms_alone_is_not_watched(tmp_path: Path) -> None:
    class Silent(Estimates):
        def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor] | Loss:
            return {"size": logits.square().mean()}

    assert figures(fit(tmp_path, Silent(hard((0, SIZE))))) == {}


def test_a_class_that_vanished_is_named_once_an_epoch(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(tmp_path, Estimates(hard((0, 20), (1, 4))), steps=6)
    assert [text.split(":")[0] for text in told(caught)] == [
        f"in epoch {epoch} no pixel was estimated to be dark, although tags or boxes name it"
        for epoch in range(2)
    ]


def test_several_classes_that_vanished(tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning,
        match="estimated to be bright, dark, although tags or boxes name them: .* estimate/share",
    ):
        fit(tmp_path, Estimates(hard((0, SIZE))))


def test_a_class_that_nobody_named_has_not_vanished(tmp_path: Path) -> None:
    class NoDark(TaggedSquares):
        def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
            evidence, truth = super().sample(index)
            return evidence._replace(
                tags=torch.tensor([True, True, False]), boxes=None, box_classes=None
            ), truth

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(tmp_path, Estimates(hard((0, 20), (1, 4))), NoDark())
    assert told(caught) == []


def test_one_good_step_in_an_epoch_is_enough(tmp_path: Path) -> None:
    class Once(Estimates):
        def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor] | Loss:
            returned = super().loss(logits, batch)
            self.labels = hard((0, SIZE))
            return returned

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(tmp_path, Once(hard((0, 20), (1, 2), (2, 2))), steps=6)
    assert [text.split(" although")[0] for text in told(caught)] == [
        "in epoch 1 no pixel was estimated to be bright, dark,"
    ]


@pytest.mark.parametrize("stopped", [1, 3, 4, 5])
def test_a_resumed_run_watches_on(tmp_path: Path, stopped: int) -> None:
    """Killed within an epoch or between two, what follows is watched as if nothing had happened."""
    strategy, last = Estimates(hard((0, 20), (1, 4)), active=0.5), Checkpoints(tmp_path, 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(Killed):
            fit(tmp_path, strategy, steps=6, callbacks=[last, KillBefore(stopped)])
        made = fit(tmp_path, strategy, steps=6, callbacks=[last], ckpt_path=tmp_path / "last.ckpt")
    assert made.global_step == 6
    assert figures(made)["share/bright"] == pytest.approx(4 / 24)
    assert [text.split(" no")[0] for text in told(caught)] == ["in epoch 0", "in epoch 1"]


def test_boxes_name_classes_too(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="estimated to be dark, although tags or boxes name it"):
        fit(tmp_path, Estimates(hard((0, 12), (1, 12))), Squares())


class OnlyBright(Estimates):
    """Nothing but bright has to be found."""

    named = torch.tensor([[False, True, False]])


def test_a_strategy_may_name_what_has_to_be_found(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(tmp_path, OnlyBright(hard((1, 24))))
    assert not told(caught)
    with pytest.warns(UserWarning, match="estimated to be bright, although"):
        fit(tmp_path, OnlyBright(hard((0, 24))))


class ReturnsBoth(Strategy):
    """Has a figure of each image, and labels of its batch, unless it is silent."""

    def __init__(self, silent: bool) -> None:
        super().__init__()
        self.silent = silent

    def estimate(self, evidence: Evidence, context: Context) -> Estimate:
        target = Refine().estimate(evidence, context)
        return Estimate(target, {"area": (target > 0).sum()})

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor] | Loss:
        terms = target_loss(logits, batch, self)
        labels = hard((0, 12), (1, 12)).expand(len(batch.ids), SIZE, SIZE)
        return terms if self.silent else Loss(terms, labels)


class EstimatesBetween(pl.Callback):
    """Calls `estimate` between steps, as a dashboard does, or anyone else."""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        evidence, _ = Squares().sample(1)
        pl_module.strategy.estimate(evidence, Context())


@pytest.mark.filterwarnings("ignore:in epoch 0")
@pytest.mark.parametrize("silent", [False, True])
def test_figures_of_a_step_are_of_this_step_alone(tmp_path: Path, silent: bool) -> None:
    """What `estimate` returns to whoever calls it between two steps is in no figure of a step."""
    callbacks = [Rounds(workers=0), EstimatesBetween()]
    found = figures(fit(tmp_path, ReturnsBoth(silent), Squares(), callbacks=callbacks))
    assert "area" not in found
    assert found.get("share/bright") == (None if silent else 0.5)


class FiguresAlone(Strategy):
    """Returns figures, but no labels."""

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        return Loss({"size": logits.square().mean()}, figures={"half": 0.5})


def test_figures_are_logged_without_labels_too(tmp_path: Path) -> None:
    assert figures(fit(tmp_path, FiguresAlone(), Squares())) == {"half": 0.5}


def test_labels_of_a_class_that_there_is_not_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="labels of class 7, but there are 3 classes, 0 to 2"):
        fit(tmp_path, Estimates(hard((0, 8), (7, SIZE - 8))))


class Graph(pl.Callback):
    """Keeps which of the outputs of a step hold a graph in memory."""

    def __init__(self) -> None:
        self.attached: list[str] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *_: Any
    ) -> None:
        tensors = {"labels": outputs["labels"], **outputs["terms"], **outputs["figures"]}
        self.attached += [name for name, value in tensors.items() if value.requires_grad]


class Attached(Strategy):
    """Returns labels and figures through which gradients flow."""

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        probs = logits.softmax(1)
        return Loss({"size": logits.square().mean()}, probs, figures={"mean": probs.mean()})


@pytest.mark.filterwarnings("ignore:in epoch 0")
def test_callbacks_are_given_what_the_loss_returned_without_its_graph(tmp_path: Path) -> None:
    graph = Graph()
    found = figures(fit(tmp_path, Attached(), Squares(), callbacks=[graph]))
    assert graph.attached == []
    assert found["mean"] == pytest.approx(1 / 3)
