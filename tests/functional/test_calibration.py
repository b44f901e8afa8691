"""Calibration by hand, and against torchmetrics."""

from __future__ import annotations

import math

import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from weakseg.functional.calibration import (
    Reliability,
    count_reliability,
    expected_calibration_error,
    reliability_curve,
)


def test_bins_by_hand() -> None:
    confidence = torch.tensor([[0.55, 0.58], [0.95, 1.0]], dtype=torch.float64)
    right = torch.tensor([[True, False], [True, True]])
    counts = count_reliability(confidence, right, bins=10)
    assert counts.pixels.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert counts.right.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 2]
    # two pixels that are .565 sure and right in half, two that are .975 sure and right
    assert expected_calibration_error(counts) == pytest.approx(0.5 * 0.065 + 0.5 * 0.025)
    (sure, right_share, pixels), (_, last, _) = reliability_curve(counts)
    assert (sure, right_share, pixels, last) == (pytest.approx(0.565), 0.5, 2, 1.0)


@pytest.mark.parametrize("bins", [10, 15])
def test_against_torchmetrics(bins: int) -> None:
    probabilities = torch.rand(2000, 5, dtype=torch.float64).pow(4).softmax(1)
    truth = torch.randint(0, 5, (2000,))
    sure, labels = probabilities.max(1)
    total = Reliability.empty(bins)
    for part in (slice(0, 700), slice(700, 2000)):  # image by image
        total = total + count_reliability(sure[part], (labels == truth)[part], bins)
    expected = float(multiclass_calibration_error(probabilities, truth, 5, n_bins=bins))
    assert expected_calibration_error(total) == pytest.approx(expected, abs=1e-6)


def test_a_network_that_is_as_sure_as_it_is_right_has_no_error() -> None:
    sure = torch.full((1000,), 0.75)
    right = torch.arange(1000) % 4 > 0
    assert expected_calibration_error(count_reliability(sure, right)) == pytest.approx(0)


def test_of_no_pixel_there_is_no_error() -> None:
    assert math.isnan(expected_calibration_error(Reliability.empty()))
    assert reliability_curve(Reliability.empty()) == []
