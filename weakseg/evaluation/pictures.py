"""The pictures of single images in the page of an evaluation."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import Evidence
from weakseg.functional.resolution import downsample
from weakseg.reporting.drawing import draw_errors, draw_evidence, overlay, picture_address

SIDE = 320  # pixels of the longer side of a picture


class Panel(NamedTuple):
    """One picture of an image."""

    name: str
    address: str
    """`data:image/...`, which holds all of it"""


class Thumbnail(NamedTuple):
    """An image with its labels, small enough to keep many of them."""

    image: Tensor
    """uint8 [3,h,w]"""
    prediction: Tensor
    """uint8 [h,w]"""
    truth: Tensor | None
    """uint8 [h,w]"""
    annotated: Tensor | None
    """where there is no truth: uint8 [3,h,w] with what is annotated drawn into it"""


def thumbnail(
    evidence: Evidence, prediction: Tensor, truth: Tensor | None, classes: int
) -> Thumbnail:
    """An image of any size with its labels [H,W]."""
    small = downsample(evidence.image, SIDE)
    size = (small.shape[-2], small.shape[-1])
    return Thumbnail(
        small,
        labels_at(prediction, size),
        None if truth is None else labels_at(truth, size),
        downsample(draw_evidence(evidence, classes), SIDE) if truth is None else None,
    )


def panels(thumb: Thumbnail) -> list[Panel]:
    """What is shown of an image, from left to right."""
    drawn = {"image": thumb.image}
    if thumb.annotated is not None:
        drawn["annotations"] = thumb.annotated
    if thumb.truth is not None:
        drawn["truth"] = overlay(thumb.image, thumb.truth)
    drawn["prediction"] = overlay(thumb.image, thumb.prediction)
    if thumb.truth is not None:
        drawn["errors"] = draw_errors(thumb.image, thumb.prediction, thumb.truth)
    return [Panel(name, picture_address(picture)) for name, picture in drawn.items()]


def labels_at(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Labels at another size, without mixing them."""
    if labels.shape == size:
        return labels.to(torch.uint8)
    scaled = F.interpolate(labels[None, None].float(), size, mode="nearest-exact")
    return scaled[0, 0].to(torch.uint8)
