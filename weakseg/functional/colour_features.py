"""Features of an image that need no network: colours, and how much they vary, around each place."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

REACHES = (0.012, 0.035, 0.1)
"""sides of the windows, as shares of the long side of the image"""
CELLS = 32
"""along the long side"""


def colour_features(image: Tensor) -> Tensor:
    """Mean and standard deviation of the colours in windows of three sizes, and the squares of the
    means in the smallest ones: float [21,h,w], 32 cells along the long side.

    Args:
        image: uint8 [3,H,W].

    >>> colour_features(torch.zeros(3, 64, 128, dtype=torch.uint8)).shape
    torch.Size([21, 16, 32])
    """
    colours = image[None].float() / 255
    longest = max(image.shape[1:])
    found = []
    for reach in REACHES:
        side = 2 * round(reach * longest / 2) + 1
        mean = _mean(colours, side)
        found += [mean, (_mean(colours.square(), side) - mean.square()).clamp(min=0).sqrt()]
    found.append(found[0].square())
    size = [max(1, round(side * min(1, CELLS / longest))) for side in image.shape[1:]]
    return F.interpolate(torch.cat(found, 1), size, mode="area")[0]


def _mean(values: Tensor, side: int) -> Tensor:
    """Over windows that are cut off at the rim of the image."""
    return F.avg_pool2d(values, side, 1, side // 2, count_include_pad=False)
