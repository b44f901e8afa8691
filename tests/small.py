"""A data set and a network so small that a whole training takes a fraction of a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor, nn

from weakseg.data.base import WeakData
from weakseg.evidence import IGNORE, Batch, Evidence, Prediction
from weakseg.strategies.base import Context, Loss, Strategy
from weakseg.training.outputs import read_estimate

SIZE = 24


class Squares(WeakData):
    """Noisy images with one bright or one dark disc each; its box is the evidence, so a filled box
    is wrong in the corners."""

    classes = ("background", "bright", "dark")

    def __init__(self, train: int = 12, val: int = 5, **loading: Any) -> None:
        super().__init__(**{"batch_size": 4, **loading})
        self.count = train + val
        self.validation = range(train, train + val)

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        random = torch.Generator().manual_seed(index)
        label = 1 + index % 2
        x, y = (torch.randint(6, SIZE - 6, (2,), generator=random)).tolist()
        rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
        inside = (rows - y) ** 2 + (columns - x) ** 2 <= 25
        level = torch.where(inside, 230.0 if label == 1 else 20.0, 120.0)
        image = (
            (level + torch.randn(3, SIZE, SIZE, generator=random) * 8).clamp(0, 255).to(torch.uint8)
        )
        box = torch.tensor([[x - 5.0, y - 5.0, x + 6.0, y + 6.0]])
        truth = (inside * label).to(torch.uint8)
        return Evidence(f"disc/{index}", image, boxes=box, box_classes=torch.tensor([label])), truth


class Everything(Squares):
    """With every kind of evidence: the box, tags, a click on the disc and a line of background."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        assert evidence.boxes is not None
        assert evidence.box_classes is not None
        label = int(evidence.box_classes[0])
        x, y = (evidence.boxes[0, :2] + 5).int().tolist()
        marks = torch.full((SIZE, SIZE), IGNORE, dtype=torch.uint8)
        marks[SIZE - 1 if y < SIZE / 2 else 0] = 0
        marks[y, x] = label
        tags = torch.tensor([True, label == 1, label == 2])
        return evidence._replace(
            tags=tags, marks=marks, large=torch.tensor([True, False, False])
        ), truth


class NoTruth(Everything):
    """All that people annotate, and no mask to measure with."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        return super().sample(index)[0], None


class TinyNet(nn.Module):
    """A few weights, with batch norm and dropout so that chance and statistics matter."""

    def __init__(self, classes: int = 3, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(dropout)
        )
        self.head = nn.Conv2d(8, classes, 1)

    def features(self, image: Tensor) -> Tensor:
        out: Tensor = self.encoder(image)
        return out

    def intermediate_features(self, image: Tensor) -> Tensor:
        return F.avg_pool2d(self.features(image), 4)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.head(self.features(image))
        return out


class Refine(Strategy):
    """The filled box in round 0; later, the network's own prediction inside the box."""

    needs = ("boxes",)

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        assert evidence.boxes is not None
        assert evidence.box_classes is not None
        (x1, y1, x2, y2), label = evidence.boxes[0].int().tolist(), int(evidence.box_classes[0])
        target = torch.zeros(evidence.image.shape[1:], dtype=torch.uint8)
        target[max(0, y1) : y2, max(0, x1) : x2] = label
        if context.prediction is not None:
            probs = context.prediction.probs
            target[probs[label] < probs[0]] = 0
        return target


def labels_of(
    strategy: Strategy, evidence: Evidence, prediction: Prediction | None = None, **context: Any
) -> Tensor:
    """The labels that a strategy estimates of one image; its classes have some names."""
    count = 20 if evidence.tags is None else len(evidence.tags)
    names = {"classes": [f"class{number}" for number in range(count)]}
    given = Context(prediction, **{**names, **context})
    labels, _ = read_estimate(strategy.estimate(evidence, given))
    return labels


def loss_of(strategy: Strategy, logits: Tensor, batch: Batch) -> Loss:
    """What the loss of a strategy returns, with everything that may be logged."""
    returned = strategy.loss(logits, batch)
    return returned if isinstance(returned, Loss) else Loss(returned)


class Killed(Exception):
    """A run was ended by `KillBefore`."""


class KillBefore(pl.Callback):
    """Ends the run before a step; a stand-in for kill -9 that a test can survive."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise Killed


def trainer(folder: Path, steps: int = 9, **arguments: Any) -> pl.Trainer:
    """A quiet trainer on the CPU."""
    saves = any(isinstance(callback, Checkpoint) for callback in arguments.get("callbacks", []))
    quiet = {
        "logger": False,
        "enable_checkpointing": saves,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return pl.Trainer(
        default_root_dir=folder,
        max_steps=steps,
        accelerator="cpu",
        num_sanity_val_steps=0,
        **{**quiet, **arguments},
    )
