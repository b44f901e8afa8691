"""Pictures drawn from a seed: leaves, wheels, fish and umbrellas on patterned ground, with the
truth of every pixel.

Nothing is downloaded and nothing is stored: the same generator state draws the same picture, byte
for byte.
"""

from __future__ import annotations

import colorsys
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from weakseg.data.toy.shapes import (
    REACH,
    SHAPES,
    Colour,
    Floats,
    ObjectKind,
    Paints,
    disc,
    oval,
    turned,
    two_tone,
)

Bytes = NDArray[np.uint8]

CLASSES = ("background", *SHAPES)
OBJECTS = (1, 3)  # how many objects are tried on one picture, both ends included
SPAN = (0.26, 0.42)  # half the length of an object, as a share of the picture's side
STAYS_VISIBLE = 0.8  # objects in front may hide the rest of an object, never more
# how far, in grey levels, an object's colours should lie from all that is painted already
STANDS_OUT = 75
NOISE = (1.0, 2.5)  # deviation of the grain of a picture, in grey levels


class Scene(NamedTuple):
    """One picture with its ground truth."""

    image: Bytes
    """uint8 [H,W,3]"""
    truth: Bytes
    """uint8 [H,W]: the class of every pixel"""
    instances: Bytes
    """uint8 [H,W]: 1 for the first object, 2 for the second, ...; 0 where there is none"""
    classes: tuple[int, ...]
    """the class of object 1, 2, ...; no object is wholly hidden"""


class Window(NamedTuple):
    """A part of the canvas, with the coordinates of every pixel in the frame of an object; one unit
    is `scale` pixels."""

    rows: slice
    columns: slice
    u: Floats
    v: Floats
    scale: float


class Canvas:
    """Paint that dries in layers: whatever comes later lies in front."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.paint = np.zeros((size, size, 3), np.float32)
        self.used: list[Colour] = []  # colours that the next object should stand out from

    def window(
        self, x: float, y: float, angle: float, scale: float, reach: float = math.inf
    ) -> Window:
        """All pixels that may lie within `reach` units of (x, y), in a frame turned by the
        angle."""
        rows, columns = (self._span(middle, reach * scale) for middle in (y, x))
        down = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - y) / scale
        right = (np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - x) / scale
        return Window(rows, columns, *turned(right, down, angle), scale)

    def _span(self, middle: float, reach: float) -> slice:
        return slice(int(max(0.0, middle - reach)), int(min(float(self.size), middle + reach + 2)))

    def lay(self, window: Window, distance: Floats, paint: Floats | Colour) -> None:
        """Paint where the distance to the edge is negative; the edge is softened over less than a
        pixel."""
        cover = 0.5 - distance * (1.4 * window.scale)
        touched = cover > 0  # most parts are small: leave the rest of the window alone
        region = self.paint[window.rows, window.columns]
        before = region[touched]
        after = paint[touched] if isinstance(paint, np.ndarray) else np.array(paint, np.float32)
        region[touched] = before + np.minimum(cover[touched], 1)[:, None] * (after - before)


def draw_scene(rng: np.random.Generator, size: int) -> Scene:
    """One square picture: ground, clutter that belongs to no class, then objects from far to near,
    then light and grain.

    >>> scene = draw_scene(np.random.default_rng(0), 96)
    >>> scene.image.shape, scene.truth.shape
    ((96, 96, 3), (96, 96))
    """
    canvas = Canvas(size)
    _ground(canvas, rng)
    _clutter(canvas, rng)
    instances, classes = _objects(canvas, rng)
    truth = np.array([0, *classes], np.uint8)[instances]
    return Scene(_light(canvas, rng), truth, instances, tuple(classes))


def _objects(canvas: Canvas, rng: np.random.Generator) -> tuple[Bytes, list[int]]:
    instances = np.zeros((canvas.size, canvas.size), np.uint8)
    classes: list[int] = []
    whole: list[int] = []  # pixels of each object before anything hid a part of it
    for _ in range(rng.integers(OBJECTS[0], OBJECTS[1] + 1)):
        label = int(rng.integers(1, len(CLASSES)))
        shape = SHAPES[CLASSES[label]]
        paints = _paints(canvas, rng, shape)
        for _ in range(8):  # places to try before the object is given up
            window = _place(canvas, rng, shape)
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


def _place(canvas: Canvas, rng: np.random.Generator, shape: ObjectKind) -> Window:
    """A random place, size and turn for an object, at most a little of it beyond the edge of the
    picture."""
    scale = canvas.size * rng.uniform(*SPAN)
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
    second = _rgb(hue + rng.uniform(-0.04, 0.04), saturation * 0.9, other)
    return Paints(_rgb(hue, saturation, value), second, _rgb(hue, saturation * 0.8, value * 0.45))


def _ground(canvas: Canvas, rng: np.random.Generator) -> None:
    """Cover the canvas with a quiet two-tone pattern."""
    hue = rng.uniform()
    saturation = rng.uniform(0.03, 0.22)
    value = rng.uniform(0.35, 0.95)
    first = _rgb(hue, saturation, value)
    second = _rgb(
        hue + rng.uniform(-0.06, 0.06),
        saturation,
        value + rng.choice([-1, 1]) * rng.uniform(0.05, 0.11),
    )
    canvas.paint[:] = _pattern(canvas, rng, first, second)
    canvas.used.extend([first, second])


def _pattern(canvas: Canvas, rng: np.random.Generator, first: Colour, second: Colour) -> Floats:
    """Clouds, stripes, waves, dots or tiles in two colours."""
    _, _, u, v, _ = canvas.window(
        0, 0, rng.uniform(-math.pi, math.pi), canvas.size * rng.uniform(0.06, 0.14)
    )
    kind = rng.integers(5)
    if kind == 0:
        coarse = rng.normal(size=(7, 7)).astype(np.float32)
        return two_tone(
            ndimage.zoom(coarse, canvas.size / 7, order=3)[: canvas.size, : canvas.size] > 0.1,
            first,
            second,
        )
    if kind == 1:
        return two_tone(v % 1 < 0.5, first, second)
    if kind == 2:
        return two_tone((v + 0.35 * np.sin(2.0 * u)) % 1 < 0.45, first, second)
    if kind == 3:
        shifted = u + 0.5 * (np.floor(v) % 2)
        return two_tone(np.hypot(shifted % 1 - 0.5, v % 1 - 0.5) < 0.3, first, second)
    return two_tone((np.floor(u) + np.floor(v)) % 2 == 0, first, second)


def _clutter(canvas: Canvas, rng: np.random.Generator) -> None:
    """Patches, lines and pebbles in colours that objects have as well."""
    for _ in range(rng.integers(3, 7)):
        paint = _rgb(rng.uniform(), rng.uniform(0.03, 0.4), rng.uniform(0.25, 0.95))
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


def _light(canvas: Canvas, rng: np.random.Generator) -> Bytes:
    """Let light fall from one side, add grain and round to bytes."""
    half = canvas.size / 2
    window = canvas.window(half, half, rng.uniform(-math.pi, math.pi), half)
    light = 1 + rng.uniform(0.02, 0.08) * window.u[..., None]
    grain = rng.standard_normal(canvas.paint.shape, np.float32) * np.float32(rng.uniform(*NOISE))
    image: Bytes = np.clip(np.rint(canvas.paint * light + grain), 0, 255).astype(np.uint8)
    return image


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(
        hue % 1, min(max(saturation, 0), 1), min(max(value, 0.05), 1)
    )
    return red * 255, green * 255, blue * 255
