from __future__ import annotations

from math import exp, log

import pytest
import torch

from tests.small import loss_of
from tests.strategies.parts import a_batch, padded
from weakseg.strategies.boxes_em import BoxesEM


def test_by_hand_with_the_scores_as_they_are() -> None:
    """Background leads by 0, .5 and 1.5; in the box, which holds the last two, its class is raised
    by one more."""
    logits = torch.tensor(
        [[[[0.0, 0.5, 1.5]], [[0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]]]], requires_grad=True
    )
    strategy = BoxesEM()
    returned = loss_of(strategy, logits, a_batch(1, 3, boxes=[[([1.0, 0, 3, 1], 2)]]))
    (loss,) = returned.terms.values()
    assert returned.labels.tolist() == [[[0, 2, 0]]]
    expected = log(3) + log(2 + exp(0.5)) + log(2 + exp(1.5)) - 1.5
    assert loss.item() == pytest.approx(expected / 3, rel=1e-6)


@pytest.mark.parametrize(
    ("foreground", "background", "label"), [(6, 5, 0), (8, 5, 2), (0, 0, 1), (0, 3, 0)]
)
def test_the_numbers_reach_the_labels(foreground: float, background: float, label: int) -> None:
    strategy = BoxesEM(foreground, background)
    returned = loss_of(
        strategy,
        torch.tensor([1.5, 2.0, 0.0]).view(1, 3, 1, 1),
        a_batch(1, 1, boxes=[[([0.0, 0, 1, 1], 2)]]),
    )
    assert returned.labels.item() == label


def test_the_smallest_box_counts_and_images_keep_to_themselves() -> None:
    boxes = [[([0.0, 0, 2, 1], 1), ([0.0, 0, 4, 1], 2)], [], [([3.0, 0, 4, 1], 2)]]
    strategy = BoxesEM()
    returned = loss_of(strategy, torch.zeros(3, 3, 1, 4), a_batch(1, 4, boxes=boxes))
    assert returned.labels.tolist() == [[[1, 1, 2, 2]], [[0] * 4], [[0, 0, 0, 2]]]


def test_padding_is_not_learned() -> None:
    logits = torch.randn(1, 3, 4, 5)
    wide, valid = padded(logits)
    strategy = BoxesEM()
    returned = loss_of(strategy, logits, a_batch(4, 5, boxes=[[([1.0, 1, 3, 3], 1)]]))
    (expected,) = returned.terms.values()
    returned = loss_of(strategy, wide, a_batch(5, 7, boxes=[[([1.0, 2, 3, 4], 1)]], valid=valid))
    (loss,) = returned.terms.values()
    torch.testing.assert_close(loss, expected)
    assert (returned.labels[~valid] == 255).all()


def test_boxes_shrink_to_the_scores() -> None:
    strategy = BoxesEM(resolution="scores")
    returned = loss_of(
        strategy,
        torch.zeros(1, 3, 2, 4),
        a_batch(16, 32, boxes=[[([8.0, 0, 24, 8], 2), ([30.0, 9, 31, 10], 1)]]),
    )
    # the box that is thinner than a score holds one
    assert returned.labels.tolist() == [[[0, 2, 2, 0], [0, 0, 0, 1]]]


def test_impossible_settings_are_named_at_once() -> None:
    with pytest.raises(
        ValueError,
        match="background should be 0 or more and finite, a number of logits, but it is -5",
    ):
        BoxesEM(background=-5)
    with pytest.raises(
        ValueError,
        match="foreground should be 0 or more and finite, a number of logits, but it is inf",
    ):
        BoxesEM(foreground=float("inf"))


def test_the_warm_up_learns_filled_boxes_whatever_the_network_thinks() -> None:
    strategy, batch = (
        BoxesEM(warmup=2),
        a_batch(1, 3, boxes=[[([1.0, 0, 3, 1], 2)]], valid=torch.tensor([[[True, True, False]]])),
    )
    # sure of background everywhere
    logits = torch.tensor([9.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 1, 3)
    shown = []
    for training in (True, False, True, True):
        strategy.train(training)
        returned = loss_of(strategy, logits, batch)
        shown.append(returned.labels.tolist())
    filled, raised = [[[0, 2, 255]]], [[[0, 0, 255]]]
    assert shown == [filled, filled, filled, raised]  # looking is not training
    resumed = BoxesEM(warmup=2)
    resumed.load_state_dict(strategy.state_dict())
    returned = loss_of(resumed, logits, batch)
    assert returned.labels.tolist() == raised
    with pytest.raises(
        ValueError,
        match="warmup should be at least 0, how many batches learn filled boxes, but it is -1",
    ):
        BoxesEM(warmup=-1)
