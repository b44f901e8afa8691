"""Patchwork: objects whose parts have colours of their own, which other objects and the background
may have as well, as clothes, cars and parrots do."""

from __future__ import annotations

import numpy as np

from weakseg.data.toy.canvas import Canvas, Scene, ground, light, rgb
from weakseg.data.toy.drawing import clutter, place_objects
from weakseg.data.toy.shapes import Colour, Floats, ObjectKind, Paints, Part, bar, disc, oval

ANY = (0.0, 1.0)
FULL = (0.5, 0.95)


def person(u: Floats, v: Floats, rng: np.random.Generator, paints: Paints) -> list[Part]:
    """Hair, face, a shirt with sleeves, trousers and shoes."""
    shirt, trousers = _any_colour(rng), _any_colour(rng)
    skin = rgb(rng.uniform(0.04, 0.09), rng.uniform(0.3, 0.65), rng.uniform(0.35, 0.95))
    spread = rng.uniform(0.12, 0.3)
    reach = rng.uniform(0.3, 0.5)
    parts = []
    for side in (-1, 1):
        foot = (side * spread, 0.92)
        parts.append(Part(bar(u, v, (side * 0.1, 0.2), foot, 0.13), trousers))
        parts.append(Part(bar(u, v, foot, (foot[0] + 0.08, 0.95), 0.09), paints.dark))
        hand = (side * reach, rng.uniform(-0.1, 0.25))
        parts.append(Part(bar(u, v, (side * 0.15, -0.38), hand, 0.09), shirt))
        parts.append(Part(disc(u, v, *hand, 0.09), skin))
    parts.append(Part(bar(u, v, (0.0, -0.32), (0.0, 0.1), 0.24), shirt))
    parts.append(Part(disc(u, v, 0.0, -0.82, 0.2), _any_colour(rng, (0.2, 0.6))))
    return [*parts, Part(disc(u, v, 0.0, -0.74, 0.17), skin)]


def van(u: Floats, v: Floats, rng: np.random.Generator, paints: Paints) -> list[Part]:
    """A body with a stripe, a roof, windows and wheels."""
    body, stripe, roof = (_any_colour(rng) for _ in range(3))
    glass = rgb(rng.uniform(0.5, 0.6), 0.25, rng.uniform(0.3, 0.9))
    parts = [
        Part(_block(u, v, 0.0, -0.28, 0.75, 0.3), roof),
        Part(_block(u, v, 0.0, 0.12, 0.95, 0.3), body),
        Part(_block(u, v, 0.0, 0.05, 0.95, 0.06), stripe),
    ]
    for x in (-0.45, 0.0, 0.45):
        parts.append(Part(_block(u, v, x, -0.26, 0.16, 0.15), glass))
    for x in (-0.55, 0.55):
        parts.append(Part(disc(u, v, x, 0.42, 0.2), (25.0, 25.0, 28.0)))
        parts.append(Part(disc(u, v, x, 0.42, 0.08), paints.main))
    return parts


def parrot(u: Floats, v: Floats, rng: np.random.Generator, paints: Paints) -> list[Part]:
    """Tail, body, wing, head and beak, each of a colour of its own."""
    if rng.random() < 0.5:
        u = -u
    tail, body, wing, head = (_any_colour(rng) for _ in range(4))
    return [
        Part(bar(u, v, (-0.25, 0.3), (-0.75, 0.85), 0.12), tail),
        Part(oval(u + 0.5 * v * 0.4, v - 0.05, 0.36, 0.6), body),
        Part(oval(u + 0.15, v - 0.1, 0.2, 0.45), wing),
        Part(disc(u, v, 0.22, -0.58, 0.27), head),
        Part(bar(u, v, (0.45, -0.58), (0.55, -0.45), 0.1), paints.dark),
        Part(disc(u, v, 0.28, -0.65, 0.06), (245.0, 245.0, 240.0)),
    ]


PATCHED = {
    "person": ObjectKind(person, 0.4, ANY, FULL, (0.2, 0.6)),
    "van": ObjectKind(van, 0.3, ANY, FULL, FULL),
    "parrot": ObjectKind(parrot, 0.6, ANY, FULL, (0.3, 0.7)),
}
CLASSES = ("background", *PATCHED)


def draw_patchwork(rng: np.random.Generator, size: int) -> Scene:
    """One square picture.

    >>> draw_patchwork(np.random.default_rng(0), 96).image.shape
    (96, 96, 3)
    """
    canvas = Canvas(size)
    ground(canvas, rng)
    clutter(canvas, rng)
    instances, classes = place_objects(canvas, rng, tuple(PATCHED.values()), (0.22, 0.42))
    truth = np.array([0, *classes], np.uint8)[instances]
    return Scene(light(canvas, rng), truth, instances, tuple(classes))


def _any_colour(rng: np.random.Generator, values: tuple[float, float] = (0.25, 0.95)) -> Colour:
    return rgb(rng.uniform(), rng.uniform(0.1, 0.9), rng.uniform(*values))


def _block(u: Floats, v: Floats, x: float, y: float, half: float, height: float) -> Floats:
    """Distance (nearly) to a filled rectangle."""
    block: Floats = np.maximum(np.abs(u - x) - half, np.abs(v - y) - height)
    return block
