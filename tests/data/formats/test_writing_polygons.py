"""Polygons along the edges of pixels cover the same pixels, for our reader and for others."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.written import random_labels
from weakseg.data.formats.painting import fill
from weakseg.data.formats.writing.polygons import polygons_of


def drawn(*rows: str) -> np.ndarray:
    return np.array([[character == "#" for character in row] for row in rows])


SHAPES = {
    "one pixel": drawn("....", "..#."),
    "all": np.ones((3, 5), bool),
    "a row": np.ones((1, 9), bool),
    "a column": np.ones((9, 1), bool),
    "corners that touch": drawn("#.", ".#"),
    "corners that touch the other way": drawn(".#", "#."),
    "a hole": drawn("#####", "#...#", "#.#.#", "#...#", "#####"),
    "holes that touch": drawn("####", "#.##", "##.#", "####"),
    "a hole at the rim's corner": drawn("###.", "#.##", "####"),
    "two holes": drawn("#######", "#.###.#", "#######"),
    "a comb": drawn("#.#.#.#", "#######"),
    "a chessboard": np.indices((6, 7)).sum(0) % 2 == 0,
}
RANDOM = {
    f"random {seed}": random_labels(
        2, *np.random.default_rng(seed).integers(1, 40, 2).tolist(), np.random.default_rng(seed), 0
    )
    == 1
    for seed in range(20)
}
ALL = SHAPES | RANDOM


@pytest.mark.parametrize("name", ALL)
def test_our_reader_fills_the_same_pixels(name: str) -> None:
    mask = ALL[name]
    found = np.zeros_like(mask)
    for ring in polygons_of(mask):
        patch = fill([ring.astype(np.float64)], mask.shape[1], mask.shape[0])
        assert not found[patch.rows, patch.columns][patch.covered].any()  # each pixel once
        found[patch.rows, patch.columns] |= patch.covered
    np.testing.assert_array_equal(found, mask)


@pytest.mark.parametrize("name", ALL)
def test_pycocotools_fills_the_same_pixels(name: str) -> None:
    tools = pytest.importorskip("pycocotools.mask")
    mask = ALL[name]
    rings = [ring.ravel().tolist() for ring in polygons_of(mask)]
    if not rings:
        assert not mask.any()
        return
    merged = tools.merge(tools.frPyObjects(rings, *mask.shape))
    np.testing.assert_array_equal(tools.decode(merged).astype(bool), mask)


@pytest.mark.parametrize("name", ALL)
def test_each_polygon_goes_around_its_pixels_once_clockwise(name: str) -> None:
    """So a program that fills by the direction of going around agrees: the area with its sign is
    the number of pixels, as holes go the other way."""
    areas = []
    for ring in polygons_of(ALL[name]):
        x, y = ring.T
        areas.append(int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2)
        steps = np.abs(np.diff(ring, axis=0, append=ring[:1]))
        assert (steps.min(1) == 0).all()  # along rows and columns alone
    assert sum(areas) == ALL[name].sum()
    assert min(areas, default=1) > 0


def test_a_polygon_begins_where_the_mask_does() -> None:
    (ring,) = polygons_of(np.ones((2, 3), bool), left=10, top=20)
    assert ring.tolist() == [[10, 20], [13, 20], [13, 22], [10, 22]]


def test_there_is_one_for_each_group_of_pixels_that_share_sides() -> None:
    counts = {name: len(polygons_of(mask)) for name, mask in SHAPES.items()}
    assert counts["corners that touch"] == 2
    assert counts["a hole"] == 2
    assert counts["two holes"] == counts["a comb"] == counts["holes that touch"] == 1
    assert polygons_of(np.zeros((3, 3), bool)) == []
