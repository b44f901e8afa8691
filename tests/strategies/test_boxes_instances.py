"""A mask for each box."""

from __future__ import annotations

import pytest
import torch

from tests.strategies.test_boxes_crf import discs
from weakseg.evidence import Evidence
from weakseg.functional.crf import DenseCRF
from weakseg.strategies.base import Context
from weakseg.strategies.boxes_crf import BoxesCRF
from weakseg.strategies.boxes_instances import BoxesInstances
from weakseg.training.label_quality import harden

SHARP = DenseCRF(bilateral_rgb=13)


def test_two_overlapping_objects_of_one_class_are_told_apart_by_their_colours() -> None:
    rows, columns = torch.meshgrid(torch.arange(50), torch.arange(70), indexing="ij")
    behind, front = (
        (columns >= 5) & (columns < 45) & (rows >= 5) & (rows < 45),
        (columns >= 30) & (columns < 65) & (rows >= 20) & (rows < 40),
    )
    image = torch.full((3, 50, 70), 30.0)
    image[:, behind] = torch.tensor([200.0, 40, 40])[:, None]
    image[:, front] = torch.tensor([40.0, 200, 40])[:, None]
    boxes = torch.tensor([[5.0, 5, 45, 45], [30, 20, 65, 40]])
    noisy = (image + 3 * torch.randn(3, 50, 70)).clamp(0, 255).to(torch.uint8)
    masks = BoxesInstances(crf=SHARP).estimate(
        Evidence("a", noisy, boxes=boxes, box_classes=torch.tensor([4, 4])), Context()
    )
    for mask, truth in zip(masks, (behind & ~front, front), strict=True):
        assert (mask & truth).sum() / (mask | truth).sum() > 0.95


def test_where_classes_differ_the_masks_are_those_of_boxes_crf() -> None:
    evidence, _ = discs()
    masks = BoxesInstances(crf=SHARP).estimate(evidence, Context())
    assert masks.dtype == torch.bool
    assert torch.equal(
        harden(masks, evidence.box_classes), BoxesCRF(crf=SHARP).estimate(evidence, Context())
    )


def test_the_numbers_of_masks_are_those_of_boxes() -> None:
    evidence, _ = discs()
    assert evidence.boxes is not None
    assert evidence.box_classes is not None
    turned = evidence._replace(
        boxes=evidence.boxes.flip(0), box_classes=evidence.box_classes.flip(0)
    )
    strategy = BoxesInstances(crf=SHARP)
    assert torch.equal(
        strategy.estimate(turned, Context()), strategy.estimate(evidence, Context()).flip(0)
    )


def test_an_image_without_boxes_has_no_masks() -> None:
    empty = Evidence(
        "a",
        torch.zeros(3, 5, 6, dtype=torch.uint8),
        boxes=torch.zeros(0, 4),
        box_classes=torch.zeros(0, dtype=torch.int64),
    )
    masks = BoxesInstances().estimate(empty, Context())
    assert masks.shape == (0, 5, 6)
    assert harden(masks, empty.box_classes).sum() == 0


def test_a_box_that_lost_all_pixels_is_its_own_mask() -> None:
    evidence, _ = discs()
    assert evidence.boxes is not None
    twice = evidence._replace(boxes=evidence.boxes[[0, 0]], box_classes=torch.tensor([5, 5]))
    masks = BoxesInstances(crf=SHARP).estimate(twice, Context())
    # one has the disc, the other nothing but its box
    assert sorted(mask.sum().item() == 40 * 40 for mask in masks) == [False, True]


def test_drawn_masks_are_believed_as_they_are() -> None:
    evidence, truth = discs()
    drawn = torch.stack([truth == 5, truth == 17])
    strategy = BoxesInstances(masks="drawn")
    masks = strategy.estimate(evidence._replace(box_masks=drawn), Context())
    assert torch.equal(masks, drawn)
    assert masks.data_ptr() != drawn.data_ptr()
    with pytest.raises(ValueError, match="image discs has no box_masks; it has boxes"):
        strategy.check(evidence, ())
    BoxesInstances().check(evidence, ())
    with pytest.raises(
        ValueError, match="masks should be one of crf, sam, drawn, but it is 'true'"
    ):
        BoxesInstances(masks="true")  # type: ignore[arg-type]
