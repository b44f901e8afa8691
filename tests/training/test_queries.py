"""Predictions that a round asks the network for: ahead, and several images at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.small import Refine, Squares, TinyNet, trainer
from weakseg.evidence import Evidence
from weakseg.strategies.base import Wants
from weakseg.training import queries
from weakseg.training.image_work import Job
from weakseg.training.queries import batch_size, predict_together, queried_jobs
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter
from weakseg.utils.array_cache import ArrayCache

Images = list[Tensor]


@pytest.fixture
def segmenter() -> Segmenter:
    torch.manual_seed(3)
    strategy = Refine()
    strategy.wants = Wants(features=True, intermediate=64)
    return Segmenter(TinyNet(), strategy, Squares.classes)


@pytest.fixture
def images() -> Images:
    data = Squares(9, 0)
    return [data.sample(number)[0].image for number in range(9)]


def test_images_are_seen_one_by_one_on_a_cpu_and_several_at_once_elsewhere() -> None:
    photo = torch.zeros(3, 375, 500)
    assert batch_size(photo, accelerator=False) == 1
    assert batch_size(photo, accelerator=True) == 8
    assert batch_size(torch.zeros(3, 3000, 4000), accelerator=True) == 1
    assert batch_size(torch.zeros(3, 1000, 1000), accelerator=True) == 2


def test_several_images_at_once_have_the_predictions_of_single_ones(
    segmenter: Segmenter, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [segmenter.predict(image, plain=True) for image in images[:3]]
    monkeypatch.setattr(queries, "batch_size", lambda image, accelerator: 4)
    segmenter.train()
    together = predict_together(segmenter, images[:3])
    assert segmenter.training
    assert len(together) == 3
    for one, other in zip(alone, together, strict=True):
        assert other.probs.shape == (3, 24, 24)
        torch.testing.assert_close(other.probs, one.probs, rtol=0, atol=1e-6)
        torch.testing.assert_close(other.features, one.features, rtol=0, atol=1e-5)
        torch.testing.assert_close(other.intermediate, one.intermediate, rtol=0, atol=1e-5)


def test_a_prediction_does_not_depend_on_the_other_images(
    segmenter: Segmenter, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "batch_size", lambda image, accelerator: 4)
    whole = predict_together(segmenter, images[:4])[2]
    apart = predict_together(segmenter, [images[7], images[2]])[1]
    assert torch.equal(whole.probs, apart.probs)


def test_the_network_sees_as_many_images_each_time(
    segmenter: Segmenter, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "batch_size", lambda image, accelerator: 4)
    seen: list[int] = []
    segmenter.network.encoder.register_forward_hook(  # type: ignore[union-attr, operator]
        lambda module, inputs, output: seen.append(len(inputs[0]))
    )
    segmenter.strategy.wants = Wants()
    for count in (1, 3, 4):
        assert len(predict_together(segmenter, images[:count])) == count
    assert seen == [4, 4, 4]


def test_larger_images_are_shrunk_as_for_a_single_one(
    segmenter: Segmenter, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter.long_side = 12
    alone = segmenter.predict(images[0], plain=True).probs
    monkeypatch.setattr(queries, "batch_size", lambda image, accelerator: 2)
    found = predict_together(segmenter, images[:1])[0].probs
    torch.testing.assert_close(found, alone, rtol=0, atol=1e-6)


def test_a_network_that_has_diverged_is_named(
    segmenter: Segmenter, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "batch_size", lambda image, accelerator: 2)
    torch.nn.init.constant_(segmenter.network.head.weight, torch.nan)  # type: ignore[union-attr, arg-type]
    with pytest.raises(FloatingPointError, match=r"lower optimizer\.lr"):
        predict_together(segmenter, images[:2])


class TwoSizes(Squares):
    """Every third image is of another size."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        if index % 3:
            return evidence, truth
        assert truth is not None
        return evidence._replace(image=evidence.image[:, :20].clone()), truth[:20].clone()


def test_images_of_two_sizes_each_get_their_own_prediction(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "batch_size", lambda image, accelerator: 4)
    data = TwoSizes(11, 0)
    jobs = (Job(number, f"{number:032x}") for number in range(11))
    found = list(queried_jobs(data, jobs, segmenter, "", ArrayCache()))
    assert sorted(job.number for job in found) == list(range(11))
    for job in found:
        assert job.evidence is not None
        assert job.prediction is not None
        assert job.key == f"{job.number:032x}"
        alone = segmenter.predict(data.sample(job.number)[0].image, plain=True)
        torch.testing.assert_close(job.prediction.probs, alone.probs, rtol=0, atol=1e-6)


def test_few_images_wait_for_others_of_their_size(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "batch_size", lambda image, accelerator: 50)
    monkeypatch.setattr(queries, "MOST_HELD", 4)
    taken = 0

    def jobs() -> Iterator[Job]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield Job(number)

    next(queried_jobs(TwoSizes(100, 0), jobs(), segmenter, "", ArrayCache()))
    assert taken <= 4 + queries.AHEAD + 1


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_rounds_with_batches_learn_what_rounds_of_single_images_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr("weakseg.training.estimation.POOL_PAYS", 1)
    kept: list[dict[str, bytes]] = []
    for together in (1, 5):
        monkeypatch.setattr(queries, "batch_size", lambda image, accelerator, n=together: n)
        torch.manual_seed(0)
        data = TwoSizes()
        segmenter = Segmenter(TinyNet(dropout=0), Refine(), data.classes)
        folder = tmp_path / str(together)
        rounds: Any = Rounds(when="epochs", count=2, workers=workers, folder=folder)
        trainer(tmp_path, 6, callbacks=[rounds]).fit(segmenter, datamodule=data)
        files = sorted(folder.glob("??/*.png"))
        assert len(files) == 24
        kept.append({file.name: file.read_bytes() for file in files})
    # labels, which the last digits of probabilities do not change here
    assert kept[0] == kept[1]
