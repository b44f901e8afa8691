"""Whether a written file computes what the network computes, and how fast both are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.trained.model import TrainedModel
from weakseg.utils.messages import counted

SIZES = ((64, 96), (97, 130), (61, 83))
"""whole cells of every network, and odd sizes: padding and cutting go wrong there"""
BATCHES = (1, 3)
DIFFERENCE = 1e-4
EQUAL = 0.999
TIMED = (256, 256)
REPEATS = 7


class Comparison(NamedTuple):
    """How far a written file is from its network, over all batches."""

    difference: float
    """the largest of logits; where logits are larger than 1, in units of the largest one, as single
    precision has relative errors"""
    scale: float
    """the largest logit"""
    equal: float
    """the share of pixels with the same likeliest class"""
    batches: int

    @property
    def passes(self) -> bool:
        """Whether it is close enough; never if a number is none."""
        return self.difference <= DIFFERENCE and self.equal >= EQUAL

    def __str__(self) -> str:
        return (
            f"logits differ by {self.difference:.1e} (allowed {DIFFERENCE:g}) in units of "
            f"{max(1.0, self.scale):.3g}, {self.equal:.2%} equal labels (needed {EQUAL:.1%})"
        )


class Times(NamedTuple):
    """Seconds for one image of `TIMED`: medians of calls that took turns."""

    network: float
    exported: float

    def __str__(self) -> str:
        height, width = TIMED
        return (
            f"{height}x{width} pixels: network {1000 * self.network:.1f} ms, exported "
            f"{1000 * self.exported:.1f} ms (CPU, {counted(torch.get_num_threads(), 'thread')})"
        )


def compare(
    network: TrainedModel, written: TrainedModel, move: Callable[[], object] = lambda: None
) -> Comparison:
    """Compare the logits of a network with those of the file that it was written to.

    Args:
        network: as it was trained.
        written: read from the file.
        move: is called after each batch.
    """
    differences: list[float] = []
    scales: list[float] = []
    same = pixels = 0
    for images in batches():
        wanted = network.logits(images).cpu()
        found = written.logits(images).cpu()
        if found.shape != wanted.shape:
            raise ValueError(
                f"for images {list(images.shape)} its logits are {list(found.shape)}, but those of "
                f"the network are {list(wanted.shape)}"
            )
        scale = float(wanted.abs().max())
        differences.append(float((found - wanted).abs().max()) / max(1.0, scale))
        scales.append(scale)
        same += int((found.argmax(1) == wanted.argmax(1)).sum())
        pixels += found[:, 0].numel()
        move()
    # unlike Python's, torch's maximum of numbers and a nan is nan
    worst = float(torch.tensor(differences, dtype=torch.float64).max())
    return Comparison(worst, max(scales), same / pixels, len(differences))


def batches() -> Iterator[Tensor]:
    """Images with smooth colours, edges and noise, always the same ones."""
    random = torch.Generator().manual_seed(0)
    for height, width in SIZES:
        for count in BATCHES:
            coarse = torch.rand(count, 3, 5, 6, generator=random)
            smooth = F.interpolate(coarse, (height, width), mode="bilinear")
            blocks = F.interpolate(coarse.flip(-1), (height, width))
            noise = torch.rand(count, 3, height, width, generator=random)
            yield ((0.5 * smooth + 0.35 * blocks + 0.15 * noise) * 255).to(torch.uint8)


def take_times(network: TrainedModel, written: TrainedModel) -> Times:
    """How long each of the two takes, in turns, so that both see the same machine."""
    image = torch.randint(0, 256, (1, 3, *TIMED), generator=torch.Generator().manual_seed(0))
    images = image.to(torch.uint8)
    models = (network, written)
    seconds: tuple[list[float], list[float]] = ([], [])
    for model in models:  # the first call prepares things
        model.logits(images)
    for _ in range(REPEATS):
        for model, taken in zip(models, seconds, strict=True):
            start = time.perf_counter()
            model.logits(images)
            taken.append(time.perf_counter() - start)
    return Times(median(seconds[0]), median(seconds[1]))
