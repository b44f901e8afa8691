"""What a training measures of each of its images."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.small import Everything, KillBefore, Killed, Refine, Squares, TinyNet, trainer
from weakseg.evidence import IGNORE, Batch
from weakseg.strategies.base import Loss, Strategy
from weakseg.suspicion.of_run import write_review
from weakseg.training.checkpoints import Checkpoints, WholeFiles
from weakseg.training.image_statistics import MEANS, ImageStatistics, measured
from weakseg.training.image_table import ImageTable
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter

CLASSES = Squares.classes


# the table


def table(*visits: tuple[str, float, int, int]) -> ImageTable:
    made = ImageTable(["loss"], ["class"])
    for id, value, note, weight in visits:
        made.add([id], torch.tensor([[value]]), torch.tensor([[note]]), torch.tensor([weight]))
    return made


def test_means_are_weighted_and_the_highest_note_stays() -> None:
    made = table(("a", 0.5, 7, 1), ("b", 1.0, 0, 2), ("a", 0.25, 3, 3))
    assert made.values() == {"a": {"loss": 0.3125}, "b": {"loss": 1.0}}
    assert made.noted() == {"a": {"class": 7}, "b": {"class": 0}}


def test_what_is_not_known_is_left_out() -> None:
    made = table(("a", float("nan"), 1, 1), ("b", float("nan"), 1, 1), ("b", 0.5, 1, 1))
    assert made.values() == {"a": {}, "b": {"loss": 0.5}}


def test_an_image_may_come_twice_in_a_step() -> None:
    made = ImageTable(["loss"], ["class"])
    made.add(
        ["a", "a"], torch.tensor([[0.0], [1.0]]), torch.tensor([[5], [2]]), torch.ones(2).long()
    )
    assert made.values() == {"a": {"loss": 0.5}}
    assert made.noted() == {"a": {"class": 5}}


def test_tables_of_several_processes_are_one_whatever_the_order() -> None:
    values = torch.rand(60, generator=torch.Generator().manual_seed(0)).tolist()
    visits = [
        (f"image {number % 7}", value, number, 1 + number % 3)
        for number, value in enumerate(values)
    ]
    whole = table(*visits)
    for parts in (
        [visits[:30], visits[30:]],
        [visits[1::2], visits[::2]],
        [[], visits[::-1]],
    ):
        together = table().merged(table(*part).state_dict() for part in parts)
        assert together.values() == dict(sorted(whole.values().items()))
        assert together.noted() == dict(sorted(whole.noted().items()))


def test_a_table_grows_to_many_images() -> None:
    made = ImageTable(MEANS)
    ids = [f"image {number}" for number in range(20_000)]
    for start in range(0, len(ids), 400):
        some = ids[start : start + 400]
        made.add(
            some, torch.full((400, 5), 0.5), torch.zeros(400, 0).long(), torch.ones(400).long()
        )
    assert len(made) == 20_000
    assert made.values()["image 19999"]["loss"] == 0.5
    # little for each image, in memory and in a checkpoint
    assert made.state_dict()["rows"].nbytes == 20_000 * 2 * len(MEANS) * 8


# what is measured


def scores_of(truth: Tensor, sure: float = 8.0) -> Tensor:
    """Scores of a network that finds exactly these labels."""
    return sure * torch.nn.functional.one_hot(truth.long(), 3).permute(2, 0, 1).float()[None]


def batch_of(index: int = 0, **changes: Any) -> tuple[Batch, Tensor]:
    evidence, truth = Everything().sample(index)
    assert truth is not None
    assert evidence.tags is not None
    assert evidence.marks is not None
    assert evidence.boxes is not None
    assert evidence.box_classes is not None
    batch = Batch(
        [evidence.id],
        evidence.image[None],
        truth[None].long(),
        evidence.tags[None],
        evidence.marks[None].long(),
        [evidence.boxes],
        [evidence.box_classes],
    )
    return batch._replace(**changes), truth


def values_of(scores: Tensor, batch: Batch, labels: Tensor | None = None) -> dict[str, float]:
    values, _ = measured(scores, batch, labels)
    return dict(zip(MEANS, values[0].tolist(), strict=True))


def test_a_prediction_that_is_right_and_sure_is_not_suspicious() -> None:
    batch, truth = batch_of()
    assert all(value < 0.1 for value in values_of(scores_of(truth), batch).values())


def test_a_prediction_that_finds_nothing_is_suspicious() -> None:
    batch, truth = batch_of()
    values = values_of(scores_of(torch.zeros_like(truth)), batch)
    assert values["missing"] > 0.9
    assert values["disagreement"] == pytest.approx(0.5, abs=0.01)
    assert values["unnamed"] < 0.1


def test_soft_targets_labels_of_the_loss_and_marks_are_targets_too() -> None:
    batch, truth = batch_of()
    wrong = scores_of(torch.zeros_like(truth))
    hard = values_of(wrong, batch)
    soft = torch.nn.functional.one_hot(truth.long(), 3).permute(2, 0, 1).float()[None]
    assert values_of(wrong, batch._replace(target=soft)) == pytest.approx(hard)
    assert values_of(wrong, batch._replace(target=None), truth[None]) == pytest.approx(hard)
    marks = values_of(wrong, batch._replace(target=None))
    assert marks["disagreement"] == pytest.approx(0.5, abs=0.01)
    bare = values_of(wrong, batch._replace(target=None, marks=None))
    assert bare["loss"] != bare["loss"]  # nan
    nothing = torch.full_like(truth, IGNORE)[None].long()
    ignored = values_of(wrong, batch._replace(target=nothing))
    assert ignored["loss"] != ignored["loss"]


def test_scores_at_a_stride_are_enough() -> None:
    batch, truth = batch_of()
    small = values_of(scores_of(truth)[:, :, 1::3, 1::3], batch)
    assert small["missing"] < 0.3
    lost = values_of(scores_of(torch.zeros_like(truth))[:, :, 1::3, 1::3], batch)
    assert lost["missing"] > 0.9


def test_nothing_is_found_in_the_padding() -> None:
    batch, truth = batch_of(0)
    seen = truth.clone()
    seen[:6] = 2
    assert values_of(scores_of(seen), batch)["unnamed"] > 0.9
    valid = torch.ones_like(truth, dtype=torch.bool)
    valid[:7] = False
    assert values_of(scores_of(seen), batch._replace(valid=valid[None]))["unnamed"] < 0.1


# in a training


class LossAlone(Strategy):
    """Estimates in its loss: every pixel is background."""

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        labels = torch.zeros_like(logits[:, 0], dtype=torch.int64)
        return Loss({"size": logits.square().mean()}, labels)


def fit(
    folder: Path, strategy: Strategy, data: Squares | None = None, steps: int = 6, **more: Any
) -> ImageStatistics:
    """Three steps are an epoch."""
    torch.manual_seed(0)
    statistics = ImageStatistics()
    data = data or Everything()
    callbacks = [Rounds(workers=0, folder=folder / "labels"), statistics]
    ckpt_path = more.pop("ckpt_path", None)
    made = trainer(
        folder,
        steps=steps,
        callbacks=[*callbacks, *more.pop("callbacks", [])],
        plugins=[WholeFiles()],
        limit_val_batches=0,
        **more,
    )
    segmenter = Segmenter(TinyNet(), strategy, data.classes)
    made.fit(segmenter, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return statistics


def test_visits_of_later_epochs_count_more() -> None:
    batch, truth = batch_of()
    segmenter = Segmenter(TinyNet(3), Refine(), CLASSES)
    statistics = ImageStatistics()
    for epoch, found in enumerate([torch.zeros_like(truth), truth]):
        now: Any = SimpleNamespace(
            global_step=epoch,
            current_epoch=epoch,
            _logger_connector=SimpleNamespace(should_update_logs=True),
        )
        outputs = {"scores": scores_of(found, 50.0), "labels": None}
        statistics.on_train_batch_end(now, segmenter, outputs, batch, 0)
    values = statistics.everywhere().visits.values()[batch.ids[0]]
    # half is wrong in the first epoch, nothing is in the second, which counts twice
    assert values["disagreement"] == pytest.approx(0.5 / 3, abs=1e-3)


def test_a_round_forgets_the_targets_of_the_round_before() -> None:
    evidence, truth = Everything().sample(0)
    assert truth is not None
    once, again = ImageStatistics(), ImageStatistics()
    again.add_target(torch.zeros_like(truth), evidence, CLASSES)
    for statistics in (once, again):
        statistics.begin_round()
        statistics.add_target(truth, evidence, CLASSES)
    assert again.signals(CLASSES) == once.signals(CLASSES)


def test_the_queue_has_the_images_that_are_trained_on_now(tmp_path: Path) -> None:
    statistics = ImageStatistics()
    samples = [Everything().sample(index) for index in (0, 1)]
    for evidence, truth in samples:
        assert truth is not None
        statistics.add_target(truth, evidence, CLASSES)
    kept = samples[1][0].id
    queue = write_review(statistics, CLASSES, {kept}, tmp_path)
    assert [suspicion.image for suspicion in queue] == [kept]
    assert samples[0][0].id not in (tmp_path / "review.csv").read_text()


def test_every_training_image_is_measured_and_no_other(tmp_path: Path) -> None:
    signals = fit(tmp_path, Refine()).signals(CLASSES)
    assert set(signals) == {f"disc/{number}" for number in range(12)}
    for own in signals.values():
        assert {name.partition("/")[0] for name in own} >= {*MEANS, "boxes", "colours"}
        assert all(0 <= value <= 1 for value in own.values())
        assert all(name.partition("/")[2] in ("", *CLASSES) for name in own)


def test_a_strategy_without_targets_is_measured_too(tmp_path: Path) -> None:
    signals = fit(tmp_path, LossAlone()).signals(CLASSES)
    assert {name.partition("/")[0] for name in signals["disc/0"]} == set(MEANS)


def test_measuring_changes_no_weight(tmp_path: Path) -> None:
    weights = []
    for callbacks in ([ImageStatistics()], []):
        torch.manual_seed(0)
        made = trainer(
            tmp_path, steps=4, limit_val_batches=0, callbacks=[Rounds(workers=0), *callbacks]
        )
        segmenter = Segmenter(TinyNet(), Refine(), CLASSES)
        made.fit(segmenter, datamodule=Everything())
        weights.append(torch.cat([value.flatten() for value in segmenter.network.parameters()]))
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    "settings",
    [{"accumulate_grad_batches": 2}, {"overfit_batches": 1}, {"precision": "bf16-mixed"}],
    ids=str,
)
def test_with_settings_of_the_trainer(tmp_path: Path, settings: dict[str, Any]) -> None:
    signals = fit(tmp_path, Refine(), **settings).signals(CLASSES)
    measured_in_steps = [own for own in signals.values() if "loss" in own]
    assert len(measured_in_steps) == (4 if "overfit_batches" in settings else 12)


def test_of_crops_what_is_in_them_counts(tmp_path: Path) -> None:
    signals = fit(tmp_path, Refine(), Everything(crop=16), steps=9).signals(CLASSES)
    assert len(signals) == 12
    assert all("loss" in own for own in signals.values())


def test_a_resumed_run_has_measured_the_same(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", Refine(), steps=8)
    folder = tmp_path / "killed"
    with pytest.raises(Killed):
        fit(folder, Refine(), steps=8, callbacks=[Checkpoints(folder, every=1), KillBefore(5)])
    again = fit(folder, Refine(), steps=8, ckpt_path=folder / "last.ckpt")
    assert again.signals(CLASSES) == whole.signals(CLASSES)
    assert torch.equal(
        again.everywhere().visits.state_dict()["rows"],
        whole.everywhere().visits.state_dict()["rows"],
    )
