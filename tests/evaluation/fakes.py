"""A network that needs no training: it sees the discs of `tests.small.Squares` by how bright they
are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from weakseg.inference.multiscale import Inference
from weakseg.trained.model import Origin, TrainedModel

CLASSES = ("background", "bright", "dark")
ORIGIN = Origin("net.onnx", "onnx", "0" * 64, "discs", 7, "random")


class SeesBrightness(TrainedModel):
    """Finds bright discs, and of the dark ones the left half of the image only."""

    def __init__(self, classes: tuple[str, ...] = CLASSES, **recipe: Any) -> None:
        super().__init__(classes, None, Inference(), ORIGIN, recipe)
        self.calls = 0

    def logits(self, images: Tensor) -> Tensor:
        self.calls += 1
        level = images.float().mean(1)
        bright = level > 180
        dark = level < 70
        dark[:, :, dark.shape[2] // 2 :] = False
        logits = torch.zeros(len(images), len(self.classes), *level.shape[1:])
        logits[:, self.classes.index("bright")] = bright.float() * 4
        logits[:, self.classes.index("dark")] = dark.float() * 4
        logits[:, 0] = (~(bright | dark)).float() * 2
        return logits
