from __future__ import annotations

from math import exp, log, log1p

import torch

from weakseg.functional.pooling import (
    classification,
    mean_over_pixels,
    size_focal,
    weighted_pooling,
)


def test_weighted_pooling_by_hand() -> None:
    scores = torch.tensor([[[[2.0, -1.0, 5.0, 3.0]], [[0.0, 1.0, -2.0, 7.0]]]])
    probs = torch.tensor([[[[0.5, 0.25, 0.0, 0.25]], [[0.0, 0.0, 1.0, 0.0]]]])
    # (1 - .25 + 0 + .75) / (1 + 1) and -2 / (1 + 1): the floor is one of the four pixels
    torch.testing.assert_close(
        weighted_pooling(scores, probs, floor=0.25), torch.tensor([[0.75, -1.0]])
    )


def test_the_default_floor_is_one_pixel_of_the_map_of_the_paper() -> None:
    scores, probs = torch.randn(2, 3, 41, 41), torch.randn(2, 3, 41, 41).softmax(1)
    released = (scores * probs).sum((2, 3)) / (1 + probs.sum((2, 3)))
    torch.testing.assert_close(weighted_pooling(scores, probs), released)
    doubled = [values.repeat_interleave(2, 2).repeat_interleave(2, 3) for values in (scores, probs)]
    # the resolution does not matter
    torch.testing.assert_close(weighted_pooling(*doubled), released)


def test_a_class_without_pixels_scores_nothing() -> None:
    assert weighted_pooling(torch.full((1, 1, 2, 2), 9.0), torch.zeros(1, 1, 2, 2)).item() == 0


def test_size_focal_by_hand() -> None:
    probs = torch.tensor([[[[0.0, 0.0]], [[1.0, 1.0]], [[0.25, 0.75]]]])
    expected = torch.tensor([[log(0.01), 0.0, 0.125 * log(0.51)]])
    torch.testing.assert_close(size_focal(probs), expected)
    torch.testing.assert_close(
        size_focal(probs, power=1, smallest=0.5)[0, 0], torch.tensor(log(0.5))
    )


def test_pixels_that_are_not_valid_do_not_count() -> None:
    scores, probs = torch.randn(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    valid = torch.ones(2, 4, 5, dtype=torch.bool)
    valid[:, 3:] = valid[:, :, 3:] = False
    inside = scores[..., :3, :3], probs[..., :3, :3]
    torch.testing.assert_close(
        weighted_pooling(scores, probs, valid=valid), weighted_pooling(*inside)
    )
    torch.testing.assert_close(size_focal(probs, valid=valid), size_focal(inside[1]))
    assert torch.equal(mean_over_pixels(probs, valid & False), torch.zeros(2, 3))


def test_gradients() -> None:
    scores = torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    valid = torch.ones(2, 2, 3, dtype=torch.bool)
    valid[0, 1] = valid[1] = False

    def pooled(scores: torch.Tensor) -> torch.Tensor:
        probs = scores.softmax(1)
        return weighted_pooling(scores, probs, valid=valid) + size_focal(probs, valid=valid)

    assert torch.autograd.gradcheck(pooled, scores)


def test_classification_by_hand() -> None:
    # leads of 2 and -1
    logits = torch.tensor([[[[0.0, 0.0]], [[1.0, -2.0]]], [[[0.0, 0.0]], [[1.0, -2.0]]]])
    p, q = 1 / (1 + exp(-1)), 1 / (1 + exp(2))
    score = (2 * p - q) / 2 / (1 / 41**2 + (p + q) / 2) + (1 - (p + q) / 2) ** 3 * log(
        0.01 + (p + q) / 2
    )
    present, absent = log1p(exp(-score)), log1p(exp(score))
    whole = torch.ones(2, 1, 2, dtype=torch.bool)
    both = classification(logits, whole, torch.tensor([[True, True], [True, False]]))
    torch.testing.assert_close(both, torch.tensor((present + absent) / 2))
    without_tags = classification(logits, whole, torch.tensor([[False, True], [False, False]]))
    torch.testing.assert_close(without_tags, torch.tensor(present))


def test_only_the_lead_over_background_counts() -> None:
    """Otherwise the network's best class would not be what was classified."""
    logits, tags = (
        torch.randn(2, 3, 4, 5),
        torch.tensor([[True, True, False], [True, False, False]]),
    )
    valid = torch.ones(2, 4, 5, dtype=torch.bool)
    moved = logits + torch.randn(2, 1, 4, 5)
    torch.testing.assert_close(
        classification(moved, valid, tags), classification(logits, valid, tags)
    )
