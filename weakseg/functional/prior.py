"""The centre prior: photographs show their subject in the middle."""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST = 0.05  # nothing is certain, neither in the middle nor in the corners
_NARROWEST = 0.01  # a standard deviation, in long sides of the image


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
    return _by_distance(rows[:, None], columns, sigma)


def centre_odds(valid: Tensor, sigma: float = 0.5) -> Tensor:
    """The logits of `centre_prior` for the images of a batch, float [B,H,W], each of which fills a
    rectangle of valid pixels; 0 elsewhere.

    >>> centre_odds(torch.tensor([[[True, True, True, False]]]), sigma=1)
    tensor([[[1.2121, 2.9444, 1.2121, 0.0000]]])
    """
    rows = _from_middle(valid.any(2))
    columns = _from_middle(valid.any(1))
    inside = valid.any(2)[:, :, None] & valid.any(1)[:, None, :]
    prior = _by_distance(rows[:, :, None], columns[:, None, :], sigma)
    return torch.where(inside, prior.logit(), 0)


def _from_middle(seen: Tensor) -> Tensor:
    """Where the places of each row of bool [B,L] lie in the stretch that is seen: float [B,L], from
    -1 to 1."""
    place = torch.arange(seen.shape[1], device=seen.device)
    first = seen.int().argmax(1, keepdim=True)  # of equal ones, the first
    return (place - first + 0.5) / seen.sum(1, keepdim=True).clamp(min=1) * 2 - 1


def _by_distance(rows: Tensor, columns: Tensor, sigma: float) -> Tensor:
    away = rows.square() + columns.square()
    return _LEAST + (1 - 2 * _LEAST) * (-away / (2 * sigma**2)).exp()


def blob_odds(shares: Tensor, height: int, width: int) -> Tensor:
    """The log odds that a cell belongs to a subject, by where the subject has been found before and
    how large it was: float [h,w].

    A normal distribution with the mean and the covariance of what was found, weighted by its area,
    against a background that is anywhere in the image. Odds go from -6 to 3. Where less than half
    a cell was found, nothing is known: all odds are 0.

    Args:
        shares: which part of each cell the subject covers, float [h,w].
        height: of the image that the cells divide.
        width: of it.
    """
    mass = shares.sum()
    if mass < 0.5:
        return torch.zeros_like(shares)
    places = _places(shares, height, width)
    away = places - (places * shares).sum((1, 2), keepdim=True) / mass
    covariance = torch.einsum("ihw,jhw,hw->ij", away, away, shares) / mass
    covariance = covariance + _NARROWEST**2 * torch.eye(2)
    distance = torch.einsum("ihw,ij,jhw->hw", away, torch.linalg.inv(covariance), away)
    area = height * width / max(height, width) ** 2
    peak = area / (2 * torch.pi * torch.det(covariance).sqrt())
    share = mass / shares.numel()
    odds = share / (1 - share).clamp(min=_LEAST)
    return ((odds * peak).log() - distance / 2).clamp(-6, 3)


def _places(cells: Tensor, height: int, width: int) -> Tensor:
    """Row and column of the middle of each cell, in long sides of the image: float [2,h,w]."""
    long_side = max(height, width)
    rows = (torch.arange(cells.shape[0]) + 0.5) / cells.shape[0] * height / long_side
    columns = (torch.arange(cells.shape[1]) + 0.5) / cells.shape[1] * width / long_side
    return torch.stack([rows[:, None].expand(cells.shape), columns.expand(cells.shape)])
