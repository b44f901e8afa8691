"""What is believed of an image before anybody has looked at it."""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST = 0.05  # nothing is certain, neither in the middle nor in the corners


def centre_prior(height: int, width: int, spread: float = 0.5) -> Tensor:
    """How likely a pixel shows what the photograph is of, float [H,W]: people hold what they photograph in the middle of the frame.

    A normal curve of the distance from the middle, from .05 to .95, with `spread` as its standard deviation in half sides of the image.

    >>> centre_prior(1, 3, spread=1)
    tensor([[0.7707, 0.9500, 0.7707]])
    """
    if not 0 < spread < float("inf"):
        raise ValueError(f"spread should be more than 0 and finite, in half sides of the image, but it is {spread}")
    rows, columns = ((torch.arange(side) + 0.5) / side * 2 - 1 for side in (height, width))
    away = rows[:, None].square() + columns.square()
    return _LEAST + (1 - 2 * _LEAST) * (-away / (2 * spread**2)).exp()
