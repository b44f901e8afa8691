"""Points on objects from clicks and scribbles."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.functional.prompts import ELSEWHERE, NO_POINT, ON_OBJECT, PointPrompts, mark_prompts


def marks_of(height: int, width: int) -> Tensor:
    return torch.full((height, width), IGNORE, dtype=torch.uint8)


def points_of(prompts: PointPrompts, row: int, says: int) -> list[list[float]]:
    return prompts.points[row][prompts.says[row] == says].tolist()


def test_clicks_of_other_classes_are_elsewhere() -> None:
    marks = marks_of(20, 31)
    marks[3, 4] = 1
    marks[15, 28] = 1  # another object of this class
    marks[9, 10] = 2
    marks[18, 2] = 0
    prompts = mark_prompts(marks)
    assert prompts.classes.tolist() == [1, 1, 2]
    assert points_of(prompts, 0, ON_OBJECT) == [[4.5, 3.5]]
    assert points_of(prompts, 1, ON_OBJECT) == [[28.5, 15.5]]
    assert points_of(prompts, 2, ON_OBJECT) == [[10.5, 9.5]]
    # the nearest first
    assert points_of(prompts, 0, ELSEWHERE) == [[10.5, 9.5], [2.5, 18.5]]
    assert points_of(prompts, 1, ELSEWHERE) == [[10.5, 9.5], [2.5, 18.5]]
    assert points_of(prompts, 2, ELSEWHERE) == [[4.5, 3.5], [2.5, 18.5], [28.5, 15.5]]
    assert (prompts.says == NO_POINT).sum() == 2
    few = mark_prompts(marks, elsewhere=1)
    assert points_of(few, 2, ELSEWHERE) == [[4.5, 3.5]]


def test_nothing_to_ask_for() -> None:
    marks = marks_of(5, 7)
    assert len(mark_prompts(marks).points) == 0
    marks[2] = 0
    assert len(mark_prompts(marks).classes) == 0
    marks[0, 0] = 3
    assert points_of(mark_prompts(marks), 0, ON_OBJECT) == [[0.5, 0.5]]


@pytest.mark.parametrize("turned", [False, True])
def test_points_along_the_middle_of_a_scribble(turned: bool) -> None:
    marks = marks_of(33, 81)
    marks[10:15, 5:70] = 1  # five pixels thick
    marks[:, 75] = 2
    prompts = mark_prompts(marks.T.contiguous() if turned else marks)
    own = torch.tensor(points_of(prompts, 0, ON_OBJECT))
    own = own.flip(1) if turned else own
    assert 4 <= len(own) <= 8
    assert (own[:, 1] - 12.5).abs().max() <= 1
    columns = own[:, 0].sort().values
    assert columns[0] < 12
    assert columns[-1] > 63
    assert columns.diff().min() >= 81 / 16
    assert abs(float(own[0, 0]) - 37.5) <= 1  # the first is in the middle
    # points of a scribble lie on it, of whatever form
    both = mark_prompts(marks_of_letters(), most=5, apart=0.01)
    assert ((both.says == ON_OBJECT).sum(1) == 5).all()
    for row, number in enumerate(both.classes.tolist()):
        for x, y in points_of(both, row, ON_OBJECT):
            assert marks_of_letters()[int(y), int(x)] == number
        for x, y in points_of(both, row, ELSEWHERE):
            assert marks_of_letters()[int(y), int(x)] not in (number, IGNORE)


def marks_of_letters() -> Tensor:
    """A ring, a hook and a line of the background."""
    marks = marks_of(40, 37)
    marks[5:15, 5:15] = 1
    marks[7:13, 7:13] = IGNORE
    marks[20:38, 20:22] = 3
    marks[36:38, 8:22] = 3
    marks[:, 30] = 0
    return marks


def test_a_disc_is_a_click() -> None:
    marks = marks_of(100, 90)
    rows, columns = torch.meshgrid(torch.arange(100), torch.arange(90), indexing="ij")
    marks[(rows - 40) ** 2 + (columns - 20) ** 2 <= 9] = 2
    (own,) = points_of(mark_prompts(marks), 0, ON_OBJECT)
    assert own == pytest.approx([20.5, 40.5], abs=1)
