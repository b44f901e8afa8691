from __future__ import annotations

import pytest
import torch
from torch import Tensor

from weakseg.functional.regression import RATE, STEPS, binary_regressions, softmax_regression


def blobs(count: int = 60, classes: int = 3) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % classes
    middles = torch.randn(classes, 4, generator=random) * 3
    features = middles[labels] + torch.randn(count, 4, generator=random)
    return features, torch.eye(classes)[labels]


def scores(features: Tensor, weights: Tensor) -> Tensor:
    return features @ weights[:, :-1].T + weights[:, -1]


def test_it_is_gradient_descent_on_the_cross_entropy() -> None:
    """The same steps with torch's own loss, its own gradient and double precision."""
    features, shares = blobs()
    shares = shares * torch.rand(len(shares), 1, generator=torch.Generator().manual_seed(1))
    samples = features.double()
    samples = (samples - samples.mean(0)) / samples.std(0, correction=0)
    layer = torch.nn.Linear(4, 3, dtype=torch.double)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    descent = torch.optim.Adam(layer.parameters(), lr=RATE)
    for _ in range(STEPS):
        descent.zero_grad()
        each = torch.nn.functional.cross_entropy(layer(samples), shares.argmax(1), reduction="none")
        (each * shares.sum(1)).sum().div(shares.sum()).backward()
        descent.step()
    assert torch.allclose(
        scores(features, softmax_regression(features, shares)), layer(samples).float(), atol=1e-3
    )


def test_classes_that_lie_apart_are_told_apart() -> None:
    features, shares = blobs()
    assert torch.equal(
        scores(features, softmax_regression(features, shares)).argmax(1), shares.argmax(1)
    )


def test_units_of_the_features_do_not_matter() -> None:
    features, shares = blobs()
    units = torch.tensor([1.0, 1000.0, 1e-3, 7.0])
    other = softmax_regression(features * units + 5, shares)
    assert torch.allclose(
        scores(features * units + 5, other),
        scores(features, softmax_regression(features, shares)),
        atol=0.02,
    )


def test_a_few_wrong_labels_are_not_believed() -> None:
    features, shares = blobs(classes=2)
    wrong = shares.clone()
    wrong[:6] = wrong[:6].flip(1)
    assert torch.equal(
        scores(features, softmax_regression(features, wrong)).argmax(1), shares.argmax(1)
    )


def test_samples_of_no_class_and_features_that_never_change_teach_nothing() -> None:
    features, shares = blobs()
    more = torch.cat([features, torch.full((1, 4), 3.0)])
    flat = torch.cat([features, torch.ones(len(features), 1)], 1)
    assert softmax_regression(more, torch.cat([shares, torch.zeros(1, 3)])).isfinite().all()
    assert torch.allclose(
        scores(flat, softmax_regression(flat, shares)),
        scores(features, softmax_regression(features, shares)),
        atol=1e-4,
    )


def test_a_class_without_samples_is_never_the_likeliest() -> None:
    features, shares = blobs()
    weights = softmax_regression(features, torch.nn.functional.pad(shares, (0, 1)))
    assert (scores(features, weights).argmax(1) != 3).all()


def test_input_that_does_not_fit_is_refused() -> None:
    features, shares = blobs()
    for wrong in (
        (features[1:], shares),
        (features[0], shares),
        (features, torch.zeros_like(shares)),
    ):
        with pytest.raises(ValueError, match=r"should be float \[N,D\] and \[N,C\]"):
            softmax_regression(*wrong)


def test_a_class_against_the_rest_is_the_difference_of_two_rows() -> None:
    """Of softmax regression on the same samples, whose two rows move apart at twice the pace."""
    random = torch.Generator().manual_seed(0)
    features = torch.randn(30, 4, generator=random)
    positive = torch.rand(30, 1, generator=random)
    both = softmax_regression(features, torch.cat([1 - positive, positive], 1))
    own = binary_regressions(features, positive, 1 - positive)
    assert torch.allclose(own[0], both[1] - both[0], atol=1e-4)


def test_each_class_has_samples_of_its_own() -> None:
    features = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    positive = torch.tensor([[0.0, 0], [0, 0], [0, 1], [1, 0]])
    negative = torch.tensor([[1.0, 0], [1, 1], [0, 0], [0, 0]])
    weights = binary_regressions(features, positive, negative)
    assert weights.shape == (2, 2)
    first = binary_regressions(features, positive[:, :1], negative[:, :1])
    assert torch.allclose(weights[:1], first, atol=1e-6)
    nothing = binary_regressions(features, torch.zeros(4, 1), torch.zeros(4, 1))
    assert not nothing.any()
    with pytest.raises(ValueError, match="positive and negative should be"):
        binary_regressions(features, positive, negative[:, :1])
