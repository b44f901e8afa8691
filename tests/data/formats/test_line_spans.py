"""Thick lines, row by row, against the distance of every pixel, and how much work they are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from weakseg.data.formats import line_spans
from weakseg.data.formats.base import Floats
from weakseg.data.formats.line_spans import covered_by

CLOSE = 1e-6  # rounding decides where a middle is exactly on the rim


def distances(points: Floats, height: int, width: int) -> Floats:
    """Of the middle of every pixel from a line."""
    nearest = np.full((height, width), np.inf)
    y, x = np.mgrid[:height, :width] + 0.5
    for start, end in pairwise(points):
        across, down = end - start
        along = ((x - start[0]) * across + (y - start[1]) * down) / max(across**2 + down**2, 1e-12)
        along = along.clip(0, 1)
        away = np.hypot(start[0] + along * across - x, start[1] + along * down - y)
        nearest = np.minimum(nearest, away)
    return nearest


def compare(points: Floats, reach: float, height: int, width: int) -> None:
    found = covered_by(points, reach, height, width)
    expected = distances(points, height, width)
    sure = np.abs(expected - reach) > CLOSE
    np.testing.assert_array_equal(found[sure], (expected <= reach)[sure])


@pytest.mark.parametrize("kind", ["anywhere", "whole", "level", "upright", "far", "still", "short"])
def test_lines_of_all_kinds_against_every_pixel(kind: str) -> None:
    rng = np.random.default_rng(0)
    for reach in (0.05, 0.5, 1, 1.5, 7.3, 40, 5000.0):
        for _ in range(12):
            points = rng.uniform(-10, 40, (rng.integers(2, 6), 2))
            if kind == "whole":
                points = points.round()
            elif kind in ("level", "upright"):
                points[:, int(kind == "level")] = points[0, 0].round()
            elif kind == "far":
                points *= 1e4
            elif kind == "still":
                points[1] = points[0]
            elif kind == "short":
                points[1] = points[0] + 1e-4
            compare(points, reach, int(rng.integers(1, 30)), int(rng.integers(1, 30)))


def test_middles_on_the_rim_are_covered() -> None:
    found = covered_by(np.array([[1.0, 2.0], [4.0, 2.0]]), 0.5, 4, 6)
    # 1.5 and 2.5 are half a pixel away from 2
    assert found.astype(int).tolist() == [[0] * 6, [0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0], [0] * 6]


def test_a_segment_costs_as_many_steps_as_it_has_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends a folder of corrections may send strokes as wide as ten images."""
    steps = 0
    covers = line_spans._Rows.covers

    def counting(rows: line_spans._Rows, columns: line_spans.Whole) -> NDArray[np.bool_]:
        nonlocal steps
        steps += len(columns)
        return covers(rows, columns)

    monkeypatch.setattr(line_spans._Rows, "covers", counting)
    points = np.random.default_rng(0).uniform(0, 400, (101, 2))
    assert covered_by(points, 10_000, 400, 400).all()
    assert steps <= 6 * 100 * 400
