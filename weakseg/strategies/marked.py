"""What the strategies share that learn marked pixels: points, scribbles, or anything that says the class of a few pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Batch, Evidence
from weakseg.functional.losses import cross_entropy
from weakseg.strategy import Strategy


def need_marked_pixel(evidence: Evidence) -> None:
    """Raise a ValueError that names the image if nobody marked a pixel of it."""
    evidence.need("marks")
    assert evidence.marks is not None
    if bool((evidence.marks == IGNORE).all()):
        raise ValueError(f"image {evidence.id} has no marked pixel (all marks are {IGNORE}); mark something on it or leave it out")


def learn_marks(logits: Tensor, batch: Batch, strategy: Strategy) -> dict[str, Tensor]:
    """The cross-entropy of the marked pixels alone; 0 where a batch of crops shows none."""
    if batch.marks is None:
        raise ValueError(f"{type(strategy).__name__} needs marks, but the images {', '.join(batch.ids)} have none")
    return {"marks": cross_entropy(logits, batch.marks)}


def valid_pixels(batch: Batch) -> Tensor:
    """Where a pixel is not padding, bool [B,H,W]."""
    return torch.ones_like(batch.image[:, 0], dtype=torch.bool) if batch.valid is None else batch.valid
