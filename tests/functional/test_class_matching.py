from __future__ import annotations

import pytest
import torch

from weakseg.evidence import Evidence
from weakseg.functional.class_matching import match_classes, order_rows, renumber, renumber_evidence

OURS = ("background", "bird", "cat", "dog")
THEIRS = ("background", "dog", "bird")


def test_the_same_classes_need_no_table() -> None:
    assert match_classes(list(OURS), OURS) is None


def test_numbers_follow_the_names() -> None:
    table = match_classes(THEIRS, OURS)
    assert table is not None
    labels = torch.tensor([[0, 1, 2, 255]], dtype=torch.uint8)
    numbered = renumber(labels, table)
    assert numbered.tolist() == [[0, 3, 1, 255]]
    assert numbered.dtype == torch.uint8


def test_a_class_that_we_lack_is_named() -> None:
    with pytest.raises(
        ValueError, match="cow, hen are none of the classes background, bird, cat, dog"
    ):
        match_classes(("background", "cow", "dog", "hen"), OURS)


def test_the_class_that_was_probably_meant_is_proposed() -> None:
    with pytest.raises(
        ValueError,
        match=r"dgo is none of the classes background, bird, cat, dog; did you mean dog\?",
    ):
        match_classes(("background", "dgo"), OURS)


def test_all_evidence_is_renumbered() -> None:
    table = match_classes(THEIRS, OURS)
    assert table is not None
    evidence = Evidence(
        "a",
        torch.zeros(3, 1, 2, dtype=torch.uint8),
        tags=torch.tensor([True, True, False]),
        boxes=torch.tensor([[0.0, 0, 1, 1]]),
        box_classes=torch.tensor([2]),
        marks=torch.tensor([[1, 255]], dtype=torch.uint8),
        large=torch.tensor([False, True, True]),
    )
    ours = renumber_evidence(evidence, table, len(OURS))
    ours.check(len(OURS))
    assert ours.tags is not None
    assert ours.large is not None
    assert ours.box_classes is not None
    assert ours.marks is not None
    assert ours.tags.tolist() == [True, False, False, True]
    assert ours.large.tolist() == [False, True, False, True]
    assert ours.box_classes.tolist() == [1]
    assert ours.marks.tolist() == [[3, 255]]
    bare = Evidence("b", evidence.image)
    assert renumber_evidence(bare, table, len(OURS)) == bare


def test_what_a_person_has_drawn_is_renumbered_with_the_marks() -> None:
    drawn = torch.tensor([[0, 1, 255]], dtype=torch.uint8)
    image = torch.zeros(3, 1, 3, dtype=torch.uint8)
    evidence = Evidence("a", image, marks=drawn, strokes=drawn, painted=drawn.clone())
    table = torch.full((256,), 255)
    table[:2] = torch.tensor([0, 2])
    ours = renumber_evidence(evidence, table, 3)
    for field in ("marks", "strokes", "painted"):
        assert getattr(ours, field).tolist() == [[0, 2, 255]]


def test_rows_go_where_their_classes_go() -> None:
    table = torch.tensor([0, 3, 1, 2])  # of four classes
    weights = torch.arange(4.0)[:, None].expand(4, 5)
    assert order_rows(weights, [5, 5], table, 4)[:, 0].tolist() == [0, 2, 3, 1]
    boxes = torch.arange(8.0)  # two numbers per class
    assert order_rows(boxes, [10], table, 4).tolist() == [0, 1, 4, 5, 6, 7, 2, 3]
    assert torch.equal(order_rows(weights, [4, 5], table, 4), weights)  # nothing there is per class


def test_what_has_no_rows_per_class_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"a tensor \[6\] for 4 classes would be \[8\] for one more"
    ):
        order_rows(torch.zeros(6), [8], torch.arange(4), 4)
