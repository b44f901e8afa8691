from __future__ import annotations

from math import log, pi

import pytest
import torch
from torch import Tensor

from weakseg.functional import colour_models_compiled as compiled
from weakseg.functional.colour_models import (
    CAP,
    colour_odds,
    fit_mixture,
    groups_of_brightness,
    log_densities,
)

RED = (200, 30, 30)
GREEN = (30, 160, 40)
BLUE = (20, 40, 190)


def noisy(colours: list[tuple[int, int, int]], each: int) -> Tensor:
    """So many pixels of each colour, with some noise: uint8 [N,3]."""
    random = torch.Generator().manual_seed(1)
    exact = torch.tensor(colours).repeat_interleave(each, 0).float()
    noise = torch.randn(exact.shape, generator=random) * 6
    return (exact + noise).round().clamp(0, 255).to(torch.uint8)


def test_one_component_is_the_gaussian_of_the_samples() -> None:
    """Numbers 1 and 3: mean 2, variance 1, and 3 that is added."""
    samples = torch.tensor([[1], [3]], dtype=torch.uint8)
    mixture = fit_mixture(samples, torch.zeros(2, dtype=torch.int64), 1, 4, 3.0)
    assert mixture.means.tolist() == [[2.0]]
    assert mixture.roots.tolist() == [[[0.5]]]
    found = log_densities(torch.tensor([[2], [6]], dtype=torch.uint8), mixture)
    peak = -log(2) - log(2 * pi) / 2
    assert found.tolist() == pytest.approx([peak, peak - 4**2 / (2 * 4)])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("iterations", [0, 1, 6])
def test_compiled_code_and_tensors_agree(channels: int, iterations: int) -> None:
    samples = noisy([RED, GREEN, BLUE, (90, 90, 90)], 60)[:, :channels].contiguous()
    owners = groups_of_brightness(samples, 4)
    expected = fit_mixture(samples, owners, 4, iterations, 9.0)
    found = compiled.fit_mixture(samples, owners, 4, iterations, 9.0)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(
        log_densities(samples, expected), compiled.log_densities(samples, found)
    )


def test_densities_are_those_of_torch() -> None:
    samples = noisy([RED, GREEN], 50)
    mixture = fit_mixture(samples, groups_of_brightness(samples, 2), 2, 5, 9.0)
    normals = torch.distributions.MultivariateNormal(
        mixture.means, scale_tril=torch.linalg.inv(mixture.roots)
    )
    weights = mixture.logs - normals.log_prob(mixture.means)
    both = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=weights), normals
    )
    assert float(weights.exp().sum()) == pytest.approx(1)
    torch.testing.assert_close(
        log_densities(samples, mixture), both.log_prob(samples.double()).float()
    )


def test_iterations_make_the_samples_likelier() -> None:
    samples = noisy([RED, GREEN, BLUE], 80)
    owners = groups_of_brightness(samples, 3)
    fits = [fit_mixture(samples, owners, 3, iterations, 9.0) for iterations in (0, 1, 2, 4)]
    likelihoods = [float(log_densities(samples, each).sum()) for each in fits]
    assert likelihoods == sorted(likelihoods)
    assert likelihoods[-1] > likelihoods[0]


def test_an_empty_component_changes_nothing() -> None:
    samples = noisy([RED], 20)
    owners = torch.zeros(20, dtype=torch.int64)
    alone = log_densities(samples, fit_mixture(samples, owners, 1, 3, 9.0))
    beside = compiled.log_densities(samples, compiled.fit_mixture(samples, owners, 2, 3, 9.0))
    torch.testing.assert_close(beside, alone)


def picture(colours: list[tuple[int, int, int]]) -> Tensor:
    """Stripes of 12 columns, uint8 [3,20,...]."""
    rows = noisy(colours, 20 * 12).view(len(colours), 20, 12, 3)
    return rows.movedim(0, 1).flatten(1, 2).movedim(-1, 0).contiguous()


def test_all_colours_of_an_object_are_known() -> None:
    """Labelled red and green; both are likely elsewhere, blue and grey are not."""
    image = picture([RED, GREEN, (90, 90, 90), BLUE, GREEN, RED])
    labels = torch.zeros(20, 72, dtype=torch.int64)
    labels[:, :24] = 1
    labels[:, 48:] = 255
    background, odds = colour_odds(image, labels, 2)
    assert not background.any()
    assert float(odds[:, 48:].min()) == CAP
    assert float(odds[:, 24:48].max()) == -CAP


def test_a_grey_image_has_one_channel_of_evidence() -> None:
    brightness = picture([(40, 0, 0), (55, 0, 0)])[0]
    labels = torch.zeros(brightness.shape, dtype=torch.int64)
    labels[:, :12] = 1
    odds = colour_odds(brightness.expand(3, -1, -1), labels, 2)[1]
    samples = brightness.flatten()[:, None]
    densities = []
    for label in (1, 0):
        own = samples[labels.flatten() == label]
        mixture = fit_mixture(own, groups_of_brightness(own, 5), 5, 3, 9.0)
        densities.append(log_densities(samples, mixture))
    expected = (densities[0] - densities[1]).clamp(-CAP, CAP).view_as(odds)
    torch.testing.assert_close(odds, expected)


def test_classes_with_few_pixels_have_no_colours() -> None:
    image = picture([RED, GREEN])
    labels = torch.zeros(20, 24, dtype=torch.int64)
    labels[0, :3] = 1
    labels[:, 12:] = 2
    odds = colour_odds(image, labels, 4)
    assert not odds[[0, 1, 3]].any()
    assert odds[2].any()
    assert not colour_odds(image, torch.full((20, 24), 1), 2).any()
