"""What the strategies share that learn from marked pixels: points, scribbles, or any other partial
labels."""

from __future__ import annotations

import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Batch, Evidence
from weakseg.functional.losses import dense_crf_loss
from weakseg.functional.regions.region_graph import Superpixels
from weakseg.functional.resolution import average_pool
from weakseg.strategies.base import Strategy
from weakseg.strategies.label_loss import label_loss
from weakseg.utils.lengths import Length, Share

LARGE_PIECES = Superpixels(scale=Share(0.3))
"""how the strategies for clicks cut an image: a piece is large enough for one click"""


def need_annotation(evidence: Evidence) -> None:
    """Raise a ValueError that names the image if it has no annotation."""
    if not evidence.annotations:
        raise ValueError(
            f"image {evidence.id} has nothing to learn from: no marked pixel, no list of boxes "
            "and no tags; annotate it or leave it out"
        )


def need_marks(evidence: Evidence) -> Tensor:
    """The marks uint8 [H,W] of an image; a ValueError that names it if it has none."""
    evidence.need("marks")
    assert evidence.marks is not None
    return evidence.marks


def need_marked_pixel(evidence: Evidence) -> Tensor:
    """The marks of an image; a ValueError that names it if no pixel of it is marked."""
    marks = need_marks(evidence)
    if bool((marks == IGNORE).all()):
        raise ValueError(
            f"image {evidence.id} has no marked pixel (all marks are {IGNORE}); mark something on "
            "it, leave it out, or, if its file holds shapes of another kind, name that in "
            "data.evidence"
        )
    return marks


def marks_loss(logits: Tensor, batch: Batch, strategy: Strategy) -> dict[str, Tensor]:
    """The loss of the marked pixels alone, as the strategy's `terms` say; 0 where a batch of crops
    shows none."""
    if batch.marks is None:
        raise ValueError(
            f"{type(strategy).__name__} needs marks, but the images {', '.join(batch.ids)} have "
            "none"
        )
    return label_loss(logits, batch.marks, strategy.terms, batch.class_weights, "marks")


def downsampled(logits: Tensor, batch: Batch, shrink: int) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities float [B,C,h,w], colours uint8 [B,3,h,w] and where there is an image, bool
    [B,h,w], so many times smaller."""
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    probs, there = average_pool(exact.softmax(1), batch.valid, shrink)
    colours, _ = average_pool(batch.image.to(probs.dtype), batch.valid, shrink)
    return probs, colours.round().to(torch.uint8), there


def crf_loss(logits: Tensor, batch: Batch, xy: Length, rgb: float, shrink: int) -> Tensor:
    """The dense CRF loss of a batch, compared `shrink` times smaller; xy in pixels is in those of
    the image."""
    probs, colours, there = downsampled(logits, batch, shrink)
    near = xy if isinstance(xy, Share) else xy / shrink
    return dense_crf_loss(probs, colours, xy=near, rgb=rgb, valid=there)
