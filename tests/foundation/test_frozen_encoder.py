"""A frozen encoder sees each image once: in this process, in another one, and again after it was
deleted."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from weakseg.foundation.encodings import LIMIT, Encodings
from weakseg.foundation.frozen_encoder import FrozenEncoder, in_batches
from weakseg.foundation.model_files import ModelFiles
from weakseg.utils.array_cache import Arrays
from weakseg.utils.fingerprint import fingerprint

IMAGES = [torch.full((3, 2, 2), number, dtype=torch.uint8) for number in range(5)]


class Mean(FrozenEncoder):
    """Counts what it sees."""

    kinds = ("mean",)
    package = "torch"
    most = 2

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.seen: list[int] = []

    def load(self, files: ModelFiles) -> nn.Module:
        return nn.Linear(1, 1)

    def encode(self, images: Sequence[Tensor]) -> list[Arrays]:
        self.seen.append(len(images))
        means = [image.float().mean().numpy() for image in images]
        return [{"mean": mean.astype(np.float16), "count": np.array(4)} for mean in means]


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mean:
    monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(LIMIT)
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "mean"}))
    (model / "model.safetensors").write_bytes(b"weights")
    return Mean(str(model))


def test_each_image_is_seen_once(encoder: Mean) -> None:
    encoder.encode_ahead(IMAGES[:3])
    assert encoder.seen == [2, 1]
    for number, image in enumerate(IMAGES):
        encoding = encoder.encoding(image)
        assert encoding["mean"].dtype == torch.float32
        assert encoding["mean"].item() == number
        assert encoding["count"].item() == 4
    assert encoder.seen == [2, 1, 1, 1]
    other = Mean(encoder.model)
    other.encode_ahead(IMAGES)
    assert other.seen == []


def test_other_weights_see_them_anew(encoder: Mean) -> None:
    encoder.encode_ahead(IMAGES)
    before = fingerprint(encoder)
    (Path(encoder.model) / "model.safetensors").write_bytes(b"other weights")
    other = Mean(encoder.model)
    assert fingerprint(other) != before
    other.encode_ahead(IMAGES)
    assert sum(other.seen) == len(IMAGES)


def test_other_code_sees_them_anew(encoder: Mean, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder.encode_ahead(IMAGES[:1])
    edited = "weakseg.foundation.frozen_encoder.code_fingerprint"
    monkeypatch.setattr(edited, lambda *modules: f"edited {len(modules) > 1}")
    other = Mean(encoder.model)
    other.encode_ahead(IMAGES[:1])
    assert other.seen == [1]


def test_where_a_model_lies_does_not_count(encoder: Mean, tmp_path: Path) -> None:
    before = fingerprint(encoder)
    (tmp_path / "model").rename(tmp_path / "moved")
    assert fingerprint(Mean(str(tmp_path / "moved"))) == before


def test_a_copy_is_without_the_model_and_without_the_gpu(encoder: Mean) -> None:
    encoder.use(torch.device("meta"))
    assert next(encoder.module.parameters()).device.type == "meta"
    copy = pickle.loads(pickle.dumps(encoder))
    assert "module" not in vars(copy)
    assert copy.device.type == "cpu"
    assert next(copy.module.parameters()).device.type == "cpu"
    assert not next(copy.module.parameters()).requires_grad
    assert not copy.module.training


def test_that_weights_fit_is_looked_at_once(encoder: Mean, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def load(self: Mean, files: ModelFiles) -> nn.Module:
        loaded.append(files.version)
        return nn.Linear(1, 1)

    monkeypatch.setattr(Mean, "load", load)
    encoder.check()
    Mean(encoder.model).check()
    assert len(loaded) == 1
    (Path(encoder.model) / "model.safetensors").write_bytes(b"other weights")
    Mean(encoder.model).check()
    assert len(loaded) == 2


def test_weights_that_are_no_numbers(encoder: Mean, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = nn.Linear(1, 1)
    nn.init.constant_(broken.bias, float("nan"))
    monkeypatch.setattr(Mean, "load", lambda self, files: broken)
    for _ in range(2):  # nothing is kept of a model that fails
        with pytest.raises(ValueError, match="should have finite weights, but some of bias are"):
            encoder.check()


def test_a_gpu_that_is_too_small() -> None:
    tried: list[int] = []

    def work(items: Sequence[int], fits: int = 3) -> list[int]:
        tried.append(len(items))
        if len(items) > fits:
            raise torch.OutOfMemoryError
        return [item**2 for item in items]

    with pytest.warns(UserWarning, match="not enough memory for 8 images at once; going on with 4"):
        assert in_batches(work, range(10), 8) == [number**2 for number in range(10)]
    assert tried == [8, 4, 2, 2, 2, 2, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(torch.OutOfMemoryError, match="not enough memory for a single image"):
            in_batches(lambda items: work(items, 0), range(4), 4)


# what is kept -------------------------------------------------------------------------------------


def arrays(number: int) -> Arrays:
    return {"values": np.full(25_000, number, np.float16)}


def test_those_that_were_used_last_stay(tmp_path: Path) -> None:
    kept = Encodings(tmp_path, limit=1_000_000)
    for number in range(12):
        kept.put(number, arrays(number))
        for each in range(number + 1):  # a file's time has some resolution
            if each in kept:
                os.utime(kept._files.file(each), (each, each))
        kept.get(0)  # is used all the time
    for number in range(12, 30):
        kept.put(number, arrays(number))
        kept.get(0)
    taken = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert 500_000 < taken <= 1_100_000
    assert 0 in kept
    assert 29 in kept
    assert 1 not in kept
    found = kept.get(29)
    assert found is not None
    assert (found["values"] == 29).all()


def test_none_are_kept_where_nobody_wants_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT, "0")
    kept = Encodings(tmp_path)
    assert (kept.get_or_make(1, lambda: arrays(1))["values"] == 1).all()
    assert 1 not in kept
    assert not list(tmp_path.iterdir())
    for wrong in ("many", "-1", "inf", "nan"):
        monkeypatch.setenv(LIMIT, wrong)
        with pytest.raises(ValueError, match="should be a number of gigabytes"):
            Encodings(tmp_path)


def test_one_that_is_larger_than_the_limit_is_not_kept(tmp_path: Path) -> None:
    kept = Encodings(tmp_path, limit=10_000)
    assert (kept.put(1, arrays(1))["values"] == 1).all()
    assert 1 not in kept


def test_a_full_disk_is_no_reason_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Encodings(tmp_path, limit=10**9)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("weakseg.utils.array_cache.write_whole", full)
    with pytest.warns(UserWarning, match="no longer kept in .*: No space left on device"):
        kept.put(1, arrays(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (kept.get_or_make(2, lambda: arrays(2))["values"] == 2).all()


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    kept = Encodings(tmp_path, limit=10**9)
    kept.put(1, arrays(1))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    assert (kept.get_or_make(1, lambda: arrays(7))["values"] == 7).all()
