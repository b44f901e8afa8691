"""Strategies and data sets that say what labelling does with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tests.small import Everything, Refine, Squares
from weakseg.evidence import Evidence
from weakseg.strategies.base import Context, JointStrategy, Strategy
from weakseg.strategies.boxes_rect import BoxesRect

ESTIMATED: list[str] = []
"""ids of the images that the strategies here have estimated in this process"""


class Counting(BoxesRect):
    """Filled boxes."""

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        ESTIMATED.append(evidence.id)
        return super().estimate(evidence, context)


class CountingRefine(Refine):
    """Filled boxes, and in later rounds what the network finds in them."""

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        ESTIMATED.append(evidence.id)
        return super().estimate(evidence, context)


class Soft(Strategy):
    """The filled box with a probability of three quarters."""

    needs = ("boxes",)

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        hard = Refine().estimate(evidence, Context()).long()
        sure = torch.nn.functional.one_hot(hard, 3).movedim(-1, 0).float()
        return sure * 0.75 + (1 - sure) * 0.125


class Mean(JointStrategy):
    """Pixels in the box that are on the same side of the mean of all images as its middle."""

    needs = ("boxes",)

    def describe(self, evidence: Evidence, context: Context) -> dict[str, Tensor]:
        return {"mean": evidence.image.float().mean()}

    def fit(self, descriptions: Sequence[dict[str, Tensor]]) -> Tensor:
        return torch.stack([each["mean"] for each in descriptions]).mean()

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        ESTIMATED.append(evidence.id)
        assert context.fitted is not None
        filled = Refine().estimate(evidence, Context())
        grey = evidence.image.float().mean(0)
        bright = int(filled.max()) == 1
        other = (grey > context.fitted) != bright
        return filled.masked_fill(other, 0)


class Broken(Squares):
    """One image that cannot be read, and one without boxes."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        if index == 3:
            raise ValueError("image disc/3: its file is cut off")
        evidence, truth = super().sample(index)
        if index == 5:
            evidence = evidence._replace(boxes=None, box_classes=None)
        return evidence, truth


class Tagged(Everything):
    """Tags alone."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        return Evidence(evidence.id, evidence.image, tags=evidence.tags), truth


class Bad(Counting):
    """Fails on one image."""

    def estimate(self, evidence: Evidence, context: Context) -> Any:
        if evidence.id == "disc/2":
            raise ArithmeticError("this image is too hard")
        return super().estimate(evidence, context)


class Reordered(Squares):
    """The same images, with the classes in another order, and one less."""

    classes = ("background", "dark")

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(2 * index + 1)  # with a dark disc
        assert truth is not None
        return evidence._replace(box_classes=torch.tensor([1])), truth.clamp(max=1)
