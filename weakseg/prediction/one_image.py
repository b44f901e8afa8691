"""What a trained network finds on one image, for those who bring their images one by one: the
servers of annotation tools."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from weakseg.data.formats.runs import pack
from weakseg.data.formats.writing.labels import LabelledImage, Objects
from weakseg.evidence import IGNORE, Instances
from weakseg.trained.model import TrainedModel


def labelled_image(
    model: TrainedModel, pixels: Tensor, name: str = "image", threshold: float = 0.0
) -> LabelledImage:
    """The class of each pixel, or the objects where the network finds these; a ValueError if the
    network has diverged.

    Args:
        model: the network.
        pixels: uint8 [3,H,W], upright.
        name: of the image.
        threshold: pixels and objects whose probability is below it have no label.
    """
    probs = model.probabilities(pixels)
    surest, classes = probs.max(0)
    score = float(surest.double().mean())
    if not np.isfinite(score):
        raise ValueError(
            f"image {name}: its prediction is not finite: the network has diverged; train it with "
            "a lower learning rate"
        )
    labels = classes.to(torch.uint8)
    found = model.objects(pixels)
    if found is not None:
        return LabelledImage(name, labels.numpy(), score, _objects(found, threshold))
    return LabelledImage(name, labels.masked_fill(surest < threshold, IGNORE).numpy(), score)


def _objects(found: Instances, threshold: float) -> Objects:
    assert found.scores is not None
    sure = found.scores >= threshold
    return Objects(
        tuple(pack(mask.numpy() >= 0.5) for mask in found.masks[sure].cpu()),
        tuple(found.classes[sure].tolist()),
        tuple(found.scores[sure].tolist()),
    )
