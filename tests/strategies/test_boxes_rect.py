from __future__ import annotations

import torch

from weakseg.evidence import Evidence
from weakseg.strategies.base import Context
from weakseg.strategies.boxes_rect import BoxesRect

IMAGE = torch.zeros(3, 3, 5, dtype=torch.uint8)


def test_boxes_are_filled_the_smallest_on_top() -> None:
    evidence = Evidence(
        "a",
        IMAGE,
        boxes=torch.tensor([[2.0, 1, 4, 2], [1, 0, 5, 3]]),
        box_classes=torch.tensor([3, 9]),
    )
    assert BoxesRect().estimate(evidence, Context()).tolist() == [
        [0, 9, 9, 9, 9],
        [0, 9, 3, 3, 9],
        [0, 9, 9, 9, 9],
    ]


def test_marks_are_not_looked_at() -> None:
    marks = torch.full((3, 5), 4, dtype=torch.uint8)
    evidence = Evidence(
        "a", IMAGE, boxes=torch.tensor([[0.0, 0, 1, 1]]), box_classes=torch.tensor([1]), marks=marks
    )
    assert BoxesRect().estimate(evidence, Context()).sum() == 1


def test_no_boxes_is_all_background() -> None:
    evidence = Evidence(
        "a", IMAGE, boxes=torch.zeros(0, 4), box_classes=torch.zeros(0, dtype=torch.int64)
    )
    assert torch.equal(
        BoxesRect().estimate(evidence, Context()), torch.zeros(3, 5, dtype=torch.uint8)
    )
