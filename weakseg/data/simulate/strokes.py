"""One stroke of a pen through a region, as a person would draw it: along the middle, winding, not
quite to the ends."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.graph import MCP_Geometric

AROUND = np.ones((3, 3), bool)  # pixels that touch at a corner belong together
USUAL = 0.75  # the mean share of its way that a stroke takes by default
# the way through a region of four times as many pixels is searched on a coarser grid, which takes
# a fraction of the time
CELLS = 6_500
CALM = 2.0  # the way through a coarse grid has corners: it is smoothed over so many cells

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]


class Draws(NamedTuple):
    """The random numbers behind one stroke, so that a stroke that is not drawn leaves those of all
    others as they are."""

    region: Bools
    """the region on the grid on which its way is searched"""
    step: int
    """pixels per cell of that grid"""
    hills: Floats
    """what makes the way wind"""
    start: tuple[int, int]
    """a place anywhere in the region"""
    ends: tuple[float, float]
    """where on its way a stroke of the usual length starts and ends, from 0 to 1"""
    noise: np.random.Generator
    """a stream of its own for all options beyond the usual stroke"""


def draws_of(region: Bools, rng: np.random.Generator) -> Draws:
    """Everything random about the stroke through a connected region."""
    grid, step = _coarse(region)
    hills = rng.random(grid.shape)
    row, column = rng.choice(np.argwhere(grid))
    first, last = rng.uniform((0.05, 0.8), (0.2, 0.95))
    return Draws(
        grid, step, hills, (int(row), int(column)), (float(first), float(last)), rng.spawn(1)[0]
    )


def stroke(
    region: Bools, draws: Draws, width: int = 3, length: float = USUAL, jitter: float = 0.0
) -> Bools:
    """The pixels of one stroke; `length` is the mean share of the region's long way, `jitter` how
    far it swings to its sides."""
    return _ink(line(draws, length, jitter), region.shape, width) & region


def line(draws: Draws, length: float = USUAL, jitter: float = 0.0) -> Floats:
    """The way of the pen in one stroke: rows and columns of pixels [N,2]; arguments as of
    `stroke`."""
    cells, depth = _long_way(draws)
    path = (cells * draws.step + draws.step // 2).astype(float)
    free = (depth - 1) * draws.step
    first, last = _cut(draws.ends, length, draws.noise.uniform(0.25, 0.75))
    if draws.step > 1:
        path = path + _within(
            ndimage.gaussian_filter1d(path, CALM, axis=0, mode="nearest") - path, free
        )
    if jitter:
        path = path + _within(_swings(path, free, draws.noise) * jitter, free)
    start = int(first * len(path))
    return path[start : max(int(last * len(path)), start + 1)]


def distance_inside(region: Bools) -> NDArray[np.float64]:
    """Distance of every pixel of the region to the nearest pixel outside; outside the picture is
    outside."""
    depth: NDArray[np.float64] = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    return depth


def _coarse(region: Bools) -> tuple[Bools, int]:
    """Cells that lie in the region as a whole, in one piece, and the pixels along their sides.

    A region that would lose half of its pixels that way, or falls apart, is thin: it gets smaller
    cells, down to single pixels.
    """
    area = int(region.sum())
    for step in range(int((area / CELLS) ** 0.5), 1, -1):
        rows, columns = (side // step for side in region.shape)
        cells = (
            region[: rows * step, : columns * step].reshape(rows, step, columns, step).all((1, 3))
        )
        pieces, _ = ndimage.label(cells, AROUND)
        sizes = np.bincount(pieces.ravel())[1:]
        if len(sizes) and sizes.max() * step**2 >= area / 2:
            return pieces == sizes.argmax() + 1, step
    return region, 1


def _long_way(draws: Draws) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The way between two far ends of a region along its middle, with detours: its cells [N,2], and
    how deep inside each of them lies."""
    region = draws.region
    depth = distance_inside(draws.region)
    hills = ndimage.gaussian_filter(draws.hills, 3)
    hills = (hills - hills.min()) / max(float(np.ptp(hills)), 1e-9)
    # a negative cost is a wall
    cost = np.where(region, 0.3 + 2 * hills + 4 / np.maximum(depth, 1), -1)
    finder = MCP_Geometric(cost)
    end: Any = draws.start
    # the farthest place from anywhere is one end, the farthest from there the other
    for _ in range(2):
        reached, _ = finder.find_costs([end])
        end = np.unravel_index(
            np.argmax(np.where(region & np.isfinite(reached), reached, -1)), region.shape
        )
    cells = np.array(finder.traceback(end))
    return cells, depth[tuple(cells.T)]


def _cut(ends: tuple[float, float], length: float, middle: float) -> tuple[float, float]:
    """Where a stroke starts and ends; one that is shorter is a part of one that is longer."""
    first, last = ends
    if length > USUAL:
        more = (length - USUAL) / (1 - USUAL)
        return first * (1 - more), last + (1 - last) * more
    less = 1 - length / USUAL
    centre = first + (last - first) * middle
    return first + (centre - first) * less, last - (last - centre) * less


def _swings(path: Floats, free: Floats, noise: np.random.Generator) -> Floats:
    """Steps to the left and right of a path, in pixels [N,2]: a smooth wave as large as the region
    allows."""
    reach = max(4.0, float(np.mean(free)))
    wave = ndimage.gaussian_filter1d(
        noise.standard_normal(len(path)), reach, mode="nearest"
    ) * np.sqrt(2 * reach * np.sqrt(np.pi))
    ahead = (
        np.gradient(ndimage.gaussian_filter1d(path, reach, axis=0, mode="nearest"), axis=0)
        if len(path) > 1
        else path * 0
    )
    aside = (
        ahead[:, ::-1] * (1, -1) / np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    )
    swings: Floats = aside * (wave * free)[:, None]
    return swings


def _within(steps: Floats, free: Floats) -> Floats:
    """The same steps, none of them longer than the limit at its place."""
    shorter: Floats = (
        steps * np.minimum(1, free / np.maximum(np.linalg.norm(steps, axis=1), 1e-9))[:, None]
    )
    return shorter


def _ink(path: Floats, shape: tuple[int, ...], width: int) -> Bools:
    """The pixels that a round pen touches on its way from point to point."""
    parts = max(1, int(np.ceil(np.abs(np.diff(path, axis=0)).max(initial=0))))
    places = np.arange((len(path) - 1) * parts + 1) / parts
    rows, columns = (
        np.rint(np.interp(places, np.arange(len(path)), side)).astype(int) for side in path.T
    )
    line = np.zeros(shape, bool)
    line[rows, columns] = True
    across = np.arange(width) - (width - 1) / 2
    pen = across[:, None] ** 2 + across**2 <= (width / 2) ** 2
    thick: Bools = ndimage.binary_dilation(line, pen)
    return thick
