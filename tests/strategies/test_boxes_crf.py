from __future__ import annotations

import pytest
import torch
from torch import Tensor

from weakseg.evidence import Evidence, Prediction
from weakseg.functional.boxes import box_unary
from weakseg.functional.crf import DenseCRF, dense_crf
from weakseg.strategies.base import Context
from weakseg.strategies.boxes_crf import BoxesCRF
from weakseg.strategies.boxes_rect import BoxesRect
from weakseg.training.round_targets import method_fingerprint


def discs(noise: float = 6) -> tuple[Evidence, Tensor]:
    """A red disc of class 5 and a green one of class 17 on blue ground, with their tight boxes; and
    the truth."""
    y, x = torch.meshgrid(torch.arange(60) + 0.5, torch.arange(80) + 0.5, indexing="ij")
    truth = torch.zeros(60, 80, dtype=torch.uint8)
    truth[(x - 24).square() + (y - 24).square() < 20**2] = 5
    truth[(x - 60).square() + (y - 40).square() < 15**2] = 17
    colours = torch.zeros(256, 3)
    colours[0], colours[5], colours[17] = torch.tensor(
        [[40.0, 40, 200], [200, 40, 40], [40, 200, 40]]
    )
    image = colours[truth.long()].permute(2, 0, 1) + torch.randn(3, 60, 80) * noise
    evidence = Evidence(
        "discs",
        image.clamp(0, 255).to(torch.uint8),
        boxes=torch.tensor([[4.0, 4, 44, 44], [45, 25, 75, 55]]),
        box_classes=torch.tensor([5, 17]),
    )
    return evidence, truth


@pytest.mark.parametrize("unary", ["wssl_code", "wssl_paper"])
def test_finds_the_outline_that_boxes_miss(unary: str) -> None:
    evidence, truth = discs()
    strategy = BoxesCRF(unary=unary, crf=DenseCRF(bilateral_rgb=13))  # type: ignore[arg-type]
    wrong = (strategy.estimate(evidence, Context()) != truth).float().mean()
    wrong_rect = (BoxesRect().estimate(evidence, Context()) != truth).float().mean()
    assert wrong_rect > 0.1
    assert wrong < 0.02


def test_equals_the_crf_over_all_21_classes() -> None:
    """Leaving out the classes without a box saves their time, not their result."""
    evidence, _ = discs(noise=30)
    assert evidence.boxes is not None
    assert evidence.box_classes is not None
    crf = DenseCRF(bilateral_rgb=13)
    probs = box_unary(evidence.boxes, evidence.box_classes, 21, 60, 80)
    everything = dense_crf(evidence.image, probs, crf).argmax(0)
    assert (BoxesCRF(crf=crf).estimate(evidence, Context()) == everything).float().mean() > 0.999


def test_two_boxes_of_one_class() -> None:
    evidence, truth = discs()
    evidence = evidence._replace(box_classes=torch.tensor([9, 9]))
    target = BoxesCRF(crf=DenseCRF(bilateral_rgb=13)).estimate(evidence, Context())
    assert set(target.unique().tolist()) == {0, 9}
    assert ((target > 0) == (truth > 0)).float().mean() > 0.98


def test_share_reaches_the_unary() -> None:
    evidence, _ = discs()
    # what remains is the argmax of the unary: the cores, as ties go to background
    off = DenseCRF(smooth_weight=0, bilateral_weight=0)
    small, large = (
        int((BoxesCRF(share=share, crf=off).estimate(evidence, Context()) > 0).sum())
        for share in (0.1, 0.6)
    )
    assert small < large / 2


def test_no_boxes_is_all_background() -> None:
    evidence = discs()[0]._replace(
        boxes=torch.zeros(0, 4), box_classes=torch.zeros(0, dtype=torch.int64)
    )
    assert torch.equal(
        BoxesCRF().estimate(evidence, Context()), torch.zeros(60, 80, dtype=torch.uint8)
    )


def test_impossible_settings_are_named_at_once() -> None:
    with pytest.raises(
        ValueError, match="unary should be wssl_code or wssl_paper, but it is 'soft'"
    ):
        BoxesCRF(unary="soft")  # type: ignore[arg-type]
    with pytest.raises(
        ValueError,
        match=(
            "share should be more than 0 and at most 1, the part of a box that is its middle, but "
            "it is 20"
        ),
    ):
        BoxesCRF(share=20)


def test_in_later_rounds_the_network_says_where_in_the_box_the_object_is() -> None:
    image = torch.full((3, 40, 40), 120, dtype=torch.uint8)
    strategy = BoxesCRF(crf=DenseCRF(bilateral_weight=0), network=40)  # the colours say nothing
    evidence = Evidence(
        "a", image, boxes=torch.tensor([[4.0, 4, 36, 36]]), box_classes=torch.tensor([2])
    )
    seen = torch.full((40, 40), 0.02)
    seen[:, :20] = 0.2  # unsure, and of another class, but more on the left
    prediction = Prediction(torch.stack([1 - seen, seen, torch.zeros(40, 40)]))
    first = strategy.estimate(evidence, Context())
    later = strategy.estimate(evidence, Context(prediction))
    assert set(later.unique().tolist()) == {0, 2}
    left, right = (later[8:32, 4:20] == 2), (later[8:32, 20:36] == 2)
    assert left.float().mean() > right.float().mean() + 0.3
    assert (first[8:32, 4:20] == 2).float().mean() <= (first[8:32, 20:36] == 2).float().mean() + 0.1
    untrained = Context(Prediction(torch.full((3, 40, 40), 1 / 3)))
    assert torch.equal(strategy.estimate(evidence, untrained), first)
    strategy.network = 0
    assert torch.equal(strategy.estimate(evidence, Context(prediction)), first)


def test_at_half_the_resolution_targets_are_others_with_keys_of_their_own() -> None:
    evidence, truth = discs()
    whole, half = BoxesCRF(), BoxesCRF(crf=DenseCRF(scale=0.5))
    found = [strategy.estimate(evidence, Context()) for strategy in (whole, half)]
    assert 0.95 < float((found[0] == found[1]).double().mean()) < 1
    assert float((found[1] == truth).double().mean()) > 0.95
    assert method_fingerprint(whole) != method_fingerprint(half)
    assert method_fingerprint(whole) == method_fingerprint(BoxesCRF(crf=DenseCRF(scale=1.0)))
