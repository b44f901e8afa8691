"""What a strategy learns from all images together: once per round, from every image, on every rank
the same, and kept."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from tests.small import SIZE, Refine, Squares, TinyNet, trainer
from tests.training.test_processes import SMALL, TWO, start, targets
from tests.training.test_rounds import run
from weakseg.data.label_store import LabelStore
from weakseg.evidence import Batch, Evidence, Prediction
from weakseg.strategies.base import Strategy
from weakseg.training.estimation import EstimationError
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter
from weakseg.utils.fingerprint import module_fingerprint


class Brightness(Refine):
    """Sketches the mean of each image, learns a multiple of their mean, and leaves out boxes in
    images that are darker."""

    calls: ClassVar[list[str]] = []

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def sketch(self, evidence: Evidence, prediction: Prediction | None) -> dict[str, Tensor]:
        self.calls.append("sketch" if prediction is None else "sketch with the network")
        return {
            "mean": evidence.image.double().mean(),
            "number": torch.tensor(int(evidence.id.removeprefix("disc/"))),
        }

    def learn(self, sketches: Sequence[dict[str, Tensor]]) -> Tensor:
        self.calls.append("learn")
        # all, in order of the ids
        assert [int(sketch["number"]) for sketch in sketches] == sorted(
            range(len(sketches)), key=str
        )
        return self.factor * torch.stack([sketch["mean"] for sketch in sketches]).mean()

    def estimate(self, evidence: Evidence, prediction: Prediction | None) -> Tensor:
        self.calls.append("estimate")
        assert self.learned is not None
        target = super().estimate(evidence, None)
        return target if evidence.image.double().mean() > self.learned else torch.zeros_like(target)


@pytest.fixture(autouse=True)
def nobody_called() -> None:
    Brightness.calls.clear()


def whole_mean() -> Tensor:
    return torch.stack(
        [Squares().sample(index)[0].image.double().mean() for index in range(12)]
    ).mean()


def files(folder: Path) -> set[str]:
    return set(LabelStore(folder / "labels").keys())


class Twice(Brightness):
    """Looks two times, at what an early stage sees; the second look finds what the first has
    learned."""

    looks = 2
    wants_early = 64
    found: ClassVar[list[float | None]] = []

    def sketch(self, evidence: Evidence, prediction: Prediction | None) -> dict[str, Tensor]:
        assert prediction is not None
        assert prediction.early is not None
        assert prediction.early.shape == (8, 16, 16)
        assert torch.equal(prediction.probs, torch.full((3, SIZE, SIZE), 1 / 3))
        self.found.append(None if self.learned is None else float(self.learned))
        return super().sketch(evidence, None)


class Eyed(TinyNet):
    asked = 0

    def intermediate_features(self, image: Tensor) -> Tensor:
        Eyed.asked += 1
        return super().intermediate_features(image)


def test_a_strategy_may_look_twice_and_see_an_early_stage_before_training(tmp_path: Path) -> None:
    Twice.found.clear()
    strategy, data = Twice(), Squares()
    segmenter = Segmenter(Eyed(), strategy, data.classes)
    trainer(tmp_path, 1, callbacks=[Rounds()]).fit(segmenter, datamodule=data)
    assert Brightness.calls == (["sketch"] * 12 + ["learn"]) * 2 + ["estimate"] * 12
    assert Twice.found[:12] == [None] * 12
    assert Twice.found[12:] == [pytest.approx(float(whole_mean()))] * 12
    assert Eyed.asked == 12  # kept from look to look


def test_the_network_before_training_is_part_of_the_key_where_it_is_asked(tmp_path: Path) -> None:
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        data = Squares()
        trainer(tmp_path, 1, callbacks=[Rounds()]).fit(
            Segmenter(Eyed(), Twice(), data.classes), datamodule=data
        )
    assert len(files(tmp_path)) == 24


def test_every_round_first_learns_from_all_images_and_then_estimates(tmp_path: Path) -> None:
    strategy, rounds = Brightness(), Rounds(when="epochs", count=2)
    run(tmp_path, strategy, rounds)
    first, second = Brightness.calls[:25], Brightness.calls[25:]
    assert first == ["sketch"] * 12 + ["learn"] + ["estimate"] * 12
    assert second == ["sketch with the network"] * 12 + ["learn"] + ["estimate"] * 12
    assert strategy.learned is not None
    assert torch.allclose(strategy.learned, whole_mean())
    # estimate has read what was learned
    assert rounds.figures["label/miou"] < rounds.figures["evidence/miou"]


def test_a_second_run_computes_nothing(tmp_path: Path) -> None:
    first, second = Brightness(), Brightness()
    run(tmp_path, first, Rounds(), steps=1)
    Brightness.calls.clear()
    run(tmp_path, second, Rounds(), steps=1)
    assert Brightness.calls == []
    assert first.learned is not None
    assert second.learned is not None
    assert torch.equal(first.learned, second.learned)


def test_the_same_strategy_trained_twice_learns_as_if_it_were_new(tmp_path: Path) -> None:
    strategy = Brightness()
    run(tmp_path, strategy, Rounds(), steps=1)
    Brightness.calls.clear()
    run(tmp_path, strategy, Rounds(), steps=1)
    assert Brightness.calls == []


class Other(Squares):
    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        return evidence._replace(image=evidence.image // 2 if index == 3 else evidence.image), truth


def test_what_was_learned_is_in_the_key_of_every_target(tmp_path: Path) -> None:
    run(tmp_path, Brightness(), Rounds(), steps=1)
    before = files(tmp_path)
    # one image differs, so all learn something else
    run(tmp_path, Brightness(), Rounds(), Other(), steps=1)
    assert Brightness.calls[25:] == ["sketch"] * 12 + ["learn"] + ["estimate"] * 12
    assert len(files(tmp_path) - before) == 12
    run(tmp_path, Brightness(0.5), Rounds(), steps=1)
    assert len(files(tmp_path)) == 36


def test_a_resumed_run_knows_what_its_round_has_learned(tmp_path: Path) -> None:
    rounds, resumed = Rounds(), Rounds()
    run(tmp_path, Brightness(), rounds, steps=1)
    shutil.rmtree(tmp_path / "labels" / "scratch", ignore_errors=True)
    Brightness.calls.clear()
    resumed.load_state_dict(rounds.state_dict())
    strategy = Brightness()
    run(tmp_path, strategy, resumed, steps=1)
    assert Brightness.calls == []
    assert strategy.learned is not None
    assert torch.allclose(strategy.learned, whole_mean())


def test_a_strategy_that_does_not_learn_is_left_alone(tmp_path: Path) -> None:
    strategy = Refine()
    before = module_fingerprint(strategy)
    run(tmp_path, strategy, Rounds(), steps=1)
    assert strategy.learned is None
    assert module_fingerprint(strategy) == before  # targets of older versions are found again
    assert not (tmp_path / "labels" / "scratch").exists()


class FailingSketch(Brightness):
    def sketch(self, evidence: Evidence, prediction: Prediction | None) -> dict[str, Tensor]:
        if evidence.id in ("disc/3", "disc/7"):
            raise KeyError("no such thing")
        return super().sketch(evidence, prediction)


class FailingLearn(Brightness):
    def learn(self, sketches: Sequence[dict[str, Tensor]]) -> Tensor:
        raise ZeroDivisionError("nothing to divide by")


class WrongSketch(Brightness):
    def sketch(self, evidence: Evidence, prediction: Prediction | None) -> Any:
        return {"mean": 3}


class WrongLearn(Brightness):
    def learn(self, sketches: Sequence[dict[str, Tensor]]) -> Any:
        return [1, 2]


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (
            FailingSketch,
            r"(?s)could not sketch the images for round 0 on 2 images:.*image disc/3: "
            r"KeyError.*test_joint_fit.*image disc/7",
        ),
        (
            FailingLearn,
            r"(?s)FailingLearn could not learn from the images in round 0.*ZeroDivisionError: "
            r"nothing to divide by",
        ),
        (
            WrongSketch,
            r"image disc/0: TypeError: sketch should return a dict of named tensors, but it "
            r"returned \{'mean': 3\}",
        ),
        (WrongLearn, "learn should return a tensor or None, but it returned list"),
    ],
)
def test_failures_are_named(tmp_path: Path, strategy: type[Brightness], message: str) -> None:
    with pytest.raises(EstimationError, match=message):
        run(tmp_path, strategy(), Rounds(), steps=1)
    assert files(tmp_path) == set()


class LearnsNothing(Brightness):
    def learn(self, sketches: Sequence[dict[str, Tensor]]) -> Any:
        return None

    def estimate(self, evidence: Evidence, prediction: Prediction | None) -> Tensor:
        assert self.learned is None
        return Refine.estimate(self, evidence, prediction)


def test_nothing_learned_is_kept_as_well(tmp_path: Path) -> None:
    run(tmp_path, LearnsNothing(), Rounds(), steps=1)
    assert len(Brightness.calls) == 12
    run(tmp_path, LearnsNothing(), Rounds(), steps=1)
    assert len(Brightness.calls) == 12


def test_learning_for_nobody_is_refused() -> None:
    with pytest.raises(
        TypeError,
        match="overrides learn, which is asked before images are estimated, but not estimate",
    ):

        class OnlyLoss(Strategy):
            def learn(self, sketches: Sequence[dict[str, Tensor]]) -> None:
                return None

            def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
                return {"none": logits.sum()}


@pytest.mark.slow
def test_a_pool_of_workers_learns_the_same(tmp_path: Path) -> None:
    found = []
    for name, workers in (("none", 0), ("two", 2)):
        strategy = Brightness()
        run(tmp_path / name, strategy, Rounds(workers=workers), Squares(train=64), steps=1)
        assert strategy.learned is not None
        found.append(
            (
                strategy.learned,
                {
                    path.name: path.read_bytes()
                    for path in (tmp_path / name / "labels").glob("*/*.png")
                },
            )
        )
    assert len(found[0][1]) == 64
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    words = [
        "recipe=clustering",
        *SMALL,
        "trainer.accelerator=cpu",
        "trainer.enable_progress_bar=false",
        "trainer.max_steps=1",
    ]
    for name, more in (("one", ["data.batch_size=4"]), ("two", ["data.batch_size=2", *TWO])):
        process = start(tmp_path / name, *words, *more)
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
    assert len(targets(tmp_path / "one")) >= 8
    assert targets(tmp_path / "one") == targets(tmp_path / "two")
