"""A trained model whose prediction is a known function of an image's colours, and photos for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from weakseg.evidence import Instances
from weakseg.inference.multiscale import Inference
from weakseg.trained.model import Origin, TrainedModel

CLASSES = ("red", "green", "blue")
ORIGIN = Origin("runs/fake/checkpoints/best.ckpt", "checkpoint", "1" * 64, "fake", 20, "random")


class Colours(TrainedModel):
    """Each pixel has the class of its brightest channel."""

    def __init__(
        self,
        inference: Inference | None = None,
        long_side: int | None = None,
        origin: Origin = ORIGIN,
        recipe: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(CLASSES, long_side, inference or Inference(), origin, recipe or {})
        self.seen: list[tuple[int, ...]] = []

    def logits(self, images: Tensor) -> Tensor:
        self.seen.append(tuple(images.shape))
        return images.float() / 16


class Objects(Colours):
    """One that finds the green pixels as one object, and the blue ones as another."""

    finds_objects = True

    def objects(self, image: Tensor) -> Instances:
        labels = image.max(0).indices
        masks = torch.stack([labels == 1, labels == 2])
        kept = masks.flatten(1).any(1)
        boxes = torch.zeros(int(kept.sum()), 4)
        scores = torch.tensor([0.75, 0.5])
        return Instances(boxes, torch.tensor([1, 2])[kept], masks[kept], scores[kept])


def squares(height: int, width: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """An image of plain squares of red, green and blue, eight pixels wide."""
    random = np.random.default_rng(seed)
    classes = random.integers(0, 3, (-(-height // 8), -(-width // 8)))
    labels = classes.repeat(8, 0).repeat(8, 1)[:height, :width]
    return (np.eye(3, dtype=np.uint8) * 200)[labels]


def labels_of(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return pixels.argmax(-1).astype(np.uint8)


def save_photo(path: Path, height: int = 16, width: int = 24, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(squares(height, width, seed)).save(path)
    return path
