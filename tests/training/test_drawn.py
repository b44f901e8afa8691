"""What a person has drawn, in the loss of strategies that would not learn it."""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor, nn

from tests.data.corrections.events import correct, paint, stroke
from tests.small import Everything, TinyNet, loss_of, trainer
from weakseg.data.corrections.events import Event
from weakseg.evidence import IGNORE, Batch
from weakseg.functional.losses import drawn_loss
from weakseg.networks.base import Adapter
from weakseg.strategies.base import Strategy
from weakseg.strategies.full import Full
from weakseg.strategies.scribbles_crf import ScribblesCRF
from weakseg.strategies.tags_em import TagsEM
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import CORRECTIONS, Segmenter

CLASSES = Everything.classes


def a_batch(drawn: Tensor | None) -> Batch:
    return Batch(
        ["a", "b"],
        torch.zeros(2, 3, 4, 4, dtype=torch.uint8),
        target=torch.zeros(2, 4, 4, dtype=torch.int64),
        tags=torch.ones(2, 3, dtype=torch.bool),
        marks=torch.zeros(2, 4, 4, dtype=torch.int64),
        drawn=drawn,
    )


def some(*places: tuple[int, int, int, int]) -> Tensor:
    """The class at places of images."""
    drawn = torch.full((2, 4, 4), IGNORE)
    for image, row, column, label in places:
        drawn[image, row, column] = label
    return drawn


def test_the_loss_is_the_mean_over_drawn_pixels_times_the_share_of_their_images() -> None:
    logits = torch.zeros(2, 3, 4, 4)
    logits[0, 1, 0, 0] = log(2)  # probabilities of 1/4, 1/2, 1/4
    drawn = some((0, 0, 0, 1), (0, 2, 2, 0))
    expected = 0.5 * (log(2) + log(3)) / 2
    assert drawn_loss(logits, drawn).item() == pytest.approx(expected, rel=1e-6)
    both = some((0, 0, 0, 1), (1, 3, 3, 2))
    assert drawn_loss(logits, both).item() == pytest.approx((log(2) + log(3)) / 2, rel=1e-6)


def test_nothing_drawn_costs_nothing_and_teaches_nothing() -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = drawn_loss(logits, some())
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss == 0
    assert not gradient.any()


def test_gradients_are_those_of_the_loss() -> None:
    logits = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    drawn = some((0, 0, 0, 1), (0, 2, 2, 0), (1, 1, 1, 2))
    assert torch.autograd.gradcheck(lambda values: drawn_loss(values, drawn), logits)


def terms_of(
    strategy: Strategy, batch: Batch, network: nn.Module | None = None
) -> dict[str, Tensor]:
    segmenter = Segmenter(TinyNet() if network is None else network, strategy, CLASSES)
    torch.manual_seed(0)
    return segmenter._loss(torch.randn(2, 3, 4, 4, requires_grad=True), batch).terms


def test_a_strategy_that_learns_from_tags_gets_a_term_for_what_was_drawn() -> None:
    drawn = some((1, 2, 3, 2))
    terms = terms_of(TagsEM(), a_batch(drawn))
    assert list(terms)[-1] == CORRECTIONS
    torch.manual_seed(0)
    torch.testing.assert_close(terms[CORRECTIONS], drawn_loss(torch.randn(2, 3, 4, 4), drawn))


@pytest.mark.parametrize("strategy", [Full(), ScribblesCRF()], ids=["target", "marks"])
def test_a_strategy_that_has_it_in_its_targets_or_marks_gets_none(strategy: Strategy) -> None:
    batch = a_batch(some((1, 2, 3, 2)))
    assert CORRECTIONS not in terms_of(strategy, batch)


def test_without_corrections_there_is_no_term() -> None:
    strategy = TagsEM()
    terms = terms_of(strategy, a_batch(None))
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    assert {name: term.item() for name, term in terms.items()} == {
        name: term.item() for name, term in loss_of(strategy, logits, a_batch(None)).terms.items()
    }


class Halved(TinyNet):
    """Logits of half the size of the image."""

    stride = 2


def test_small_logits_are_enlarged_for_the_term() -> None:
    network = Halved()
    drawn = torch.full((2, 8, 8), IGNORE)
    drawn[0, 6, 6] = 1
    batch = a_batch(drawn)._replace(
        image=torch.zeros(2, 3, 8, 8, dtype=torch.uint8), target=None, marks=None
    )
    terms = terms_of(TagsEM(resolution="scores"), batch, network)
    torch.manual_seed(0)
    logits = Adapter(network, CLASSES).upsample(torch.randn(2, 3, 4, 4), batch.image)
    torch.testing.assert_close(terms[CORRECTIONS], drawn_loss(logits, drawn))


class Terms(Callback):
    """What each step has cost, and the names of all figures."""

    def __init__(self) -> None:
        self.costs: list[dict[str, float]] = []
        self.names: set[str] = set()

    def on_train_batch_end(self, trainer: Trainer, _: Any, outputs: Any, *__: Any) -> None:
        self.costs.append({name: float(term) for name, term in outputs["terms"].items()})
        self.names |= set(trainer.callback_metrics)


def training(folder: Path, *events: Event, steps: int = 6) -> Terms:
    """A training by tags with corrections of one image."""
    if events:
        correct(folder / "corrections", "disc/3", *events, size=(24, 24))
    data = Everything(corrections=folder / "corrections" if events else None)
    terms = Terms()
    made = trainer(folder, steps=steps, callbacks=[Rounds(), terms])
    made.fit(Segmenter(TinyNet(), TagsEM(), CLASSES), datamodule=data)
    return terms


@pytest.mark.filterwarnings("ignore:in epoch")
def test_every_step_of_a_training_has_the_term_if_a_person_has_drawn(tmp_path: Path) -> None:
    terms = training(tmp_path, stroke("bright", (2, 2), (8, 2), width=2), paint("dark", (20, 20)))
    assert "loss/corrections" in terms.names
    assert len(terms.costs) == 6
    # in each epoch one batch of three shows the image
    assert sum(costs[CORRECTIONS] > 0 for costs in terms.costs) == 2


@pytest.mark.filterwarnings("ignore:in epoch")
@pytest.mark.parametrize("events", [(), (Event("add_tag", "dark"),)], ids=["none", "tags"])
def test_a_training_without_drawings_has_no_such_figure(
    events: tuple[Event, ...], tmp_path: Path
) -> None:
    terms = training(tmp_path, *events, steps=2)
    assert set(terms.costs[0]) == {"cross_entropy"}
    assert not any(CORRECTIONS in name for name in terms.names)
