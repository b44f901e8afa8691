"""Grey scans: a bright cavity in a darker wall, a bright crescent beside it, and further tissue of
the same brightness, with noise over all of it.

No class can be told by its brightness alone: cavity and crescent are alike, and so is much of the
background.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from weakseg.data.toy.canvas import Bytes, Canvas, Scene
from weakseg.data.toy.shapes import Colour, disc, oval

CLASSES = ("background", "cavity", "wall", "crescent")
BRIGHT = (150.0, 200.0)  # cavity and crescent, and what is bright outside
DARK = (65.0, 95.0)  # the wall
BETWEEN = (95.0, 135.0)  # the body around them
NOISE = (7.0, 13.0)  # deviation, in grey levels
# how far from the organs the background is scribbled, and how thick, as shares of the side
GAP = (0.03, 0.05)
THICK = 0.02


def draw_scan(rng: np.random.Generator, size: int) -> Scene:
    """One square grey scan.

    >>> scan = draw_scan(np.random.default_rng(0), 96)
    >>> bool((scan.image[..., 0] == scan.image[..., 2]).all())
    True
    """
    canvas = Canvas(size)
    canvas.paint[:] = rng.uniform(8, 30)
    _body(canvas, rng)
    bright = rng.uniform(*BRIGHT)
    truth = _organs(canvas, rng, bright, _tissue(canvas, rng, bright))
    return Scene(_scanned(canvas, rng), truth, truth.copy(), (1, 2, 3), _ring(truth, rng))


def _body(canvas: Canvas, rng: np.random.Generator) -> None:
    half = canvas.size / 2
    window = canvas.window(half, half, rng.uniform(-0.3, 0.3), half)
    outline = oval(window.u, window.v, rng.uniform(0.88, 0.98), rng.uniform(0.8, 0.95))
    canvas.lay(window, outline, _grey(rng.uniform(*BETWEEN)))


def _tissue(canvas: Canvas, rng: np.random.Generator, bright: float) -> float:
    """Lay a rim of bright tissue and some pieces of it, bright and dark, anywhere in the body;
    gives the brightness of the dark ones."""
    half = canvas.size / 2
    window = canvas.window(half, half, 0, half)
    rim = np.abs(oval(window.u, window.v, 0.84, 0.8)) - rng.uniform(0.03, 0.07)
    canvas.lay(window, rim, _grey(bright + rng.normal(0, 8)))
    dark = rng.uniform(*DARK)
    for number in range(int(rng.integers(6, 11))):
        x, y = rng.uniform(0.1, 0.9, 2) * canvas.size
        scale = canvas.size * rng.uniform(0.05, 0.11)
        window = canvas.window(float(x), float(y), rng.uniform(-math.pi, math.pi), scale, 2.5)
        level = bright if number % 3 else dark
        outline = oval(window.u, window.v, rng.uniform(0.8, 1.8), rng.uniform(0.6, 1.0))
        canvas.lay(window, outline, _grey(level + rng.normal(0, 8)))
    return dark


def _organs(canvas: Canvas, rng: np.random.Generator, bright: float, dark: float) -> Bytes:
    """Lay wall, cavity and crescent; gives the class of every pixel."""
    x, y = (0.5 + rng.uniform(-0.12, 0.12, 2)) * canvas.size
    scale = canvas.size * rng.uniform(0.13, 0.19)
    window = canvas.window(float(x), float(y), rng.uniform(-math.pi, math.pi), scale)
    stretched = window.v / rng.uniform(0.8, 1.0)
    cavity = disc(window.u, stretched, 0, 0, rng.uniform(0.5, 0.65))
    wall = disc(window.u, stretched, 0, 0, 1)
    beside = disc(window.u, stretched, rng.uniform(0.6, 0.8), 0, rng.uniform(0.95, 1.15))
    crescent = np.maximum(beside, -wall)
    # what lies close around the organs is neither bright nor dark
    near = np.minimum(wall, crescent) - 0.25
    canvas.lay(window, near, _grey(rng.uniform(*BETWEEN)))
    truth = np.zeros((canvas.size, canvas.size), np.uint8)
    layers = ((3, crescent, bright), (2, wall, dark), (1, cavity, bright))
    for label, distance, level in layers:
        canvas.lay(window, distance, _grey(level + rng.normal(0, 8)))
        truth[distance < 0] = label
    return truth


def _scanned(canvas: Canvas, rng: np.random.Generator) -> Bytes:
    """Blur, uneven sensitivity, texture and noise, the same in all three channels."""
    flat = ndimage.gaussian_filter(canvas.paint[..., 0], rng.uniform(0.5, 0.9))
    half = canvas.size / 2
    window = canvas.window(half, half, rng.uniform(-math.pi, math.pi), half)
    coarse = rng.normal(size=(9, 9)).astype(np.float32)
    texture = ndimage.zoom(coarse, canvas.size / 9, order=3)[: canvas.size, : canvas.size]
    uneven = flat * (1 + rng.uniform(0.05, 0.15) * window.u) + 4 * texture
    noisy = uneven + rng.normal(0, rng.uniform(*NOISE), flat.shape)
    grey = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)


def _ring(truth: Bytes, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A closed line around all organs, some way off them."""
    away = ndimage.distance_transform_edt(truth == 0) / len(truth)
    gap = rng.uniform(*GAP)
    ring: NDArray[np.bool_] = (away > gap) & (away <= gap + THICK)
    return ring


def _grey(level: float) -> Colour:
    return (level, level, level)
