"""Average precision of objects, and a training of Mask R-CNN from words to tables."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from weakseg.data.toy.dataset import Toy
from weakseg.evidence import Batch, Evidence, Instances
from weakseg.fit import main
from weakseg.networks.maskrcnn import MaskRCNN
from weakseg.run import load
from weakseg.strategies import BoxesCRF, BoxesInstances
from weakseg.training import average_precision as module
from weakseg.training.average_precision import AveragePrecision, Precision, detect
from weakseg.training.segmenter import Segmenter

CLASSES = ("background", "cat", "dog", "owl")
SMALL = [
    "data.train=4",
    "data.val=2",
    "data.size=48",
    "data.batch_size=2",
    "rounds.workers=0",
    "trainer.enable_progress_bar=false",
]
TINY = [
    "network.width=0.0625",
    "network.proposals=10",
    "network.samples=8",
    "trainer.max_steps=2",
    "trainer.log_every_n_steps=1",
]


def objects(
    *columns: tuple[int, int], labels: list[int], scores: list[float] | None = None
) -> Instances:
    """Rectangles 10 pixels high on an image of 10 x 100, from one column to another."""
    masks = torch.zeros(len(columns), 10, 100, dtype=torch.bool)
    for mask, (first, end) in zip(masks, columns, strict=True):
        mask[:, first:end] = True
    boxes = torch.tensor([[first, 0.0, end, 10.0] for first, end in columns]).reshape(-1, 4)
    return Instances(
        boxes,
        torch.tensor(labels, dtype=torch.int64),
        masks,
        None if scores is None else torch.tensor(scores),
    )


def test_what_is_found_perfectly_has_an_average_precision_of_one() -> None:
    precision = Precision()
    for index in range(4):
        truth = Toy(train=4, val=0, size=48).true_instances(index)
        precision.add(truth._replace(scores=torch.rand(len(truth.boxes))), truth)
    figures = precision.figures(Toy.classes)
    measured = {name: value for name, value in figures.items() if not math.isnan(value)}
    assert {"mask_ap", "mask_ap50", "mask_ap75", "box_ap", "box_ap50", "box_ap75"} <= set(measured)
    assert set(measured.values()) == {1.0}


def test_a_mask_counts_at_the_thresholds_below_its_overlap() -> None:
    precision = Precision()
    truth = objects((0, 40), (60, 100), labels=[1, 2])
    precision.add(objects((0, 29), (60, 100), labels=[1, 2], scores=[0.9, 0.8]), truth)
    figures = precision.figures(CLASSES)
    # the cat's IoU is 29/40 = .725: it counts at .5, .55, .6, .65 and .7, five of the ten
    # thresholds
    assert figures["mask_ap/cat"] == pytest.approx(0.5, abs=1e-6)
    assert figures["mask_ap/dog"] == pytest.approx(1)
    assert figures["mask_ap"] == pytest.approx(0.75)
    assert (figures["mask_ap50"], figures["mask_ap75"]) == (pytest.approx(1), pytest.approx(0.5))
    assert math.isnan(figures["mask_ap/owl"])


def test_masks_and_boxes_are_measured_apart() -> None:
    truth = objects((0, 40), labels=[1])
    precision = Precision()
    precision.add(truth._replace(masks=~truth.masks), truth)
    figures = precision.figures(CLASSES)
    assert (figures["mask_ap"], figures["box_ap"]) == (pytest.approx(0), pytest.approx(1))


def test_without_any_true_object_nothing_is_measured() -> None:
    precision = Precision()
    assert precision.figures(CLASSES) == {}
    precision.add(objects(labels=[]), objects(labels=[]))
    assert all(math.isnan(value) for value in precision.figures(CLASSES).values())


def test_ranks_count_as_if_they_were_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def images() -> list[tuple[Instances, Instances]]:
        found = [((0, 29), 0.9), ((10, 38), 0.7), ((50, 90), 0.8)]
        return [
            (objects(place, labels=[1], scores=[score]), objects((0, 40), labels=[1]))
            for place, score in found
        ]

    whole, first, second = Precision(), Precision(), Precision()
    for number, (found, truth) in enumerate(images()):
        whole.add(found, truth)
        (first if number else second).add(found, truth)
    wanted = whole.figures(CLASSES)
    monkeypatch.setattr(
        module, "gather", lambda state: [first.metric.metric_state, second.metric.metric_state]
    )
    for rank in (first, second):
        assert rank.figures(CLASSES) == pytest.approx(wanted, nan_ok=True)
    assert 0 < wanted["mask_ap"] < 1


def test_a_missing_package_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'weakseg\[instances\]'"):
        Precision()


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> Path:
    monkeypatch.chdir(tmp_path)
    return main(["recipe=boxes_instances", *SMALL, *TINY, *words])


def column(folder: Path, name: str) -> list[float]:
    with (folder / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def test_the_recipe_trains_and_tells_of_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(tmp_path, monkeypatch)
    for term in ("class", "box", "mask", "proposal_objectness", "proposal_box", "total"):
        assert len(column(folder, f"loss/{term}")) == 2, term
    assert len(column(folder, "label/mask_ap")) == 1
    assert 0.3 < column(folder, "label/mask_ap")[0] < 1
    assert all(
        len(column(folder, name)) == 1
        for name in ("val/mask_ap", "val/mask_ap50", "val/box_ap", "val/miou")
    )
    printed = capsys.readouterr().out
    assert "average precision (AP) of objects" in printed
    assert "target masks" in printed
    page = (folder / "report.html").read_text()
    assert "average precision of objects" in page
    assert "mask AP of the targets" in page
    segmenter = load(folder)
    found = detect(segmenter, torch.zeros(3, 30, 40, dtype=torch.uint8))
    assert found.masks.shape == (len(found.boxes), 30, 40)
    assert found.masks.dtype == torch.bool


def test_drawn_masks_are_the_upper_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run(tmp_path, monkeypatch, "strategy.masks=drawn", "data.evidence=instances")
    assert column(folder, "label/mask_ap") == [1.0]
    assert column(folder, "label/miou") == [1.0]


def test_true_objects_are_nowhere_in_what_a_strategy_gets() -> None:
    data = Toy(train=2, val=0, size=48)
    evidence, _ = data.sample(0)
    assert evidence.box_masks is None
    data.seed = 0
    assert data.training_item(0, 0).evidence.box_masks is None
    assert "truth" not in " ".join((*Evidence._fields, *Batch._fields))


def test_a_strategy_without_masks_is_told_before_anything_long_begins() -> None:
    network: Any = MaskRCNN(5, "resnet18", width=1 / 16)
    with pytest.raises(
        TypeError,
        match=(
            r"MaskRCNN learns from a mask for each box, but BoxesCRF makes "
            r"none.*strategy=boxes_instances"
        ),
    ):
        Segmenter(network, BoxesCRF(), Toy.classes)
    Segmenter(network, BoxesInstances(), Toy.classes)


def test_other_networks_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)  # they do not need the package
    monkeypatch.chdir(tmp_path)
    folder = main(
        [
            "recipe=boxes_instances",
            "network=tests.small.TinyNet",
            "network.classes=5",
            *SMALL,
            "trainer.max_steps=1",
        ]
    )
    assert column(folder, "val/mask_ap") == []
    assert len(column(folder, "val/miou")) == 1


def test_a_resumed_run_does_not_measure_the_masks_again() -> None:
    first, second = AveragePrecision(), AveragePrecision()
    first._round = 3
    second.load_state_dict(first.state_dict())
    assert second._round == 3
