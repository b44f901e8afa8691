"""How sure labels are, without any truth."""

from __future__ import annotations

import math

import pytest
import torch

from tests.small import Everything
from weakseg.evidence import IGNORE
from weakseg.functional.label_confidence import (
    colour_agreement,
    network_agreement,
    pixel_confidence,
)

NOTHING = torch.full((4, 5), IGNORE, dtype=torch.uint8)


def probs(*planes: float) -> torch.Tensor:
    return torch.tensor(planes)[:, None, None].expand(len(planes), 4, 5)


def test_without_any_label_nothing_is_known() -> None:
    assert math.isnan(network_agreement(NOTHING, probs(0.2, 0.8)))
    assert math.isnan(colour_agreement(NOTHING, torch.zeros(3, 4, 5, dtype=torch.uint8)))
    assert float(pixel_confidence(NOTHING, probs(0.2, 0.8)).abs().max()) == 0


def test_a_small_class_counts_as_much_as_a_large_one() -> None:
    labels = torch.zeros(4, 5, dtype=torch.uint8)
    labels[0, 0] = 1
    assert network_agreement(labels, probs(0.9, 0.1)) == pytest.approx(0.5)


def test_pixels_without_a_label_do_not_count() -> None:
    labels = torch.zeros(4, 5, dtype=torch.uint8)
    labels[1:] = IGNORE
    unsure = probs(0.9, 0.1).clone()
    unsure[:, 1:] = torch.tensor([0.1, 0.9])[:, None, None]
    assert network_agreement(labels, unsure) == pytest.approx(0.9)


@pytest.mark.parametrize("index", range(6))
def test_labels_beyond_the_border_are_less_sure(index: int) -> None:
    evidence, truth = Everything().sample(index)
    assert truth is not None
    filled = truth.clone()
    assert evidence.boxes is not None
    left, top, right, bottom = evidence.boxes[0].int().tolist()
    filled[max(0, top) : bottom, max(0, left) : right] = int(truth.max())
    assert colour_agreement(filled, evidence.image) < colour_agreement(truth, evidence.image)
