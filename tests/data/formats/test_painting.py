import tracemalloc
from itertools import pairwise
from time import perf_counter

import numpy as np
import pytest

from weakseg.data.formats import painting
from weakseg.data.formats.painting import Patch, dots, fill, thick_line


def shown(patch: Patch, width: int, height: int) -> list[str]:
    picture = np.full((height, width), ".")
    picture[patch.rows, patch.columns][patch.covered] = "#"
    return ["".join(row) for row in picture]


def painted(*rings: object, width: int = 6, height: int = 4) -> list[str]:
    return shown(fill([np.array(ring, float) for ring in rings], width, height), width, height)


def test_whole_pixels() -> None:
    expected = ["......", ".###..", ".###..", "......"]
    ring = [[1, 1], [4, 1], [4, 3], [1, 3]]
    assert painted(ring) == painted(ring[::-1]) == painted([*ring, ring[0]]) == expected


def test_the_middle_of_a_pixel_decides() -> None:
    assert painted([[0.6, 0], [2.4, 0], [2.4, 1], [0.6, 1]]) == [
        ".#....",
        "......",
        "......",
        "......",
    ]
    assert painted([[0.4, 0], [2.6, 0], [2.6, 1], [0.4, 1]]) == [
        "###...",
        "......",
        "......",
        "......",
    ]
    assert painted([[1.6, 1.6], [2.4, 1.6], [2.4, 2.4]]) == ["......"] * 4


def test_neighbours_share_no_pixel_even_if_the_rim_runs_through_middles() -> None:
    left = fill([np.array([[0, 0.5], [2.5, 0.5], [2.5, 2.5], [0, 2.5]])], 6, 4)
    right = fill([np.array([[2.5, 0.5], [6, 0.5], [6, 2.5], [2.5, 2.5]])], 6, 4)
    assert shown(left, 6, 4) == ["##....", "##....", "......", "......"]
    assert shown(right, 6, 4) == ["..####", "..####", "......", "......"]


def test_a_triangle_and_a_ring_with_a_notch() -> None:
    assert painted([[0, 0], [4, 4], [0, 4]]) == ["......", "#.....", "##....", "###..."]
    notch = [[0, 0], [6, 0], [6, 4], [4, 4], [4, 2], [2, 2], [2, 4], [0, 4]]
    assert painted(notch) == ["######", "######", "##..##", "##..##"]


def test_rings_are_added_up_and_a_ring_around_itself_twice_has_a_hole() -> None:
    assert painted([[0, 0], [3, 0], [3, 2], [0, 2]], [[2, 1], [5, 1], [5, 3], [2, 3]]) == [
        "###...",
        "#####.",
        "..###.",
        "......",
    ]
    twice = [[0, 0], [6, 0], [6, 4], [0, 4], [0, 0], [2, 1], [4, 1], [4, 3], [2, 3], [2, 1]]
    assert painted(twice) == ["######", "##..##", "##..##", "######"]


def test_what_leaves_the_image_is_cut_off() -> None:
    assert painted([[-9, -9], [2, -9], [2, 99], [-9, 99]]) == ["##...."] * 4
    assert painted([[10, 10], [20, 10], [20, 20]]) == ["......"] * 4


def test_polygons_against_a_ray_from_every_middle() -> None:
    rng = np.random.default_rng(0)
    for _ in range(25):
        ring = rng.uniform(-3, 15, (rng.integers(3, 9), 2))
        mine = np.zeros((12, 12), bool)
        patch = fill([ring], 12, 12)
        mine[patch.rows, patch.columns] = patch.covered
        for row, column in np.ndindex(12, 12):
            x, y = column + 0.5, row + 0.5
            crossings = 0
            for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, 0), strict=True):
                crossings += (y1 > y) != (y2 > y) and x > x1 + (y - y1) / (y2 - y1) * (x2 - x1)
            assert mine[row, column] == crossings % 2


def test_a_polygon_of_very_many_corners_takes_little_memory() -> None:
    ring = np.random.default_rng(0).uniform(0, 2000, (3000, 2))  # its edges cross two million rows
    tracemalloc.start()
    fill([ring], 2000, 2000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 30e6


def test_edges_counted_in_groups_are_those_counted_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ring = np.random.default_rng(0).uniform(0, 64, (300, 2))
    together = fill([ring], 64, 64)
    monkeypatch.setattr(painting, "AT_ONCE", 50)
    assert (fill([ring], 64, 64).covered == together.covered).all()


def test_a_thousand_rings_take_no_longer_than_what_they_cover() -> None:
    """Each looked at in all of the image would take some minutes."""
    corners = np.random.default_rng(0).integers(0, 4000, (2000, 1, 2))
    rings = list(corners + np.array([[0.0, 0], [3, 0], [3, 3], [0, 3]]))
    start = perf_counter()
    patch = fill(rings, 4000, 4000)
    assert perf_counter() - start < 20
    expected = np.zeros((4000, 4000), bool)
    for column, row in corners[:, 0]:
        expected[row : row + 3, column : column + 3] = True
    assert (patch.covered == expected[patch.rows, patch.columns]).all()


@pytest.mark.parametrize(
    ("thickness", "expected"), [(1, ["......", "######", "......"]), (3, ["######"] * 3)]
)
def test_a_straight_line(thickness: float, expected: list[str]) -> None:
    assert shown(thick_line(np.array([[0, 1.5], [6, 1.5]]), 6, 3, thickness), 6, 3) == expected


def test_a_line_with_a_bend_and_one_that_is_a_dot() -> None:
    bend = np.array([[0.5, 0.5], [3.5, 0.5], [3.5, 2.5]])
    assert shown(thick_line(bend, 6, 4, 1), 6, 4) == ["####..", "...#..", "...#..", "......"]
    assert shown(thick_line(np.array([[2.5, 1.5], [2.5, 1.5]]), 6, 4, 1), 6, 4) == [
        "......",
        "..#...",
        "......",
        "......",
    ]


def test_lines_against_the_distance_of_every_middle() -> None:
    rng = np.random.default_rng(0)
    for thickness in (1, 2.5, 5):
        line = rng.uniform(-5, 25, (4, 2))
        mine = np.zeros((20, 20), bool)
        patch = thick_line(line, 20, 20, thickness)
        mine[patch.rows, patch.columns] = patch.covered
        along = np.linspace(0, 1, 1001)[:, None]
        dense = np.concatenate([start + along * (end - start) for start, end in pairwise(line)])
        y, x = np.mgrid[:20, :20] + 0.5
        distance = np.sqrt(
            (x[..., None] - dense[:, 0]) ** 2 + (y[..., None] - dense[:, 1]) ** 2
        ).min(-1)
        sure = np.abs(distance - thickness / 2) > 0.01
        np.testing.assert_array_equal(mine[sure], (distance < thickness / 2)[sure])


def test_dots() -> None:
    assert shown(dots(np.array([[2.9, 1.0]]), 6, 4, 0), 6, 4) == [
        "......",
        "..#...",
        "......",
        "......",
    ]
    assert shown(dots(np.array([[2.9, 1.0]]), 6, 4, 1), 6, 4) == [
        "..#...",
        ".###..",
        "..#...",
        "......",
    ]
    assert shown(dots(np.array([[0.0, 0.0], [6.0, 4.0]]), 6, 4, 1), 6, 4) == [
        "##....",
        "#.....",
        ".....#",
        "....##",
    ]
