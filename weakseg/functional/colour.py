"""How much evidence the colours of an image are."""

from __future__ import annotations

from math import sqrt

from torch import Tensor

TOLERANCE = 2
"""steps of colour by which channels may differ in a grey pixel, from conversions"""
MOST = 0.01
"""part of the pixels that may have a colour in a grey image, such as a mark that somebody set"""


def is_grey(image: Tensor) -> bool:
    """Whether an image [3,H,W], 0 to 255, has the same three channels, but for a few pixels.

    >>> import torch
    >>> is_grey(torch.tensor([[[7, 90]]] * 3)), is_grey(torch.tensor([[[7]], [[90]], [[7]]]))
    (True, False)
    """
    red, green, blue = image.int()
    apart = (red - green).abs().maximum((green - blue).abs()).maximum((red - blue).abs())
    coloured = int((apart > TOLERANCE).sum())
    return coloured <= MOST * apart.numel()


def colour_unit(image: Tensor) -> float:
    """What a step of colour counts as in distances of colours, by the channels of the image: 1, or
    the root of 3 in a grey image.

    The squared distance of two colours is a sum over three channels, each of which is one
    measurement. In a grey image all three are the same measurement, so the sum is three times that
    of its one channel. A standard deviation of colours has to be the root of 3 times as large there
    for the same result as on that one channel.

    >>> import torch
    >>> colour_unit(torch.full((3, 4, 4), 7)) ** 2
    2.9999999999999996
    """
    return sqrt(3) if is_grey(image) else 1.0
