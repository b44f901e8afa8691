from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from torch import Tensor

from tests.small import Refine, Squares, TinyNet, labels_of, trainer
from weakseg.evidence import Evidence, Prediction
from weakseg.reporting.drawing import Case
from weakseg.reporting.image_logger import ImageLogger, make_case, make_target
from weakseg.strategies.base import Context, Strategy
from weakseg.training.metrics_file import Record
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter


class Silent(Strategy):
    """Learns nothing, but makes no targets either."""

    def loss(self, logits: Tensor, batch: Any) -> dict[str, Tensor]:
        return {"zero": logits.sum() * 0}


class Fails(Refine):
    """A strategy with a mistake in it."""

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        raise ZeroDivisionError(f"of {evidence.id}")


def round_0() -> Rounds:
    """Rounds that have made their first."""
    rounds = Rounds()
    rounds.round = 0
    return rounds


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[Case]]]:
    """What is shown: step and cases of each time."""
    times: list[tuple[int, list[Case]]] = []

    def remember(logger: Any, step: int, cases: Sequence[Case], classes: Sequence[str]) -> None:
        assert tuple(classes) == Squares.classes
        times.append((step, list(cases)))

    monkeypatch.setattr("weakseg.reporting.image_logger.log_pictures", remember)
    return times


def fit(
    folder: Path, strategy: Strategy, logger: Any, rounds: Rounds | None = None, steps: int = 9
) -> tuple[Segmenter, Squares]:
    pl.seed_everything(3, verbose=False)
    data, segmenter = Squares(), Segmenter(TinyNet(), strategy, Squares.classes)
    callbacks = [rounds or Rounds(workers=0), ImageLogger(images=2)]
    trainer(folder, steps=steps, logger=logger, callbacks=callbacks).fit(segmenter, data)
    return segmenter, data


def test_the_same_images_after_each_validation_with_the_targets_of_the_round(
    tmp_path: Path, shown: list[tuple[int, list[Case]]]
) -> None:
    segmenter, data = fit(
        tmp_path, Refine(), TensorBoardLogger(tmp_path), Rounds("epochs", workers=0)
    )
    assert [step for step, _ in shown] == [3, 6, 9]  # three epochs of three steps
    assert [[case.evidence.id for case in cases] for _, cases in shown] == [
        ["disc/12", "disc/14"]
    ] * 3
    first, second = shown[0][1]
    for case, index in ((first, 12), (second, 14)):
        evidence, truth = data.sample(index)
        assert case.target is not None
        assert torch.equal(case.target, labels_of(segmenter.strategy, evidence))
        assert case.truth is not None
        assert truth is not None
        assert torch.equal(case.truth, truth)
        assert case.score is not None


def test_a_round_is_shown_with_the_network_that_it_queried(
    tmp_path: Path, shown: list[tuple[int, list[Case]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    queries: list[tuple[int, Prediction]] = []

    def remember(
        segmenter: Segmenter, evidence: Evidence, prediction: Prediction, rounds: Rounds
    ) -> Tensor | None:
        queries.append((rounds.round, prediction))
        return make_target(segmenter, evidence, prediction, rounds)

    monkeypatch.setattr("weakseg.reporting.image_logger.make_target", remember)
    fit(tmp_path, Refine(), TensorBoardLogger(tmp_path), Rounds("epochs", workers=0))
    assert [round for round, _ in queries] == [0, 0, 1, 1, 2, 2]  # once per image and round
    before_each = [queries[2:4], queries[4:6]]
    for validation in (0, 1):
        for place in (0, 1):
            prediction = before_each[validation][place][1]
            assert torch.equal(
                prediction.probs.argmax(0).to(torch.uint8), shown[validation][1][place].prediction
            )


class Album(Logger):
    """A logger of a user's own that keeps the images it is given."""

    name = "album"
    version = "0"

    def __init__(self) -> None:
        self.shown: list[tuple[int, list[str]]] = []

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Nothing."""

    def log_images(self, step: int, cases: Sequence[Case], classes: Sequence[str]) -> None:
        assert tuple(classes) == Squares.classes
        assert all(case.prediction is not None for case in cases)
        self.shown.append((step, [case.evidence.id for case in cases]))


def test_a_logger_of_ones_own_is_given_images_by_its_method(tmp_path: Path) -> None:
    album = Album()
    fit(tmp_path, Refine(), album)
    assert album.shown == [(step, ["disc/12", "disc/14"]) for step in (3, 6, 9)]


def test_targets_are_made_once_per_round(
    tmp_path: Path, shown: list[tuple[int, list[Case]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(
        "weakseg.reporting.image_logger.make_target",
        lambda segmenter, evidence, prediction, rounds: made.append(evidence.id),
    )
    fit(tmp_path, Refine(), TensorBoardLogger(tmp_path))
    assert len(shown) == 3
    assert made == ["disc/12", "disc/14"]


def test_the_last_pictures_are_those_of_the_final_network(
    tmp_path: Path, shown: list[tuple[int, list[Case]]]
) -> None:
    segmenter, data = fit(tmp_path, Refine(), TensorBoardLogger(tmp_path))
    evidence, _ = data.sample(12)
    last = shown[-1][1][0].prediction
    assert last is not None
    assert torch.equal(last, segmenter.predict(evidence.image).probs.argmax(0).to(torch.uint8))
    assert segmenter.scores[12] == shown[-1][1][0].score


def test_without_a_dashboard_nothing_is_predicted(
    tmp_path: Path, shown: list[tuple[int, list[Case]]]
) -> None:
    fit(tmp_path, Refine(), Record(tmp_path))
    assert shown == []


def test_a_run_does_not_end_for_a_picture(tmp_path: Path) -> None:
    data = Squares()
    segmenter = Segmenter(TinyNet(), Fails(), Squares.classes)
    evidence, truth = data.sample(12)
    with pytest.warns(
        UserWarning, match="no target to show for image disc/12: ZeroDivisionError: of disc/12"
    ):
        case = make_case(segmenter, evidence, truth, round_0())
    assert case.target is None
    assert case.prediction is not None


def test_there_is_a_target_only_where_the_strategy_makes_one() -> None:
    evidence, truth = Squares().sample(12)
    refine, silent = (
        Segmenter(TinyNet(), strategy, Squares.classes) for strategy in (Refine(), Silent())
    )
    assert make_case(refine, evidence, truth, round_0(), score=0.5).target is not None
    assert make_case(refine, evidence, truth, None).target is None
    assert make_case(refine, evidence, truth, Rounds()).target is None  # before round 0
    without = evidence._replace(boxes=None, box_classes=None)
    assert make_case(refine, without, truth, round_0()).target is None
    assert make_case(silent, evidence, truth, Rounds()).target is None


def test_pictures_reach_tensorboard(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fit(tmp_path, Refine(), TensorBoardLogger(tmp_path, name="", version=""))
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in events.Images("val/disc/12")] == [3, 6, 9]
