from __future__ import annotations

from math import inf

import numpy as np
import pytest

from weakseg.functional.constraints import newton_compiled as newton
from weakseg.functional.constraints.newton_compiled import Bounds


@pytest.mark.parametrize("size", [1, 2, 5, 20])
def test_solves_as_numpy(size: int) -> None:
    random = np.random.default_rng(size)
    root = random.normal(size=(size, size))
    matrix, right = root @ root.T + 0.1 * np.eye(size), random.normal(size=size)
    found = right.copy()
    newton._solve(matrix.copy(), found)
    np.testing.assert_allclose(found, np.linalg.solve(matrix, right), rtol=1e-9, atol=1e-12)


def test_a_bound_that_says_the_same_as_another_stays_where_it_is() -> None:
    matrix, right = np.array([[2.0, 2, 1], [2, 2, 1], [1, 1, 3]]), np.array([5.0, 5, 10])
    newton._solve(matrix, right)
    np.testing.assert_allclose(right, [1, 0, 3], atol=1e-12)


@pytest.mark.parametrize(
    ("multiplier", "mean", "expected"),
    [
        (0.0, 0.1, -0.2),  # below the lower bound
        (0.0, 0.5, 0.0),  # between both
        (0.0, 0.9, 0.2),  # above the upper bound
        (1.0, 0.5, 0.2),  # raised further than the lower bound takes
        (2.0, 0.1, 0.0),  # too low, but raised as far as the slack goes
        (2.0, 0.5, 0.2),
        (-1.0, 0.5, -0.2),  # lowered further than the upper bound takes
        (-3.0, 0.9, 0.0),  # too high, but lowered as far as the slack goes
    ],
)
def test_what_a_mean_calls_for(multiplier: float, mean: float, expected: float) -> None:
    lower, upper, least, most = (np.full((1, 1), number) for number in (0.3, 0.7, -3, 2))
    bounds = Bounds(lower, upper, least, most, np.ones((1, 1)), np.ones(1))
    excess = np.full(1, 99.0)
    largest = newton.excesses(bounds, 0, np.array([multiplier]), np.array([mean]), excess)
    assert (excess[0], largest) == (pytest.approx(expected), pytest.approx(abs(expected)))


def test_a_step_that_goes_up_is_taken_back_and_one_that_goes_down_is_kept() -> None:
    one = np.ones((1, 1))
    bounds = Bounds(one * 0.5, one * inf, one * -inf, one * inf, one, np.full(1, 10.0))
    state = newton.begin(np.zeros((1, 1)))
    newton.judge(
        bounds, state, np.array([20.0]), np.array([[1.0]]), np.full((1, 1, 1), 0.9), 1.0, 1e-14
    )
    assert (state.value.item(), state.means.item(), state.curvature.item()) == (
        2,
        0.1,
        pytest.approx(0.09),
    )
    assert newton.advance(bounds, state, 1e-5)
    step, reach = state.trial.item(), state.reach.item()
    assert step == pytest.approx(0.4 / (0.09 + 0.4 / reach))
    too_high = np.array([10 * (2.01 + step * 0.5)])
    newton.judge(bounds, state, too_high, np.array([[9.0]]), np.full((1, 1, 1), 0.9), 1.0, 1e-14)
    assert (state.best.item(), state.value.item(), state.reach.item()) == (0, 2, reach / 4)
    assert newton.advance(bounds, state, 1e-5)
    assert 0 < state.trial.item() < step
    low = np.array([10 * (1.5 + state.trial.item() * 0.5)])
    newton.judge(bounds, state, low, np.array([[5.0]]), np.full((1, 1, 1), 0.9), 1.0, 1e-14)
    assert (state.best.item(), state.value.item(), state.reach.item()) == (
        state.trial.item(),
        pytest.approx(1.5),
        reach,
    )
    assert not newton.advance(bounds, state, 1e-5)
    assert state.steps.item() == 2
