"""Crowded pictures: many tiny round objects of three classes that touch each other; one class is
rare."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from weakseg.data.toy.canvas import Canvas, Scene, ground, light, rgb
from weakseg.data.toy.shapes import Range, disc, oval

OBJECTS = (14, 40)  # how many are tried
TOUCHING = 0.9  # centres are at least so many times the sum of both radii apart
TRIES = 12  # places for one object


class Grain(NamedTuple):
    """How one class of small object looks."""

    chance: float
    """how much of all objects are of this class"""
    radius: Range
    """as a share of the picture's side"""
    flatness: Range
    """the shorter half axis by the longer one"""
    hues: Range
    saturations: Range
    values: Range


GRAINS = {
    "berry": Grain(0.55, (0.036, 0.055), (0.9, 1.0), (0.93, 1.04), (0.6, 0.9), (0.55, 0.85)),
    "seed": Grain(0.38, (0.032, 0.05), (0.55, 0.7), (0.07, 0.13), (0.4, 0.75), (0.35, 0.65)),
    "pearl": Grain(0.07, (0.03, 0.045), (0.95, 1.0), (0.5, 0.62), (0.1, 0.3), (0.8, 0.95)),
}
CLASSES = ("background", *GRAINS)


def draw_crowd(rng: np.random.Generator, size: int) -> Scene:
    """One square picture.

    >>> scene = draw_crowd(np.random.default_rng(0), 96)
    >>> len(scene.classes) > 9
    True
    """
    canvas = Canvas(size)
    ground(canvas, rng)
    instances = np.zeros((size, size), np.uint8)
    classes: list[int] = []
    taken: list[tuple[float, float, float]] = []
    kinds = list(GRAINS.values())
    chances = [kind.chance for kind in kinds]
    for _ in range(int(rng.integers(*OBJECTS))):
        label = 1 + int(rng.choice(len(kinds), p=chances))
        kind = kinds[label - 1]
        radius = size * rng.uniform(*kind.radius)
        place = _free(rng, size, radius, taken)
        if place is None:
            continue
        window = canvas.window(*place, rng.uniform(-math.pi, math.pi), radius, 1.25)
        outline = oval(window.u, window.v, 1, rng.uniform(*kind.flatness))
        colour = rgb(
            rng.uniform(*kind.hues), rng.uniform(*kind.saturations), rng.uniform(*kind.values)
        )
        darker = (colour[0] * 0.7, colour[1] * 0.7, colour[2] * 0.7)
        canvas.lay(window, outline, darker)
        canvas.lay(window, outline + 0.2, colour)
        canvas.lay(window, disc(window.u, window.v, -0.3, -0.25, 0.18), (245.0, 245.0, 240.0))
        taken.append((*place, radius))
        classes.append(label)
        instances[window.rows, window.columns][outline < 0] = len(classes)
    truth = np.array([0, *classes], np.uint8)[instances]
    return Scene(light(canvas, rng), truth, instances, tuple(classes))


def _free(
    rng: np.random.Generator, size: int, radius: float, taken: list[tuple[float, float, float]]
) -> tuple[float, float] | None:
    """A place at which an object touches others at most; None where none is found."""
    for _ in range(TRIES):
        x, y = rng.uniform(0.6 * radius, size - 0.6 * radius, 2).tolist()
        if all(math.dist((x, y), other[:2]) >= TOUCHING * (radius + other[2]) for other in taken):
            return x, y
    return None
