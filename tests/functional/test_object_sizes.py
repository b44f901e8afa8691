from __future__ import annotations

from math import isnan

import pytest
import torch

from weakseg.functional.confusion import confusion_matrix
from weakseg.functional.object_sizes import (
    SizeCounts,
    foreground_share,
    largest_piece_share,
    size_class,
)


def test_the_bounds_belong_to_the_larger_class() -> None:
    shares = (0.001, 0.0499, 0.05, 0.1499, 0.15, 0.3499, 0.35, 1.0)
    assert [size_class(share) for share in shares] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_pieces_touch_at_corners_and_are_of_one_class() -> None:
    truth = torch.tensor([[1, 0, 0, 2], [0, 1, 0, 2], [0, 0, 1, 1]]).byte()
    assert foreground_share(truth) == pytest.approx(6 / 12)
    assert largest_piece_share(truth) == pytest.approx(4 / 12)
    assert largest_piece_share(torch.zeros(2, 2)) == 0
    nothing = torch.full((2, 2), 255)
    assert (foreground_share(nothing), largest_piece_share(nothing)) == (0, 0)


def test_the_figures_of_hand_made_images() -> None:
    truth = torch.tensor([[0, 0, 0, 0, 0, 1, 1, 2, 0, 255]])
    labels = torch.tensor([[0, 255, 0, 0, 1, 1, 1, 1, 0, 1]])
    counts = SizeCounts()
    counts.add(labels, truth, 0.2, 3)
    counts.add(truth, truth, 0.3, 3)
    counts.add(torch.zeros_like(truth), truth, 0.01, 3)
    counts.add(labels, torch.zeros_like(truth), 0.0, 3)  # no objects, no size
    small, middle, large, largest = counts.rows()
    # of nine pixels eight have a label; two of four are right; four are found for three
    assert middle.images == largest.images == 0
    assert isnan(middle.iou)
    assert large.images == 2
    assert large.coverage == pytest.approx(17 / 18)
    assert large.iou == pytest.approx((2 / 4 + 1) / 2)
    assert large.area == pytest.approx(7 / 6)
    assert small == (1, 1.0, 0.0, 0.0)


def test_a_confusion_is_counted_as_the_labels_that_it_is_of():
    truth = torch.tensor([[0, 1, 1, 2, 255, 0, 0, 0, 0, 0]])
    labels = torch.tensor([[0, 1, 2, 2, 1, 1, 0, 255, 0, 0]])
    one, other = SizeCounts(), SizeCounts()
    one.add(labels, truth, 0.3, 3)
    pixels = int((truth != 255).sum())
    other.add_confusion(confusion_matrix(labels, truth, 3), 0.3, pixels)
    assert torch.equal(one.counts, other.counts)
    assert one.rows()[2].coverage == pytest.approx(8 / 9)
