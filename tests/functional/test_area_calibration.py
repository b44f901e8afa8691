from __future__ import annotations

import torch
from torch import Tensor

from weakseg.functional.area_calibration import calibrate_areas

EVERYWHERE = torch.ones(2, 1, 4, dtype=torch.bool)


def row(*values: float) -> Tensor:
    return torch.tensor([values])


def test_areas_are_kept_and_the_order_of_pixels_is_the_networks() -> None:
    torch.manual_seed(0)
    probs = torch.randn(3, 20, 30).softmax(0)
    inside = torch.ones(2, 20, 30, dtype=torch.bool)
    inside[1, :, 12:] = False
    for area in (3.0, 100.0, 230.0):
        found = calibrate_areas(probs, torch.tensor([0, 2]), inside, torch.tensor([0.0, area]))
        torch.testing.assert_close(found.sum(0), torch.ones(20, 30))
        assert abs(float(found[1].sum()) - area) < 1e-2
        assert found[1][:, 12:].sum() == 0
        before, after = 1 - probs[0][:, :12].flatten(), found[1][:, :12].flatten()
        assert torch.equal(before.argsort(), after.argsort())


def test_a_shift_of_all_logits_of_the_foreground_changes_nothing() -> None:
    torch.manual_seed(1)
    odds = torch.randn(4, 6)
    shy, bold = (torch.stack([-(odds + by), odds + by]).sigmoid() for by in (-3.0, 2.0))
    of = (torch.tensor([0, 1]), torch.ones(2, 4, 6, dtype=torch.bool), torch.tensor([0.0, 9.0]))
    torch.testing.assert_close(calibrate_areas(shy, *of), calibrate_areas(bold, *of))


def test_another_class_than_the_possible_ones_counts_for_these() -> None:
    # two networks that see the same object, and call it by a wrong and a right name
    wrong = torch.stack(
        [row(0.2, 0.2, 0.9, 0.9), row(0.7, 0.7, 0.05, 0.05), row(0.1, 0.1, 0.05, 0.05)]
    )
    right = wrong[[0, 2, 1]]
    of = (torch.tensor([0, 2]), EVERYWHERE, torch.tensor([2.0, 2.0]))
    torch.testing.assert_close(calibrate_areas(wrong, *of), calibrate_areas(right, *of))


def test_classes_that_share_a_pixel_have_the_proportions_of_the_network() -> None:
    probs = torch.stack([row(0.2), row(0.6), row(0.2)])
    inside = torch.ones(3, 1, 1, dtype=torch.bool)
    found = calibrate_areas(probs, torch.arange(3), inside, torch.tensor([0.2, 0.6, 0.2]))
    torch.testing.assert_close(found, probs, atol=1e-4, rtol=0)


def test_nothing_all_or_no_class_at_all() -> None:
    probs = torch.full((2, 1, 4), 0.5)
    classes = torch.tensor([0, 1])
    nothing = calibrate_areas(probs, classes, EVERYWHERE, torch.tensor([4.0, 0.0]))
    assert nothing[1].max() < 1e-6
    everything = calibrate_areas(probs, classes, EVERYWHERE, torch.tensor([0.0, 4.0]))
    assert everything[1].min() > 1 - 1e-6
    alone = calibrate_areas(probs, classes[:1], EVERYWHERE[:1], torch.tensor([4.0]))
    assert torch.equal(alone, torch.ones(1, 1, 4))


def test_a_class_without_a_place_is_nowhere() -> None:
    inside = EVERYWHERE.clone()
    inside[1] = False
    found = calibrate_areas(
        torch.full((2, 1, 4), 0.5), torch.tensor([0, 1]), inside, torch.tensor([4.0, 0.0])
    )
    assert torch.equal(found[0], torch.ones(1, 4))


def test_many_pixels_are_calibrated_by_some_of_them() -> None:
    torch.manual_seed(2)
    probs = torch.randn(2, 300, 200).softmax(0)
    inside = torch.ones(2, 300, 200, dtype=torch.bool)
    found = calibrate_areas(probs, torch.tensor([0, 1]), inside, torch.tensor([0.0, 15_000.0]))
    assert abs(float(found[1].sum()) / 15_000 - 1) < 0.02
