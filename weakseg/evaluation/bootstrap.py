"""How far figures, and differences between networks, would vary with other images of the same kind:
bootstrap intervals over the images of an evaluation.

Images are drawn with replacement, as many as there are. Each time the pixels of the drawn images
are summed and the figures are taken from the sums, as they are over all images. Differences are
paired: each draw has the same images for all networks, so what makes an image hard for all of them
cancels. An interval holds the middle part of the draws (percentile bootstrap).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CHUNK = 128  # draws at once: with 10,000 images these are 10 MB


class Interval(NamedTuple):
    """A figure over all images, and where the middle part of the draws lies."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero; False where nothing is measured."""
        return self.low > 0 or self.high < 0


class ClassCounts(NamedTuple):
    """Pixels of each image of an evaluation, float64 and without fractions."""

    right: Tensor
    """[N,C]: of each class, where truth and prediction agree"""
    truth: Tensor
    """[N,C]: of each class in the truth"""
    either: Tensor
    """[N,C]: of each class in the truth, the prediction or both"""
    all_right: Tensor
    """[N]: of any class"""
    pixels: Tensor
    """[N]: that have a truth"""


def count_classes(cells: Tensor, images: Sequence[int], classes: Sequence[int]) -> ClassCounts:
    """The counts of some images and some classes, in that order.

    Args:
        cells: int64 [K,4], as `Evaluation.cells` has them: place of the image, class of the truth,
            class predicted, pixels.
        images: places of the images.
        classes: numbers of the classes.
    """
    size = 1 + max([0, *classes, *cells[:, 1:3].flatten().tolist()])
    rows = torch.full((1 + max([0, *images, *cells[:, 0].tolist()]),), -1)
    rows[list(images)] = torch.arange(len(images))
    image, truth, prediction, pixels = cells[rows[cells[:, 0]] >= 0].T
    image = rows[image]
    pixels = pixels.double()
    right = pixels * (truth == prediction)
    found = [
        torch.zeros(len(images), size, dtype=torch.float64).index_put_((image, of), many, True)
        for of, many in ((truth, right), (truth, pixels), (prediction, pixels))
    ]
    both, in_truth, predicted = found
    columns = list(classes)
    return ClassCounts(
        both[:, columns],
        in_truth[:, columns],
        (in_truth + predicted - both)[:, columns],
        both.sum(1),
        in_truth.sum(1),
    )


def figures_of(counts: ClassCounts, weights: Tensor | None = None) -> Tensor:
    """IoU of each class, their mean, and pixel accuracy, float64 [B,C+2]: from the sums over all
    images, or over those of each draw. nan for a class that none of the images shows.

    Args:
        counts: of the images.
        weights: float64 [B,N], how often each image is drawn; None for once each.
    """
    if weights is None:
        weights = torch.ones(1, len(counts.pixels), dtype=torch.float64)
    iou = (weights @ counts.right) / (weights @ counts.either)
    accuracy = (weights @ counts.all_right) / (weights @ counts.pixels)
    return torch.cat([iou, iou.nanmean(1, keepdim=True), accuracy[:, None]], 1)


def draws(images: int, samples: int, seed: int) -> Iterator[Tensor]:
    """How often each image comes in each draw, float64 [B,N], some draws at a time."""
    random = np.random.default_rng(seed)
    for start in range(0, samples, CHUNK):
        count = min(CHUNK, samples - start)
        chosen = random.integers(images, size=(count, images))
        chosen += images * np.arange(count)[:, None]
        often = np.bincount(chosen.ravel(), minlength=count * images)
        yield torch.from_numpy(often.reshape(count, images).astype(np.float64))


class Bootstrap(NamedTuple):
    """Figures of several networks on the same images, with their intervals. The columns are those
    of `figures_of`."""

    figures: list[list[Interval]]
    """of each network"""
    differences: list[list[Interval]]
    """of each network but the first: its figure less that of the first"""


def bootstrap(
    runs: Sequence[ClassCounts], samples: int = 1000, level: float = 0.95, seed: int = 0
) -> Bootstrap:
    """Figures and differences with intervals.

    Args:
        runs: counts of each network, of the same images and classes.
        samples: how many draws.
        level: the part of the draws that an interval holds.
        seed: of the draws.
    """
    drawn: list[list[Tensor]] = [[] for _ in runs]
    for weights in draws(len(runs[0].pixels), samples, seed):
        for counts, figures in zip(runs, drawn, strict=True):
            figures.append(figures_of(counts, weights))
    values = [figures_of(counts)[0] for counts in runs]
    spread = [torch.cat(figures) for figures in drawn]
    return Bootstrap(
        [_intervals(*each, level) for each in zip(values, spread, strict=True)],
        [
            _intervals(value - values[0], figures - spread[0], level)
            for value, figures in zip(values[1:], spread[1:], strict=True)
        ],
    )


def _intervals(values: Tensor, spread: Tensor, level: float) -> list[Interval]:
    """The interval of each column; nan for one that has no value in any draw."""
    tail = (1 - level) / 2
    known = ~spread.isnan().all(0)
    ends: NDArray[np.float64] = np.full((2, len(values)), np.nan)
    ends[:, known.numpy()] = np.nanquantile(spread[:, known].numpy(), [tail, 1 - tail], axis=0)
    return [Interval(*each) for each in zip(values.tolist(), *ends.tolist(), strict=True)]
