"""What a strategy fits to all images together: once per round, to every image, on every rank the
same, and kept."""

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
from weakseg.evidence import Evidence
from weakseg.strategies.base import Context, JointStrategy, Wants
from weakseg.training.estimation import EstimationError
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter


class Brightness(JointStrategy):
    """Describes each image by its mean, fits a multiple of their mean, and leaves out boxes in
    images that are darker."""

    needs = ("boxes",)
    calls: ClassVar[list[str]] = []

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def describe(self, evidence: Evidence, context: Context) -> dict[str, Tensor]:
        self.calls.append("describe" if context.prediction is None else "describe, with network")
        return {
            "mean": evidence.image.double().mean(),
            "number": torch.tensor(int(evidence.id.removeprefix("disc/"))),
        }

    def fit(self, descriptions: Sequence[dict[str, Tensor]]) -> Tensor | None:
        self.calls.append("fit")
        # all, in order of the ids
        assert [int(each["number"]) for each in descriptions] == sorted(
            range(len(descriptions)), key=str
        )
        return self.factor * torch.stack([each["mean"] for each in descriptions]).mean()

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        self.calls.append("estimate")
        assert context.fitted is not None
        target = Refine().estimate(evidence, Context())
        return (
            target if evidence.image.double().mean() > context.fitted else torch.zeros_like(target)
        )


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
    """Fits two times, to features of an intermediate stage; the second time `describe` finds what
    was fitted the first time."""

    iterations = 2
    wants = Wants(intermediate=64)
    found: ClassVar[list[float | None]] = []

    def describe(self, evidence: Evidence, context: Context) -> dict[str, Tensor]:
        assert context.prediction is not None
        assert context.prediction.intermediate is not None
        assert context.prediction.intermediate.shape == (8, 16, 16)
        assert torch.equal(context.prediction.probs, torch.full((3, SIZE, SIZE), 1 / 3))
        self.found.append(None if context.fitted is None else float(context.fitted))
        return super().describe(evidence, Context())


class Eyed(TinyNet):
    queries = 0

    def intermediate_features(self, image: Tensor) -> Tensor:
        Eyed.queries += 1
        return super().intermediate_features(image)


def test_a_strategy_may_fit_twice_to_intermediate_features_before_training(
    tmp_path: Path,
) -> None:
    Twice.found.clear()
    strategy, data = Twice(), Squares()
    segmenter = Segmenter(Eyed(), strategy, data.classes)
    trainer(tmp_path, 1, callbacks=[Rounds()]).fit(segmenter, datamodule=data)
    assert Brightness.calls == (["describe"] * 12 + ["fit"]) * 2 + ["estimate"] * 12
    assert Twice.found[:12] == [None] * 12
    assert Twice.found[12:] == [pytest.approx(float(whole_mean()))] * 12
    assert Eyed.queries == 12  # kept from one iteration to the next


def test_the_network_before_training_is_part_of_the_key_where_it_is_queried(tmp_path: Path) -> None:
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        data = Squares()
        trainer(tmp_path, 1, callbacks=[Rounds()]).fit(
            Segmenter(Eyed(), Twice(), data.classes), datamodule=data
        )
    assert len(files(tmp_path)) == 24


def test_every_round_first_fits_all_images_and_then_estimates(tmp_path: Path) -> None:
    strategy, rounds = Brightness(), Rounds(when="epochs", count=2)
    run(tmp_path, strategy, rounds)
    first, second = Brightness.calls[:25], Brightness.calls[25:]
    assert first == ["describe"] * 12 + ["fit"] + ["estimate"] * 12
    assert second == ["describe, with network"] * 12 + ["fit"] + ["estimate"] * 12
    assert rounds.fitted is not None
    assert torch.allclose(rounds.fitted, whole_mean())
    # estimate has read what was fitted
    assert rounds.figures["label/miou"] < rounds.figures["evidence/miou"]


def test_a_second_run_computes_nothing(tmp_path: Path) -> None:
    first, second = Rounds(), Rounds()
    run(tmp_path, Brightness(), first, steps=1)
    Brightness.calls.clear()
    run(tmp_path, Brightness(), second, steps=1)
    assert Brightness.calls == []
    assert first.fitted is not None
    assert second.fitted is not None
    assert torch.equal(first.fitted, second.fitted)


def test_the_same_strategy_trained_twice_is_fitted_as_if_it_were_new(tmp_path: Path) -> None:
    strategy = Brightness()
    run(tmp_path, strategy, Rounds(), steps=1)
    Brightness.calls.clear()
    run(tmp_path, strategy, Rounds(), steps=1)
    assert Brightness.calls == []


class Other(Squares):
    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        return evidence._replace(image=evidence.image // 2 if index == 3 else evidence.image), truth


def test_what_was_fitted_is_in_the_key_of_every_target(tmp_path: Path) -> None:
    run(tmp_path, Brightness(), Rounds(), steps=1)
    before = files(tmp_path)
    # one image differs, so something else is fitted
    run(tmp_path, Brightness(), Rounds(), Other(), steps=1)
    assert Brightness.calls[25:] == ["describe"] * 12 + ["fit"] + ["estimate"] * 12
    assert len(files(tmp_path) - before) == 12
    run(tmp_path, Brightness(0.5), Rounds(), steps=1)
    assert len(files(tmp_path)) == 36


def test_a_resumed_run_knows_what_its_round_has_fitted(tmp_path: Path) -> None:
    rounds, resumed = Rounds(), Rounds()
    run(tmp_path, Brightness(), rounds, steps=1)
    shutil.rmtree(tmp_path / "labels" / "cache")
    Brightness.calls.clear()
    resumed.load_state_dict(rounds.state_dict())
    run(tmp_path, Brightness(), resumed, steps=1)
    assert Brightness.calls == []
    assert resumed.fitted is not None
    assert torch.allclose(resumed.fitted, whole_mean())


def test_a_strategy_that_fits_nothing_keeps_nothing(tmp_path: Path) -> None:
    rounds = Rounds()
    run(tmp_path, Refine(), rounds, steps=1)
    assert rounds.fitted is None
    assert not (tmp_path / "labels" / "cache").exists()


class FailingDescription(Brightness):
    def describe(self, evidence: Evidence, context: Context) -> dict[str, Tensor]:
        if evidence.id in ("disc/3", "disc/7"):
            raise KeyError("no such thing")
        return super().describe(evidence, context)


class FailingFit(Brightness):
    def fit(self, descriptions: Sequence[dict[str, Tensor]]) -> Tensor:
        raise ZeroDivisionError("nothing to divide by")


class WrongDescription(Brightness):
    def describe(self, evidence: Evidence, context: Context) -> Any:
        return {"mean": 3}


class WrongFit(Brightness):
    def fit(self, descriptions: Sequence[dict[str, Tensor]]) -> Any:
        return [1, 2]


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (
            FailingDescription,
            r"(?s)could not describe the images for round 0 on 2 images:.*image disc/3: "
            r"KeyError.*test_joint_fit.*image disc/7",
        ),
        (
            FailingFit,
            r"(?s)FailingFit could not be fitted to the images in round 0.*ZeroDivisionError: "
            r"nothing to divide by",
        ),
        (
            WrongDescription,
            r"image disc/0: TypeError: describe should return a dict of named tensors, but it "
            r"returned \{'mean': 3\}",
        ),
        (WrongFit, "fit should return a tensor or None, but it returned list"),
    ],
)
def test_failures_are_named(tmp_path: Path, strategy: type[Brightness], message: str) -> None:
    with pytest.raises(EstimationError, match=message):
        run(tmp_path, strategy(), Rounds(), steps=1)
    assert files(tmp_path) == set()


class FitsNothing(Brightness):
    def fit(self, descriptions: Sequence[dict[str, Tensor]]) -> None:
        return None

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        assert context.fitted is None
        return Refine().estimate(evidence, context)


def test_nothing_fitted_is_kept_as_well(tmp_path: Path) -> None:
    run(tmp_path, FitsNothing(), Rounds(), steps=1)
    assert len(Brightness.calls) == 12
    run(tmp_path, FitsNothing(), Rounds(), steps=1)
    assert len(Brightness.calls) == 12


@pytest.mark.parametrize("missing", ["fit", "estimate"])
def test_a_fit_that_no_estimation_reads_is_refused(missing: str) -> None:
    methods = {
        "fit": lambda self, descriptions: None,
        "estimate": lambda self, evidence, context: None,
        "loss": lambda self, logits, batch: {"none": logits.sum()},
    }
    del methods[missing]
    with pytest.raises(TypeError, match=r"strategy Half should override fit, .*, and estimate"):
        type("Half", (JointStrategy,), methods)


@pytest.mark.slow
def test_a_pool_of_workers_fits_the_same(tmp_path: Path) -> None:
    found = []
    for name, workers in (("none", 0), ("two", 2)):
        rounds = Rounds(workers=workers)
        run(tmp_path / name, Brightness(), rounds, Squares(train=64), steps=1)
        assert rounds.fitted is not None
        found.append(
            (
                rounds.fitted,
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
def test_two_processes_fit_what_one_fits(tmp_path: Path) -> None:
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
