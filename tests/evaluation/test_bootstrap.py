"""Bootstrap intervals: against counting by hand and by brute force, and how often they hold the
true difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from weakseg.evaluation.bootstrap import (
    ClassCounts,
    Interval,
    bootstrap,
    count_classes,
    draws,
    figures_of,
)
from weakseg.functional.confusion import iou, mean_iou

CLASSES = 4


def confusions(images: int, seed: int, right: int = 30) -> Tensor:
    """Random ones, int64 [N,C,C], in which not every image shows every class."""
    random = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, 9, (images, CLASSES, CLASSES), generator=random)
    counts += right * torch.eye(CLASSES, dtype=torch.int64)
    absent = torch.rand(images, CLASSES, generator=random) < 0.4
    counts[absent] = 0
    counts[:, 0, 0] += 5
    return counts


def cells_of(counts: Tensor) -> Tensor:
    places = counts.nonzero()
    return torch.cat([places, counts[tuple(places.T)][:, None]], 1)


def counted(counts: Tensor) -> ClassCounts:
    return count_classes(cells_of(counts), range(len(counts)), range(CLASSES))


def test_figures_over_all_images_are_those_of_the_confusion_matrix() -> None:
    counts = confusions(9, 0)
    (found,) = figures_of(counted(counts))
    total = counts.sum(0)
    torch.testing.assert_close(found[:CLASSES], iou(total))
    assert float(found[CLASSES]) == pytest.approx(mean_iou(total))
    assert float(found[-1]) == pytest.approx(float(total.diagonal().sum() / total.sum()))


def test_images_and_classes_are_taken_in_the_order_that_is_given() -> None:
    counts = confusions(6, 1)
    some = count_classes(cells_of(counts), [4, 2], [3, 1])
    for row, image in enumerate((4, 2)):
        right = counts[image].diagonal()
        either = counts[image].sum(0) + counts[image].sum(1) - right
        assert some.right[row].tolist() == right[[3, 1]].tolist()
        assert some.either[row].tolist() == either[[3, 1]].tolist()
        assert int(some.all_right[row]) == int(right.sum())
        assert int(some.pixels[row]) == int(counts[image].sum())


def test_each_draw_has_as_many_images_and_a_seed_repeats_them() -> None:
    weights = torch.cat(list(draws(7, 300, 5)))
    assert weights.shape == (300, 7)
    assert bool((weights.sum(1) == 7).all())
    assert torch.equal(weights, torch.cat(list(draws(7, 300, 5))))
    assert not torch.equal(weights, torch.cat(list(draws(7, 300, 6))))


def test_intervals_are_those_of_brute_force() -> None:
    first, second = confusions(8, 2), confusions(8, 3, right=10)
    found = bootstrap([counted(first), counted(second)], samples=200, level=0.8, seed=1)
    apart = []
    for row in torch.cat(list(draws(8, 200, 1))):
        drawn = [
            torch.stack([counts[image] for image in range(8) for _ in range(int(row[image]))])
            for counts in (first, second)
        ]
        one, two = (counts.sum(0) for counts in drawn)
        apart.append([*(iou(two) - iou(one)).tolist(), mean_iou(two) - mean_iou(one)])
    low, high = np.nanquantile(np.array(apart), [0.1, 0.9], axis=0)
    differences = found.differences[0][: CLASSES + 1]
    assert [each.low for each in differences] == pytest.approx(low.tolist())
    assert [each.high for each in differences] == pytest.approx(high.tolist())
    assert differences[CLASSES].value == pytest.approx(
        mean_iou(second.sum(0)) - mean_iou(first.sum(0))
    )


def test_two_images_by_hand() -> None:
    """On one image both networks are right; on the other, of the same size, only the second is. A
    quarter of the draws has the one image alone, a quarter the other."""
    right = torch.tensor([[[10, 0], [0, 0]], [[10, 0], [0, 0]]])
    wrong = torch.tensor([[[10, 0], [0, 0]], [[0, 10], [0, 0]]])
    found = bootstrap(
        [count_classes(cells_of(each), [0, 1], [0, 1]) for each in (wrong, right)], samples=400
    )
    assert found.differences[0][0] == Interval(0.5, 0.0, 1.0)
    assert found.differences[0][3] == Interval(0.5, 0.0, 1.0)
    assert found.figures[1][0] == Interval(1.0, 1.0, 1.0)
    # the second network finds none of class 1, and no image shows it
    assert all(math.isnan(each) for each in found.differences[0][1])
    assert not found.differences[0][1].excludes_zero


def test_a_network_does_not_differ_from_itself() -> None:
    counts = counted(confusions(5, 4))
    (differences,) = bootstrap([counts, counts], samples=50).differences
    assert differences == [Interval(0.0, 0.0, 0.0)] * (CLASSES + 2)


def test_intervals_hold_the_true_difference_about_as_often_as_they_say() -> None:
    """Pixel accuracies of 0.6 and 0.7, paired: an image that is hard is so for both."""
    random = np.random.default_rng(0)
    held, sure = 0, 0
    for repetition in range(200):
        hard = random.normal(0, 0.1, 50)
        runs = []
        for accuracy in (0.6, 0.7):
            right = random.binomial(400, np.clip(accuracy + hard, 0.0, 1.0))
            pixels = torch.full((50,), 400.0, dtype=torch.float64)
            columns = torch.from_numpy(right.astype(np.float64))[:, None]
            runs.append(ClassCounts(columns, *[pixels[:, None]] * 2, columns[:, 0], pixels))
        interval = bootstrap(runs, samples=300, level=0.9, seed=repetition).differences[0][-1]
        held += interval.low <= 0.1 <= interval.high
        sure += interval.excludes_zero
    assert 0.82 < held / 200 < 0.96
    assert sure == 200  # the images' own spread of 0.1 would hide it, were draws not paired
