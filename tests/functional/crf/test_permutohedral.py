from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import Tensor

from weakseg.functional.crf import permutohedral
from weakseg.functional.crf.permutohedral import Lattice, lattice


def grid(height: int, width: int, sigma: float) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1).double() / sigma


def gaussian(features: Tensor) -> Tensor:
    return (-torch.cdist(features, features).square() / 2).exp()


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
def test_every_point_is_the_weighted_mean_of_the_corners_around_it(dimensions: int) -> None:
    elevated = permutohedral._elevate(torch.randn(dimensions, 500, dtype=torch.float64) * 3)
    origin, directions, weights = permutohedral._simplex(elevated)
    size = dimensions + 1
    steps = torch.ones(size, size, dtype=torch.int64) - size * torch.eye(size, dtype=torch.int64)
    corners = torch.cat([origin.T[:, None], steps[directions[:-1].T]], 1).cumsum(1)
    assert (corners.sum(2) == 0).all()
    assert (corners % size == torch.arange(size)[:, None]).all()  # of remainder 0, 1, 2, ...
    assert (weights > -1e-12).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(500, dtype=torch.float64))
    torch.testing.assert_close((weights[..., None] * corners).sum(1).T, elevated)


@pytest.mark.parametrize(("dimensions", "spread"), [(1, 4.0), (2, 2.0), (3, 1.5), (5, 1.0)])
def test_is_near_the_exact_gaussian(dimensions: int, spread: float) -> None:
    """The lattice is an approximation: its weighted means are within a few hundredths of the range
    of the values."""
    features = torch.rand(600, dimensions, dtype=torch.float64) * spread
    values = torch.sin(2 * features.sum(1, keepdim=True))
    kernel, ones = gaussian(features), torch.ones(600, 1, dtype=torch.float64)
    found = lattice(features)
    mean, expected = (
        found.filter(values) / found.filter(ones),
        kernel @ values / kernel.sum(1, keepdim=True),
    )
    assert (mean - expected).abs().mean() < 0.03
    assert (mean - expected).abs().max() < 0.12


def test_spreads_as_far_as_the_gaussian() -> None:
    features = grid(61, 61, sigma=6.0)
    values = torch.zeros(61 * 61, 1, dtype=torch.float64)
    values[30 * 61 + 30] = 1
    spread = lattice(features).filter(values).squeeze(1)
    offset = features - features[30 * 61 + 30]
    variance = (spread[:, None] * offset.square()).sum(0) / spread.sum()
    torch.testing.assert_close(variance, torch.ones(2, dtype=torch.float64), rtol=0.1, atol=0)


def test_sum_of_a_row_by_hand() -> None:
    """In the plane the vertices are hexagonal with edges of one sigma; three directions of blur
    make 2 x 2 x 2; alpha is 1 / (1 + 1/4).

    This is .88 times the 2 pi of the Gaussian itself: the original's constant, kept so that results
    agree.
    """
    sigma = 6.0
    sums = (
        lattice(grid(61, 61, sigma))
        .filter(torch.ones(61 * 61, 1, dtype=torch.float64))
        .view(61, 61)
    )
    points_per_vertex = sigma**2 * sqrt(3) / 2
    assert sums[25:36, 25:36].mean().item() == pytest.approx(points_per_vertex * 8 * 0.8, rel=2e-3)


def test_columns_do_not_mix() -> None:
    found, values = lattice(torch.randn(300, 3)), torch.randn(300, 4)
    together = found.filter(values)
    for column in range(4):
        torch.testing.assert_close(
            together[:, column : column + 1], found.filter(values[:, column : column + 1])
        )


def test_equal_points_get_equal_values() -> None:
    features = torch.randn(50, 5).repeat(2, 1)
    filtered = lattice(features).filter(torch.randn(100, 2))
    torch.testing.assert_close(filtered[:50], filtered[50:])


def test_neighbours_know_each_other() -> None:
    for direction in lattice(grid(20, 30, sigma=2.0)).neighbours.long():
        count = len(direction) - 1
        before, itself, after = direction.T
        assert itself.tolist() == list(range(count + 1))
        assert (direction[count] == count).all()
        for vertex in range(count):
            assert after[vertex] == count or before[after[vertex]] == vertex
            assert before[vertex] == count or after[before[vertex]] == vertex
        assert (after < count).sum() > count / 2


@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_rows_of_keys_give_the_same_lattice_as_packed_keys(
    dimensions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, values = torch.randn(200, dimensions) * 2, torch.randn(200, 3)
    packed = lattice(features)
    monkeypatch.setattr(permutohedral, "_LARGEST", 1)
    rows = lattice(features)
    assert packed.neighbours.shape == rows.neighbours.shape
    torch.testing.assert_close(rows.filter(values), packed.filter(values))


@pytest.mark.parametrize("largest", [2**62, 1], ids=["packed", "rows"])
def test_groups_do_not_see_each_other(largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of different sizes in any order; some points of one lie exactly where points of the
    others are."""
    monkeypatch.setattr(permutohedral, "_LARGEST", largest)
    features, values = (
        torch.randn(90, 3, dtype=torch.float64),
        torch.randn(90, 2, dtype=torch.float64),
    )
    groups = torch.tensor([7, -2, 8]).repeat_interleave(torch.tensor([20, 40, 30]))[
        torch.randperm(90)
    ]
    features[groups == 7] = features[groups == 8][:20]
    features[groups == -2] = torch.cat([features[groups == 7], features[groups == 7] + 0.5])
    together = lattice(features, groups).filter(values, both_ways=True)
    for group in (7, -2, 8):
        mine = groups == group
        torch.testing.assert_close(
            together[mine],
            lattice(features[mine]).filter(values[mine], both_ways=True),
            rtol=1e-12,
            atol=1e-12,
        )


@pytest.mark.parametrize("dimensions", [2, 5])
def test_both_ways_is_the_symmetric_part_of_the_filter(dimensions: int) -> None:
    found, identity = (
        lattice(torch.randn(80, dimensions, dtype=torch.float64) * 1.5),
        torch.eye(80, dtype=torch.float64),
    )
    plain, both = found.filter(identity), found.filter(identity, both_ways=True)
    assert (plain - plain.T).abs().max() > 1e-3
    assert (both - both.T).abs().max() < 1e-12
    torch.testing.assert_close(both, (plain + plain.T) / 2, rtol=0, atol=1e-12)


def test_features_too_wide_for_one_integer() -> None:
    """Two tight groups, 10 million standard deviations apart in five dimensions, do not see each
    other."""
    group = torch.randn(40, 5, dtype=torch.float64) * 0.3
    features = torch.cat([group, group + torch.tensor([1e7, -1e7, 2e7, 3e7, 1e7])])
    values = torch.cat([torch.ones(40, 1), torch.zeros(40, 1)]).double()
    alone = lattice(group).filter(values[:40])
    filtered = lattice(features).filter(values)
    torch.testing.assert_close(filtered[:40], alone)
    assert (filtered[40:] == 0).all()


def test_one_point() -> None:
    found: Lattice = lattice(torch.tensor([[0.3, -0.2]]))
    assert found.filter(torch.tensor([[2.0]])).item() > 0


@pytest.mark.parametrize("both_ways", [False, True])
def test_gradient_goes_through(both_ways: bool) -> None:
    found = lattice(torch.randn(12, 2, dtype=torch.float64))
    values = torch.randn(12, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: found.filter(values, both_ways), [values])


@pytest.mark.parametrize(
    "features", [torch.zeros(3), torch.zeros(0, 2), torch.zeros(3, 2, dtype=torch.int64)]
)
def test_features_that_are_none(features: Tensor) -> None:
    with pytest.raises(
        ValueError, match=r"features should be float \[N,D\] with at least one point"
    ):
        lattice(features)


@pytest.mark.parametrize(
    "groups",
    [torch.zeros(4, dtype=torch.int64), torch.zeros(3), torch.zeros(3, 1, dtype=torch.int64)],
)
def test_groups_that_are_none(groups: Tensor) -> None:
    with pytest.raises(ValueError, match=r"groups should be int64 \[3\], one number per point"):
        lattice(torch.zeros(3, 2), groups)
