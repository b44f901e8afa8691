"""What all drawn pictures are made with: a canvas of paint in layers, patterned ground, light and
grain."""

from __future__ import annotations

import colorsys
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from weakseg.data.toy.shapes import Colour, Floats, turned, two_tone

Bytes = NDArray[np.uint8]

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
    ring: NDArray[np.bool_] | None = None
    """bool [H,W]: where a person would scribble the background, if not anywhere"""


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


def ground(canvas: Canvas, rng: np.random.Generator) -> None:
    """Cover the canvas with a quiet two-tone pattern."""
    hue = rng.uniform()
    saturation = rng.uniform(0.03, 0.22)
    value = rng.uniform(0.35, 0.95)
    first = rgb(hue, saturation, value)
    second = rgb(
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


def light(canvas: Canvas, rng: np.random.Generator) -> Bytes:
    """Let light fall from one side, add grain and round to bytes."""
    half = canvas.size / 2
    window = canvas.window(half, half, rng.uniform(-math.pi, math.pi), half)
    falling = 1 + rng.uniform(0.02, 0.08) * window.u[..., None]
    grain = rng.standard_normal(canvas.paint.shape, np.float32) * np.float32(rng.uniform(*NOISE))
    image: Bytes = np.clip(np.rint(canvas.paint * falling + grain), 0, 255).astype(np.uint8)
    return image


def rgb(hue: float, saturation: float, value: float) -> Colour:
    """A colour, 0 to 255; the hue goes round, the others are kept within bounds."""
    red, green, blue = colorsys.hsv_to_rgb(
        hue % 1, min(max(saturation, 0), 1), min(max(value, 0.05), 1)
    )
    return red * 255, green * 255, blue * 255
