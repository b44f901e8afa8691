"""Masks from prompts: a model that answers with the truth gives the truth, and one that is not sure
is not believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.foundation import colour_sam
from tests.foundation.colour_sam import ColourSam, drawn_picture, stub_folder
from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.confusion import confusion_matrix, mean_iou
from weakseg.functional.crf import DenseCRF
from weakseg.strategies.base import Context, Strategy
from weakseg.strategies.boxes_instances import BoxesInstances
from weakseg.strategies.mixed import Mixed
from weakseg.strategies.prompted_masks import PromptedMasks
from weakseg.training.targets import target_of

SIZES = [(61, 97), (120, 45), (33, 80)]
every_size = pytest.mark.parametrize("size", SIZES, ids=str)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(stub_folder(tmp_path / "model"))


def prompted(model: str, **options: Any) -> PromptedMasks:
    strategy = PromptedMasks(model, **options)
    strategy.encoder = ColourSam(model)
    return strategy


def labels_of(strategy: Strategy, evidence: Evidence) -> Tensor:
    return target_of(strategy, evidence, Context(), 4).labels


def figures_of(strategy: Strategy, evidence: Evidence) -> dict[str, float]:
    return target_of(strategy, evidence, Context(), 4).figures


def miou(labels: Tensor, truth: Tensor) -> float:
    return float(mean_iou(confusion_matrix(labels, truth, 4)))


def of_boxes(evidence: Evidence) -> Evidence:
    return evidence._replace(marks=None)


def of_marks(evidence: Evidence) -> Evidence:
    return evidence._replace(boxes=None, box_classes=None)


def scribbled(evidence: Evidence, truth: Tensor) -> Evidence:
    """A line through the rows of each click, as far as its object goes."""
    assert evidence.marks is not None
    marks = evidence.marks.clone()
    for y, x in (marks != IGNORE).nonzero().tolist():
        same = (evidence.image[:, y] == evidence.image[:, y, x][:, None]).all(0)
        left, right = x, x
        while left > 1 and same[left - 2]:
            left -= 1
        while right < len(same) - 2 and same[right + 2]:
            right += 1
        marks[y, left : right + 1] = marks[y, x]
    assert (truth[marks != IGNORE] == marks[marks != IGNORE]).all()
    return evidence._replace(marks=marks, boxes=None, box_classes=None)


@every_size
@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_a_model_that_answers_with_the_truth(
    tmp_path: Path, size: tuple[int, int], kind: str
) -> None:
    model = str(stub_folder(tmp_path, kind))
    evidence, truth = drawn_picture(*size, seed=3)
    strategy = prompted(model)
    for told in (of_boxes(evidence), of_marks(evidence), scribbled(evidence, truth), evidence):
        assert miou(labels_of(strategy, told), truth) >= 0.98
        assert figures_of(strategy, told) == {"objects": 4, "unsure": 0}
    # a dense CRF that hardly does anything leaves it as it is
    gentle = DenseCRF(iterations=1, smooth_weight=0.01, bilateral_weight=0.01)
    assert miou(labels_of(prompted(model, crf=gentle), of_boxes(evidence)), truth) >= 0.98


@every_size
def test_boxes_instances_and_mixed_have_the_same_masks(model: str, size: tuple[int, int]) -> None:
    evidence, truth = drawn_picture(*size, seed=4)
    assert evidence.box_classes is not None
    single = BoxesInstances(masks="sam", model=model)
    single.encoder = ColourSam(model)
    masks = labels_of(single, of_boxes(evidence))
    assert masks.dtype == torch.bool
    for mask, label in zip(masks, evidence.box_classes, strict=True):
        assert (truth[mask] == label).float().mean() > 0.9
    mixed = Mixed(boxes="sam", marks="sam", model=model)
    assert mixed.wants.encoder is not None
    assert isinstance(mixed.boxes, PromptedMasks)
    assert mixed.boxes is mixed.by_marks
    mixed.boxes.encoder = ColourSam(model)
    for told in (of_boxes(evidence), of_marks(evidence)):
        assert torch.equal(labels_of(mixed, told), labels_of(prompted(model), told))
    masked = evidence._replace(marks=truth)
    assert torch.equal(labels_of(mixed, masked), truth)
    tagged = of_marks(evidence)._replace(marks=None, tags=torch.tensor([True, True, False, False]))
    assert (labels_of(mixed, tagged) == IGNORE).all()
    with pytest.raises(ValueError, match="but boxes is sam, which has masks instead; leave one"):
        Mixed(boxes="sam", together=True)
    with pytest.raises(ValueError, match="features and sam are two models that see each image"):
        Mixed(marks="sam", together=True, features=model)


def test_a_box_without_a_mask_is_its_own_mask(model: str) -> None:
    """The middle of a box is what the stub looks for, and there is nothing in a box of no size."""
    evidence, _ = drawn_picture(60, 90, seed=1)
    thin = evidence._replace(
        marks=None,
        boxes=torch.tensor([[40.0, 20, 40.1, 20.1]]),
        box_classes=torch.tensor([2]),
    )
    single = BoxesInstances(masks="sam", model=model)
    single.encoder = ColourSam(model)
    masks = labels_of(single, thin)
    assert masks.sum() == 1
    assert masks[0, 20, 40]
    labels = labels_of(prompted(model), thin)
    assert labels[20, 40] == IGNORE
    assert (labels == 0).sum() == labels.numel() - 1


def test_what_the_model_is_not_sure_of_is_ignored(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence, truth = drawn_picture(61, 97, seed=3)
    whole = colour_sam.ColourModel.forward

    def unsure_of_the_first(self: Any, *arguments: Any, **more: Any) -> Any:
        found = whole(self, *arguments, **more)
        scores = found.iou_scores.clone()
        scores[:, 0] *= 0.7
        found.iou_scores = scores
        return found

    monkeypatch.setattr(colour_sam.ColourModel, "forward", unsure_of_the_first)
    for told in (of_boxes(evidence), of_marks(evidence)):
        sure, doubted = prompted(model, least=0.5), prompted(model, least=0.75)
        assert miou(labels_of(sure, told), truth) >= 0.98
        labels = labels_of(doubted, told)
        assert figures_of(doubted, told) == {"objects": 4, "unsure": 1}
        known = labels != IGNORE
        assert 0.2 < known.float().mean() < 0.95
        assert miou(labels[known], truth[known]) >= 0.95
    # marks stay, whatever the model says
    assert evidence.marks is not None
    marked = evidence.marks != IGNORE
    labels = labels_of(prompted(model, least=1.0), evidence)
    assert torch.equal(labels[marked], evidence.marks[marked])


def test_what_no_object_covers(model: str) -> None:
    evidence, truth = drawn_picture(61, 97, seed=3)
    told = of_marks(evidence)
    labels = labels_of(prompted(model, outside="ignored"), told)
    assert set(labels[truth == 0].tolist()) == {0, IGNORE}  # the click on it
    assert (labels == 0).sum() < 20
    # beside boxes, which are complete, it is background
    labels = labels_of(prompted(model, outside="ignored"), of_boxes(evidence))
    assert miou(labels, truth) >= 0.98


def test_an_object_cannot_be_as_large_as_that(model: str) -> None:
    evidence, truth = drawn_picture(61, 97, seed=3)
    told = of_marks(evidence)
    share = float((truth == 1).float().mean())
    assert share > 0.3
    labels = labels_of(prompted(model, largest=0.25), told)
    assert (labels[truth == 1] == IGNORE).float().mean() > 0.8
    # all three of the stub's: everything is its best by its score
    labels = labels_of(prompted(model, largest=1.0), told)
    assert (labels == 0).sum() < 20


def test_images_without_objects(model: str) -> None:
    evidence, truth = drawn_picture(20, 31, seed=3)
    bare = evidence._replace(
        marks=None, boxes=torch.zeros(0, 4), box_classes=torch.zeros(0, dtype=torch.int64)
    )
    assert (labels_of(prompted(model), bare) == 0).all()
    single = BoxesInstances(masks="sam", model=model)
    single.encoder = ColourSam(model)
    assert labels_of(single, bare).shape == (0, 20, 31)
    marks = torch.full_like(truth, IGNORE)
    marks[3, 4:9] = 0
    background = evidence._replace(marks=marks, boxes=None, box_classes=None)
    assert (labels_of(prompted(model), background) == 0).all()
    only = labels_of(prompted(model, outside="ignored"), background)
    assert torch.equal(only, marks)


def test_a_mask_is_kept(model: str) -> None:
    evidence, truth = drawn_picture(20, 31, seed=3)
    rim = truth.clone()
    rim[0] = IGNORE
    for told in (evidence, of_marks(evidence)):
        kept = labels_of(prompted(model), told._replace(marks=rim))
        assert torch.equal(kept, rim)
        assert kept.data_ptr() != rim.data_ptr()


def test_nothing_to_show(model: str) -> None:
    evidence, truth = drawn_picture(20, 31, seed=3)
    tags = torch.ones(4, dtype=torch.bool)
    for marks in (None, torch.full_like(truth, IGNORE)):
        bare = of_marks(evidence)._replace(marks=marks, tags=tags)
        with pytest.raises(ValueError, match="image picture/3 has no list of boxes and no marked"):
            prompted(model).check(bare, ())
        with pytest.raises(ValueError, match="nothing to show the model"):
            labels_of(prompted(model), bare)


def test_strokes_and_paint_of_a_person_win(model: str) -> None:
    evidence, truth = drawn_picture(61, 97, seed=3)
    painted = torch.full_like(truth, IGNORE)
    painted[25:30, 10:20] = 3
    marks = evidence.marks
    assert marks is not None
    told = evidence._replace(marks=marks.where(painted == IGNORE, painted), painted=painted)
    labels = labels_of(prompted(model), told)
    assert (labels[25:30, 10:20] == 3).all()
    assert miou(labels.where(painted == IGNORE, truth), truth) >= 0.97


def test_a_crf_keeps_what_is_ignored_and_stays_in_the_boxes(model: str) -> None:
    evidence, _ = drawn_picture(61, 97, seed=3)
    assert evidence.boxes is not None
    strong = DenseCRF(iterations=5, smooth_weight=10, bilateral_weight=10)
    told = of_boxes(evidence)
    few = told._replace(boxes=evidence.boxes[1:3], box_classes=torch.tensor([2, 3]))
    labels = labels_of(prompted(model, crf=strong), few)
    for number, (left, top, right, bottom) in zip((2, 3), few.boxes.int().tolist(), strict=True):
        outside = labels.clone()
        outside[top:bottom, left:right] = 0
        assert not (outside == number).any()
    unsure = labels_of(prompted(model, crf=strong, least=1.0, margin=0), of_marks(evidence))
    plain = labels_of(prompted(model, least=1.0, margin=0), of_marks(evidence))
    assert torch.equal(unsure == IGNORE, plain == IGNORE)
    assert (plain == IGNORE).any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"least": 2}, "least should lie from 0 to 1, an IoU that the model expects"),
        ({"largest": 0}, "largest should be more than 0 and at most 1, the part of an image"),
        ({"margin": -1}, "margin should be"),
        ({"outside": "no"}, "outside should be background or ignored"),
    ],
)
def test_wrong_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PromptedMasks(**options)
