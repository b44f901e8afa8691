from __future__ import annotations

from math import inf

import pytest
import torch

from tests.small import loss_of
from tests.strategies.parts import a_batch, padded
from weakseg.evidence import Evidence
from weakseg.strategies.boxes_ccnn import BoxesCCNN

BOX = ([2.0, 1, 6, 5], 2)


def test_a_box_holds_its_class_and_nothing_else_does() -> None:
    logits = torch.randn(1, 4, 8, 8)
    logits[:, 0] += 4
    strategy = BoxesCCNN(inside=0.6)
    returned = loss_of(strategy, logits, a_batch(8, 8, boxes=[[BOX]]))
    (loss,) = returned.terms.values()
    probs = returned.labels[0]
    assert probs[2, 1:5, 2:6].mean().item() == pytest.approx(0.6, abs=2e-5)
    assert probs[2].count_nonzero() == 16
    assert probs[[1, 3]].abs().max() == 0
    assert {name: figure.item() for name, figure in returned.figures.items()} == {
        "active": 0.5,
        "unmet": 0,
        "converged": 1,
    }
    divergence = torch.xlogy(probs, probs) - probs * logits.log_softmax(1)[0]
    assert loss.item() == pytest.approx(divergence.sum(0).mean().item(), rel=1e-5)


def test_an_opinion_that_keeps_the_bounds_stays_in_the_box() -> None:
    """Inside, where there is enough of the class, only the classes without a box are taken away."""
    logits = torch.randn(1, 3, 8, 8)
    strategy = BoxesCCNN(inside=0.01)
    returned = loss_of(strategy, logits, a_batch(8, 8, boxes=[[BOX]]))
    torch.testing.assert_close(
        returned.labels[0, ::2, 1:5, 2:6], logits[0, ::2].softmax(0)[:, 1:5, 2:6]
    )


def test_the_numbers_reach_the_bounds() -> None:
    logits = torch.zeros(1, 3, 8, 8)
    logits[:, 2] += 9
    strategy = BoxesCCNN(outside=0.25)
    returned = loss_of(strategy, logits, a_batch(8, 8, boxes=[[BOX]]))
    outside = torch.ones(8, 8).bool()
    outside[1:5, 2:6] = False
    assert returned.labels[0, 2][outside].mean().item() == pytest.approx(0.25, abs=2e-5)
    strategy = BoxesCCNN(inside=0.9, slack=1)
    returned = loss_of(strategy, torch.zeros(1, 3, 8, 8), a_batch(8, 8, boxes=[[BOX]]))
    assert returned.labels[0, 2, 1:5, 2:6].mean().item() == pytest.approx(
        1 / (1 + torch.e**-1), abs=1e-5
    )
    strategy = BoxesCCNN(inverse_temperature=1000)
    returned = loss_of(strategy, torch.randn(1, 3, 8, 8), a_batch(8, 8, boxes=[[BOX]]))
    assert returned.labels.amax(1).mean() > 0.99


def test_an_image_without_boxes_is_background() -> None:
    strategy = BoxesCCNN()
    returned = loss_of(strategy, torch.randn(2, 3, 8, 8), a_batch(8, 8, boxes=[[], [BOX]]))
    assert (returned.labels[0, 0] == 1).all()
    assert returned.labels[1, 2].sum() > 1


def test_padding_is_not_learned_and_does_not_count() -> None:
    logits = torch.randn(1, 3, 8, 8)
    wide, valid = padded(logits)
    strategy = BoxesCCNN(inside=0.8)
    returned = loss_of(strategy, logits, a_batch(8, 8, boxes=[[BOX]]))
    (expected,) = returned.terms.values()
    returned = loss_of(strategy, wide, a_batch(9, 10, boxes=[[([2.0, 2, 6, 6], 2)]], valid=valid))
    (loss,) = returned.terms.values()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)
    assert returned.labels.sum(1)[~valid].abs().max() == 0


def test_boxes_shrink_to_the_scores() -> None:
    strategy = BoxesCCNN(inside=1, resolution="scores")
    returned = loss_of(
        strategy, torch.zeros(1, 3, 2, 4), a_batch(16, 32, boxes=[[([8.0, 0, 24, 8], 2)]])
    )
    assert returned.labels[0, 2].flatten().tolist() == pytest.approx(
        [0, 1, 1, 0, 0, 0, 0, 0], abs=1e-4
    )


def test_contradictions_are_refused_before_training() -> None:
    image, names = torch.zeros(3, 8, 8, dtype=torch.uint8), ("background", "cat", "dog")
    evidence = Evidence(
        "a", image, boxes=torch.tensor([BOX[0]] * 2), box_classes=torch.tensor([1, 2])
    )
    BoxesCCNN().check(evidence, names)
    with pytest.raises(
        ValueError,
        match=(
            r"the classes cat, dog should together cover at least 120 % of a region of 16 pixels; "
            r"lower stra"
        ),
    ):
        BoxesCCNN(inside=0.6).check(evidence, names)
    BoxesCCNN(inside=0.6, slack=5).check(evidence, names)


def test_boxes_that_a_small_picture_would_merge_are_no_contradiction() -> None:
    """Six small boxes of six classes side by side, in an image of which the check looks at every
    sixteenth pixel first."""
    boxes = torch.tensor([[float(x), 500, x + 2, 502] for x in range(500, 512, 2)])
    evidence = Evidence(
        "a",
        torch.zeros(3, 1024, 1024, dtype=torch.uint8),
        boxes=boxes,
        box_classes=torch.arange(1, 7),
    )
    BoxesCCNN(inside=0.9).check(evidence, "abcdefg")


def test_impossible_settings_are_named_at_once() -> None:
    with pytest.raises(
        ValueError, match="inside should lie from 0 to 1, a share of the pixels, but it is 20"
    ):
        BoxesCCNN(inside=20)
    with pytest.raises(ValueError, match="inverse_temperature should be more than 0 and finite"):
        BoxesCCNN(inverse_temperature=inf)
    with pytest.raises(ValueError, match="slack should be 0 or more"):
        BoxesCCNN(slack=-1)
