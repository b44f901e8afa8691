"""Where a prediction contradicts annotations, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from weakseg.functional.contradictions import Annotated, inside_boxes, missing, unnamed

SIZE = (40, 40)  # of the images; a cell has 4 pixels


def probs(*rectangles: tuple[int, int, int, int, int]) -> Tensor:
    """Probabilities [1,3,10,10]: background but in rectangles (class, x1, y1, x2, y2) of cells."""
    labels = torch.zeros(10, 10, dtype=torch.int64)
    for label, x1, y1, x2, y2 in rectangles:
        labels[y1:y2, x1:x2] = label
    return torch.nn.functional.one_hot(labels, 3).permute(2, 0, 1).float()[None]


def boxes(*found: tuple[int, int, int, int, int]) -> Annotated:
    """Boxes (class, x1, y1, x2, y2) in pixels, and their tags."""
    tags = torch.tensor([[True, False, False]])
    for label, *_ in found:
        tags[0, label] = True
    corners = torch.tensor([box[1:] for box in found]).float().reshape(-1, 4)
    labels = torch.tensor([box[0] for box in found], dtype=torch.int64)
    return Annotated(tags, [corners], [labels])


def tags(*named: int) -> Annotated:
    found = torch.zeros(1, 3, dtype=torch.bool)
    found[0, list(named)] = True
    return Annotated(found)


THING = (1, 2, 2, 6, 6)  # in cells
BOX = (1, 8, 8, 24, 24)  # the same in pixels


def test_a_box_around_what_is_found_is_not_doubted() -> None:
    assert missing(probs(THING), boxes(BOX), SIZE).value.item() == 0
    assert unnamed(probs(THING), boxes(BOX), SIZE).value.item() == 0


def test_a_box_is_filled_by_its_rows_and_columns() -> None:
    # half of the columns, all rows
    half = missing(probs((1, 2, 2, 4, 6)), boxes(BOX), SIZE)
    assert half.value.item() == pytest.approx(0.25)
    diagonal = probs()
    for cell in range(2, 6):
        diagonal[0, :, cell, cell] = torch.tensor([0.0, 1, 0])
    assert missing(diagonal, boxes(BOX), SIZE).value.item() == 0


def test_of_several_boxes_the_worst_counts() -> None:
    doubt = missing(probs(THING), boxes(BOX, (2, 28, 28, 40, 40)), SIZE)
    assert (doubt.value.item(), doubt.label.item()) == (1, 2)


def test_something_outside_of_all_boxes_of_its_class_is_unnamed() -> None:
    seen = probs(THING, (1, 7, 7, 10, 10))
    doubt = unnamed(seen, boxes(BOX), SIZE)
    assert (doubt.value.item(), doubt.label.item()) == (1, 1)
    other = unnamed(probs((2, 2, 2, 6, 6)), boxes(BOX), SIZE)
    assert (other.value.item(), other.label.item()) == (1, 2)


def test_a_cell_beside_a_box_or_a_speck_does_not_count() -> None:
    wide = unnamed(probs((1, 1, 1, 7, 7)), boxes(BOX), SIZE)
    assert wide.value.item() == 0
    speck = unnamed(probs(THING, (2, 8, 8, 9, 9)), boxes(BOX), SIZE)
    assert speck.value.item() == pytest.approx(1 / 9)


def test_tags_say_what_but_not_where() -> None:
    assert missing(probs(THING), tags(0, 1), SIZE).value.item() == 0
    assert unnamed(probs(THING), tags(0, 1), SIZE).value.item() == 0
    wrong = tags(0, 2)
    assert missing(probs(THING), wrong, SIZE).label.item() == 2
    assert missing(probs(THING), wrong, SIZE).value.item() == 1
    assert unnamed(probs(THING), wrong, SIZE).label.item() == 1
    assert unnamed(probs(THING), wrong, SIZE).value.item() == 1


def test_an_image_with_tags_beside_one_with_boxes() -> None:
    both = Annotated(
        torch.tensor([[True, True, False], [True, True, False]]),
        [torch.tensor([[8.0, 8, 24, 24]]), torch.zeros(0, 4)],
        [torch.tensor([1]), torch.zeros(0, dtype=torch.int64)],
    )
    elsewhere = probs((1, 7, 7, 10, 10)).repeat(2, 1, 1, 1)
    assert missing(elsewhere, both, SIZE).value.tolist() == [1, 0]
    assert unnamed(elsewhere, both, SIZE).value.tolist() == [1, 0]


def test_no_box_and_no_tag_of_an_object_allow_nothing() -> None:
    assert unnamed(probs(THING), boxes(), SIZE).value.item() == 1
    nothing = missing(probs(THING), boxes(), SIZE).value.item()
    assert nothing == 0


def test_marks_are_compared_on_their_pixels() -> None:
    marks = torch.full((1, 40, 40), 255)
    marks[0, 10, 10:20] = 1
    marks[0, 30, 30:40] = 2
    doubt = missing(probs(THING), Annotated(marks=marks), SIZE)
    assert (doubt.value.item(), doubt.label.item()) == (1, 2)
    marks[0, 30] = 255
    assert missing(probs(THING), Annotated(marks=marks), SIZE).value.item() == 0


def test_without_annotations_nothing_is_known() -> None:
    assert missing(probs(THING), Annotated(), SIZE).value.isnan().all()
    assert unnamed(probs(THING), Annotated(), SIZE).value.isnan().all()
    empty = Annotated(torch.zeros(1, 3, dtype=torch.bool))
    assert missing(probs(THING), empty, SIZE).value.isnan().all()
    assert unnamed(probs(THING), empty, SIZE).value.isnan().all()


def test_a_box_smaller_than_a_cell_has_one() -> None:
    tiny = inside_boxes(torch.tensor([[5.0, 5, 6, 6], [39, 39, 40, 40]]), SIZE, (10, 10))
    assert tiny.flatten(1).sum(1).tolist() == [1, 1]
    assert bool(tiny[0, 1, 1])
    assert bool(tiny[1, 9, 9])


def test_a_grid_of_one_cell_is_enough() -> None:
    one = torch.tensor([0.2, 0.8, 0.0]).reshape(1, 3, 1, 1)
    assert missing(one, boxes(BOX), SIZE).value.item() == pytest.approx(0.2)
    assert unnamed(one, tags(0, 2), SIZE).value.item() == pytest.approx(0.8)
