"""Figures of a pass over a data set, against sums over all of its pixels."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.evaluation.fakes import SeesBrightness
from tests.small import NoTruth, Squares
from weakseg.config.recipe import RecipeError
from weakseg.data.base import WeakData
from weakseg.evaluation import measuring
from weakseg.evaluation.dataset import Measured
from weakseg.evaluation.measuring import Measurement
from weakseg.evidence import Evidence, Instances
from weakseg.functional.agreement import overlap
from weakseg.functional.boundaries import count_boundaries

WITHOUT = ("no truth", "all ignored")


class Rimmed(Squares):
    """Discs with a rim of pixels that do not count; one image has no truth, and one only pixels
    that do not count."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        assert truth is not None
        truth[:2] = 255
        kind = dict(enumerate(WITHOUT)).get(index)
        if kind == "all ignored":
            truth[:] = 255
        return evidence, None if kind == "no truth" else truth


class Bare(Squares):
    """Images that nobody has annotated."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, _ = super().sample(index)
        return Evidence(evidence.id, evidence.image), None


def measure(data: WeakData, model: SeesBrightness | None = None, **changes: Any) -> Measurement:
    given = {"indices": list(range(len(data))), "subset": "all", "table": None, "section": {}}
    given["own"] = False
    measurement = Measurement(model or SeesBrightness(), Measured(data, **(given | changes)))
    measurement.run()
    return measurement


def test_figures_are_those_of_all_pixels_together() -> None:
    data = Rimmed(train=8, val=0)
    evaluation = measure(data).evaluation()
    model = SeesBrightness()
    samples = [data.sample(index) for index in range(1, 8)]
    truths = [truth for _, truth in samples if truth is not None]
    probs = [model.probabilities(evidence.image) for evidence, _ in samples]
    labels = [each.argmax(0) for each in probs]
    truth, prediction = torch.stack(truths).flatten(), torch.stack(labels).flatten()
    sure = torch.stack([each.amax(0) for each in probs]).flatten()[truth != 255]
    truth, prediction = truth[truth != 255], prediction[truth != 255]
    figures = evaluation.figures
    for number, name in enumerate(model.classes):
        both = ((truth == number) & (prediction == number)).sum()
        either = ((truth == number) | (prediction == number)).sum()
        assert figures[f"iou/{name}"] == pytest.approx(float(both / either))
        assert figures[f"recall/{name}"] == pytest.approx(float(both / (truth == number).sum()))
        found = float(both / (prediction == number).sum())
        assert figures[f"precision/{name}"] == pytest.approx(found)
    assert figures["miou"] == pytest.approx(sum(figures[f"iou/{n}"] for n in model.classes) / 3)
    assert figures["pixel_accuracy"] == pytest.approx(float((truth == prediction).float().mean()))
    assert figures["confidence"] == pytest.approx(float(sure.mean()))
    # this network is sure in two ways, which are far apart: of discs and of the rest
    gaps = [
        abs(float(sure[chosen].mean() - (truth == prediction)[chosen].float().mean()))
        * float(chosen.float().mean())
        for chosen in (sure > 0.9, sure < 0.9)
    ]
    assert figures["calibration_error"] == pytest.approx(sum(gaps), rel=1e-4)
    pairs = zip(labels, truths, strict=True)
    bands = torch.stack([count_boundaries(*pair, 3) for pair in pairs]).sum(0)
    assert figures["boundary_iou"] == pytest.approx(float(overlap(bands).mean()))
    assert 0 < figures["iou/dark"] < figures["iou/bright"]


def test_images_without_truth_are_left_out_and_counted() -> None:
    evaluation = measure(Rimmed(train=8, val=0)).evaluation()
    assert evaluation.measured_on == "all 8 images of Rimmed, without 1 that have no mask"
    assert [row["name"] for row in evaluation.images] == [f"disc/{index}" for index in range(1, 8)]
    nothing = evaluation.images[0]
    assert math.isnan(nothing["miou"])
    assert math.isnan(nothing["pixel_accuracy"])
    assert 0 not in evaluation.cells[:, 0].tolist()


def test_a_row_per_image_and_per_class() -> None:
    evaluation = measure(Squares(train=4, val=0)).evaluation()
    first = evaluation.images[0]
    assert list(first) == [
        *("name", "number", "width", "height", "miou", "pixel_accuracy", "confidence", "iou")
    ]
    assert (first["width"], first["height"]) == (24, 24)
    assert list(first["iou"]) == ["background", "bright", "dark"]
    rows = evaluation.per_class
    assert [row["class"] for row in rows] == ["background", "bright", "dark"]
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert rows[1]["iou"] == evaluation.figures["iou/bright"]
    assert evaluation.confusion.sum() == 4 * 24 * 24
    right = evaluation.confusion.diagonal().sum() / evaluation.confusion.sum()
    assert evaluation.figures["pixel_accuracy"] == pytest.approx(float(right))


def test_the_order_of_classes_makes_no_difference() -> None:
    data = Squares(train=6, val=0)
    other = SeesBrightness(("background", "dark", "owl", "bright"))
    table = torch.arange(256)
    table[:3] = torch.tensor([0, 3, 1])
    figures = measure(data, other, table=table).evaluation().figures
    same = measure(data).evaluation().figures
    assert math.isnan(figures["iou/owl"])  # in neither truth nor prediction
    # with one class more, it is less sure
    compared = same.keys() - {"confidence", "calibration_error"}
    assert [figures[name] for name in compared] == pytest.approx([same[name] for name in compared])


def test_without_any_truth_the_annotations_measure() -> None:
    measurement = measure(NoTruth(train=6, val=0))
    evaluation = measurement.evaluation()
    names = {"box_extent_iou", "marks_accuracy", "tags_f1"}
    assert names == {name for name in evaluation.figures if "/" not in name}
    assert evaluation.measured_on.endswith("by what is annotated: none of them has a mask")
    assert measurement.score == "box_extent_iou"
    scores = [row["box_extent_iou"] for row in evaluation.images]
    shown = measurement.selection().shown
    assert [scores[place] for place in shown] == sorted(scores)
    assert evaluation.per_class[1]["tags_f1"] == evaluation.figures["tags_f1/bright"]
    assert "tags_f1" not in evaluation.per_class[0]


def test_with_nothing_to_measure_no_image_is_predicted() -> None:
    model = SeesBrightness()
    with pytest.raises(RecipeError, match=r"all 3 images of Bare can measure nothing: .*masks"):
        measure(Bare(train=3, val=0), model)
    assert model.calls == 0


def test_a_network_that_has_diverged_is_named_with_the_image() -> None:
    model = SeesBrightness()

    def no_numbers(images: Tensor) -> Tensor:
        return torch.full((1, 3, *images.shape[2:]), math.nan)

    model.logits = no_numbers  # type: ignore[method-assign]
    with pytest.raises(FloatingPointError, match=r"image disc/0 is not finite: .*net\.onnx"):
        measure(Squares(train=2, val=0), model)


def test_pictures_that_were_not_kept_are_made_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = measure(Squares(train=4, val=0))
    monkeypatch.setattr(measuring, "KEPT", 1)
    model = SeesBrightness()
    measurement = measure(Squares(train=4, val=0), model)
    for place in range(4):
        for one, other in zip(kept.picture(place), measurement.picture(place), strict=True):
            assert one is other is None or torch.equal(one, other)
    assert model.calls == 4 + 3


class FindsDiscs(SeesBrightness):
    """The same discs as objects."""

    finds_objects = True

    def objects(self, image: Tensor) -> Instances:
        labels = self.logits(image[None])[0].argmax(0)
        present = [label for label in (1, 2) if bool((labels == label).any())]
        masks = torch.stack([labels == label for label in present])
        places = [mask.nonzero() for mask in masks]
        boxes = [[*spot.amin(0).flip(0), *(spot.amax(0).flip(0) + 1)] for spot in places]
        return Instances(
            torch.tensor(boxes).float(), torch.tensor(present), masks, torch.ones(len(masks))
        )


class WithObjects(Squares):
    """Bright discs alone, one true object each."""

    def true_instances(self, index: int) -> Instances | None:
        evidence, truth = self.sample(index)
        assert truth is not None
        assert evidence.boxes is not None
        assert evidence.box_classes is not None
        return Instances(evidence.boxes, evidence.box_classes, truth[None] > 0)


def test_objects_are_measured_where_the_network_finds_them() -> None:
    data = WithObjects(train=6, val=0)
    figures = measure(data, FindsDiscs(), indices=[0, 2, 4]).evaluation().figures
    assert figures["mask_ap/bright"] == pytest.approx(1, abs=0.21)
    assert figures["mask_ap50"] == pytest.approx(1)
    assert math.isnan(figures["mask_ap/dark"])
    assert "mask_ap" not in measure(data, indices=[0]).evaluation().figures
