"""The lattice that asks a GPU nothing filters as the other one does."""

from __future__ import annotations

import pytest
import torch

from weakseg.functional.crf.permutohedral import lattice
from weakseg.functional.crf.unread_lattice import unread_lattice


@pytest.mark.parametrize("dimensions", [1, 2, 5])
@pytest.mark.parametrize("width", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("count", [1, 3])
def test_it_filters_the_same(dimensions: int, width: float, count: int) -> None:
    torch.manual_seed(0)
    features = (torch.rand(200, dimensions) - 0.3) * width
    groups = torch.arange(200) % count
    values = torch.randn(200, 4)
    made = unread_lattice(features, groups, count, [width] * dimensions)
    assert made is not None
    for both_ways in (False, True):
        expected = lattice(features, groups).filter(values, both_ways)
        assert torch.allclose(made.filter(values, both_ways), expected, rtol=1e-5, atol=1e-6)


def test_a_single_point() -> None:
    nothing = torch.zeros(1, dtype=torch.int64)
    made = unread_lattice(torch.tensor([[2.5, -1.0]]), nothing, 1, [0.0, 0.0])
    assert made is not None
    expected = lattice(torch.tensor([[2.5, -1.0]])).filter(torch.ones(1, 1))
    assert torch.allclose(made.filter(torch.ones(1, 1)), expected)


def test_points_too_far_apart_are_left_to_the_other_one() -> None:
    groups = torch.zeros(2, dtype=torch.int64)
    assert unread_lattice(torch.rand(2, 5), groups, 1, [1e5] * 5) is None
