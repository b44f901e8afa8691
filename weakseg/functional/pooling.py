"""From scores of pixels to scores of images: what a network must say about pixels so that a list of
classes can teach it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def weighted_pooling(
    scores: Tensor, probs: Tensor, *, floor: float = 1 / 41**2, valid: Tensor | None = None
) -> Tensor:
    """One score per class and image, float [B,C]: the mean of a class's scores over its own pixels.
    Both float [B,C,H,W].

    Normalised global weighted pooling of Araslanov and Roth ("Single-Stage Semantic Segmentation
    from Image Labels", CVPR 2020):
    sum of score times probability over (1 + sum of probability). Unlike the mean over all pixels it
    does not want objects to be large, unlike the maximum it teaches all of their pixels. Without
    the 1, the vanishing mask of a class that is absent would still count.

    Differs from the paper: its 1 is a pixel of a map of 41 x 41. Here it is that share of the
    image, `floor`, so that neither the size of the image nor the resolution of the scores matters.
    Pixels where `valid`, bool [B,H,W], is False do not count.

    >>> scores, probs = torch.tensor([[[[4.0, 1.0]]]]), torch.tensor([[[[1.0, 0.5]]]])
    >>> weighted_pooling(scores, probs, floor=0.25)  # (4 x 1 + 1 x .5) / 2, over .25 + 1.5 / 2
    tensor([[2.2500]])
    """
    return mean_over_pixels(scores * probs, valid) / (floor + mean_over_pixels(probs, valid))


def size_focal(
    probs: Tensor, *, power: float = 3.0, smallest: float = 0.01, valid: Tensor | None = None
) -> Tensor:
    """How much too small each class is in each image, float [B,C], from about log(smallest) to 0:
    probs float [B,C,H,W].

    The focal mask penalty of Araslanov and Roth (CVPR 2020): (1 - p)^power log(smallest + p), p the
    mean probability of the class in the image. Added to the score of the class, it makes a tiny
    mask insufficient where the class is present, and cheap where it is absent.

    >>> size_focal(torch.tensor([[[[1.0, 0.0]]]]), power=2, smallest=0.5)  # log(1) / 4
    tensor([[0.]])
    """
    share = mean_over_pixels(probs, valid)
    return (1 - share) ** power * (smallest + share).log()


def classification(scores: Tensor, valid: Tensor, tags: Tensor) -> Tensor:
    """How badly the images' pooled scores tell their tags, background aside: the mean over images
    with tags, or 0."""
    probs = scores.softmax(1)
    lead = scores - scores[:, :1] + 1
    pooled = weighted_pooling(lead, probs, valid=valid) + size_focal(probs, valid=valid)
    each = F.multilabel_soft_margin_loss(
        pooled[:, 1:], tags[:, 1:].to(pooled.dtype), reduction="none"
    )
    tagged = tags.any(1)
    return torch.where(tagged, each, 0).sum() / tagged.sum().clamp(min=1)


def mean_over_pixels(values: Tensor, valid: Tensor | None = None) -> Tensor:
    """The mean over the valid pixels of each image: float [B,C] of [B,C,H,W]; 0 where none is
    valid."""
    if valid is None:
        return values.mean((2, 3))
    counted = valid[:, None]
    return torch.where(counted, values, 0).sum((2, 3)) / counted.sum((2, 3)).clamp(min=1)
