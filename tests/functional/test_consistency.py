"""How well labels are predicted from other images: against rates that are known, least squares
of numpy, and what it has to ignore."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from weakseg.functional.consistency import Agreement, Cells, agreement

IMAGES, CELLS = 60, 200


def a_set(seed: int = 0, images: int = IMAGES) -> tuple[list[Tensor], list[Tensor]]:
    """The true class of the cells of images, and features that tell of it."""
    random = torch.Generator().manual_seed(seed)
    truth = [torch.rand(CELLS, generator=random) < 0.3 for _ in range(images)]
    features = []
    for each in truth:
        light = torch.randn(1, 4, generator=random)  # differs from image to image
        noise = torch.randn(CELLS, 4, generator=random)
        features.append(noise + 5 * light + each[:, None] * torch.tensor([1.0, -1.0, 0.5, 0.0]))
    return truth, features


def labelled(truth: Tensor, right: float, wrong: float, seed: int) -> Tensor:
    """Labels with these rates of right and of wrong ones."""
    chance = torch.rand(len(truth), generator=torch.Generator().manual_seed(seed))
    return (chance < torch.where(truth, right, wrong)).float()


def measured(rates: list[tuple[float, float]], seed: int = 0) -> Agreement:
    truth, features = a_set(seed)
    return agreement(
        [
            Cells(
                own,
                torch.stack(
                    [
                        labelled(each, right, wrong, 100 * place + number)
                        for number, (right, wrong) in enumerate(rates)
                    ]
                ),
                torch.ones(len(rates), CELLS),
            )
            for place, (each, own) in enumerate(zip(truth, features, strict=True))
        ]
    )


def test_the_covariance_is_proportional_to_right_less_wrong_labels() -> None:
    rates = [(1.0, 0.0), (0.9, 0.3), (0.6, 0.0), (0.5, 0.2), (0.4, 0.4)]
    found = measured(rates).covariance.mean(1)
    expected = torch.tensor([right - wrong for right, wrong in rates], dtype=torch.float64)
    assert torch.allclose(found / found[0], expected, atol=0.05)


def test_labels_do_not_gain_by_covering_more() -> None:
    # both have the same rates of right less wrong labels, one has three times as many labels
    few, many = measured([(0.6, 0.0), (1.0, 0.4)]).covariance.mean(1)
    assert torch.allclose(few, many, rtol=0.1)


def test_it_is_the_same_as_a_ridge_regression_that_has_not_seen_the_fold() -> None:
    truth, features = a_set(images=9)
    cells = [
        Cells(own, torch.stack([each, labelled(each, 0.8, 0.1, 7)]).float(), torch.ones(2, CELLS))
        for each, own in zip(truth, features, strict=True)
    ]
    found = agreement(cells, folds=3, penalty=2.0)
    centred = [(each.features - each.features.mean(0)).double().numpy() for each in cells]
    scale = np.sqrt(np.mean([(each**2).mean(0) for each in centred], 0))
    labels = [(each.shares - each.shares.mean(1, keepdim=True)).double().numpy() for each in cells]
    for place in range(9):
        others = [other for other in range(9) if other % 3 != place % 3]
        # the mean over the cells of each image is summed, so the sum over cells is CELLS as much
        samples = np.concatenate([centred[other] / scale for other in others])
        shares = np.concatenate([labels[other].T for other in others])
        penalty = np.sqrt(2.0 * 9 * CELLS) * np.eye(4)
        weights, *_ = np.linalg.lstsq(
            np.concatenate([samples, penalty]), np.concatenate([shares, np.zeros((4, 2))])
        )
        predicted = centred[place] / scale @ weights
        covariance = (labels[place] * predicted.mean(1)).mean(1)
        explained = (labels[place] ** 2 - (labels[place] - predicted.T) ** 2).mean(1)
        assert np.allclose(found.covariance[:, place], covariance)
        assert np.allclose(found.explained[:, place], explained)


def test_labels_that_follow_nothing_explain_nothing() -> None:
    found = measured([(0.3, 0.3)])
    assert float(found.explained.mean()) < 0.002
    assert abs(float(found.covariance.mean())) < 0.001


def test_what_is_explained_is_at_most_the_variance_of_the_labels() -> None:
    truth, features = a_set()
    clear = [
        Cells(each[:, None].float(), each[None].float(), torch.ones(1, CELLS)) for each in truth
    ]
    variance = torch.stack([each.float().var(correction=0) for each in truth]).double()
    # the penalty keeps the probe from predicting all of it
    found = agreement(clear, penalty=1e-9).explained[0]
    assert torch.allclose(found, variance)
    noisy = [own._replace(features=each) for own, each in zip(clear, features, strict=True)]
    assert float(agreement(noisy).explained.mean()) < float(variance.mean())


def test_pixels_without_a_label_count_as_chance() -> None:
    truth, features = a_set()
    cells = [
        Cells(own, each[None].float(), torch.ones(1, CELLS))
        for each, own in zip(truth, features, strict=True)
    ]
    whole = agreement(cells).covariance.mean()
    half = torch.arange(CELLS) % 2 == 0
    hidden = [each._replace(shares=each.shares * half, known=half[None].float()) for each in cells]
    # half of the labels for the probe too: a quarter
    assert torch.allclose(agreement(hidden).covariance.mean(), whole / 4, rtol=0.1)


def test_every_image_counts_alike_and_a_constant_feature_does_no_harm() -> None:
    truth, features = a_set(images=6)
    cells = [
        Cells(
            torch.cat([own, torch.full((CELLS, 1), 0.1)], 1),
            each[None].float(),
            torch.ones(1, CELLS),
        )
        for each, own in zip(truth, features, strict=True)
    ]
    plain = [each._replace(features=each.features[:, :-1]) for each in cells]
    expected = agreement(plain).covariance
    assert torch.allclose(agreement(cells).covariance, expected)
    # the first image with every cell twice says no more
    twice = [
        Cells(*(torch.cat([part, part], dim) for part, dim in zip(plain[0], (0, 1, 1)))),  # noqa: B905
        *plain[1:],
    ]
    assert torch.allclose(agreement(twice).covariance, expected)


def test_one_image_has_no_others() -> None:
    truth, features = a_set(images=1)
    with pytest.raises(ValueError, match="two or more"):
        agreement([Cells(features[0], truth[0][None].float(), torch.ones(1, CELLS))])
