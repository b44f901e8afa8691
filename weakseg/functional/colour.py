"""How much evidence the colours of an image are."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

TOLERANCE = 2
"""steps of colour by which channels may differ in a grey pixel, from conversions"""
MOST = 0.01
"""part of the pixels that may have a colour in a grey image, such as a mark that somebody set"""


def is_grey(image: Tensor) -> bool:
    """Whether an image [3,H,W], 0 to 255, has the same three channels, but for a few pixels.

    >>> is_grey(torch.tensor([[[7, 90]]] * 3)), is_grey(torch.tensor([[[7]], [[90]], [[7]]]))
    (True, False)
    """
    return bool(are_grey(image[None])[0])


def are_grey(images: Tensor, valid: Tensor | None = None) -> Tensor:
    """The same of images [B,3,H,W] of which only the valid pixels, bool [B,H,W], count: bool
    [B]."""
    red, green, blue = images.int().unbind(1)
    apart = (red - green).abs().maximum((green - blue).abs()).maximum((red - blue).abs())
    coloured = apart > TOLERANCE
    if valid is None:
        return coloured.flatten(1).sum(1) <= MOST * coloured[0].numel()
    return (coloured & valid).flatten(1).sum(1) <= MOST * valid.flatten(1).sum(1)


def colour_unit(image: Tensor) -> float:
    """What a step of colour counts as in distances of colours, by the channels of the image: 1, or
    the root of 3 in a grey image.

    The squared distance of two colours is a sum over three channels, each of which is one
    measurement. In a grey image all three are the same measurement, so the sum is three times that
    of its one channel. A standard deviation of colours has to be the root of 3 times as large there
    for the same result as on that one channel.

    >>> colour_unit(torch.full((3, 4, 4), 7)) ** 2
    2.9999999999999996
    """
    return sqrt(3) if is_grey(image) else 1.0


def colour_units(images: Tensor, valid: Tensor, dtype: torch.dtype) -> Tensor:
    """The same of each of several images [B,3,H,W]: of this type, [B]."""
    return 1 + are_grey(images, valid).to(dtype) * (sqrt(3) - 1)
