from __future__ import annotations

import pytest
import torch

from weakseg.functional.self_labels import STEPS, weighted_labels


def test_the_weight_grows_from_nothing_to_one_with_the_probability() -> None:
    probs = torch.tensor([[1.0, 0.25, 0.1], [0.0, 0.25, 0.7], [0.0, 0.25, 0.1], [0, 0.25, 0.1]])
    found = weighted_labels(probs[:, None])
    # (4 * 0.7 - 1) / 3 = 0.6
    expected = torch.tensor([[1.0, 0, 0], [0, 0, 0.6], [0, 0, 0], [0, 0, 0]])
    torch.testing.assert_close(found[:, 0], expected)


def test_unsure_pixels_weigh_nothing() -> None:
    probs = torch.tensor([[0.8, 0.79], [0.2, 0.21]])[:, None]
    assert (weighted_labels(probs, least=0.8).sum(0) > 0).tolist() == [[True, False]]


@pytest.mark.parametrize("classes", [2, 21])
def test_one_class_alone_weighs_and_no_more_than_one(classes: int) -> None:
    random = torch.Generator().manual_seed(0)
    probs = torch.randn(classes, 5, 7, generator=random).mul(3).softmax(0)
    found = weighted_labels(probs)
    assert ((found > 0).sum(0) <= 1).all()
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(
        found.max(0).indices[found.sum(0) > 0], probs.max(0).indices[found.sum(0) > 0]
    )
    torch.testing.assert_close((found * STEPS).round(), found * STEPS)
