"""The solver that asks a GPU nothing finds what the compiled one finds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from weakseg.functional.constraints.bounds import (
    Constraints,
    box_constraints,
    class_constraints,
    size_constraints,
    tag_constraints,
)
from weakseg.functional.constraints.newton_tensors import _solved
from weakseg.functional.constraints.posterior import constrained_posterior
from weakseg.utils.devices import as_on_a_gpu

IMAGES, CLASSES = 5, 7


def some_tags() -> Tensor:
    tags = torch.zeros(IMAGES, CLASSES, dtype=torch.bool)
    tags[:, 0] = True
    for image in range(1, IMAGES):
        tags[image, torch.randperm(CLASSES - 1)[: 1 + image % 3] + 1] = True
    return tags


def boxes_in(side: int, tags: Tensor) -> Constraints:
    labels = [row.nonzero().flatten()[1:] for row in tags]
    corners = [torch.rand(len(own), 2) * side / 2 for own in labels]
    sides = [torch.rand(len(own), 2) * side / 2 + 2 for own in labels]
    boxes = [torch.cat([xy, xy + wh], 1) for xy, wh in zip(corners, sides, strict=True)]
    return box_constraints(boxes, labels, side, side, inside=0.6, outside=0.1)


@pytest.mark.parametrize("side", [3, 20, 70])
@pytest.mark.parametrize("kind", ["tags", "boxes", "sizes"])
def test_the_same_posterior(side: int, kind: str) -> None:
    torch.manual_seed(side)
    tags = some_tags()
    logits = torch.randn(IMAGES, CLASSES, side, side) * 3
    valid = torch.rand(IMAGES, side, side) < 0.9
    constraints = {
        "tags": lambda: tag_constraints(tags),
        "boxes": lambda: boxes_in(side, tags),
        "sizes": lambda: size_constraints(tags, tags, inverse_temperature=1.0),
    }[kind]()
    for where in (None, valid):
        here = constrained_posterior(logits, tags, constraints, where)
        with as_on_a_gpu():
            there = constrained_posterior(logits, tags, constraints, where)
        assert torch.equal(here.converged, there.converged)
        assert torch.allclose(here.probs, there.probs, atol=1e-4)
        assert torch.allclose(here.violations, there.violations, atol=1e-4)
    assert here.converged.any()


def test_bounds_that_contradict_each_other_end() -> None:
    lower = torch.tensor([[0.0, 0.7, 0.7]])
    tags = torch.ones(1, 3, dtype=torch.bool)
    with as_on_a_gpu():
        found = constrained_posterior(torch.zeros(1, 3, 4, 4), tags, class_constraints(lower))
    assert not found.converged.any()
    assert torch.isfinite(found.probs).all()


def test_a_direction_that_depends_on_others_stays_where_it_is() -> None:
    """As in the compiled twin: the second bound says what the first one says."""
    matrix = torch.tensor([[[2.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 4.0]]]).double()
    assert _solved(matrix, torch.tensor([[2.0, 2.0, 8.0]]).double()).tolist() == [[1, 0, 2]]
