"""What speaks against a target, without any truth."""

from __future__ import annotations

import pytest
import torch

from tests.small import Everything, Squares
from weakseg.evidence import IGNORE, Evidence
from weakseg.suspicion.queue import score_of
from weakseg.training.target_signals import evidence_agreement, target_signals

CLASSES = Everything.classes


def sample(index: int = 0) -> tuple[Evidence, torch.Tensor]:
    evidence, truth = Everything().sample(index)
    assert truth is not None
    return evidence, truth


def test_a_right_target_contradicts_nothing() -> None:
    evidence, truth = sample()
    signals = target_signals(truth, evidence, CLASSES)
    assert {name.split("/")[0] for name in signals} == {"boxes", "marks", "colours", "unlabelled"}
    assert signals["marks"] == signals["unlabelled"] == 0
    assert signals["boxes/bright"] < 0.05
    assert signals["colours"] < 0.1


def test_a_target_without_its_object_contradicts_all_evidence() -> None:
    evidence, truth = sample()
    signals = target_signals(torch.zeros_like(truth), evidence, CLASSES)
    assert signals["boxes/bright"] == signals["absent/bright"] == 1
    # of the two marked classes, the background is right
    assert signals["marks"] == 0.5


def test_a_class_that_is_not_named_is_said() -> None:
    evidence, truth = sample()
    target = truth.clone()
    target[:4, :4] = 2
    assert target_signals(target, evidence, CLASSES)["extra/dark"] == 0.5
    tags = torch.tensor([True, True, True])
    both = target_signals(target, evidence._replace(tags=tags), CLASSES)
    assert not [name for name in both if name.startswith(("extra", "absent"))]


def test_a_target_without_labels_is_the_most_suspicious() -> None:
    evidence, truth = sample()
    signals = target_signals(torch.full_like(truth, IGNORE), evidence, CLASSES)
    assert signals == {"unlabelled": 1.0}
    assert score_of(signals) > score_of(target_signals(torch.zeros_like(truth), evidence, CLASSES))


def test_without_evidence_only_colours_are_compared() -> None:
    evidence, truth = Squares().sample(1)
    assert truth is not None
    bare = Evidence("it", evidence.image)
    assert set(target_signals(truth, bare, CLASSES)) == {"colours", "unlabelled"}


def test_large_images_are_compared_on_a_grid() -> None:
    image = torch.zeros(3, 400, 400, dtype=torch.uint8)
    image[:, :, 200:] = 255
    labels = (image[0] > 0).to(torch.uint8)
    assert target_signals(labels, Evidence("it", image), CLASSES)["colours"] == 0
    labels[200:] = 1 - labels[200:]
    half = target_signals(labels, Evidence("it", image), CLASSES)["colours"]
    assert half == pytest.approx(0.5, abs=0.01)


def test_labels_are_compared_with_all_evidence() -> None:
    evidence, truth = Everything().sample(0)
    assert truth is not None
    right = evidence_agreement(truth, evidence, CLASSES)
    assert right > 0.9
    lost = evidence_agreement(torch.zeros_like(truth), evidence, CLASSES)
    assert lost == 0
    bare = evidence._replace(boxes=None, box_classes=None, marks=None, tags=None)
    assert evidence_agreement(truth, bare, CLASSES) == 1
