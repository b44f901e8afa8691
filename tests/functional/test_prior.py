from __future__ import annotations

from math import exp, log, pi

import pytest
import torch

from weakseg.functional.prior import blob_odds, centre_odds, centre_prior


def test_values_by_hand() -> None:
    """Two by four pixels: their middles are 1/2 of half the height, and 1/4 and 3/4 of half the
    width away."""
    near, far = (0.05 + 0.9 * exp(-(0.25 + across**2) / 0.5) for across in (0.25, 0.75))
    assert torch.allclose(centre_prior(2, 4, sigma=0.5), torch.tensor([[far, near, near, far]] * 2))


def test_it_is_the_same_for_any_size_and_from_any_side() -> None:
    prior = centre_prior(30, 50)
    assert torch.allclose(prior, prior.flip(0))
    assert torch.allclose(prior, prior.flip(1))
    assert torch.allclose(centre_prior(90, 150)[1::3, 1::3], prior)
    assert float(prior.min()) > 0.05
    assert float(prior.max()) < 0.95


@pytest.mark.parametrize("sigma", [0, -1, float("inf"), float("nan")])
def test_an_impossible_spread_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match="sigma should be more than 0"):
        centre_prior(3, 3, sigma)


def test_odds_by_hand_of_images_in_padding() -> None:
    """Two images of different sizes in one batch, one of them not in the corner, and one that is
    nothing but padding."""
    valid = torch.zeros(3, 4, 6, dtype=torch.bool)
    valid[0, :2, :4] = True
    valid[1, 1:4, 2:5] = True
    odds = centre_odds(valid, sigma=0.5)
    near, far = (0.05 + 0.9 * exp(-(0.25 + across**2) / 0.5) for across in (0.25, 0.75))
    near, far = log(near / (1 - near)), log(far / (1 - far))
    assert torch.allclose(odds[0, :2, :4], torch.tensor([[far, near, near, far]] * 2))
    assert odds[1].argmax() == 2 * 6 + 3
    assert float(odds[1].max()) == pytest.approx(log(19))
    assert (odds[~valid] == 0).all()
    assert (odds[2] == 0).all()


def test_a_subject_is_where_and_as_large_as_it_was_found() -> None:
    """Four of sixteen cells in the middle: their variance is half a cell squared, 1/64 of the
    square image, and .0001 more; the odds are 1/3 times the density, of which the background's is
    1."""
    shares = torch.zeros(4, 4)
    shares[1:3, 1:3] = 1
    odds = blob_odds(shares, 40, 40)
    variance = 1 / 64 + 1e-4
    peak = 1 / 3 / (2 * pi * variance)
    assert float(odds[1, 1]) == pytest.approx(log(peak) - 2 / 64 / (2 * variance), abs=1e-4)
    assert float(odds[0, 1]) == pytest.approx(log(peak) - 10 / 64 / (2 * variance), abs=1e-4)


def test_a_long_subject_has_a_long_prior_and_a_lost_one_none() -> None:
    shares = torch.zeros(9, 9)
    shares[4, 2:7] = 1
    odds = blob_odds(shares, 90, 90)
    assert odds[4, 7] > odds[7, 4]
    assert odds.min() >= -6
    assert not blob_odds(torch.full((4, 4), 0.03), 8, 8).any()
