"""Rows mean the same in NumPy and in compiled code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numba import njit
from numba.core.dispatcher import Dispatcher
from numpy.typing import NDArray

from tests.functional.photos import beliefs, photo
from weakseg.functional.compiled import OPTIONS
from weakseg.functional.crf import meanfield_compiled, permutohedral_compiled, vectors_compiled
from weakseg.functional.crf.kernels import Kernel
from weakseg.functional.crf.vectors_compiled import (
    aligned_zeros,
    as_rows,
    clip,
    exp,
    fill,
    highest,
    load,
    padded_width,
    power_of_two,
    rint,
    store,
    total,
)

WIDTHS = [1, 4, 7, 24]  # one lane, one vector, seven vectors of one lane, three of eight lanes
ROOT = Path(__file__).resolve().parents[3]
PAGE = "docs/explanation/vectors.md"
Floats = NDArray[np.float32]


# What each operation does, as a function on three arrays of rows; the third gets the result


def loads_and_stores(left: Any, right: Any, result: Any) -> None:
    for place in range(len(result)):
        store(result, len(result) - 1 - place, load(left, place))


def fills(left: Any, right: Any, result: Any) -> None:
    for place in range(len(result)):
        store(result, place, fill(place + 0.5, left))


def adds(left: Any, right: Any, result: Any) -> None:
    for place in range(len(result)):
        row = load(left, place) + load(right, place)
        row += load(right, place)
        row += 1.5
        store(result, place, row)


def subtracts(left: Any, right: Any, result: Any) -> None:
    for place in range(len(result)):
        store(result, place, load(left, place) - load(right, place) - 1.5)


def multiplies(left: Any, right: Any, result: Any) -> None:
    for place in range(len(result)):
        store(result, place, load(left, place) * load(right, place) * -2.5)


def clips(left: Any, right: Any, result: Any) -> None:
    for place in range(len(result)):
        store(result, place, clip(load(left, place), np.float32(-0.5), np.float32(0.25)))


def rounds(left: Any, right: Any, result: Any) -> None:
    for place in range(len(result)):
        store(result, place, rint(load(left, place) * 2.5))


def raises_two(left: Any, right: Any, result: Any) -> None:
    for place in range(len(result)):
        store(result, place, power_of_two(rint(load(left, place) * 20.0)))


def sums(left: Any, right: Any, result: Any) -> None:
    for place in range(len(result)):
        store(result, place, fill(total(load(left, place)), left))


def finds_the_highest(left: Any, right: Any, result: Any) -> None:
    for place in range(len(result)):
        store(result, place, fill(highest(load(left, place)), left))


OPERATIONS: dict[str, Callable[..., None]] = {
    "load, store": loads_and_stores,
    "fill": fills,
    "+": adds,
    "-": subtracts,
    "*": multiplies,
    "clip": clips,
    "rint": rounds,
    "power_of_two": raises_two,
    "total": sums,
    "highest": finds_the_highest,
}


@cache
def by_numba(function: Callable[..., None]) -> Any:
    """Compiled anew in each run: code kept on the disk would hide that numba has changed."""
    return njit(**OPTIONS)(function)


def random_rows(width: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(7, width)).astype(np.float32)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_compiled_to_what_it_means_in_numpy(name: str) -> None:
    function = OPERATIONS[name]
    width = 24  # a vector of 16 lanes and one of 8
    rows = [random_rows(width, seed) for seed in (0, 1)]
    expected = aligned_zeros(7, width)
    function(*map(as_rows, rows), as_rows(expected))
    result = aligned_zeros(7, width)
    try:
        by_numba(function)(*map(as_rows, rows), as_rows(result))
    except Exception as error:
        pytest.fail(
            f"numba {version('numba')} with llvmlite {version('llvmlite')} no longer compiles the "
            f"operation `{name}` of weakseg/functional/crf/vectors_compiled.py ({error!r}): mend "
            f'it there as {PAGE} says under "When numba changes"'
        )
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(result).max() > 0.1


# The kernels that are made of rows


def in_python(module: ModuleType) -> SimpleNamespace:
    """The module with its compiled functions as Python runs them, also where they call others."""
    scope = dict(vars(module))
    for name, value in vars(module).items():
        if isinstance(value, Dispatcher):
            scope[name] = FunctionType(value.py_func.__code__, scope, name)
    return SimpleNamespace(**scope)


def test_the_kernels_of_the_lattice_do_in_numpy_what_they_do_compiled() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(5, 60)).astype(np.float32)
    lattice = permutohedral_compiled.lattice(features)
    assert lattice is not None
    weights = as_rows(lattice.weights)
    corners = as_rows(lattice.corners)
    results = []
    for module in (permutohedral_compiled, in_python(permutohedral_compiled)):
        values = np.ones((60, 4), np.float32) * random_rows(4)[:1]
        vertices = aligned_zeros(lattice.size, 4)
        module._splat(as_rows(values), corners, weights, as_rows(vertices))
        splatted = vertices.copy()
        for chain in lattice.chains:
            module._blur(as_rows(vertices), chain)
        module._slice(as_rows(vertices), corners, weights, np.float32(0.5), as_rows(values))
        results.append((splatted, vertices, values))
    for compiled, plain in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-5)


def test_the_kernels_of_the_mean_field_do_in_numpy_what_they_do_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = photo(9, 11)
    probs = beliefs(5, 9, 11)
    kernels = (Kernel(3, 1, None), Kernel(4, 67, 3))
    compiled = meanfield_compiled.refine(image, probs, kernels, True, 4)
    vectors = in_python(vectors_compiled)
    plain = in_python(meanfield_compiled)
    for name in ("_softmax", "_slice", "_splat", "_marginal", "_start", "_step", "_finish"):
        function = getattr(plain, name)
        function.__globals__["exp"] = vectors.exp
        monkeypatch.setattr(meanfield_compiled, name, function)
    in_numpy = meanfield_compiled.refine(image, probs, kernels, True, 4)
    assert compiled is not None
    assert in_numpy is not None
    torch.testing.assert_close(compiled, in_numpy, rtol=0, atol=1e-4)
    assert (compiled - probs).abs().max() > 0.01


@pytest.mark.slow
def test_the_dense_crf_runs_without_numba(tmp_path: Path) -> None:
    """As for a debugger, which cannot step through compiled code."""
    program = (
        "import sys, torch; torch.manual_seed(0);"
        "from tests.functional.photos import beliefs, photo;"
        "from weakseg.functional.crf import dense_crf;"
        "torch.save(dense_crf(photo(9, 11), beliefs(3, 9, 11)), sys.argv[1])"
    )
    results = []
    for disabled in ("0", "1"):
        file = tmp_path / disabled
        command = [sys.executable, "-c", program, str(file)]
        environment = os.environ | {"NUMBA_DISABLE_JIT": disabled}
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        results.append(torch.load(file))
    torch.testing.assert_close(*results, rtol=0, atol=1e-4)


# Beyond the comparison with NumPy


def exponential(source: Any, low: float, high: float, result: Any) -> None:
    for place in range(len(result)):
        store(result, place, exp(load(source, place), low, high))


@pytest.mark.parametrize("width", [1, 3, 7, 12, 20, 23, 24, 40])
@pytest.mark.parametrize("name", ["total", "highest"])
def test_every_lane_of_vectors_of_different_lengths_counts(name: str, width: int) -> None:
    """In each row another number stands out."""
    rows = -np.ones((width, width), np.float32)
    np.fill_diagonal(rows, 5)
    result = np.zeros((width, width), np.float32)
    by_numba(OPERATIONS[name])(as_rows(rows), as_rows(rows), as_rows(result))
    expected = 5 - (width - 1) if name == "total" else 5
    assert (result == expected).all()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_row_written_touches_no_other(width: int) -> None:
    source = np.ones((5, width), np.float32)
    result = np.full((5, width), 7, np.float32)
    by_numba(exponential)(as_rows(source)[:1], 0.0, 1.0, as_rows(result)[2:3])
    np.testing.assert_allclose(result[2], np.e, rtol=1e-6)
    assert (np.delete(result, 2, 0) == 7).all()


@pytest.mark.parametrize("width", [4, 24])
def test_exp(width: int) -> None:
    """What is left is the rounding of x / log(2), which grows with x: half of a float32's steps,
    times x."""
    source = np.linspace(-87, 88, width * 20_000, dtype=np.float32).reshape(-1, width)
    result = np.zeros_like(source)
    by_numba(exponential)(as_rows(source), np.float32(-87), np.float32(88), as_rows(result))
    error = np.abs(result / np.exp(source.astype(np.float64)) - 1)
    assert error[np.abs(source) < 1].max() < 3e-7
    assert (error < 3e-7 + np.abs(source) * 1e-7).all()


@pytest.mark.parametrize("width", [4, 24])
def test_exp_goes_no_lower_and_no_higher_than_the_limits(width: int) -> None:
    numbers = [-1e30, -1000, -50.1, -50, 0, 80, 80.1, 3e38]
    source = np.array(numbers, np.float32).repeat(width).reshape(-1, width)
    result = np.zeros_like(source)
    by_numba(exponential)(as_rows(source), np.float32(-50), np.float32(80), as_rows(result))
    expected = np.exp(np.clip(source.astype(np.float64), -50, 80))
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    assert (result[:3] == result[3]).all()
    assert (result[6:] == result[5]).all()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("length", [0, 1, 9])
def test_zeros_begin_where_cache_lines_do(length: int, width: int) -> None:
    for _ in range(5):
        made = aligned_zeros(length, width)
        assert made.shape == (length, width)
        assert made.dtype == np.float32
        assert made.flags.c_contiguous
        assert made.ctypes.data % 64 == 0 or length == 0
        assert (made == 0).all()


def test_rows_are_the_array_itself() -> None:
    for dtype in (np.int32, np.float32):
        array = np.arange(12, dtype=dtype).reshape(4, 3)
        seen = as_rows(array)
        assert seen.shape == (4,)
        assert (seen[2]["numbers"] == array[2]).all()
        seen[1]["numbers"][2] = 77
        assert array[1, 2] == 77
        assert as_rows(array[1:3])[0]["numbers"].tolist() == array[1].tolist()


def test_padded_widths_are_few() -> None:
    found = [padded_width(numbers) for numbers in range(1, 257)]
    assert all(width >= numbers for numbers, width in enumerate(found, 1))
    assert sorted(set(found)) == [4, 8, *range(16, 33, 8), *range(48, 257, 16)]
    widths = [padded_width(numbers) for numbers in (4, 5, 8, 9, 16, 17, 24, 25, 32, 33)]
    assert widths == [4, 8, 8, 16, 16, 24, 24, 32, 32, 48]
