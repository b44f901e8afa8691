"""Which tags are probably wrong, and which are missing: images are compared with each other by how
much each looks like each class."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 5  # images to compare with; among fewer, ranks say nothing


def tag_doubts(scores: Tensor, tags: Tensor) -> Tensor:
    """How doubtful each tag of each image is, or that it is not there: float [I,C] from 0 to 1; nan
    where there are too few images to compare with.

    A tag is doubted that few images with it, but many without it speak for: a / (a + b), where a is
    the share of the images without it that look more like the class than this one does, and b the
    share of those with it that look less like it, itself among them. For a tag that is not there it
    is the other way round. Two that look alike count half.

    Args:
        scores: how much each image looks like each class, float [I,C]; for a class, only their
            order among the images counts.
        tags: bool [I,C].

    >>> scores = torch.tensor(
    ...     [[0.9], [0.8], [0.7], [0.6], [0.1], [0.5], [0.4], [0.3], [0.2], [0.0]]
    ... )
    >>> tags = torch.tensor([[True]] * 5 + [[False]] * 5)
    >>> [round(float(doubt), 2) for doubt in tag_doubts(scores, tags)[:, 0]]
    [0.0, 0.0, 0.0, 0.0, 0.89, 0.67, 0.4, 0.29, 0.22, 0.0]
    """
    doubts = torch.full(scores.shape, torch.nan)
    for label in range(scores.shape[1]):
        there = tags[:, label]
        if min(int(there.sum()), int((~there).sum())) >= LEAST:
            named, others = scores[there, label], scores[~there, label]
            doubts[there, label] = _doubts(-named, -others)
            doubts[~there, label] = _doubts(others, named)
    return doubts


def _doubts(own: Tensor, others: Tensor) -> Tensor:
    """Of images whose scores should be low, and those of others high."""
    against = _share_below(others, own)
    alike = 1 - _share_below(own, own)
    return against / (against + alike)


def _share_below(values: Tensor, limits: Tensor) -> Tensor:
    """The share of the values below each of the limits; those that are the same count half."""
    ordered = values.sort().values
    below = torch.searchsorted(ordered, limits.contiguous())
    up_to = torch.searchsorted(ordered, limits.contiguous(), right=True)
    return (below + up_to) / (2 * len(values))
