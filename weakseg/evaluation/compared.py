"""Comparison, what is known of several networks on the same images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from weakseg.evaluation.bootstrap import Bootstrap, ClassCounts, Interval, bootstrap
from weakseg.evaluation.common_images import FEWEST, Common, find_common
from weakseg.evaluation.sides import Side, differing_keys

# what is compared beside IoU and pixel accuracy, where all have measured it on the same images
OTHERS = ("boundary_iou", "calibration_error", "confidence", "mask_ap")


class Figure(NamedTuple):
    """A figure of all sides, and the differences of the others from the first."""

    name: str
    """such as miou and iou/cat"""
    values: list[Interval]
    """of each side; the ends are nan where there is no interval"""
    differences: list[Interval]
    """of each side but the first: its value less that of the first"""

    def without_intervals(self) -> Figure:
        """The values alone."""
        return self._replace(
            values=[_alone(each.value) for each in self.values],
            differences=[_alone(each.value) for each in self.differences],
        )


class Apart(NamedTuple):
    """An image with what each side makes of it."""

    name: str
    ious: list[float]
    """of each side, the mean over the classes that occur"""

    @property
    def distance(self) -> float:
        """How far a side is from the first one, at most; -1 where nothing is measured."""
        known = [abs(iou - self.ious[0]) for iou in self.ious[1:]]
        return max([-1.0, *(each for each in known if each == each)])


class Draws(NamedTuple):
    """How the intervals were drawn."""

    samples: int = 1000
    level: float = 0.95
    """the share of the draws that an interval holds"""
    seed: int = 0


@dataclass(frozen=True)
class Comparison:
    """Trained networks on the same images."""

    sides: list[Side]
    common: Common
    figures: list[Figure]
    """mean IoU first, IoU of each class after the figures of all pixels"""
    keys: dict[str, list[str]]
    """keys in which the recipes differ, with the value of each side"""
    apart: list[Apart]
    """all images, those on which the sides differ most first"""
    draws: Draws
    folder: Path | None = None
    """where its files are"""

    @property
    def letters(self) -> list[str]:
        """What the sides are called."""
        return [side.letter for side in self.sides]


def compare_sides(sides: list[Side], draws: Draws) -> Comparison:
    """Compare networks on the images that all of them were measured on."""
    common = find_common(sides)
    found = bootstrap(common.counts, *draws)
    return Comparison(
        sides,
        common,
        _figures(sides, common, found),
        differing_keys(sides),
        _apart(common),
        draws,
    )


def _figures(sides: Sequence[Side], common: Common, found: Bootstrap) -> list[Figure]:
    """All figures that every side has."""
    columns = [f"iou/{name}" for name in common.classes] + ["miou", "pixel_accuracy"]
    drawn = {}
    for column, (name, images) in enumerate(zip(columns, _images_of(common), strict=True)):
        figure = Figure(
            name,
            [values[column] for values in found.figures],
            [values[column] for values in found.differences],
        )
        drawn[name] = figure if images >= FEWEST else figure.without_intervals()
    others = [_without_interval(sides, name) for name in OTHERS] if common.whole else []
    first = [drawn["miou"], drawn["pixel_accuracy"], *(each for each in others if each)]
    return first + [drawn[name] for name in columns[: len(common.classes)]]


def _without_interval(sides: Sequence[Side], name: str) -> Figure | None:
    """A figure of the evaluations themselves, which are of the same images."""
    if any(name not in side.evaluation.figures for side in sides):
        return None
    values = [side.evaluation.figures[name] for side in sides]
    return Figure(
        name,
        [_alone(value) for value in values],
        [_alone(value - values[0]) for value in values[1:]],
    )


def _images_of(common: Common) -> list[int]:
    """How many images each column of `figures_of` rests on: those that show the class, in the truth
    or in any prediction, and all of them."""
    shown = torch.stack([counts.either > 0 for counts in common.counts]).any(0).sum(0).tolist()
    return [*shown, len(common.images), len(common.images)]


def _alone(value: float) -> Interval:
    """A value without an interval."""
    return Interval(value, math.nan, math.nan)


def _apart(common: Common) -> list[Apart]:
    """The images by how far the sides are from each other."""
    ious = torch.stack([_iou_of_images(counts) for counts in common.counts], 1).tolist()
    images = [Apart(name, each) for name, each in zip(common.images, ious, strict=True)]
    return sorted(images, key=lambda image: -image.distance)


def _iou_of_images(counts: ClassCounts) -> torch.Tensor:
    """The mean IoU of each image alone, float64 [N]."""
    return (counts.right / counts.either).nanmean(1)
