"""Where an image shows what a word names: maps of CLIP by gradients, and their refinement by the
attention of its patches to each other, as in CLIP-ES."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

_TOUCHING = np.ones((3, 3))  # neighbours of a patch, corners included, as in contours
_TINY = 1e-7


def word_probs(image: Tensor, words: Tensor, scale: Tensor | float) -> Tensor:
    """How well each word describes an image against the other ones, float [W]: the softmax of their
    cosines, multiplied by `scale`.

    Args:
        image: features of the image, float [D].
        words: features of the words, float [W,D].
        scale: 100 in CLIP.

    >>> word_probs(torch.tensor([2.0, 0.0]), torch.tensor([[3.0, 0.0], [0.0, 1.0]]), 1.0)
    tensor([0.7311, 0.2689])
    """
    cosines = F.normalize(words, dim=-1) @ F.normalize(image, dim=-1)
    return (scale * cosines).softmax(0)


def grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """GradCAM (Selvaraju and others, ICCV 2017) of several scores on patches, float [K,N]: the sum
    of a patch's activations, each weighed by the mean of its gradients over all patches, and 0
    where that is negative.

    Args:
        activations: of the patches, float [N,D].
        gradients: of each score by these, float [K,N,D].
    """
    return (gradients.mean(1) @ activations.T).relu()


def min_max(maps: Tensor) -> Tensor:
    """Maps float [K,...] from 0, where each has its minimum, to 1, its maximum; 0 where a map is
    the same everywhere.

    >>> min_max(torch.tensor([[1.0, 2.0, 5.0], [3.0, 3.0, 3.0]]))
    tensor([[0.0000, 0.2500, 1.0000],
            [0.0000, 0.0000, 0.0000]])
    """
    flat = maps.flatten(1)
    lowest = flat.min(1, keepdim=True).values
    span = flat.max(1, keepdim=True).values - lowest
    return ((flat - lowest) / span.clamp(min=_TINY)).view_as(maps)


def attention_affinity(attention: Tensor, times: int = 3) -> Tensor:
    """How much patches belong together, float [N,N], from how much each attends to each.

    The attention is made doubly stochastic, by dividing by the sums of columns and rows in turns
    (Sinkhorn), then symmetric, and multiplied with itself, so that patches with the same neighbours
    belong together.

    Args:
        attention: float [N,N], not negative: of the patches (rows) to the patches.
        times: how often columns and rows are normalised.
    """
    affinity = attention
    for _ in range(times):
        affinity = affinity / affinity.sum(0, keepdim=True).clamp(min=_TINY)
        affinity = affinity / affinity.sum(1, keepdim=True).clamp(min=_TINY)
    symmetric = (affinity + affinity.T) / 2
    return symmetric @ symmetric


def boxes_around(maps: Tensor, least: float) -> Tensor:
    """Where each map may spread, bool [K,h,w]: in the boxes around the parts of it that are more
    than `least` times its maximum.

    Args:
        maps: float [K,h,w], not negative. Patches that touch at a corner are one part.
        least: from 0 to 1.
    """
    inside = torch.zeros(maps.shape, dtype=torch.bool)
    for number, each in enumerate(maps):
        parts, _ = ndimage.label((each > least * each.max()).cpu().numpy(), _TOUCHING)
        for rows, columns in ndimage.find_objects(parts):
            inside[number, rows, columns] = True
    return inside


def spread_by_affinity(maps: Tensor, affinity: Tensor, inside: Tensor) -> Tensor:
    """Maps float [K,h,w] in which each patch has what the patches in the boxes of the map have, as
    far as they belong together.

    Args:
        maps: float [K,h,w].
        affinity: float [h*w,h*w].
        inside: the boxes of each map, bool [K,h,w].
    """
    return ((maps * inside).flatten(1) @ affinity.T).view_as(maps)


def with_background(maps: Tensor, power: float = 1.0) -> Tensor:
    """Probabilities of background and of the classes, float [K+1,...]: background has what the most
    likely class leaves.

    Args:
        maps: from 0 to 1, float [K,...].
        power: of what is left; more than 1 makes classes larger.

    >>> with_background(torch.tensor([[0.75, 0.0], [0.5, 0.0]]))
    tensor([[0.1667, 1.0000],
            [0.5000, 0.0000],
            [0.3333, 0.0000]])
    """
    left = (1 - maps.max(0, keepdim=True).values) ** power
    planes = torch.cat([left, maps])
    return planes / planes.sum(0).clamp(min=_TINY)
