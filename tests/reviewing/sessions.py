"""Sessions about a data set of small images, without any file but their corrections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.small import Everything, TinyNet
from weakseg.data.base import WeakData
from weakseg.data.label_store import LabelStore
from weakseg.evidence import Evidence
from weakseg.reviewing.material import Material
from weakseg.reviewing.session import ReviewSession
from weakseg.strategies.base import Context, Strategy
from weakseg.strategies.boxes_rect import BoxesRect
from weakseg.training.segmenter import Segmenter

SCRIBBLE = {"action": "scribble", "class": "dark", "points": [[2, 2], [9, 2]], "width": 2}
BOX = {"action": "add_box", "class": "dark", "points": [[1, 1], [8, 9]]}


class Counting(Strategy):
    """Filled boxes, and how often they were made."""

    not_in_key = ("count",)

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.boxes = BoxesRect()

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        self.count += 1
        return self.boxes.estimate(evidence, context)


class Failing(Strategy):
    """Estimates nothing where a box begins at the rim."""

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        assert evidence.boxes is not None
        if bool((evidence.boxes[:, 0] < 2).any()):
            raise RuntimeError("a box at the rim\nis too much")
        return torch.zeros(evidence.image.shape[-2:], dtype=torch.uint8)


class ByLoss(Strategy):
    """Estimates nothing."""

    def loss(self, logits: Tensor, batch: Any) -> dict[str, Tensor]:
        return {"mean": logits.mean()}


def material(
    folder: Path, strategy: Strategy | None = None, data: WeakData | None = None, **more: Any
) -> Material:
    """Discs in two classes, of which a folder keeps the corrections."""
    values: dict[str, Any] = {
        "name": "discs",
        "data": Everything(train=6, val=2) if data is None else data,
        "corrections": folder / "corrections",
        "strategy_name": "boxes_rect",
        "strategy": BoxesRect() if strategy is None else strategy,
        "train": ["recipe=boxes_rect", f"data.corrections={folder / 'corrections'}"],
        "store": LabelStore(folder / "labels"),
    }
    return Material(**(values | more))


def with_network(folder: Path, strategy: Strategy, **more: Any) -> Material:
    """The same with a network."""
    data = Everything(train=6, val=2)
    segmenter = Segmenter(TinyNet(3), strategy, data.classes).eval()
    return material(folder, strategy, data, segmenter=segmenter, trained=True, **more)


def session(folder: Path, strategy: Strategy | None = None, **more: Any) -> ReviewSession:
    """A session about them."""
    return ReviewSession(material(folder, strategy, **more), who="me")
