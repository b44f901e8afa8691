from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from weakseg.functional.clustering.margin import (
    class_balance,
    fit_margin,
    hinge_costs,
    margin_objective,
    margin_scores,
)


def noisy(seed: int, samples: int = 24, width: int = 3, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Features float64 and labels int64 of classes that overlap; the first sample of each class is
    there for sure, one is not used."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (samples,), generator=random)
    labels[: classes + 1] = torch.tensor([*range(classes), 255])
    centres = torch.randn(256, width, generator=random)
    return (centres[labels] + torch.randn(samples, width, generator=random)).double(), labels


def quadratic_program(
    features: np.ndarray, mine: np.ndarray, caps: np.ndarray
) -> tuple[np.ndarray, float]:
    """The weights of one class, without the bias, and what they cost, by SciPy: the program of the
    textbook with a slack per sample."""
    samples, width = features.shape
    signs, scale = np.where(mine, 1.0, -1.0), max(1.0, caps.mean())
    rows = np.concatenate([signs[:, None] * features, signs[:, None], np.eye(samples)], 1)
    linear = np.concatenate([np.zeros(width + 1), caps / scale])
    ridge = np.concatenate([np.ones(width), np.zeros(1 + samples)]) / scale
    found = minimize(
        lambda values: ridge @ values**2 / 2 + linear @ values,
        np.concatenate([np.zeros(width + 1), np.ones(samples)]),
        jac=lambda values: ridge * values + linear,
        bounds=[(None, None)] * (width + 1) + [(0, None)] * samples,
        constraints={
            "type": "ineq",
            "fun": lambda values: rows @ values - 1,
            "jac": lambda values: rows,
        },
        method="SLSQP",
        options={"ftol": 1e-11, "maxiter": 500},
    )
    assert found.success
    return found.x[:width], found.fun * scale


@pytest.mark.parametrize("strength", [0.03, 0.5, 20.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_as_the_quadratic_program_of_another_library(seed: int, strength: float) -> None:
    features, labels = noisy(seed)
    weight = torch.rand(len(labels), generator=torch.Generator().manual_seed(seed)).double() + 0.1
    weights = fit_margin(
        features, labels, 3, strength, sample_weight=weight, tolerance=1e-12
    ).numpy()
    used = (labels != 255).numpy()
    samples, own = features.numpy()[used], weight.numpy()[used]
    for label in range(3):
        mine = (labels.numpy() == label)[used]
        caps = strength * own * np.where(mine, own[~mine].sum() / own[mine].sum(), 1.0)
        expected, cost = quadratic_program(samples, mine, caps)
        # of several biases that cost the same, any will do
        slope, bias = weights[label, :-1], weights[label, -1]
        losses = np.maximum(0, 1 - np.where(mine, 1, -1) * (samples @ slope + bias))
        assert slope @ slope / 2 + caps @ losses == pytest.approx(cost, rel=1e-8)
        np.testing.assert_allclose(slope, expected, atol=1e-4 * np.abs(expected).max())


def test_two_samples_by_hand() -> None:
    """At -1 and 3, a slope of 1/2 reaches both margins; with little strength, the slope is what the
    two losses pull, 4 * strength."""
    features, labels = torch.tensor([[-1.0], [3.0]]), torch.tensor([0, 1])
    strong = fit_margin(features, labels, 2, strength=1.0, tolerance=1e-12)
    torch.testing.assert_close(
        strong, torch.tensor([[-0.5, 0.5], [0.5, -0.5]]).double(), atol=1e-6, rtol=0
    )
    weak = fit_margin(features, labels, 2, strength=0.05, tolerance=1e-12)
    torch.testing.assert_close(weak[:, 0], torch.tensor([-0.2, 0.2]).double(), atol=1e-6, rtol=0)


def test_nothing_near_is_cheaper() -> None:
    """Also with many samples: the objective is convex, so a smaller step in any direction would
    show."""
    features, labels = noisy(0, samples=800, width=10, classes=4)
    weights, balance = fit_margin(features, labels, 4, 2.0), class_balance(labels, 4)
    found = margin_objective(features, labels, weights, balance, 2.0)
    random = torch.Generator().manual_seed(1)
    for size in (1e-3, 1e-2, 0.1):
        for _ in range(20):
            moved = weights + size * torch.randn(
                weights.shape, generator=random, dtype=torch.double
            )
            assert (
                margin_objective(features, labels, moved, balance, 2.0) > found * (1 - 1e-6)
            ).all()


def test_the_objective_as_the_paper_writes_it() -> None:
    features, labels = noisy(3)
    weights = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).double()
    balance = class_balance(labels, 3)
    expected = [0.0, 0.0, 0.0]
    for label in range(3):
        members = sum(1 for own in labels.tolist() if own == label)
        others = sum(1 for own in labels.tolist() if own not in (label, 255))
        assert balance[label].item() == pytest.approx(others / members)
        expected[label] = sum(value**2 for value in weights[label, :3].tolist()) / 2
        for sample, own in zip(features.tolist(), labels.tolist(), strict=True):
            score = sum(a * b for a, b in zip([*sample, 1.0], weights[label].tolist(), strict=True))
            loss = others / members * max(0.0, 1 - score) if own == label else max(0.0, 1 + score)
            expected[label] += 0.7 * loss * (own != 255)
    assert margin_objective(features, labels, weights, balance, 0.7).tolist() == pytest.approx(
        expected
    )


def test_costs_are_what_the_objective_changes_by() -> None:
    features, labels = noisy(4)
    weights, balance = fit_margin(features, labels, 3), torch.tensor([0.5, 2.0, 7.0])
    costs = hinge_costs(margin_scores(features, weights), balance)
    before = margin_objective(features, labels, weights, balance, 1.0).sum()
    for sample in range(4, 12):
        moved = labels.clone()
        moved[sample] = (labels[sample] + 1) % 3
        change = costs[sample, moved[sample]] - costs[sample, labels[sample]]
        torch.testing.assert_close(
            margin_objective(features, moved, weights, balance, 1.0).sum() - before, change
        )


def test_a_weight_of_two_is_two_samples_and_255_is_none() -> None:
    features, labels = noisy(5)
    weight = torch.ones(len(labels))
    weight[::3] = 2
    weight[4] = 0
    twice = torch.cat([features, features[::3]]), torch.cat([labels, labels[::3]])
    twice[1][4] = 255
    both = (
        fit_margin(features, labels, 3, sample_weight=weight, tolerance=1e-12),
        fit_margin(*twice, 3, tolerance=1e-12),
    )
    torch.testing.assert_close(*both, atol=1e-6, rtol=1e-5)


def test_a_class_that_nothing_or_everything_belongs_to() -> None:
    features = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([1, 1, 255, 1, 1])
    weights = fit_margin(features, labels, 3)
    assert weights.tolist() == [[0, 0, -1], [0, 0, 1], [0, 0, -1]]
    assert margin_objective(features, labels, weights, class_balance(labels, 3)).tolist() == [
        0,
        0,
        0,
    ]
    assert (
        hinge_costs(margin_scores(features, weights), class_balance(labels, 3)).argmin(1).tolist()
        == [1] * 5
    )
    assert fit_margin(features, torch.full((5,), 255), 2).tolist() == [[0, 0, -1], [0, 0, -1]]


def test_a_small_class_is_not_drowned() -> None:
    """Three samples among a hundred others, all of one blurred cloud: half of each side is found,
    as the balance asks."""
    random = torch.Generator().manual_seed(0)
    labels = (torch.arange(103) >= 100).long()
    features = torch.randn(103, 1, generator=random) + 2.0 * labels[:, None]
    assert (margin_scores(features, fit_margin(features, labels, 2))[100:, 1] > 0).any()
    drowned = fit_margin(features, labels, 2, balance=torch.ones(2))
    assert (margin_scores(features, drowned)[:, 1] < 0).all()


def test_features_that_say_nothing_and_features_that_say_the_same() -> None:
    labels = torch.tensor([0, 0, 1, 1, 1])
    for features in (
        torch.zeros(5, 3),
        torch.ones(5, 3),
        torch.tensor([[1.0], [2], [3], [4], [5]]).repeat(1, 6),
    ):
        weights = fit_margin(features, labels, 2)
        assert weights.isfinite().all()
        torch.testing.assert_close(weights, fit_margin(features, labels, 2), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": torch.tensor([[1.0], [float("nan")]])}, "float32 .2, 1., not all finite"),
        (
            {"labels": torch.tensor([0, 2])},
            r"labels should lie from 0 to 1, or be 255 .* but it has \[2\]",
        ),
        ({"labels": torch.tensor([0])}, r"labels should be int64 \[2\]"),
        ({"strength": 0.0}, "strength should be more than 0"),
        ({"sample_weight": torch.tensor([1.0, -1.0])}, r"sample_weight should be \[2\], 0 or more"),
    ],
)
def test_errors_say_what_is_wrong(change: dict[str, object], message: str) -> None:
    right: dict[str, object] = {
        "features": torch.zeros(2, 1),
        "labels": torch.tensor([0, 1]),
        "classes": 2,
    }
    with pytest.raises(ValueError, match=message):
        fit_margin(**{**right, **change})  # type: ignore[arg-type]
