from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.functional.photos import photo
from weakseg.functional.crf import permutohedral
from weakseg.functional.crf import permutohedral_compiled as compiled
from weakseg.functional.crf.kernels import Kernel, features
from weakseg.functional.crf.permutohedral_compiled import Lattice, lattice
from weakseg.functional.crf.vectors_compiled import aligned_zeros

Floats = NDArray[np.float32]


def scattered(dimensions: int, points: int = 700, spread: float = 1.5) -> Floats:
    return (torch.randn(dimensions, points) * spread).numpy()


def of_a_photo(height: int, width: int, xy: float, rgb: float | None) -> Floats:
    return features(photo(height, width), Kernel(1, xy, rgb), torch.float32).numpy()


POINTS = {
    **{f"{dimensions} dimensions": scattered(dimensions) for dimensions in (1, 2, 3, 5)},
    "place": of_a_photo(40, 53, 3, None),
    "place and colour": of_a_photo(40, 53, 30, 10),
    "near colours": of_a_photo(31, 29, 67, 3),
}


def made(points: Floats) -> Lattice:
    found = lattice(np.ascontiguousarray(points))
    assert found is not None
    return found


def in_tensors(points: Floats) -> permutohedral.Lattice:
    return permutohedral.lattice(torch.from_numpy(points).T)


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS.keys())
def test_filters_as_the_one_in_tensors(points: Floats, both_ways: bool) -> None:
    values = torch.randn(points.shape[1], 3)
    expected = in_tensors(points).filter(values, both_ways)
    np.testing.assert_allclose(
        made(points).filter(values.numpy(), both_ways), expected, rtol=1e-4, atol=1e-4
    )
    assert (expected - values).abs().max() > 0.3  # not much of nothing


@pytest.mark.parametrize("columns", [1, 2, 4, 5, 8, 9, 16, 17, 24, 25, 32, 33, 40])
def test_any_number_of_columns_each_by_itself(columns: int) -> None:
    found, values = made(POINTS["place"]), torch.randn(40 * 53, columns).numpy()
    before, together = values.copy(), found.filter(values)
    assert together.shape == values.shape
    assert (values == before).all()
    for column in {0, columns // 2, columns - 1}:
        np.testing.assert_allclose(
            together[:, [column]], found.filter(values[:, [column]]), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("dimensions", [2, 5])
def test_both_ways_is_the_symmetric_part_of_the_filter(dimensions: int) -> None:
    found, identity = made(scattered(dimensions, 48)), np.eye(48, dtype=np.float32)
    plain, both = found.filter(identity), found.filter(identity, both_ways=True)
    assert np.abs(plain - plain.T).max() > 1e-3
    np.testing.assert_allclose(both, both.T, rtol=0, atol=1e-6)
    np.testing.assert_allclose(both, (plain + plain.T) / 2, rtol=0, atol=1e-6)


@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS.keys())
def test_vertices_are_those_of_the_lattice_in_tensors(points: Floats) -> None:
    found, other = made(points), in_tensors(points)
    assert found.size == int(other.corners.max()) + 1 + 2  # and two that stand for none
    assert found.corners.min() == 2
    np.testing.assert_allclose(found.weights, other.weights, rtol=0, atol=1e-4)
    assert translation(found, other) is not None


def translation(found: Lattice, other: permutohedral.Lattice) -> dict[int, int] | None:
    """From the numbers of one lattice's vertices to those of the other's; None if they are not one
    to one."""
    pairs = set(zip(found.corners.ravel().tolist(), other.corners.ravel().tolist(), strict=True))
    numbers = dict(pairs)
    return numbers if len(numbers) == len(pairs) == len(set(numbers.values())) else None


@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS.keys())
def test_chains_link_the_neighbours_that_the_lattice_in_tensors_finds(points: Floats) -> None:
    """Each pair once, and no vertex without a neighbour in that direction."""
    found, other = made(points), in_tensors(points)
    numbers, count = translation(found, other), other.neighbours.shape[1] - 1
    assert numbers is not None
    assert len(found.chains) == len(points) + 1
    linked = 0
    for chain, neighbours in zip(found.chains, other.neighbours.tolist(), strict=True):
        assert chain[0] == chain[-1] == 0
        seen = [vertex for vertex in chain.tolist() if vertex]
        assert len(seen) == len(set(seen))
        pairs = {
            (numbers[one], numbers[after])
            for one, after in zip(chain[:-1].tolist(), chain[1:].tolist(), strict=True)
            if one and after
        }
        assert pairs == {
            (vertex, after)
            for vertex, (_, _, after) in enumerate(neighbours[:count])
            if after < count
        }
        assert {numbers[vertex] for vertex in seen} == {vertex for pair in pairs for vertex in pair}
        linked += len(pairs)
    assert linked > count / 2


def test_the_table_grows() -> None:
    """Points far from each other in no order have corners of their own: many more than fit into the
    first table."""
    points = scattered(5, 6000, spread=20.0)
    found, values = made(points), torch.randn(6000, 2)
    assert found.size > 3 * 2**13
    np.testing.assert_allclose(
        found.filter(values.numpy()), in_tensors(points).filter(values), rtol=1e-4, atol=1e-4
    )


def test_keys_that_meet_in_the_table_are_told_apart() -> None:
    """All of them want the last place of the table, so that they go on at its beginning."""
    many = np.arange(-400_000, 400_000, dtype=np.int64)
    wanted = (many.astype(np.uint64) * compiled.MIX) >> np.uint64(64 - 10)
    meeting = many[wanted == 1023]
    assert len(meeting) > 512
    keys, others = np.concatenate([np.zeros(2, np.int64), meeting[:512]]), meeting[512:]
    table, shift = compiled._table(keys, 10)
    assert sorted(table[table >= 0].tolist()) == list(range(2, 514))
    assert table[1023] == 2
    assert [table[compiled._find(key, keys, table, shift)] for key in keys[2:]] == list(
        range(2, 514)
    )
    assert all(table[compiled._find(key, keys, table, shift)] < 0 for key in others)


@pytest.mark.parametrize("points", [1, 127, 128, 129, 256])
def test_any_number_of_points(points: int) -> None:
    """They are taken by 128; what is left over must not spoil the rest."""
    place = scattered(3, points)
    values = torch.randn(points, 2)
    np.testing.assert_allclose(
        made(place).filter(values.numpy()), in_tensors(place).filter(values), rtol=1e-4, atol=1e-5
    )


def test_points_on_the_lattice_itself() -> None:
    """Where all corners but one have a weight of zero, or coordinates are equal."""
    for place in (
        np.zeros((5, 3), np.float32),
        np.zeros((2, 200), np.float32),
        np.arange(40, dtype=np.float32).reshape(2, 20),
    ):
        values = torch.randn(place.shape[1], 2)
        np.testing.assert_allclose(
            made(place).filter(values.numpy()),
            in_tensors(place).filter(values),
            rtol=1e-4,
            atol=1e-5,
        )


@pytest.mark.parametrize(("width", "fits"), [(100, True), (1e7, False)])
def test_none_where_points_lie_too_far_apart(width: float, fits: bool) -> None:
    points = scattered(5, 40, 0.3)
    points[:, 20:] += np.float32(width) * np.array([[1], [-1], [2], [3], [1]], np.float32)
    found = lattice(points)
    assert (found is not None) == fits
    if found:
        values = torch.randn(40, 2)
        np.testing.assert_allclose(
            found.filter(values.numpy()), in_tensors(points).filter(values), rtol=1e-3, atol=1e-3
        )


def test_keys_stay_within_their_digits() -> None:
    """No two vertices, nor their neighbours, may share a key: every coordinate stays within the
    span it was given."""
    for points in POINTS.values():
        size = len(points) + 1
        scale = [np.sqrt(2 / 3) * size / np.sqrt((i + 1) * (i + 2)) for i in range(len(points))]
        elevated = permutohedral._elevate(torch.from_numpy(points).double()).numpy()
        spans = compiled._spans(points, scale)
        # a corner is at most D away on either side, and its neighbour D further
        reached = np.ptp(elevated, axis=1)[:-1] + 4 * size
        assert (np.array(spans) >= reached).all()


def test_blur_by_hand() -> None:
    """Three points in a row at distances of one vertex: each gets half of its neighbours, and
    nothing comes from nowhere."""
    found = Lattice(
        np.zeros((0, 2), np.int32),
        np.zeros((0, 2), np.float32),
        8,
        (np.array([0, 2, 3, 4, 0, 5, 6, 0], np.int32),),
    )
    vertices = aligned_zeros(8, 4)
    vertices[2:, 0] = [1, 10, 100, 1000, 10000, 7]
    found.blur(vertices)
    assert vertices[2:, 0].tolist() == [6, 60.5, 105, 6000, 10500, 7]
    assert (vertices[0] == 0).all()
    assert (vertices[:, 1:] == 0).all()


@pytest.mark.parametrize("dimensions", [2, 5])
def test_the_size_of_the_table_changes_nothing(
    dimensions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is expected too small, so that it grows, or far too large, so that it shrinks."""
    points = scattered(dimensions, 9000, 60)
    usual = made(points)
    assert usual.size > 8192  # more than the smallest table has
    build = compiled._build
    for expected in (0, 10**6):
        monkeypatch.setattr(
            compiled, "_build", lambda *given, wanted=expected: build(*given[:-1], wanted)
        )
        other = made(points)
        assert (other.corners == usual.corners).all()
        assert (other.weights == usual.weights).all()
        for one, another in zip(other.chains, usual.chains, strict=True):
            assert np.array_equal(one, another)
