from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp, xlogy
from torch import Tensor

from weakseg.functional.constraints import dual
from weakseg.functional.constraints import newton_compiled as newton
from weakseg.functional.constraints.bounds import (
    Constraints,
    box_constraints,
    class_constraints,
    combine,
    contradiction,
    tag_constraints,
)
from weakseg.functional.constraints.posterior import Posterior, constrained_posterior


def random_problem(seed: int, beta: float = 1.0) -> tuple[Tensor, Tensor, Constraints]:
    """One image of at most 25 pixels with up to six bounds on random regions; about every seventh
    cannot be met."""
    random = np.random.default_rng(seed)
    classes, bounds = random.integers(2, 6), random.integers(1, 7)
    height, width = random.integers(1, 6, 2)
    logits = random.normal(size=(classes, height, width)) * random.choice([0.1, 1, 5])
    tags = random.random(classes) < 0.8
    tags[random.integers(classes)] = True
    lower = random.choice([0, 0.05, 0.1, 0.3, 0.6], bounds)
    upper = np.maximum(lower, random.choice([1, 0.9, 0.7, 0.3], bounds))
    slacks = random.choice([inf, 2, 0.5], (2, bounds))
    region = random.random((bounds, height, width)) < random.choice([0.3, 0.7, 1.1], (bounds, 1, 1))
    label = np.flatnonzero(tags)[random.integers(0, tags.sum(), bounds)]
    rows = (torch.tensor(values)[None] for values in (label, lower, upper, *slacks, region))
    return (
        torch.tensor(logits)[None],
        torch.tensor(tags)[None],
        Constraints(*rows, beta),
    )  # type: ignore[misc, arg-type]


def one_sided(
    tags: Tensor, constraints: Constraints, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bounds of one image written as A p >= b, which is what the paper does: A [J,C,N], b [J],
    and the caps on multipliers [J]."""
    classes, pixels = shape
    rows: list[tuple[np.ndarray, float, float]] = []
    for index in range(constraints.label.shape[1]):
        region = (
            np.ones(pixels)
            if constraints.region is None
            else constraints.region[0, index].flatten().double().numpy()
        )
        if not region.any():
            continue
        lower, upper, up, down = (
            getattr(constraints, name)[0, index].item()
            for name in ("lower", "upper", "slack_lower", "slack_upper")
        )
        row = np.zeros((classes, pixels))
        row[constraints.label[0, index]] = region
        rows += [(row, lower * region.sum(), up)] if lower > 0 else []
        rows += [(-row, -upper * region.sum(), down)] if upper < 1 else []
    if not rows:
        return np.zeros((0, classes, pixels)), np.zeros(0), np.zeros(0)
    matrix, bound, cap = (np.array(values) for values in zip(*rows, strict=True))
    return matrix[:, tags[0].numpy()], bound, cap


def by_scipy(logits: Tensor, tags: Tensor, constraints: Constraints) -> np.ndarray:
    """The labels [C,N] by L-BFGS-B on the dual of one-sided bounds."""
    scores = logits[0].flatten(1).numpy()[tags[0].numpy()]
    matrix, bound, cap = one_sided(tags, constraints, (logits.shape[1], scores.shape[1]))

    def labels(multipliers: np.ndarray) -> np.ndarray:
        raised = constraints.inverse_temperature * (scores + np.tensordot(multipliers, matrix, 1))
        return np.exp(raised - logsumexp(raised, 0))

    def objective(multipliers: np.ndarray) -> tuple[float, np.ndarray]:
        raised = constraints.inverse_temperature * (scores + np.tensordot(multipliers, matrix, 1))
        value = logsumexp(raised, 0).sum() / constraints.inverse_temperature - multipliers @ bound
        return value, np.tensordot(matrix, labels(multipliers), 2) - bound

    options = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-10, "maxcor": 30}
    solver = {
        "jac": True,
        "bounds": [(0, c) for c in cap],
        "method": "L-BFGS-B",
        "options": options,
    }
    multipliers = minimize(objective, np.zeros(len(bound)), **solver).x if len(bound) else bound
    found = np.zeros((logits.shape[1], scores.shape[1]))
    found[tags[0].numpy()] = labels(multipliers)
    return found


class TestAgainstScipy:
    @pytest.mark.parametrize("seed", range(40))
    def test_dual(self, seed: int) -> None:
        logits, tags, constraints = random_problem(seed)
        found = constrained_posterior(logits, tags, constraints, tolerance=1e-9)
        # so far the simple check finds them all
        assert found.converged.item() == (contradiction(constraints, tags[0]) is None)
        if found.converged:
            expected = by_scipy(logits, tags, constraints)
            assert found.probs[0].flatten(1).numpy() == pytest.approx(expected, abs=2e-5)

    @pytest.mark.parametrize("seed", range(8))
    def test_primal(self, seed: int) -> None:
        """Without any multipliers: the KL divergence itself is minimised over all labels that keep
        the bounds."""
        random = torch.Generator().manual_seed(seed)
        logits = torch.randn(1, 3, 2, 2, generator=random, dtype=torch.float64) * 2
        region = torch.rand(1, 2, 2, 2, generator=random) < 0.6
        region[:, :, 0, 0] = True
        everything = torch.full((1, 2), inf, dtype=torch.float64)
        lower, upper = torch.tensor([[0.2, 0.0]]).double(), torch.tensor([[1.0, 0.4]]).double()
        rows = Constraints(torch.tensor([[1, 2]]), lower, upper, everything, everything, region)
        both = combine(
            rows, class_constraints(lower=torch.tensor([[0.3, 0, 0]], dtype=torch.float64))
        )
        tags = torch.ones(1, 3, dtype=torch.bool)
        found = constrained_posterior(logits, tags, both, tolerance=1e-10)
        matrix, bound, _ = one_sided(tags, both, (3, 4))
        logs = logits.log_softmax(1).flatten().numpy()
        best = minimize(
            lambda p: (xlogy(p, p) - p * logs).sum(),
            np.full(12, 1 / 3),
            jac=lambda p: np.log(np.maximum(p, 1e-12)) + 1 - logs,
            bounds=[(0, 1)] * 12,
            constraints=[
                {"type": "eq", "fun": lambda p: p.reshape(3, 4).sum(0) - 1},
                {"type": "ineq", "fun": lambda p: matrix.reshape(len(bound), 12) @ p - bound},
            ],
            method="SLSQP",
            options={"ftol": 1e-13, "maxiter": 500},
        )
        assert found.probs.flatten().numpy() == pytest.approx(best.x, abs=1e-5)

    @pytest.mark.parametrize("seed", range(12))
    def test_hardness_of_a_thousand(self, seed: int) -> None:
        """Where the dual has edges L-BFGS-B itself stops early, so the conditions of optimality
        decide."""
        logits, tags, constraints = random_problem(seed, 1000.0)
        found = constrained_posterior(logits, tags, constraints, tolerance=1e-7)
        if contradiction(constraints, tags[0]) is None:
            assert found.converged.item()
            optimality(logits, tags, constraints, found, 1e-6)


def optimality(
    logits: Tensor, tags: Tensor, constraints: Constraints, found: Posterior, near: float
) -> None:
    """The conditions of Karush, Kuhn and Tucker, written out pixel by pixel and bound by bound."""
    probs = found.probs[0].flatten(1)
    pixels = probs.shape[1]
    assert probs.sum(0).tolist() == pytest.approx([1] * pixels)
    raised = logits[0].flatten(1).clone()
    for index, multiplier in enumerate(found.multipliers[0].tolist()):
        label, lower, upper, up, down = (
            getattr(constraints, name)[0, index].item()
            for name in ("label", "lower", "upper", "slack_lower", "slack_upper")
        )
        region = (
            torch.ones(pixels).bool()
            if constraints.region is None
            else constraints.region[0, index].flatten()
        )
        if not region.any():
            assert multiplier == 0
            continue
        raised[label, region] += multiplier
        mean = probs[label, region].mean().item()
        assert -down <= multiplier <= up
        assert mean >= lower - near or multiplier == up
        assert mean <= upper + near or multiplier == -down
        assert multiplier <= 0 or mean <= lower + near
        assert multiplier >= 0 or mean >= upper - near
    raised[~tags[0]] = -inf
    assert probs.numpy() == pytest.approx(
        (constraints.inverse_temperature * raised).softmax(0).numpy(), abs=1e-9
    )


@pytest.mark.parametrize("seed", range(40, 70))
def test_the_conditions_of_optimality_hold(seed: int) -> None:
    logits, tags, constraints = random_problem(seed)
    found = constrained_posterior(logits, tags, constraints, tolerance=1e-8)
    if found.converged:
        optimality(logits, tags, constraints, found, 1e-7)
    assert found.steps.item() < 200 or not found.converged


@pytest.mark.parametrize("beta", [1.0, 1000.0])
def test_a_batch_is_its_images_one_by_one(beta: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 6, 7, 8) * torch.tensor([0.1, 1.0, 3.0, 10.0, 1.0])[:, None, None, None]
    tags = torch.tensor(
        [[1, 1, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0], [0] * 6]
    ).bool()
    boxes = [
        torch.tensor([[0.0, 0, 5, 4], [3, 3, 8, 7]]),
        torch.zeros(0, 4),
        torch.tensor([[2.0, 2, 4, 4]]),
        *[torch.zeros(0, 4)] * 2,
    ]
    labels = [
        torch.tensor([1, 5]),
        torch.zeros(0).long(),
        torch.tensor([3]),
        *[torch.zeros(0).long()] * 2,
    ]
    constraints = combine(
        tag_constraints(tags, inverse_temperature=beta),
        box_constraints(boxes, labels, 7, 8, outside=0.05, inverse_temperature=beta),
    )
    valid = torch.rand(5, 7, 8) < 0.9
    batch = constrained_posterior(logits, tags, constraints, valid)
    assert batch.converged.all()
    for image in range(5):
        one = slice(image, image + 1)
        rows = {
            name: getattr(constraints, name)[one]
            for name in ("label", "lower", "upper", "slack_lower", "slack_upper", "region")
        }
        alone = constrained_posterior(
            logits[one], tags[one], replace(constraints, **rows), valid[one]
        )
        assert alone.steps.item() == batch.steps[image].item()
        torch.testing.assert_close(alone.probs, batch.probs[one], rtol=0, atol=1e-6)
        torch.testing.assert_close(alone.multipliers, batch.multipliers[one], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(alone.violations, batch.violations[one], rtol=0, atol=1e-6)


def test_no_step_raises_the_dual(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every point that a step starts from is at most as high as the one before; full Newton steps
    would overshoot here."""
    values: list[float] = []
    advance = newton.advance
    monkeypatch.setattr(
        newton,
        "advance",
        lambda bounds, state, tolerance: (
            values.append(state.value.item()),
            advance(bounds, state, tolerance),
        )[1],
    )
    torch.manual_seed(1)
    logits, tags = torch.randn(1, 4, 20, 20) * 8, torch.ones(1, 4).bool()
    logits[:, 0] += 30
    found = constrained_posterior(
        logits, tags, tag_constraints(tags, foreground_slack=inf, inverse_temperature=100.0)
    )
    assert found.converged.item()
    assert len(values) > 5
    assert np.diff(values).max() < 1e-9
    assert np.diff(values).min() < -1


def many_pixels(beta: float) -> tuple[Tensor, Tensor, Constraints, Tensor]:
    """Smooth scores of 4 images at 90 x 100 pixels, some of them padding, with bounds of all
    kinds."""
    torch.manual_seed(0)
    logits = torch.nn.functional.interpolate(
        torch.randn(4, 6, 7, 7) * 4, (90, 100), mode="bilinear"
    )
    tags = torch.tensor(
        [[1, 1, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [1, 0, 1, 1, 0, 0]]
    ).bool()
    boxes = [
        torch.tensor([[0.0, 0, 50, 40], [30, 30, 80, 70]]),
        torch.zeros(0, 4),
        torch.tensor([[2.0, 2, 60, 50]]),
        torch.zeros(0, 4),
    ]
    labels = [torch.tensor([1, 5]), torch.zeros(0).long(), torch.tensor([3]), torch.zeros(0).long()]
    whole = tag_constraints(
        tags, foreground_slack=inf, foreground_lower=0.1, inverse_temperature=beta
    )
    constraints = combine(
        whole,
        box_constraints(
            boxes,
            labels,
            90,
            100,
            inside=0.7,
            outside=0.05,
            inverse_temperature=beta,
        ),
    )
    valid = torch.ones(4, 90, 100).bool()
    valid[1, 60:] = valid[2, :, 80:] = False
    return logits, tags, constraints, valid


@pytest.mark.parametrize("beta", [1.0, 1000.0])
@pytest.mark.parametrize("kind", ["boxes", "whole images"])
def test_many_pixels_in_single_precision_from_a_coarse_beginning(
    beta: float, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, tags, constraints, valid = many_pixels(beta)
    if kind == "whole images":
        constraints = tag_constraints(
            tags,
            foreground_slack=inf,
            foreground_lower=0.1,
            inverse_temperature=beta,
        )
    quick = constrained_posterior(logits, tags, constraints, valid)
    monkeypatch.setattr(dual, "_MANY", 10**9)
    slow = constrained_posterior(logits.double(), tags, constraints, valid, tolerance=1e-7)
    assert quick.converged.all()
    assert quick.violations.max() < 1.1e-5
    assert slow.steps.max() > 0
    # at beta 1000 the few pixels at the border between two classes are as good on either side
    assert (quick.probs - slow.probs).abs().mean().item() < 2e-4 * (beta > 1) + 1e-5
    torch.testing.assert_close(
        quick.probs.mean((2, 3)), slow.probs.mean((2, 3)).float(), rtol=0, atol=3e-5
    )


def test_a_coarse_beginning_saves_most_of_the_steps_on_all_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In all; at beta 1000, where the dual has edges, it is up to rounding whether a few are
    saved."""
    problems = [many_pixels(beta) for beta in (1.0, 10.0, 30.0, 100.0)]
    quick = sum(constrained_posterior(*problem).steps.sum().item() for problem in problems)
    monkeypatch.setattr(dual, "_MANY", 10**9)
    assert (
        0
        < quick
        < 0.6 * sum(constrained_posterior(*problem).steps.sum().item() for problem in problems)
    )


def test_bounds_about_the_whole_image_are_the_same_as_regions_of_everything() -> None:
    logits, tags, _, valid = many_pixels(1.0)
    logits, valid = logits[..., ::6, ::6], valid[..., ::6, ::6]
    constraints = tag_constraints(tags, foreground_slack=inf, foreground_lower=0.1)
    everywhere = torch.ones(4, 6, *logits.shape[2:]).bool()
    shared = constrained_posterior(logits, tags, constraints, valid)
    single = constrained_posterior(logits, tags, replace(constraints, region=everywhere), valid)
    torch.testing.assert_close(shared.probs, single.probs)
    torch.testing.assert_close(shared.multipliers, single.multipliers)
    assert (shared.steps.tolist(), shared.converged.tolist()) == (single.steps.tolist(), [True] * 4)
