from __future__ import annotations

from math import inf

import numpy as np
import pytest
import torch

from weakseg.functional.compiled import compiled as jit
from weakseg.functional.constraints import dual
from weakseg.functional.constraints import dual_compiled as compiled
from weakseg.functional.constraints.bounds import (
    Constraints,
    box_constraints,
    class_constraints,
    combine,
    size_constraints,
    tag_constraints,
)
from weakseg.functional.constraints.dual import Rows
from weakseg.functional.constraints.posterior import Posterior, constrained_posterior


def random_rows(
    seed: int, pixels: int, dtype: torch.dtype = torch.float64, shared: bool = False
) -> Rows:
    """Three images with four classes, one of them impossible in places, and five bounds, one of
    them about a class that is not there."""
    random = torch.Generator().manual_seed(seed)
    scores = (
        torch.randn(3, 4, pixels, generator=random, dtype=torch.float64)
        * torch.tensor([0.1, 3, 30])[:, None, None]
    )
    scores[:, 3] = torch.where(torch.rand(3, pixels, generator=random) < 0.5, -inf, scores[:, 3])
    counted = torch.rand(3, pixels, generator=random) < 0.8
    regions = (
        counted[:, None]
        if shared
        else counted[:, None] & (torch.rand(3, 5, pixels, generator=random) < 0.6)
    )
    labels = torch.randint(-1, 4, (3, 5), generator=random)
    picks = (labels[:, :, None] == torch.arange(4)).double()
    bound = torch.zeros(3, 5, dtype=torch.float64)
    return Rows(
        scores.to(dtype),
        counted.to(dtype),
        picks,
        labels,
        regions.to(dtype),
        bound,
        bound,
        bound,
        bound,
    )


def multipliers(seed: int) -> torch.Tensor:
    return torch.randn(
        3, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ) * torch.tensor([1, 0, 1, 5, 0.1])


def sums(rows: Rows, raised: torch.Tensor, beta: float, wanted: list[bool]) -> list[torch.Tensor]:
    values = compiled.sums(
        rows.scores,
        rows.counted,
        rows.labels,
        rows.regions,
        raised.numpy(),
        beta,
        np.array(wanted),
    )
    return [torch.from_numpy(one) for one in values]


@pytest.mark.parametrize("pixels", [1, 63, 256, 257, 700])
@pytest.mark.parametrize("shared", [False, True], ids=["regions", "whole images"])
@pytest.mark.parametrize("beta", [0.7, 1000.0])
def test_sums_are_those_in_tensors(pixels: int, shared: bool, beta: float) -> None:
    for seed in range(3):
        rows, raised = random_rows(seed, pixels, shared=shared), multipliers(seed)
        expected = dual._sums(rows, raised, beta)
        for one, other in zip(sums(rows, raised, beta, [True] * 3), expected, strict=True):
            torch.testing.assert_close(one, other.view(one.shape), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("shared", [False, True], ids=["regions", "whole images"])
def test_sums_of_pixels_in_single_precision_are_in_double(shared: bool) -> None:
    rows, raised = random_rows(0, 5000, torch.float32, shared), multipliers(0)
    exact = Rows(*(one.double() if one.dtype == torch.float32 else one for one in rows))
    for one, other in zip(
        sums(rows, raised, 1.0, [True] * 3), dual._sums(exact, raised, 1.0), strict=True
    ):
        # of 5000 pixels
        torch.testing.assert_close(one, other.view(one.shape), rtol=3e-7, atol=2e-3)


def test_images_that_are_not_wanted_are_left_out() -> None:
    rows, raised = random_rows(1, 100), multipliers(1)
    everything, some = (
        sums(rows, raised, 1.0, [True] * 3),
        sums(rows, raised, 1.0, [False, True, False]),
    )
    for one, other in zip(some, everything, strict=True):
        assert torch.equal(one[1], other[1])
        assert one[[0, 2]].abs().max() == 0
        assert other[[0, 2]].abs().max() > 0


def test_spans_are_those_in_tensors() -> None:
    for pixels in (1, 255, 600):
        rows = random_rows(2, pixels)
        assert torch.equal(compiled.spans(rows.scores), dual._spans(rows.scores))


@jit
def every_exp(powers: np.ndarray, result: np.ndarray) -> None:
    for place in range(len(powers)):
        result[place] = compiled._exp(powers[place])


@pytest.mark.parametrize(
    ("dtype", "lowest", "near"), [(np.float32, -87, 5e-6), (np.float64, -700, 2e-13)]
)
def test_exp(dtype: type, lowest: float, near: float) -> None:
    powers = np.append(np.linspace(lowest, 0, 9999), np.linspace(-2, 0, 9999)).astype(dtype)
    result = np.empty_like(powers)
    every_exp(powers, result)
    np.testing.assert_allclose(result, np.exp(powers.astype(np.float64)), rtol=near)
    recent = powers > -2
    np.testing.assert_allclose(
        result[recent], np.exp(powers[recent].astype(np.float64)), rtol=4 * np.finfo(dtype).eps
    )
    np.testing.assert_allclose(compiled._exp(powers), result, rtol=near)


def problems(
    images: int, size: int, beta: float
) -> tuple[torch.Tensor, torch.Tensor, dict[str, Constraints]]:
    """Scores and tags of images, and bounds of all kinds."""
    logits = (
        torch.randn(images, 6, size, size)
        * torch.tensor([0.1, 1, 4]).repeat(images)[:images, None, None, None]
    )
    tags = torch.rand(images, 6) < 0.5
    tags[:, 0] = True
    large = torch.rand(images, 6) < 0.5
    boxes = [torch.randint(0, size // 2, (number % 3, 2)) for number in range(images)]
    corners = [torch.cat([one, one + size // 2], 1).float() for one in boxes]
    classes = [
        tags[image, 1:].nonzero().flatten()[: len(one)] + 1 for image, one in enumerate(corners)
    ]
    corners = [one[: len(named)] for one, named in zip(corners, classes, strict=True)]
    inside = box_constraints(
        corners,
        classes,
        size,
        size,
        inside=0.5,
        outside=0.1,
        slack_inside=3,
        inverse_temperature=beta,
    )
    kinds = {
        "tags": tag_constraints(tags, inverse_temperature=beta),
        "size": size_constraints(tags, large, inverse_temperature=beta),
        "boxes": inside,
        "boxes and tags": combine(
            inside,
            tag_constraints(tags, foreground_slack=inf, inverse_temperature=beta),
        ),
        "classes": class_constraints(
            upper=torch.full((images, 6), 0.4),
            slack_upper=5.0,
            inverse_temperature=beta,
        ),
    }
    return logits, tags, kinds


def both(
    monkeypatch: pytest.MonkeyPatch,
    logits: torch.Tensor,
    tags: torch.Tensor,
    bounds: Constraints,
    valid: torch.Tensor,
    near: float,
) -> tuple[Posterior, Posterior]:
    quick = constrained_posterior(logits, tags, bounds, valid, near)
    with monkeypatch.context() as patch:
        patch.setattr(dual, "_on_cpu", lambda rows: False)
        return quick, constrained_posterior(logits, tags, bounds, valid, near)


@pytest.mark.parametrize("beta", [1.0, 100.0])
@pytest.mark.parametrize("kind", ["tags", "size", "boxes", "boxes and tags", "classes"])
def test_the_solver_finds_the_same_with_tensors(
    kind: str, beta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, tags, kinds = problems(9, 12, beta)
    valid = torch.rand(9, 12, 12) < 0.9
    one, other = both(monkeypatch, logits.double(), tags, kinds[kind], valid, 1e-9)
    assert one.converged.tolist() == other.converged.tolist()
    done = one.converged
    assert done.sum() > 4
    torch.testing.assert_close(one.probs[done], other.probs[done], rtol=0, atol=1e-7)
    torch.testing.assert_close(one.violations[done], other.violations[done], rtol=0, atol=1e-8)
    torch.testing.assert_close(one.probs.sum(1), torch.ones(9, 12, 12).double())


@pytest.mark.parametrize("kind", ["tags", "boxes and tags"])
def test_in_single_precision(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, tags, kinds = problems(4, 41, 1.0)
    one, other = both(monkeypatch, logits, tags, kinds[kind], torch.ones(4, 41, 41).bool(), 1e-5)
    assert one.converged.tolist() == other.converged.tolist()
    torch.testing.assert_close(
        one.probs[one.converged], other.probs[one.converged], rtol=0, atol=2e-5
    )
