from __future__ import annotations

import pytest
import torch

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.painting import grow_marks, paint_evidence

IMAGE = torch.zeros(3, 2, 4, dtype=torch.uint8)
BOXES = {"boxes": torch.tensor([[0.0, 0, 3, 2], [1, 0, 2, 1]]), "box_classes": torch.tensor([1, 2])}
MARKS = torch.tensor([[255, 255, 0, 2], [255, 255, 255, 255]], dtype=torch.uint8)


def test_boxes_are_filled_with_background_outside() -> None:
    assert paint(Evidence("a", IMAGE, **BOXES)) == [[1, 2, 1, 0], [1, 1, 1, 0]]


def test_marks_are_written_over_boxes() -> None:
    assert paint(Evidence("a", IMAGE, **BOXES, marks=MARKS)) == [[1, 2, 0, 2], [1, 1, 1, 0]]


def test_marks_alone_stay_as_they_are() -> None:
    evidence = Evidence("a", IMAGE, marks=MARKS)
    assert paint(evidence) == MARKS.tolist()
    painted = paint_evidence(evidence, 3)
    assert painted is not None
    painted.zero_()
    assert MARKS[0, 0] == 255  # a copy


def test_an_empty_list_of_boxes_is_all_background() -> None:
    empty = Evidence(
        "a", IMAGE, boxes=torch.zeros(0, 4), box_classes=torch.zeros(0, dtype=torch.int64)
    )
    assert paint(empty) == [[0] * 4] * 2


def test_tags_alone_say_nothing_of_pixels() -> None:
    assert paint_evidence(Evidence("a", IMAGE, tags=torch.tensor([True, True, False])), 3) is None


def test_impossible_evidence_is_named() -> None:
    with pytest.raises(
        ValueError, match="image a: box_classes names class 2, but there are 2 classes"
    ):
        paint_evidence(Evidence("a", IMAGE, **BOXES), 2)


@pytest.mark.parametrize("radius", [0, 1, 1.5, 3, 20])
def test_grown_marks_are_those_of_the_nearest(radius: float) -> None:
    """Compared with the distances of each pixel to each mark; of equally near ones any will do."""
    marks = torch.full((9, 12), IGNORE, dtype=torch.uint8)
    random = torch.Generator().manual_seed(int(radius))
    marks[torch.rand(9, 12, generator=random) < 0.08] = 1
    marks[torch.rand(9, 12, generator=random) < 0.05] = 0
    grown, places = grow_marks(marks, radius), (marks != IGNORE).nonzero()
    assert grown.dtype == torch.uint8
    for row in range(9):
        for column in range(12):
            apart = (places - torch.tensor([row, column])).square().sum(1)
            nearest = marks[tuple(places[apart == apart.min()].T)].tolist()
            assert int(grown[row, column]) in (
                nearest if int(apart.min()) <= radius**2 else [IGNORE]
            )


def test_marks_themselves_stay_when_grown() -> None:
    marks = torch.tensor([[2, 1, 1, 255], [0, 255, 255, 255]], dtype=torch.uint8)
    grown = grow_marks(marks, 5)
    assert torch.equal(grown[marks != IGNORE], marks[marks != IGNORE])
    assert IGNORE not in grown


@pytest.mark.parametrize(
    "marks", [torch.full((2, 3), IGNORE, dtype=torch.uint8), torch.ones(2, 3, dtype=torch.uint8)]
)
def test_nothing_to_grow_is_a_copy(marks: torch.Tensor) -> None:
    grown = grow_marks(marks, 2)
    assert torch.equal(grown, marks)
    assert grown.data_ptr() != marks.data_ptr()


def paint(evidence: Evidence) -> list[list[int]]:
    painted = paint_evidence(evidence, 3)
    assert painted is not None
    assert painted.dtype == torch.uint8
    return painted.tolist()  # type: ignore[no-any-return]
