"""The centre prior: photographs show their subject in the middle."""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST = 0.05  # nothing is certain, neither in the middle nor in the corners


def centre_prior(height: int, width: int, sigma: float = 0.5) -> Tensor:
    """The prior probability that a pixel belongs to the subject of a photograph, float [H,W]:
    photographers place their subject in the middle of the frame.

    A Gaussian of the distance from the middle, from .05 to .95, with `sigma` as its standard
    deviation in half sides of the image.

    >>> centre_prior(1, 3, sigma=1)
    tensor([[0.7707, 0.9500, 0.7707]])
    """
    if not 0 < sigma < float("inf"):
        raise ValueError(
            f"sigma should be more than 0 and finite, in half sides of the image, but it is {sigma}"
        )
    rows, columns = ((torch.arange(side) + 0.5) / side * 2 - 1 for side in (height, width))
    away = rows[:, None].square() + columns.square()
    return _LEAST + (1 - 2 * _LEAST) * (-away / (2 * sigma**2)).exp()


def centre_odds(valid: Tensor, sigma: float = 0.5) -> Tensor:
    """The logits of `centre_prior` for the images of a batch, float [B,H,W], each of which fills a
    rectangle of valid pixels; 0 elsewhere.

    >>> centre_odds(torch.tensor([[[True, True, True, False]]]), sigma=1)
    tensor([[[1.2121, 2.9444, 1.2121, 0.0000]]])
    """
    odds = torch.zeros(valid.shape, device=valid.device)
    for each, own in zip(valid, odds, strict=True):
        rows = each.any(1).nonzero().flatten()
        columns = each.any(0).nonzero().flatten()
        if len(rows):
            inside = own[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            inside.copy_(centre_prior(inside.shape[0], inside.shape[1], sigma).logit())
    return odds
