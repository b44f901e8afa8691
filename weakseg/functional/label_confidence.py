"""How sure the labels of an image are, without any truth: by what a trained network finds, and by
the colours of the image.

The measures order images, the most suspicious first; they are no probabilities that a pixel is
right. docs/how-to/label.md shows how well each of them finds the worst labels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from weakseg.evidence import IGNORE

SHADES = 16  # of red, green and blue each: pixels of one cell have the same colour


def network_agreement(labels: Tensor, probs: Tensor) -> float:
    """How much of a network's probability the labels get: the mean over the pixels of a class, and
    then over the classes, so that a large background does not hide the objects. nan where no pixel
    has a label.

    Args:
        labels: uint8 [H,W], 255 = no label.
        probs: float [C,H,W] of the network.

    >>> labels = torch.tensor([[0, 0, 0, 1, 255]], dtype=torch.uint8)
    >>> network_agreement(labels, torch.tensor([[[1.0, 1, 1, 0.5, 0]], [[0.0, 0, 0, 0.5, 1]]]))
    0.75
    """
    known = labels != IGNORE
    own = pixel_confidence(labels, probs)[known]
    return _mean_of_classes(labels[known], own)


def pixel_confidence(labels: Tensor, probs: Tensor) -> Tensor:
    """The probability of the label of each pixel, float [H,W]; 0 where there is none."""
    known = labels != IGNORE
    own = probs.gather(0, labels.long().where(known, 0)[None])[0]
    return own.where(known, 0)


def colour_agreement(labels: Tensor, image: Tensor) -> float:
    """How well the class of a pixel follows from its colour, among the labels of the same image: a
    label that runs over the border of an object has colours that others have, too. nan where no
    pixel has a label.

    Each colour shows each class with some share of its pixels; a pixel agrees by the share of its
    own class. The mean is taken as in `network_agreement`.

    Args:
        labels: uint8 [H,W], 255 = no label.
        image: uint8 [3,H,W].

    >>> image = torch.tensor([0, 0, 255, 255], dtype=torch.uint8).expand(3, 1, 4)
    >>> colour_agreement(torch.tensor([[0, 0, 1, 1]], dtype=torch.uint8), image)
    1.0
    >>> round(colour_agreement(torch.tensor([[0, 1, 1, 1]], dtype=torch.uint8), image), 3)
    0.667
    """
    known = labels != IGNORE
    own = labels[known].long()
    if not len(own):
        return math.nan
    red, green, blue = (image[:, known] // (256 // SHADES)).long()
    colour = (red * SHADES + green) * SHADES + blue
    classes = int(own.max()) + 1
    counts = torch.bincount(own * SHADES**3 + colour, minlength=classes * SHADES**3)
    counts = counts.view(classes, SHADES**3).float()
    shares = counts / counts.sum(0).clamp(min=1)
    return _mean_of_classes(own, shares[own, colour])


def _mean_of_classes(labels: Tensor, values: Tensor) -> float:
    """The mean over the classes of the means of their pixels."""
    means = [values[labels == label].mean() for label in torch.unique(labels)]
    return float(torch.stack(means).mean()) if means else math.nan
