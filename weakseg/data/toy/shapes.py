"""The four kinds of object on the drawn pictures: outlines as distances, so that edges are crisp at
any size.

Every shape lives in a frame of its own, where it reaches from about -1 to 1; u runs right and v
runs down.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Colour = tuple[float, float, float]
Range = tuple[float, float]

REACH = 1.25  # no shape extends further from its origin, so nothing further away need be computed


class Part(NamedTuple):
    """One piece of an object; later pieces cover earlier ones."""

    distance: Floats
    """[H,W]: how far outside the piece a pixel lies; negative inside"""
    paint: Floats | Colour
    """one colour, or one for every pixel; 0 to 255"""


class Paints(NamedTuple):
    """The colours of one object."""

    main: Colour
    second: Colour
    dark: Colour


class ObjectKind(NamedTuple):
    """How one class of object looks and which colours it comes in."""

    parts: Callable[[Floats, Floats, np.random.Generator, Paints], list[Part]]
    tilt: float
    """the object is turned by at most this angle to either side; pi is every angle"""
    hues: Range
    saturations: Range
    values: Range


def length_of(u: Floats, v: Floats) -> Floats:
    """Distance to the origin; several times as fast as numpy's hypot, which guards against
    overflow."""
    return np.sqrt(u * u + v * v)


def disc(u: Floats, v: Floats, x: float, y: float, radius: float) -> Floats:
    """Distance to a filled circle."""
    return length_of(u - x, v - y) - radius


def bar(u: Floats, v: Floats, start: Range, end: Range, radius: float) -> Floats:
    """Distance to a straight stroke with round ends."""
    du = end[0] - start[0]
    dv = end[1] - start[1]
    along = np.clip(((u - start[0]) * du + (v - start[1]) * dv) / (du * du + dv * dv), 0, 1)
    return length_of(u - start[0] - along * du, v - start[1] - along * dv) - radius


def oval(u: Floats, v: Floats, length: float, width: float) -> Floats:
    """Distance (nearly) to a filled ellipse around the origin with the given half axes."""
    reach = length_of(u / length, v / width)
    slope = length_of(u / length**2, v / width**2)
    return reach * (reach - 1) / np.maximum(slope, 1e-6)


def turned(u: Floats, v: Floats, angle: float) -> tuple[Floats, Floats]:
    """The same coordinates in a frame turned by the angle."""
    cos = math.cos(angle)
    sin = math.sin(angle)
    return cos * u + sin * v, cos * v - sin * u


def two_tone(choose: NDArray[np.bool_], yes: Colour, no: Colour) -> Floats:
    """One of two colours for every pixel."""
    return np.array([no, yes], np.float32)[choose.astype(np.intp)]


def leaf(u: Floats, v: Floats, rng: np.random.Generator, paints: Paints) -> list[Part]:
    """A bent stem with pairs of leaflets, each lit on one side."""
    v = v - rng.uniform(-0.3, 0.3) * (u * u - 0.4)
    pairs = int(rng.integers(2, 4))
    spread = rng.uniform(0.8, 1.0)
    parts = [Part(bar(u, v, (-1.0, 0.0), (0.7, 0.0), 0.065), paints.dark)]
    for foot in np.linspace(-0.55, 0.4, pairs).tolist():
        length = 0.38 - 0.08 * foot * foot - 0.08 * max(foot, 0)
        for angle in (-spread, spread):
            along, across = turned(u - foot, v, angle)
            parts.append(
                Part(
                    oval(along - length, across, length, 0.15),
                    two_tone(across * angle > 0, paints.second, paints.main),
                )
            )
    parts.append(Part(oval(u - 0.7, v, 0.32, 0.16), two_tone(v > 0, paints.second, paints.main)))
    return parts


def wheel(u: Floats, v: Floats, rng: np.random.Generator, paints: Paints) -> list[Part]:
    """A cart wheel seen a little from the side; the ground shows between the spokes."""
    v = v / rng.uniform(0.75, 1.0)
    radius = length_of(u, v)
    parts = []
    spokes = int(rng.integers(4, 7))
    for angle in range(spokes):
        turn = angle * 2 * math.pi / spokes
        parts.append(
            Part(
                bar(u, v, (0.0, 0.0), (0.8 * math.cos(turn), 0.8 * math.sin(turn)), 0.08),
                paints.main,
            )
        )
    parts.append(Part(np.abs(radius - 0.84) - 0.15, paints.main))
    parts.append(Part(np.abs(radius - 0.84) - 0.05, paints.second))
    return [*parts, Part(radius - 0.22, paints.main), Part(radius - 0.12, paints.second)]


def fish(u: Floats, v: Floats, rng: np.random.Generator, paints: Paints) -> list[Part]:
    """A curved, striped body with forked tail, fins and an eye."""
    if rng.random() < 0.5:
        u = -u
    v = v - rng.uniform(-0.22, 0.22) * np.sin(2.2 * u).astype(np.float32)
    width = rng.uniform(0.26, 0.34)
    stripes = rng.uniform(11, 15)
    parts = []
    for side in (-1, 1):
        along, across = turned(u + 0.42, v, math.pi + side * 0.62)
        parts.append(Part(oval(along - 0.33, across, 0.36, 0.14), paints.second))
        along, across = turned(u - 0.22, v - side * width * 0.75, math.pi - side * 0.75)
        parts.append(Part(oval(along - 0.2, across, 0.27, 0.12), paints.second))
    body = oval(u - 0.24, v, 0.72, width)
    striped = (np.sin(stripes * (u + 0.5 * v * v)) > 0.35) & (u < 0.5)
    parts.append(Part(body, two_tone(striped, paints.second, paints.main)))
    return [
        *parts,
        Part(disc(u, v, 0.68, -0.07, 0.09), (245.0, 245.0, 240.0)),
        Part(disc(u, v, 0.7, -0.07, 0.05), (20.0, 20.0, 25.0)),
    ]


def umbrella(u: Floats, v: Floats, rng: np.random.Generator, paints: Paints) -> list[Part]:
    """A canopy of two alternating colours with a scalloped hem, a thin stick and a hooked
    handle."""
    panels = int(rng.integers(4, 7))
    height = rng.uniform(0.72, 0.88)
    side = 1 if rng.random() < 0.5 else -1
    rise = np.sqrt(np.clip(1 - (v / height) ** 2, 0.02, 1))
    # counts the panels from left to right, narrowing towards the top
    panel = (u / rise + 1) * (panels / 2)
    hem = v + 0.13 * np.abs(np.sin(np.pi * panel)).astype(np.float32)
    canopy = np.maximum(oval(u, v, 0.97, height), hem)
    hook = np.where(v > 0.72, np.abs(disc(u, v, side * 0.15, 0.72, 0.15)), 9).astype(np.float32)
    parts = [
        Part(bar(u, v, (0.0, -height - 0.12), (0.0, 0.72), 0.07), paints.dark),
        Part(hook - 0.07, paints.dark),
    ]
    return [*parts, Part(canopy, two_tone(np.floor(panel) % 2 == 0, paints.main, paints.second))]


SHAPES: dict[str, ObjectKind] = {
    "leaf": ObjectKind(leaf, math.pi, (0.11, 0.4), (0.55, 0.9), (0.4, 0.85)),
    "wheel": ObjectKind(wheel, math.pi, (0.03, 0.12), (0.45, 0.75), (0.3, 0.85)),
    "fish": ObjectKind(fish, 0.8, (0.47, 0.66), (0.6, 0.95), (0.55, 0.95)),
    "umbrella": ObjectKind(umbrella, 0.9, (0.75, 1.0), (0.6, 0.95), (0.5, 0.95)),
}
