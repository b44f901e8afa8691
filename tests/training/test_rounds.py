"""Rounds: estimate, train, estimate again; every image once, nothing twice, failures named."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

import weakseg.utils.fingerprint as fingerprint
from tests.small import Refine, Squares, TinyNet, trainer
from weakseg.data.label_store import LabelStore
from weakseg.evidence import Evidence
from weakseg.optimizers import AdamW
from weakseg.strategies.base import Context, Strategy, Wants
from weakseg.training.estimation import EstimationError
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter


class Count(Refine):
    """Remembers which images it was asked about, and whether there was a prediction."""

    asked: ClassVar[list[tuple[str, bool]]] = []

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        self.asked.append((evidence.id, context.prediction is not None))
        return super().estimate(evidence, context)


@pytest.fixture(autouse=True)
def nobody_asked() -> None:
    Count.asked.clear()


def run(
    folder: Path,
    strategy: Strategy,
    rounds: Rounds,
    data: Squares | None = None,
    steps: int = 9,
    **arguments: Any,
) -> Segmenter:
    pl.seed_everything(3, verbose=False)
    data = data or Squares()
    segmenter = Segmenter(TinyNet(), strategy, data.classes, AdamW(lr=0.02))
    trainer(folder, steps, callbacks=[rounds], **arguments).fit(segmenter, datamodule=data)
    return segmenter


def test_once_asks_for_each_training_image_once_and_never_again(tmp_path: Path) -> None:
    run(tmp_path, Count(), Rounds())
    assert sorted(Count.asked) == sorted((f"disc/{index}", False) for index in range(12))
    run(tmp_path, Count(), Rounds())
    assert len(Count.asked) == 12  # the second run found every target


def test_rounds_per_epoch_use_the_network_and_stop_in_time(tmp_path: Path) -> None:
    rounds = Rounds(when="epochs")
    # three epochs of three steps: a round after the first and the second, none after the last
    run(tmp_path, Count(), rounds)
    assert rounds.round == 2
    assert len(Count.asked) == 36
    assert [with_network for _, with_network in Count.asked] == [False] * 12 + [True] * 24
    assert "label/churn" in rounds.figures


@pytest.mark.parametrize(
    ("every", "count", "last"), [(1, 2, 1), (2, None, 1), (1, 1, 0), (3, None, 0)]
)
def test_every_and_count(tmp_path: Path, every: int, count: int | None, last: int) -> None:
    rounds = Rounds(when="epochs", every=every, count=count)
    run(tmp_path, Count(), rounds)
    assert rounds.round == last


def test_a_round_with_the_network_improves_on_filled_boxes(tmp_path: Path) -> None:
    first, second = Rounds(), Rounds(when="epochs", every=20, count=2)
    run(tmp_path, Refine(), first, steps=63)
    run(tmp_path, Refine(), second, steps=63)
    # the filled box is all that round 0 knows
    assert first.figures["label/miou"] == first.figures["evidence/miou"]
    assert second.figures["label/miou"] > first.figures["label/miou"] + 0.03


def test_training_reads_the_targets_of_its_round(tmp_path: Path) -> None:
    data = Squares()
    run(tmp_path, Refine(), Rounds(), data, steps=3)
    evidence, target, _ = data.training_item(0, 5)
    assert target is not None
    assert evidence.boxes is not None
    x1, y1, x2, y2 = evidence.boxes[0].int().tolist()
    assert (target[max(0, y1) : y2, max(0, x1) : x2] != 0).all()


class Weighted(Refine):
    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        Count.asked.append((evidence.id, True))
        return super().estimate(evidence, context)


class OtherEvidence(Squares):
    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        assert evidence.boxes is not None
        return evidence._replace(boxes=evidence.boxes + (index == 3)), truth


def test_any_change_computes_anew_and_only_what_changed(tmp_path: Path) -> None:
    run(tmp_path, Weighted(), Rounds())
    assert len(Count.asked) == 12
    run(tmp_path, Weighted(2.0), Rounds())
    assert len(Count.asked) == 24
    run(tmp_path, Weighted(), Rounds(), OtherEvidence())
    assert Count.asked[24:] == [("disc/3", True)]


def edit_code(monkeypatch: pytest.MonkeyPatch, edited: str = "estimation.py") -> None:
    """As if the file of a module that every estimation uses had another line."""
    read = Path.read_bytes
    monkeypatch.setattr(fingerprint, "_SOURCES", {})
    monkeypatch.setattr(
        Path,
        "read_bytes",
        lambda file: read(file) + (b"# edited" if file.name == edited else b""),
    )


def test_edited_code_makes_new_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, Count(), Rounds())
    edit_code(monkeypatch)
    run(tmp_path, Count(), Rounds())
    assert len(Count.asked) == 24


@pytest.mark.parametrize(
    ("edited", "anew"), [("queries.py", 12), ("segmenter.py", 12), ("array_cache.py", 24)]
)
def test_code_that_queries_the_network_is_in_the_key_of_rounds_that_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edited: str, anew: int
) -> None:
    """Of rounds 0 and 1, only the later one queries the network; Refine itself imports neither."""
    run(tmp_path, Refine(), Rounds(when="epochs", count=2))
    before = set(LabelStore(tmp_path / "labels").keys())
    edit_code(monkeypatch, edited)
    run(tmp_path, Refine(), Rounds(when="epochs", count=2))
    assert len(set(LabelStore(tmp_path / "labels").keys()) - before) == anew


class Wanting(Count):
    def __init__(self, wants: Wants) -> None:
        super().__init__()
        self.wants = wants


class Declared(Count):
    wants = Wants(intermediate=32)


def test_what_a_strategy_wants_is_in_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wants in (Wants(), Wants(features=True), Wants(features=True)):
        run(tmp_path, Wanting(wants), Rounds())
    assert len(Count.asked) == 24
    run(tmp_path, Declared(), Rounds())
    # as if it had been declared in a class whose source no file has
    monkeypatch.setattr(Declared, "wants", Wants(intermediate=64))
    run(tmp_path, Declared(), Rounds())
    assert len(Count.asked) == 48


def test_a_run_that_goes_on_keeps_the_targets_of_its_round_when_code_was_edited_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = Rounds(when="epochs", every=1, count=2)
    run(tmp_path, Count(), rounds)
    assert len(Count.asked) == 24
    again = Rounds(when="epochs", every=1, count=2)
    again.load_state_dict(rounds.state_dict())
    edit_code(monkeypatch)
    with pytest.warns(
        UserWarning,
        match=(
            "Count, or code that it uses, has changed since round 1 was made: its targets stay in "
            "use"
        ),
    ):
        run(tmp_path, Count(), again)
    assert len(Count.asked) == 24


def test_a_damaged_target_is_computed_again(tmp_path: Path) -> None:
    run(tmp_path, Count(), Rounds())
    file = next((tmp_path / "labels").glob("*/disc_3-*"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    run(tmp_path, Count(), Rounds())
    assert Count.asked[12:] == [("disc/3", False)]
    assert file.read_bytes() == whole


class Soft(Refine):
    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        return (
            torch.nn.functional.one_hot(super().estimate(evidence, context).long(), 3).permute(
                2, 0, 1
            )
            * 0.5
        )


def test_soft_targets_train(tmp_path: Path) -> None:
    rounds = Rounds()
    run(tmp_path, Soft(), rounds)
    assert rounds.figures["label/coverage"] == 1
    assert sum(1 for _ in LabelStore(tmp_path / "labels").keys()) == 12  # noqa: SIM118


class Fails(Refine):
    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        if evidence.id in ("disc/3", "disc/7"):
            raise KeyError("no such thing")
        return super().estimate(evidence, context)


def test_failures_name_all_images_and_keep_the_other_targets(tmp_path: Path) -> None:
    with pytest.raises(
        EstimationError, match=r"(?s)on 2 images:.*disc/3: KeyError.*disc/7"
    ) as caught:
        run(tmp_path, Fails(), Rounds())
    assert "test_rounds.py, line" in str(caught.value)
    assert sum(1 for _ in LabelStore(tmp_path / "labels").keys()) == 10  # noqa: SIM118


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (torch.full((24, 24), 7, dtype=torch.uint8), "class 7, but there are 3 classes"),
        (
            torch.zeros(24, 24),
            r"uint8 \[24,24\] or float \[3,24,24\], but it returned float32 \[24, 24\]",
        ),
        (torch.zeros(4, 4, dtype=torch.uint8), r"returned uint8 \[4, 4\]"),
        (torch.full((3, 24, 24), -1.0), "negative or non-finite"),
        (None, "returned NoneType"),
    ],
)
def test_wrong_targets_are_refused(tmp_path: Path, returned: Any, message: str) -> None:
    class Wrong(Refine):
        def estimate(self, evidence: Evidence, context: Context) -> Tensor:
            return returned  # type: ignore[no-any-return]

    with pytest.raises(EstimationError, match=message):
        run(tmp_path, Wrong(), Rounds())


class NeedsMarks(Strategy):
    needs = ("marks",)

    def loss(self, logits: Tensor, batch: Any) -> dict[str, Tensor]:
        return {"none": logits.sum()}


def test_missing_evidence_is_found_before_training(tmp_path: Path) -> None:
    with pytest.raises(
        EstimationError, match=r"(?s)on 12 images:.*disc/0: has no marks; it has boxes"
    ):
        run(tmp_path, NeedsMarks(), Rounds())


class BadValidation(Squares):
    """A fault on the last validation image only."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        if index < len(self) - 1:
            return evidence, truth
        assert evidence.boxes is not None
        return evidence._replace(boxes=evidence.boxes.flip(1)), truth


class BadTruth(Squares):
    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        assert truth is not None
        return evidence, truth + 7 * (index == 14)


class SharedId(Squares):
    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        return (evidence._replace(id="disc/0") if index == 13 else evidence), truth


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (BadValidation(), "on 1 image:.*image disc/16: the box"),
        (BadTruth(), "image disc/14: the truth names class 7, 8"),
        (SharedId(), "more than one image: disc/0"),
    ],
)
def test_validation_images_are_looked_at_before_anything_long(
    tmp_path: Path, data: Squares, message: str
) -> None:
    with pytest.raises((EstimationError, ValueError), match=rf"(?s){message}"):
        run(tmp_path, Refine(), Rounds(), data)
    assert not (tmp_path / "labels").exists()


def test_validation_beyond_the_data_set(tmp_path: Path) -> None:
    data = Squares()
    data.validation = [99]
    with pytest.raises(
        ValueError, match="validation names image 99, but Squares has the images 0 to 16"
    ):
        run(tmp_path, Refine(), Rounds(), data)


class Silent(Refine):
    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        return torch.full(evidence.image.shape[1:], 255, dtype=torch.uint8)


def test_targets_without_any_opinion_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"ignored at every pixel .* Silent has nothing to train on"
    ):
        run(tmp_path, Silent(), Rounds())


class Doubled(Squares):
    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        return evidence._replace(id="same"), truth


def test_two_images_with_one_id(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="more than one image: same"):
        run(tmp_path, Refine(), Rounds(), Doubled())


def test_without_rounds_the_error_says_what_to_do(tmp_path: Path) -> None:
    data = Squares()
    with pytest.raises(ValueError, match=r"callbacks=\[weakseg.Rounds\(\)\]"):
        trainer(tmp_path).fit(Segmenter(TinyNet(), Refine(), data.classes), datamodule=data)


def test_restarted_network_begins_each_round_with_the_initial_weights(tmp_path: Path) -> None:
    seen = []

    class LabelMonitor(pl.Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            seen.append(
                (pl_module.network.head.weight.clone(), trainer.optimizers[0].param_groups[0]["lr"])
            )  # type: ignore[union-attr]

    pl.seed_everything(3, verbose=False)
    data = Squares()
    segmenter = Segmenter(TinyNet(), Refine(), data.classes)
    trainer(tmp_path, callbacks=[Rounds(when="epochs", restart_network=True), LabelMonitor()]).fit(
        segmenter, datamodule=data
    )
    (first, rate), *later = seen
    assert len(later) == 2
    assert all(torch.equal(weight, first) and lr == rate for weight, lr in later)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"count": 2}, "when=once makes one round, but count is 2"),
        ({"when": "epochs", "every": 0}, "every should be at least 1, but it is 0"),
        ({"when": "epochs", "count": 0}, "count should be at least 1, but it is 0"),
        ({"workers": -1}, "workers should be at least 0, but it is -1"),
    ],
)
def test_nonsense_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rounds(**wrong)


@pytest.mark.slow
def test_a_pool_of_workers_writes_the_same_bytes(tmp_path: Path) -> None:
    for name, workers in (("none", 0), ("two", 2)):
        run(tmp_path / name, Refine(), Rounds(workers=workers), Squares(train=64), steps=1)
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / name / "labels").glob("??/*")}
        for name in ("none", "two")
    ]
    assert len(files[0]) == 64
    assert files[0] == files[1]
