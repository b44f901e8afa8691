from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from weakseg.functional.compiled import (
    OPTIONS,
    exp,
    fill,
    highest,
    lanes,
    load,
    rows,
    store,
    total,
    zeros,
)

WIDTHS = [1, 2, 4, 7, 8, 16, 24, 32, 48]
Floats = NDArray[np.float32]


@cache
def by(kernel: Callable[..., None]) -> Any:
    """Compiled anew for each run: a result kept on the disk would not notice changes in
    `vectors`."""
    return njit(**OPTIONS)(kernel)


def everything(
    source: Any, sums: Any, scaled: Any, filled: Any, grown: Any, totals: Floats, bests: Floats
) -> None:
    for place in range(len(source)):
        row = load(source, place)
        other = row + load(source, len(source) - 1 - place)
        store(sums, place, other)
        store(scaled, place, row * -2.5)
        store(filled, place, fill(place + 0.5, source))
        other += row
        other += row
        store(grown, place, other)
        totals[place], bests[place] = total(row), highest(row)


def exponential(source: Any, low: float, high: float, result: Any) -> None:
    for place in range(len(source)):
        store(result, place, exp(load(source, place), low, high))


@pytest.mark.parametrize("width", WIDTHS)
def test_arithmetic(width: int) -> None:
    source = np.random.default_rng(0).normal(size=(7, width)).astype(np.float32)
    sums, scaled, filled, grown = (zeros(7, width) for _ in range(4))
    totals, bests = np.zeros(7, np.float32), np.zeros(7, np.float32)
    by(everything)(*map(rows, (source, sums, scaled, filled, grown)), totals, bests)
    np.testing.assert_allclose(sums, source + source[::-1], rtol=1e-6)
    np.testing.assert_allclose(scaled, source * np.float32(-2.5), rtol=1e-6)
    assert (filled == np.arange(7)[:, None] + 0.5).all()
    np.testing.assert_allclose(grown, 3 * source + source[::-1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(totals, source.sum(1, dtype=np.float64), rtol=1e-5, atol=1e-5)
    assert (bests == source.max(1)).all()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_row_written_touches_no_other(width: int) -> None:
    source, result = np.ones((5, width), np.float32), np.full((5, width), 7, np.float32)
    by(exponential)(rows(source)[:1], 0.0, 1.0, rows(result)[2:3])
    np.testing.assert_allclose(result[2], np.e, rtol=1e-6)
    assert (np.delete(result, 2, 0) == 7).all()


@pytest.mark.parametrize("width", [4, 24])
def test_exp(width: int) -> None:
    """What is left is the rounding of x / log(2), which grows with x: half of a float32's steps,
    times x."""
    source = np.linspace(-87, 88, width * 20_000, dtype=np.float32).reshape(-1, width)
    result = np.zeros_like(source)
    by(exponential)(rows(source), np.float32(-87), np.float32(88), rows(result))
    error = np.abs(result / np.exp(source.astype(np.float64)) - 1)
    assert error[np.abs(source) < 1].max() < 3e-7
    assert (error < 3e-7 + np.abs(source) * 1e-7).all()


@pytest.mark.parametrize("width", [4, 24])
def test_exp_goes_no_lower_and_no_higher_than_asked(width: int) -> None:
    source = (
        np.array([-1e30, -1000, -50.1, -50, 0, 80, 80.1, 3e38], np.float32)
        .repeat(width)
        .reshape(-1, width)
    )
    result = np.zeros_like(source)
    by(exponential)(rows(source), np.float32(-50), np.float32(80), rows(result))
    np.testing.assert_allclose(
        result, np.exp(np.clip(source.astype(np.float64), -50, 80)), rtol=1e-5
    )
    assert (result[:3] == result[3]).all()
    assert (result[6:] == result[5]).all()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("length", [0, 1, 9])
def test_zeros_begin_where_cache_lines_do(length: int, width: int) -> None:
    for _ in range(5):
        made = zeros(length, width)
        assert made.shape == (length, width)
        assert made.dtype == np.float32
        assert made.flags.c_contiguous
        assert made.ctypes.data % 64 == 0 or length == 0
        assert (made == 0).all()


def test_rows_are_the_array_itself() -> None:
    for array in (
        np.arange(12, dtype=np.int32).reshape(4, 3),
        np.arange(12, dtype=np.float32).reshape(4, 3),
    ):
        seen = rows(array)
        assert seen.shape == (4,)
        assert (seen[2]["lanes"] == array[2]).all()
        seen[1]["lanes"][2] = 77
        assert array[1, 2] == 77
        assert rows(array[1:3])[0]["lanes"].tolist() == array[1].tolist()


def test_lanes_hold_as_many_as_asked_in_few_different_lengths() -> None:
    found = [lanes(numbers) for numbers in range(1, 257)]
    assert all(length >= numbers for numbers, length in enumerate(found, 1))
    assert sorted(set(found)) == [4, 8, *range(16, 33, 8), *range(48, 257, 16)]
    assert [lanes(numbers) for numbers in (4, 5, 8, 9, 16, 17, 24, 25, 32, 33)] == [
        4,
        8,
        8,
        16,
        16,
        24,
        24,
        32,
        32,
        48,
    ]
