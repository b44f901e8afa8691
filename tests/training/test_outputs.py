"""What networks return beside their logits, and how much of it the loss counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from tests.small import Refine, TinyNet
from weakseg.evidence import Batch
from weakseg.strategies import BoxesInstances, Tags
from weakseg.strategies.base import Estimate, Loss
from weakseg.training.outputs import read_estimate, read_loss
from weakseg.training.segmenter import Segmenter

CLASSES = ("background", "bright", "dark")


class Helped(TinyNet):
    """Half and a third of the logits beside them, which are to count by a quarter each."""

    auxiliary_weight = 0.25

    def forward(self, image: Tensor) -> Any:
        logits = super().forward(image)
        return {"out": logits, "aux": [logits / 2, logits / 3]}


def step(segmenter: Segmenter, logged: dict[str, Any], batch: Batch) -> Tensor:
    """One training step without a trainer; what it logs goes into a dictionary."""
    segmenter.log_dict = lambda figures, **_: logged.update(figures)
    segmenter.log = lambda *_, **__: None  # type: ignore[method-assign]
    segmenter._log_place = lambda *_: None  # type: ignore[method-assign]
    segmenter._trainer = pl.Trainer(logger=False, accelerator="cpu", barebones=True)
    loss: Tensor = segmenter.training_step(batch, 0)["loss"]
    return loss


def test_auxiliary_logits_have_the_same_terms_weighted() -> None:
    torch.manual_seed(0)
    network, logged = Helped(dropout=0.0), dict[str, Any]()
    target = torch.randint(0, 3, (2, 9, 9))
    batch = Batch(["a", "b"], torch.randint(0, 256, (2, 3, 9, 9), dtype=torch.uint8), target)
    segmenter = Segmenter(network, Refine(), CLASSES)
    loss = step(segmenter, logged, batch)
    with torch.no_grad():
        logits = TinyNet.forward(network, segmenter.normalise(batch.image))
    parts = [torch.nn.functional.cross_entropy(logits / divisor, target) for divisor in (1, 2, 3)]
    assert float(loss.detach()) == pytest.approx(
        float(parts[0] + 0.25 * (parts[1] + parts[2])), rel=1e-5
    )
    names = ["cross_entropy", "cross_entropy/auxiliary1", "cross_entropy/auxiliary2"]
    expected = [float(part) * weight for part, weight in zip(parts, (1, 0.25, 0.25), strict=True)]
    assert [float(logged[f"loss/{name}"]) for name in names] == pytest.approx(expected, rel=1e-5)


def test_a_strategy_counts_a_step_once_and_returns_what_the_main_logits_taught() -> None:
    steps = []

    class Watching(Tags):
        def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor] | Loss:
            steps.append((logits.abs().mean().item(), self.training))
            return super().loss(logits, batch)

    tags = torch.ones(2, 3, dtype=torch.bool)
    batch = Batch(["a", "b"], torch.randint(0, 256, (2, 3, 12, 12), dtype=torch.uint8), tags=tags)
    strategy = Watching()
    step(Segmenter(Helped(dropout=0.0), strategy, CLASSES), {}, batch)
    assert int(strategy.warmup._steps) == 1
    assert [training for _, training in steps] == [False, False, True]
    assert steps[2][0] == max(size for size, _ in steps)
    assert strategy.training


def test_auxiliary_logits_of_other_classes_are_refused() -> None:
    class Wrong(Helped):
        def forward(self, image: Tensor) -> Any:
            return {"out": image, "aux": image[:, :2]}

    with pytest.raises(ValueError, match="Wrong returns 2 classes, but the data set has 3"):
        Segmenter(Wrong(), Refine(), CLASSES)(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("returned", "came"),
    [
        (None, "it returned NoneType"),
        ({}, "it returned an empty one"),
        ({"box": torch.ones(2)}, r"'box' is a tensor \[2\]"),
        ({"box": torch.ones(())}, "no gradient can flow"),
        ({"total": torch.ones(())}, "one is called total"),
    ],
)
def test_losses_of_a_network_that_are_none_are_explained(returned: Any, came: str) -> None:
    class Finds(TinyNet):
        def losses(self, image: Tensor, batch: Batch) -> Any:
            return returned

    batch = Batch(["a"], torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    message = rf"Finds\.losses should return a dict of named scalar tensors.*{came}"
    with pytest.raises(TypeError, match=message):
        step(Segmenter(Finds(), BoxesInstances(), CLASSES), {}, batch)


TERMS = {"one": torch.ones((), requires_grad=True)}


@pytest.mark.parametrize(
    ("labels", "came"),
    [
        (torch.zeros(2, 9, 9), r"float32 \[2, 9, 9\]"),
        (torch.zeros(2, 3, 9, 9, dtype=torch.int64), r"int64 \[2, 3, 9, 9\]"),
        (torch.zeros(2, 2, 9, 9), r"float32 \[2, 2, 9, 9\]"),
        (torch.zeros(1, 9, 9, dtype=torch.int64), r"int64 \[1, 9, 9\]"),
        (torch.zeros(2, 9, 9, dtype=torch.bool), r"bool \[2, 9, 9\]"),
        ([[0]], "list"),
    ],
)
def test_labels_that_are_none_are_explained(labels: Any, came: str) -> None:
    message = rf"labels as integers \[2,H,W\] or float \[2,3,H,W\], but it returned {came}"
    with pytest.raises(TypeError, match=message):
        read_loss(Loss(TERMS, labels), "the loss of Refine", (2, 3))


@pytest.mark.parametrize("named", [torch.zeros(2, 3), torch.zeros(3, 3).bool(), ["cat"]])
def test_names_that_are_none_are_explained(named: Any) -> None:
    with pytest.raises(TypeError, match=r"named as bool \[2,3\], but it returned"):
        read_loss(Loss(TERMS, named=named), "the loss of Refine", (2, 3))


@pytest.mark.parametrize(
    ("figures", "came"),
    [
        ({"area": "large"}, "'area' is str"),
        ({"area": torch.zeros(3)}, r"'area' is float32 \[3\]"),
        ({7: 0.5}, "7 is float"),
        ([0.5], "it returned list"),
    ],
)
def test_figures_that_are_none_are_named(figures: Any, came: str) -> None:
    message = rf"should return figures as a dict of named numbers, but {came}"
    with pytest.raises(TypeError, match=f"the loss of Refine {message}"):
        read_loss(Loss(TERMS, figures=figures), "the loss of Refine", (2, 3))
    with pytest.raises(TypeError, match=f"estimate {message}"):
        read_estimate(Estimate(torch.zeros(9, 9), figures))


def test_figures_may_be_numbers_of_any_kind() -> None:
    figures = {"one": 1, "two": np.float32(2), "three": torch.tensor([3.0])}
    _, found = read_estimate(Estimate(torch.zeros(9, 9), figures))
    assert found == {"one": 1.0, "two": 2.0, "three": 3.0}


def test_a_term_may_not_be_called_like_the_sum_of_all() -> None:
    with pytest.raises(TypeError, match="one is called total, as their sum is in the figures"):
        read_loss({"total": torch.ones((), requires_grad=True)}, "the loss of Refine")
