from __future__ import annotations

import torch

from weakseg.evidence import Evidence, Prediction
from weakseg.strategies.shared.with_prediction import (
    has_learned,
    object_sides,
    with_prediction,
)

BOXES = torch.tensor([[0.0, 0, 8, 8], [1, 1, 3, 3]])
EVIDENCE = Evidence(
    "a", torch.zeros(3, 16, 16, dtype=torch.uint8), boxes=BOXES, box_classes=torch.tensor([1, 1])
)


def test_in_round_0_nothing_has_been_learned() -> None:
    assert not has_learned(Prediction(torch.full((3, 2, 2), 1 / 3)))
    assert has_learned(Prediction(torch.tensor([[[0.5, 0.6]], [[0.5, 0.4]]])))


def test_the_side_of_an_object_is_that_of_the_smallest_box_around_it() -> None:
    sides = object_sides(EVIDENCE, torch.zeros(16, 16, dtype=torch.int64))
    assert sides[2, 2] == 2 / 16
    assert sides[5, 5] == 8 / 16
    assert sides[12, 12] == 0


def test_without_boxes_it_is_that_of_all_that_was_found() -> None:
    found = torch.zeros(16, 16, dtype=torch.int64)
    found[:8, :8] = 1
    sides = object_sides(EVIDENCE._replace(boxes=None, box_classes=None), found)
    assert torch.equal(sides, torch.full((16, 16), 0.5))


def estimate(weight: float, evidence: Evidence = EVIDENCE) -> torch.Tensor:
    """Unaries that know nothing in the box, and a network that sees the object on the left."""
    inside = torch.ones(2, 16, 16, dtype=torch.bool)
    inside[1] = False
    inside[1, :8, :8] = True
    probs = torch.full((2, 16, 16), 0.5) * inside
    probs = probs / probs.sum(0)
    seen = torch.full((16, 16), 0.1)
    seen[:8, :4] = 0.3
    prediction = Prediction(torch.stack([1 - seen, torch.zeros_like(seen), seen]))
    found = torch.zeros(16, 16, dtype=torch.int64)
    found[:8, 2:6] = 1
    classes = torch.tensor([0, 1])
    return with_prediction(probs, found, evidence, prediction, classes, inside, weight)


def test_the_prediction_says_where_and_the_evidence_how_much() -> None:
    joint = estimate(0.25)
    torch.testing.assert_close(joint.sum(0), torch.ones(16, 16))
    # however unsure the network is, and whatever it calls the object
    assert bool((joint[1, 4:8, :4] > 0.5).all())
    assert bool((joint[1, 4:8, 4:8] < 0.5).all())
    assert joint[1, 8:].sum() == joint[1, :, 8:].sum() == 0


def test_a_weight_of_0_leaves_the_unaries() -> None:
    torch.testing.assert_close(estimate(0.0)[1, :8, :8], torch.full((8, 8), 0.5))


def test_it_counts_less_for_small_objects() -> None:
    joint = estimate(0.25)
    # in the small box it has a quarter of the weight that it has beside it
    small, large = joint[1, 2, 2].logit(), joint[1, 5, 2].logit()
    torch.testing.assert_close(small * 4, large, atol=1e-3, rtol=0)
