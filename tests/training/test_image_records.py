"""What one start has found out is not found out again by the next one; whatever has changed is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.loggers.logger import DummyLogger
from torch import Tensor

from tests.data.layouts import photo, text, voc_xml
from tests.small import TinyNet, trainer
from weakseg.data.files.folder import Folder
from weakseg.data.label_store import Stamp
from weakseg.evidence import Evidence
from weakseg.strategies.base import Context, Estimate, Strategy
from weakseg.training.estimation import EstimationError
from weakseg.training.image_statistics import ImageStatistics
from weakseg.training.image_work import Measured
from weakseg.training.label_quality import ImageQuality
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter
from weakseg.training.target_figures import TargetFigures
from weakseg.training.target_keys import TargetKeys

Seen = tuple[list[str], list[str], dict[str, float], dict[str, Any]]


class Filled(Strategy):
    """Fills the boxes, and returns a figure of each."""

    needs = ("boxes",)

    def estimate(self, evidence: Evidence, context: Context) -> Estimate:
        assert evidence.boxes is not None
        labels = torch.zeros(evidence.image.shape[1:], dtype=torch.uint8)
        for x1, y1, x2, y2 in evidence.boxes.int().tolist():
            labels[y1:y2, x1:x2] = 1
        return Estimate(labels, {"filled": float((labels > 0).float().mean())})


class Rows(DummyLogger):
    """Keeps the figures of rounds."""

    def __init__(self) -> None:
        super().__init__()
        self.figures: dict[str, float] = {}

    def log_metrics(self, metrics: Any, step: Any = None) -> None:
        if "round" in metrics:
            self.figures = dict(metrics)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for number in range(8):
        photo(root / "images" / f"{number}.png", number)
        text(root / "annotations" / f"{number}.xml", voc_xml("cat", (1, 1, 4 + number % 3, 5)))
    return root


def start(
    root: Path, monkeypatch: pytest.MonkeyPatch, rounds: Rounds | None = None, **chosen: Any
) -> Seen:
    """Train a step; which images are read before it, which targets are estimated, and what is
    logged and known of each image."""
    torch.manual_seed(0)
    # a cache would look at a few images, to find out how large they are
    loading: dict[str, Any] = {"batch_size": 2, "flip": False, "cache": "off", **chosen}
    data = Folder(root, "voc_xml", val_share=0.25, **loading)
    read: list[str] = []
    estimated: list[str] = []
    sample, estimate = Folder.sample, Filled.estimate
    begun = False

    def reading(self: Folder, index: int) -> tuple[Evidence, Tensor | None]:
        if not begun:
            read.append(data.id_of(index))
        return sample(self, index)

    def estimating(self: Filled, evidence: Evidence, context: Context) -> Estimate:
        estimated.append(evidence.id)
        return estimate(self, evidence, context)

    def ready(*_: Any) -> None:
        nonlocal begun
        begun = True

    monkeypatch.setattr(Folder, "sample", reading)
    monkeypatch.setattr(Filled, "estimate", estimating)
    rows, statistics, rounds = Rows(), ImageStatistics(), rounds or Rounds(workers=0)
    segmenter = Segmenter(TinyNet(2), Filled(), data.classes)
    segmenter.initial_weights = "random"  # else a probe looks at some images
    monkeypatch.setattr(segmenter, "on_train_start", ready)
    trainer(root.parent, 1, callbacks=[rounds, statistics], logger=rows).fit(
        segmenter, datamodule=data
    )
    monkeypatch.setattr(Folder, "sample", sample)
    monkeypatch.setattr(Filled, "estimate", estimate)
    return sorted(read), sorted(estimated), rows.figures, statistics.signals(data.classes)


NAMES = [f"{number}.png" for number in range(8)]


def test_a_second_start_reads_and_estimates_nothing_and_knows_the_same(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(photographs, monkeypatch)
    second = start(photographs, monkeypatch)
    assert set(first[0]) == set(NAMES)
    assert len(first[1]) == 6
    assert second[:2] == ([], [])
    assert second[2:] == first[2:]
    assert first[2]["estimate/filled"] > 0
    assert "label/coverage" in first[2]


def test_a_changed_photo_is_read_again_and_labelled_anew(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained_on = start(photographs, monkeypatch)[1]
    name = trained_on[2]
    photo(photographs / "images" / name, 99)
    read, estimated, *_ = start(photographs, monkeypatch)
    assert set(read) == {name}
    assert estimated == [name]


def test_a_changed_annotation_is_read_again(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = start(photographs, monkeypatch)[1][0]
    file = (photographs / "annotations" / name).with_suffix(".xml")
    text(file, voc_xml("cat", (0, 0, 7, 7)))
    read, estimated, *_ = start(photographs, monkeypatch)
    assert set(read) == {name}
    assert estimated == [name]


def test_an_image_that_has_become_wrong_is_refused_though_it_was_right(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = start(photographs, monkeypatch)[1][0]
    (photographs / "images" / name).write_bytes(b"no image")
    with pytest.raises(RuntimeError, match=name):
        start(photographs, monkeypatch)


def test_an_image_that_is_broken_is_named_whoever_looks_at_it_first(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        (photographs / "images" / name).write_bytes(b"no image")
    with pytest.raises(EstimationError, match=r"(?s)on 8 images:.*0\.png: the image"):
        start(photographs, monkeypatch, cache="on")


def test_what_is_known_of_a_target_counts_once() -> None:
    figures = TargetFigures(["background", "cat"], TargetKeys([(3, "00" * 16), (5, "ff" * 16)]))
    stamp = Stamp(".png", 1, 1)
    mostly = Measured(ImageQuality((6, 5, 0, 0, 0), [(0, 3), (1, 2)], [], []), {}, {}, stamp)
    hardly = Measured(ImageQuality((6, 1, 0, 0, 0), [(1, 1)], [], []), {}, {"sure": 0.25}, stamp)
    assert figures.open() == [3, 5]
    for _ in range(2):
        figures.add(5, "b", mostly)
    assert figures.open() == [3]
    figures.add(3, "a", hardly)
    found = figures.figures()
    assert found["label/coverage"] == 6 / 12
    assert found["label/share/cat"] == 3 / 6
    assert found["estimate/sure"] == 0.25


Harm = Callable[[Path], object]


@pytest.mark.parametrize(
    "harm",
    [Path.unlink, lambda file: file.write_bytes(b"no target")],
    ids=["removed", "damaged"],
)
def test_a_lost_target_is_made_again(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, harm: Harm
) -> None:
    first = start(photographs, monkeypatch)
    file = sorted((photographs.parent / "labels").glob("??/*.png"))[0]
    whole = file.read_bytes()
    harm(file)
    second = start(photographs, monkeypatch)
    assert len(second[1]) == 1
    assert file.read_bytes() == whole
    assert second[2:] == first[2:]


def test_an_untouched_target_is_only_measured_anew_when_its_file_was_touched(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(photographs, monkeypatch)
    file = sorted((photographs.parent / "labels").glob("??/*.png"))[0]
    os.utime(file, (1, 1))
    read, estimated, *known = start(photographs, monkeypatch)
    assert len(set(read)) == 1
    assert estimated == []
    assert tuple(known) == first[2:]


def test_without_records_everything_is_found_again(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(photographs, monkeypatch)
    shutil.rmtree(photographs.parent / "labels" / "index")
    read, estimated, *known = start(photographs, monkeypatch)
    assert set(read) == set(NAMES)
    assert estimated == []  # the targets are there
    assert tuple(known) == first[2:]


def test_other_ways_to_read_find_nothing(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(photographs, monkeypatch)
    read, estimated, *_ = start(photographs, monkeypatch, long_side=6)
    assert set(read) == set(NAMES)
    assert len(estimated) == 6


def test_later_rounds_are_made_anew(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        rounds = Rounds(when="epochs", count=2, workers=0)
        torch.manual_seed(0)
        data = Folder(photographs, "voc_xml", val_share=0.25, batch_size=2)
        rows = Rows()
        segmenter = Segmenter(TinyNet(2), Filled(), data.classes)
        trainer(photographs.parent, 6, callbacks=[rounds], logger=rows).fit(
            segmenter, datamodule=data
        )
        assert rounds.round == 1
        assert rows.figures["label/churn"] == 0


@pytest.mark.slow
def test_workers_find_what_one_process_finds(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weakseg.training.evidence_check.POOL_PAYS_TO_READ", 1)
    monkeypatch.setattr("weakseg.training.estimation.POOL_PAYS", 1)
    alone = start(photographs, monkeypatch)
    other = photographs.parent / "other"
    other.mkdir()
    photographs.rename(other / "photos")
    together = start(other / "photos", monkeypatch, Rounds(workers=2))
    assert together[2:] == alone[2:]
    labels = [
        {file.name: file.read_bytes() for file in (folder / "labels").glob("??/*.png")}
        for folder in (photographs.parent, other)
    ]
    assert labels[0] == labels[1]
    assert start(other / "photos", monkeypatch)[:2] == ([], [])
