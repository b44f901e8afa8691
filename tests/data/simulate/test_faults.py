"""Gross mistakes of a simulated annotator."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from weakseg.data.simulate.annotator import CAREFUL, Annotator
from weakseg.data.simulate.faults import moved_boxes, swapped_classes
from weakseg.data.toy.dataset import Toy

SHARES = (0.0, 0.2, 0.5, 1.0)


def sets(kind: str, **faults: float) -> Toy:
    return Toy(train=12, val=0, size=48, evidence=kind, annotator=Annotator(**faults))  # type: ignore[arg-type]


def within(hits: int, trials: int, probability: float) -> bool:
    """Whether a count is one that a coin of this probability gives, within four standard
    deviations."""
    deviation = math.sqrt(trials * probability * (1 - probability))
    return abs(hits - trials * probability) <= 4 * deviation


def moved(share: float, seed: int = 3) -> Tensor:
    boxes = torch.tensor([[10.0, 10, 30, 40], [50, 20, 70, 30]]).repeat(150, 1)
    return moved_boxes(boxes, 60, 80, share, np.random.default_rng(seed))


def overlap(one: Tensor, other: Tensor) -> Tensor:
    both = (torch.minimum(one, other)[:, 2:] - torch.maximum(one, other)[:, :2]).clamp(min=0)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (one, other)]
    return both.prod(1) / (areas[0] + areas[1] - both.prod(1))


def test_boxes_are_moved_as_often_as_given_and_away_from_their_place() -> None:
    right = moved(0.0)
    for share in SHARES[1:]:
        boxes = moved(share)
        elsewhere = (boxes != right).any(1)
        assert within(int(elsewhere.sum()), len(boxes), share)
        assert overlap(boxes, right)[elsewhere].max() <= 0.25
        assert torch.equal(boxes[:, 2:] - boxes[:, :2], right[:, 2:] - right[:, :2])
        assert boxes.min() >= 0
        assert boxes[:, 2].max() <= 80
        assert boxes[:, 3].max() <= 60


def test_a_box_that_is_moved_is_at_the_same_place_at_a_larger_probability() -> None:
    right = moved(0.0)
    for less, more in itertools.pairwise(moved(share) for share in SHARES):
        already = (less != right).any(1)
        assert torch.equal(less[already], more[already])


def test_a_box_that_cannot_be_elsewhere_stays() -> None:
    whole = torch.tensor([[0.0, 0, 8, 8]])
    assert torch.equal(moved_boxes(whole, 8, 8, 1.0, np.random.default_rng(0)), whole)


def test_masks_move_with_their_boxes() -> None:
    right = sets("instances")
    wrong = sets("instances", box_moved=1.0)
    for index in range(4):
        before, after = right.sample(index)[0], wrong.sample(index)[0]
        after.check(len(right.classes))
        assert before.box_masks is not None
        assert after.box_masks is not None
        assert torch.equal(before.box_masks.flatten(1).sum(1), after.box_masks.flatten(1).sum(1))
        assert after.boxes is not None
        for box, mask in zip(after.boxes.long().tolist(), after.box_masks, strict=True):
            inside = mask[box[1] : box[3], box[0] : box[2]]
            assert inside.sum() == mask.sum()
            assert inside.any(0).all()


def test_classes_are_swapped_for_those_that_are_not_there() -> None:
    there = torch.tensor([True] * 10 + [False] * 12)
    tables = {
        share: torch.stack(
            [swapped_classes(there, share, np.random.default_rng(seed)) for seed in range(200)]
        )
        for share in SHARES
    }
    numbers = torch.arange(22)
    for share, table in tables.items():
        assert (table[:, ~there] == numbers[~there]).all()
        assert (table[:, 0] == 0).all()
        swapped = table != numbers
        assert within(int(swapped.sum()), 9 * 200, share)
        assert not there[table[swapped]].any()
        assert all(len(row[:10].unique()) == 10 for row in table)
    for less, more in itertools.pairwise(tables.values()):
        already = less != numbers
        assert torch.equal(less[already], more[already])


def test_where_no_class_is_left_none_is_swapped() -> None:
    there = torch.tensor([True, True, True, False])
    table = swapped_classes(there, 1.0, np.random.default_rng(0))
    assert sorted(table.tolist()) in ([0, 1, 3, 3], [0, 2, 3, 3])


@pytest.mark.parametrize("kind", ["boxes", "points", "scribbles", "tags"])
def test_a_swapped_class_is_another_one_in_all_of_the_evidence(kind: str) -> None:
    fault = "tag_swapped" if kind == "tags" else "class_swapped"
    right = sets(kind)
    wrong = sets(kind, **{fault: 1.0})
    changed = 0
    for index in range(len(right)):
        before, after = right.sample(index)[0], wrong.sample(index)[0]
        after.check(len(right.classes))
        assert before.tags is not None
        assert after.tags is not None
        changed += not torch.equal(before.tags, after.tags)
        assert before.tags.sum() == after.tags.sum()
        if after.box_classes is not None:
            assert set(after.box_classes.tolist()) == set(after.tags.nonzero()[1:, 0].tolist())
        if after.marks is not None and before.marks is not None:
            assert torch.equal(after.marks == 255, before.marks == 255)
            assert torch.equal(after.marks == 0, before.marks == 0)
            assert set(after.marks.unique().tolist()) <= {255, *after.tags.nonzero()[:, 0].tolist()}
    assert changed


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("boxes", "box_moved"),
        ("boxes", "class_swapped"),
        ("points", "class_swapped"),
        ("tags", "tag_swapped"),
    ],
)
def test_at_a_small_probability_most_images_are_as_somebody_careful_gives_them(
    kind: str, fault: str
) -> None:
    right = sets(kind)
    some = sets(kind, **{fault: 0.15})
    same = [
        all(
            torch.equal(getattr(before, field), getattr(after, field))
            for field in ("tags", "boxes", "box_classes", "marks", "large")
            if getattr(before, field) is not None
        )
        for before, after in (
            (right.sample(index)[0], some.sample(index)[0]) for index in range(len(right))
        )
    ]
    assert len(same) / 2 <= sum(same) < len(same)


def test_masks_are_never_swapped() -> None:
    right, wrong = sets("masks"), sets("masks", class_swapped=1.0, tag_swapped=1.0, box_moved=1.0)
    assert right.annotator == CAREFUL
    before, after = right.sample(0)[0], wrong.sample(0)[0]
    assert before.marks is not None
    assert after.marks is not None
    assert torch.equal(before.marks, after.marks)
