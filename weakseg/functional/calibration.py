"""Calibration: whether a network that is 80 % sure of its pixels is right in 80 % of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

BINS = 15  # as in Guo and others


class Reliability(NamedTuple):
    """Pixels by the probability of their likeliest class, in bins of equal width from 0 to 1. Add
    up those of all images with `+`."""

    pixels: Tensor
    """int64 [B]"""
    right: Tensor
    """int64 [B], of these the ones whose likeliest class is the true one"""
    confidence: Tensor
    """float64 [B], the sum of their probabilities"""

    @classmethod
    def empty(cls, bins: int = BINS) -> Reliability:
        """Of no pixel."""
        return cls(
            torch.zeros(bins, dtype=torch.int64),
            torch.zeros(bins, dtype=torch.int64),
            torch.zeros(bins, dtype=torch.float64),
        )

    def __add__(self, other: object) -> Reliability:
        if not isinstance(other, Reliability):
            return NotImplemented
        return Reliability(*(a + b for a, b in zip(self, other, strict=True)))


def count_reliability(confidence: Tensor, right: Tensor, bins: int = BINS) -> Reliability:
    """Pixels of one image in their bins.

    Args:
        confidence: float of any shape, the probability of the likeliest class.
        right: bool of the same shape, whether that class is the true one. Leave out the pixels that
            have no truth, in both.
        bins: how many.

    >>> count_reliability(torch.tensor([0.9, 0.8, 0.3]), torch.tensor([True, False, True]), 2)
    Reliability(pixels=tensor([1, 2]), right=tensor([1, 1]), confidence=tensor([0.3000, 1.7000],
    dtype=torch.float64))
    """
    sure = confidence.flatten().double()
    # a probability of 1 belongs to the last bin; rounding may have made it a little more
    places = (sure * bins).long().clamp(0, bins - 1)
    return Reliability(
        torch.bincount(places, minlength=bins),
        torch.bincount(places[right.flatten()], minlength=bins),
        torch.bincount(places, weights=sure, minlength=bins),
    )


def expected_calibration_error(counts: Reliability) -> float:
    """The mean over all pixels of how far confidence and accuracy of their bin are apart (Guo and
    others, ICML 2017); nan of no pixel.

    >>> expected_calibration_error(
    ...     count_reliability(torch.tensor([0.75, 0.75]), torch.tensor([True, False]))
    ... )
    0.25
    """
    gaps = (counts.confidence - counts.right).abs()
    return float(gaps.sum() / counts.pixels.sum())


def reliability_curve(counts: Reliability) -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and number of pixels of each bin that has any, in order.

    >>> reliability_curve(
    ...     count_reliability(torch.tensor([0.75, 0.75]), torch.tensor([True, False]))
    ... )
    [(0.75, 0.5, 2)]
    """
    rows = zip(
        counts.confidence.tolist(), counts.right.tolist(), counts.pixels.tolist(), strict=True
    )
    return [(sure / pixels, right / pixels, pixels) for sure, right, pixels in rows if pixels]
