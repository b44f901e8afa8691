"""Which images a page shows."""

from __future__ import annotations

import torch

from weakseg.evaluation.selection import NAMED, WORST, ascending, select, worst_first

NAN = float("nan")


def test_nan_has_no_place() -> None:
    assert ascending(torch.tensor([NAN, 0.5, 0.1, 0.5])) == [2, 1, 3]


def test_the_worst_of_all_are_shown_first() -> None:
    miou = torch.linspace(0.9, 0.1, 50)
    chosen = select(miou, miou[:, None], torch.zeros(0, 4, dtype=torch.int64), most=WORST)
    assert chosen.shown == list(range(49, 49 - WORST, -1))
    assert chosen.of_class == {0: list(range(49, 49 - NAMED, -1))}


def test_a_class_and_a_mistake_bring_their_own_images() -> None:
    miou = torch.linspace(0.1, 0.9, 30)
    iou = torch.stack([miou, torch.full((30,), NAN)], 1)
    iou[28, 1], iou[29, 1] = 0.3, 0.0  # good images, in which the second class is lost
    cells = torch.tensor([[27, 0, 1, 5], [26, 0, 1, 50], [25, 1, 0, 2], [25, 1, 1, 900]])
    chosen = select(miou, iou, cells, most=17)
    assert chosen.of_class[1] == [29, 28]
    # the mistake with more pixels first, and in it the image with more; what is right is none
    assert list(chosen.of_cell.items()) == [((0, 1), [26, 27]), ((1, 0), [25])]
    assert chosen.shown == [*range(WORST), 25, 26, 27, 28, 29]


def test_no_more_are_shown_than_wanted() -> None:
    miou = torch.rand(200)
    cells = torch.stack(
        [torch.arange(200), torch.arange(200) % 5, torch.full((200,), 6), torch.arange(200)], 1
    )
    chosen = select(miou, torch.rand(200, 7), cells, most=40)
    assert len(chosen.shown) == len(set(chosen.shown)) == 40
    assert miou[chosen.shown].tolist() == sorted(miou[chosen.shown].tolist())


def test_without_truth_those_without_a_score_come_last() -> None:
    assert worst_first(torch.tensor([NAN, 0.5, 0.2]), most=2).shown == [2, 1]
    assert worst_first(torch.tensor([NAN, 0.5]), most=9).shown == [1, 0]
