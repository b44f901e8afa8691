"""What was measured of the settings, image by image, and how far a difference would vary with other
images of the same kind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.evaluation.bootstrap import Interval, draws

SAMPLES = 2000
LEVEL = 0.95


class Scores(NamedTuple):
    """A measure of the settings: larger is better."""

    images: dict[int, Tensor]
    """by class, float64 [S,I], for S settings; nan for an image in which the class is not
    measured"""

    @property
    def classes(self) -> dict[int, Tensor]:
        """The mean over the images, by class: float64 [S]."""
        return {number: each.nanmean(1) for number, each in self.images.items()}

    @property
    def mean(self) -> Tensor:
        """The mean over the classes, float64 [S]."""
        return torch.stack(list(self.classes.values())).mean(0)


def differences(measures: Sequence[Scores], first: int = 0) -> list[Interval]:
    """The score of each setting less that of one of them, as a share of the highest, with an
    interval; of several measures the mean of these shares.

    Images are drawn with replacement, the same for all settings and measures. As the best of
    several is looked for, the intervals are so wide that, were all settings alike, one of twenty
    searches would have any interval that lies above zero (Bonferroni).

    Args:
        measures: of the same settings on the same images.
        first: the setting that all are compared with.
    """
    shares = torch.stack([_shares(scores, first) for scores in measures]).mean(0)
    tail = (1 - LEVEL) / 2 / max(1, shares.shape[1] - 1)
    ends = torch.nanquantile(shares[1:], torch.tensor([tail, 1 - tail], dtype=torch.float64), dim=0)
    return [Interval(*each) for each in zip(shares[0].tolist(), *ends.tolist(), strict=True)]


def _shares(scores: Scores, first: int) -> Tensor:
    """Differences as shares of the highest score, float64 [1+B,S]: over all images, and of each
    draw."""
    stacked = torch.stack(list(scores.images.values()))  # [C,S,I]
    known = ~stacked.isnan().all(1)
    filled = stacked.nan_to_num()
    once = torch.ones(1, filled.shape[2], dtype=torch.float64)
    drawn = draws(filled.shape[2], SAMPLES, 0)
    means = torch.cat([_means(filled, known, weights) for weights in chain([once], drawn)])
    highest = means[0].abs().max().clamp(min=1e-12)
    return (means - means[:, first : first + 1]) / highest


def _means(filled: Tensor, known: Tensor, weights: Tensor) -> Tensor:
    """The score of each setting for each draw of images, float64 [B,S]."""
    sums = torch.einsum("csi,bi->bcs", filled, weights)
    counts = torch.einsum("ci,bi->bc", known.double(), weights)
    return (sums / counts[..., None]).nanmean(1)  # a class that was not drawn has no mean
