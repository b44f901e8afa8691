"""Pictures drawn from a seed: leaves, wheels, fish and umbrellas on patterned ground, with the
truth of every pixel.

Nothing is downloaded and nothing is stored: the same generator state draws the same picture, byte
for byte.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from weakseg.data.toy.canvas import Bytes, Canvas, Scene, Window, ground, light, rgb
from weakseg.data.toy.shapes import (
    REACH,
    SHAPES,
    Colour,
    ObjectKind,
    Paints,
    Range,
    disc,
    oval,
    two_tone,
)

CLASSES = ("background", *SHAPES)
OBJECTS = (1, 3)  # how many objects are tried on one picture, both ends included
SPAN = (0.26, 0.42)  # half the length of an object, as a share of the picture's side
STAYS_VISIBLE = 0.8  # objects in front may hide the rest of an object, never more
# how far, in grey levels, an object's colours should lie from all that is painted already
STANDS_OUT = 75


def draw_scene(rng: np.random.Generator, size: int) -> Scene:
    """One square picture: ground, clutter that belongs to no class, then objects from far to near,
    then light and grain.

    >>> scene = draw_scene(np.random.default_rng(0), 96)
    >>> scene.image.shape, scene.truth.shape
    ((96, 96, 3), (96, 96))
    """
    canvas = Canvas(size)
    ground(canvas, rng)
    clutter(canvas, rng)
    instances, classes = place_objects(canvas, rng, tuple(SHAPES.values()))
    truth = np.array([0, *classes], np.uint8)[instances]
    return Scene(light(canvas, rng), truth, instances, tuple(classes))


def place_objects(
    canvas: Canvas, rng: np.random.Generator, kinds: Sequence[ObjectKind], span: Range = SPAN
) -> tuple[Bytes, list[int]]:
    """Paint a few objects, each of one of these kinds: the number of its object for every pixel,
    and the class of each, 1 for the first kind."""
    instances = np.zeros((canvas.size, canvas.size), np.uint8)
    classes: list[int] = []
    whole: list[int] = []  # pixels of each object before anything hid a part of it
    for _ in range(rng.integers(OBJECTS[0], OBJECTS[1] + 1)):
        label = int(rng.integers(1, len(kinds) + 1))
        shape = kinds[label - 1]
        paints = _paints(canvas, rng, shape)
        for _ in range(8):  # places to try before the object is given up
            window = _place(canvas, rng, shape, span)
            parts = shape.parts(window.u, window.v, rng, paints)
            inside = np.minimum.reduce([part.distance for part in parts]) < 0
            painted = instances.copy()
            painted[window.rows, window.columns][inside] = len(classes) + 1
            left = np.bincount(painted.ravel(), minlength=len(classes) + 2)[1:]
            if left[-1] and np.all(left[:-1] >= STAYS_VISIBLE * np.array(whole)):
                break
        else:
            continue
        for part in parts:
            canvas.lay(window, part.distance, part.paint)
        canvas.used.extend(paints[:2])
        classes.append(label)
        whole.append(int(left[-1]))
        instances = painted
    return instances, classes


def _place(canvas: Canvas, rng: np.random.Generator, shape: ObjectKind, span: Range) -> Window:
    """A random place, size and turn for an object, at most a little of it beyond the edge of the
    picture."""
    scale = canvas.size * rng.uniform(*span)
    x, y = rng.uniform(0.7 * scale, canvas.size - 0.7 * scale, 2).tolist()
    return canvas.window(x, y, rng.uniform(-shape.tilt, shape.tilt), scale, REACH)


def _paints(canvas: Canvas, rng: np.random.Generator, shape: ObjectKind) -> Paints:
    """Colours within the range of the shape that stand out from all that has been painted so far,
    if such can be found."""
    best = _mix(rng, shape)
    best_gap = -1.0
    for _ in range(30):
        tried = _mix(rng, shape)
        gap = min(math.dist(paint, used) for paint in tried[:2] for used in canvas.used)
        if gap > best_gap:
            best = tried
            best_gap = gap
        if gap > STANDS_OUT:
            break
    return best


def _mix(rng: np.random.Generator, shape: ObjectKind) -> Paints:
    hue = rng.uniform(*shape.hues)
    saturation = rng.uniform(*shape.saturations)
    value = rng.uniform(*shape.values)
    other = value + 0.32 if value < 0.6 else value - 0.28
    second = rgb(hue + rng.uniform(-0.04, 0.04), saturation * 0.9, other)
    return Paints(rgb(hue, saturation, value), second, rgb(hue, saturation * 0.8, value * 0.45))


def clutter(canvas: Canvas, rng: np.random.Generator) -> None:
    """Patches, lines and pebbles in colours that objects have as well."""
    for _ in range(rng.integers(3, 7)):
        paint = rgb(rng.uniform(), rng.uniform(0.03, 0.4), rng.uniform(0.25, 0.95))
        x, y = rng.uniform(0, canvas.size, 2).tolist()
        kind = rng.integers(3)
        scale = canvas.size * rng.uniform(0.05, 0.15)
        window = canvas.window(
            x, y, rng.uniform(-math.pi, math.pi), scale, math.inf if kind == 0 else 4.0
        )
        (_line, _patch, _pebbles)[kind](canvas, rng, window, paint)
        canvas.used.append(paint)


def _line(canvas: Canvas, rng: np.random.Generator, window: Window, paint: Colour) -> None:
    """A wavy line right across the picture."""
    wave = 0.6 * np.sin(window.u * rng.uniform(0.3, 0.9))
    canvas.lay(window, np.abs(window.v - wave) - rng.uniform(0.06, 0.14), paint)


def _patch(canvas: Canvas, rng: np.random.Generator, window: Window, paint: Colour) -> None:
    """A round or square rag with stripes of its own."""
    u = window.u
    v = window.v
    long = rng.uniform(0.8, 1.8)
    outline = (
        oval(u, v, long, 0.8)
        if rng.random() < 0.5
        else np.maximum(np.abs(u) - long, np.abs(v) - 0.7)
    )
    canvas.lay(
        window,
        outline,
        two_tone((2.2 * u) % 1 < 0.5, paint, (paint[0] * 0.8, paint[1] * 0.8, paint[2] * 0.8)),
    )


def _pebbles(canvas: Canvas, rng: np.random.Generator, window: Window, paint: Colour) -> None:
    """A handful of small discs lying together."""
    for x, y in rng.normal(0, 1.1, (rng.integers(3, 8), 2)).tolist():
        canvas.lay(window, disc(window.u, window.v, x, y, rng.uniform(0.14, 0.3)), paint)
