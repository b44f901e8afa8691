"""Marks in two parts: what one part hides, the other shows, and something is left of each class."""

from __future__ import annotations

import pytest
import torch

from weakseg.evidence import IGNORE
from weakseg.functional.held_out_marks import hold_out


def drawn() -> torch.Tensor:
    """A long stroke of class 0, three clicks of class 1 and one of class 2."""
    marks = torch.full((40, 60), IGNORE, dtype=torch.uint8)
    marks[2:4, 5:55] = 0
    for column in (10, 30, 50):
        marks[20:22, column : column + 2] = 1
    marks[30, 30] = 2
    return marks


def test_the_two_halves_are_all_that_can_be_hidden() -> None:
    marks = drawn()
    halves = [hold_out(marks, part) for part in (0, 1)]
    for each in halves:
        both = torch.where(each.shown == IGNORE, each.hidden, each.shown)
        assert torch.equal(both, marks)
        assert not ((each.shown != IGNORE) & (each.hidden != IGNORE)).any()
    assert not ((halves[0].hidden != IGNORE) & (halves[1].hidden != IGNORE)).any()
    hidden = torch.where(halves[0].hidden == IGNORE, halves[1].hidden, halves[0].hidden)
    assert torch.equal(hidden, marks.masked_fill(marks == 2, IGNORE))  # the only click stays


def test_a_stroke_is_cut_across_and_clicks_are_hidden_whole() -> None:
    first = hold_out(drawn(), 0).hidden
    assert (first == 0).nonzero()[:, 1].unique().tolist() == list(range(5, 30))
    assert (first == 1).sum().item() == 2 * 4
    second = hold_out(drawn(), 1).hidden
    assert (second == 1).sum().item() == 4


@pytest.mark.parametrize("part", [0, 1])
def test_every_class_keeps_a_mark(part: int) -> None:
    shown = hold_out(drawn(), part).shown
    assert torch.unique(shown).tolist() == [0, 1, 2, IGNORE]


def test_an_image_without_marks_hides_nothing() -> None:
    marks = torch.full((5, 5), IGNORE, dtype=torch.uint8)
    assert torch.equal(hold_out(marks, 1).hidden, marks)
    with pytest.raises(ValueError, match="0 or 1"):
        hold_out(marks, 2)


def test_the_only_click_of_a_class_that_tags_name_is_hidden_by_one_part() -> None:
    marks = drawn()
    marks[35, 5] = 3
    hidden = [hold_out(marks, part, named=(0, 1, 2, 3)).hidden for part in (0, 1)]
    assert [2 in each for each in hidden] == [True, False]
    assert [3 in each for each in hidden] == [False, True]
    assert 2 not in hold_out(marks, 0, named=(0, 1)).hidden
    assert torch.equal(hold_out(marks, 0, named=(2,)).hidden == 1, hidden[0] == 1)


def test_an_image_keeps_its_last_mark() -> None:
    marks = torch.full((20, 20), IGNORE, dtype=torch.uint8)
    marks[3, 3] = 2
    assert torch.equal(hold_out(marks, 0, named=(2,)).shown, marks)
    marks[9, 9] = 0
    assert torch.unique(hold_out(marks, 0, named=(0, 2)).shown).tolist() == [2, IGNORE]
    assert torch.unique(hold_out(marks, 1, named=(0, 2)).shown).tolist() == [0, IGNORE]
