"""Images that are read once and kept for all processes."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any, Literal

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from tests.small import Everything, Squares, TinyNet, trainer
from weakseg.data import base
from weakseg.data.shared_samples import SharedSamples, packed
from weakseg.evidence import Batch, Evidence
from weakseg.strategies.base import Strategy
from weakseg.training.segmenter import Segmenter

Cache = Literal["auto", "on", "off"]


def same(one: tuple[Evidence, Tensor | None], other: tuple[Evidence, Tensor | None]) -> bool:
    values = zip((*one[0], one[1]), (*other[0], other[1]), strict=True)
    return all(
        torch.equal(a, b) and a.dtype == b.dtype if isinstance(a, Tensor) else a == b
        for a, b in values
    )


def test_a_sample_comes_back_as_it_was() -> None:
    data = Everything()
    samples = SharedSamples(len(data), 10**6)
    assert samples.get(3) is None
    samples.put(3, data.sample(3))
    found = samples.get(3)
    assert found is not None
    assert same(found, data.sample(3))
    found[0].image.zero_()  # it is nobody else's
    again = samples.get(3)
    assert again is not None
    assert same(again, data.sample(3))
    assert len(samples) == 1


def test_what_does_not_fit_is_not_kept() -> None:
    data = Squares()
    samples = SharedSamples(len(data), int(2.5 * len(packed(data.sample(0)))))
    for index in range(4):
        samples.put(index, data.sample(index))
    assert [samples.get(index) is not None for index in range(4)] == [True, True, False, False]


def put(samples: SharedSamples, indices: range) -> None:
    data = Squares()
    for index in indices:
        samples.put(index, data.sample(index))


@pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="memory is not inherited")
def test_forks_find_what_others_have_put() -> None:
    data = Squares()
    samples = SharedSamples(len(data), 10**6)
    both = [
        multiprocessing.Process(target=put, args=(samples, range(first, 12, 1 + first)))
        for first in (0, 1)
    ]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(samples) == 12
    for index in range(12):
        found = samples.get(index)
        assert found is not None
        assert same(found, data.sample(index))


class Counted(Squares):
    """Counts how often each image is read, by any process."""

    def __init__(self, folder: Path, **loading: Any) -> None:
        super().__init__(**loading)
        self.folder = folder

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        with (self.folder / "read.txt").open("a") as file:
            file.write(f"{index}\n")
        return super().sample(index)


class Sized(Strategy):
    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"size": (logits - batch.image[:, :1].float() / 255).square().mean()}


def trained(folder: Path, cache: Cache, workers: int = 0) -> tuple[dict[str, Tensor], int]:
    """The weights after three epochs, and how often images were read."""
    folder.mkdir()
    pl.seed_everything(1, verbose=False)
    data = Counted(folder, workers=workers, cache=cache)
    segmenter = Segmenter(TinyNet(), Sized(), data.classes)
    trainer(folder, 9).fit(segmenter, data)
    assert data._samples is None  # the memory is given back
    return segmenter.state_dict(), len((folder / "read.txt").read_text().split())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_reads_each_image_once_and_learns_the_same(tmp_path: Path, workers: int) -> None:
    weights, often = trained(tmp_path / "off", "off")
    assert often == 3 * (12 + 5)
    for cache in ("auto", "on"):
        others, once = trained(tmp_path / cache, cache, workers)  # type: ignore[arg-type]
        assert once <= 12 + 5 + 4 + workers  # four to see how large they are
        for name, value in weights.items():
            assert torch.equal(value, others[name]), name


def test_auto_leaves_most_of_the_memory_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "free", lambda _: 1000)
    assert trained(tmp_path / "auto", "auto")[1] > 3 * (12 + 5)
    assert trained(tmp_path / "on", "on")[1] < 30
    monkeypatch.setattr(base, "free", lambda _: None)  # nobody says
    assert trained(tmp_path / "unknown", "auto")[1] > 3 * (12 + 5)
