"""Strategies whose settings are tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.small import Everything, Refine, Squares, TinyNet
from weakseg.evidence import IGNORE, Evidence
from weakseg.strategies.base import Context, JointStrategy, Strategy, Wants


class Sees(TinyNet):
    """Whose features are the image itself."""

    def intermediate_features(self, image: Tensor) -> Tensor:
        return F.avg_pool2d(image, 4)


class Contrast(Refine):
    """What differs from the grey of the background inside the box; estimated images are noted."""

    tunable: ClassVar[Mapping[str, Sequence[Any]]] = {"least": (0, 40, 90, 200)}
    estimated: ClassVar[list[str]] = []

    def __init__(self, least: float = 200) -> None:
        super().__init__()
        self.least = least

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        self.estimated.append(evidence.id)
        target = super().estimate(evidence, Context())
        return target * ((evidence.image.float().mean(0) - 120).abs() >= self.least)


class Fitted(JointStrategy):
    """What differs from the grey of the background inside the box, fitted to features in name."""

    tunable: ClassVar[Mapping[str, Sequence[Any]]] = Contrast.tunable
    iterations = 1
    wants = Wants(intermediate=24)

    def __init__(self, least: float = 200) -> None:
        super().__init__()
        self.least = least

    def describe(self, evidence: Evidence, context: Context) -> dict[str, Tensor]:
        return {"nothing": torch.zeros(1)}

    def fit(self, descriptions: Sequence[dict[str, Tensor]]) -> Tensor:
        return torch.zeros(1)

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        return Contrast(self.least).estimate(evidence, context)


class Nearest(Strategy):
    """Spreads each mark to the pixels whose colour is near to it, or to all pixels."""

    needs = ("marks",)

    def __init__(self, colours: bool = False) -> None:
        super().__init__()
        self.colours = colours

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        assert evidence.marks is not None
        marked = evidence.marks != IGNORE
        known = evidence.marks[marked]
        if not self.colours:
            return torch.full_like(evidence.marks, int(known.mode().values))
        grey = evidence.image.float().mean(0)
        distance = (grey[..., None] - grey[marked]).abs()
        return known[distance.argmin(-1)]


class OnlyMarks(Strategy):
    """Labels what is marked, and nothing else."""

    needs = ("marks",)

    def __init__(self, unused: int = 0) -> None:
        super().__init__()
        self.unused = unused

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        assert evidence.marks is not None
        return evidence.marks.clone()


class Clicks(Everything):
    """A click on the disc and one beside it, and tags that name both."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        assert evidence.boxes is not None
        assert evidence.box_classes is not None
        x, y = (evidence.boxes[0, :2] + 5).int().tolist()
        marks = torch.full_like(evidence.marks, IGNORE)  # type: ignore[arg-type]
        marks[y, x] = int(evidence.box_classes[0])
        marks[0, 0] = 0
        return evidence._replace(marks=marks), truth


class Nothing(Refine):
    """Declares nothing to try."""


class Lines(Everything):
    """Marks of both classes that can be hidden in part: a line of background, and one of the
    disc."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        assert evidence.boxes is not None
        assert evidence.marks is not None
        x1, y1, x2, _ = evidence.boxes[0].int().tolist()
        marks = evidence.marks.clone()
        marks[y1 + 5, x1 + 1 : x2 - 1] = int(evidence.box_classes[0])  # type: ignore[index]
        return evidence._replace(marks=marks), truth


class WithoutTruth(Squares):
    """Boxes alone, and some images that have none."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, _ = super().sample(index)
        return (evidence if index % 4 else evidence._replace(boxes=None, box_classes=None)), None
