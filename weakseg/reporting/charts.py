"""Curves as SVG text, which a page shows without any script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Point = tuple[float, float]

WIDTH = 520
HEIGHT = 240
LEFT = 52
RIGHT = 24
TOP = 10
BOTTOM = 34
MOST_POINTS = 240  # more are averaged: the eye cannot separate them
MOST_DOTS = 40  # up to so many points each is a dot that shows its value
COLOURS = 8  # series-0 ... series-7 in the style sheet


def read_series(rows: Sequence[Mapping[str, str]], figure: str, along: str = "step") -> list[Point]:
    """The points (x, y) of a figure, from the rows of metrics.csv that have it; nan and infinite
    values have no place on a curve.

    >>> read_series([{"step": "3", "loss": "0.5"}, {"step": "4", "loss": ""}], "loss")
    [(3.0, 0.5)]
    """
    points = [
        (float(row[along]), float(row[figure]))
        for row in rows
        if row.get(along) and row.get(figure)
    ]
    return [point for point in points if all(map(math.isfinite, point))]


def line_chart(
    series: Mapping[str, Sequence[Point]],
    along: str,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """One chart with a legend as HTML; nothing for series without points. `low` and `high` fix the
    ends of the y axis."""
    kept = {name: thin_out(points) for name, points in series.items() if points}
    if not kept:
        return ""
    xs = [x for points in kept.values() for x, _ in points]
    ys = [y for points in kept.values() for _, y in points]
    x_ticks = [x for x in ticks(min(xs), max(xs)) if x.is_integer()]  # steps and rounds are whole
    y_ticks = ticks(
        min(ys) if low is None else min(low, *ys), max(ys) if high is None else max(high, *ys)
    )
    place = _Place(min(xs), max(xs), min(y_ticks[0], *ys), max(y_ticks[-1], *ys))
    lines = [
        _line(points, index % COLOURS, name, along, place)
        for index, (name, points) in enumerate(kept.items())
    ]
    keys = [
        f'<span><i class="series-{index % COLOURS}"></i>{escape(name)}</span>'
        for index, name in enumerate(kept)
    ]
    picture = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img">{_axes(x_ticks, y_ticks, along, place)}{"".join(lines)}</svg>'
    )
    return f'<div class="keys">{"".join(keys)}</div>{picture}'


def thin_out(points: Sequence[Point]) -> list[Point]:
    """At most 240 points, each the mean of its neighbours.

    >>> thin_out([(float(x), 1.0) for x in range(480)])[:2]
    [(0.5, 1.0), (2.5, 1.0)]
    """
    ordered = sorted(points, key=lambda point: point[0])
    size = -(-len(ordered) // MOST_POINTS)
    groups = (
        [ordered[start : start + size] for start in range(0, len(ordered), size)]
        if size > 1
        else [[point] for point in ordered]
    )
    return [
        (sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group))
        for group in groups
    ]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from below `low` to above `high`.

    >>> ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> ticks(3.0, 3.0)
    [2.0, 3.0, 4.0]
    """
    if high <= low:
        margin = 10 ** math.floor(math.log10(abs(low))) if low else 1.0
        return [low - margin, low, low + margin]
    rough = (high - low) / count
    unit = 10 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.10g}") for index in range(first, last + 1)]


class _Place:
    """From figures to places in the picture."""

    def __init__(self, left: float, right: float, low: float, high: float) -> None:
        self.left = left
        self.low = low
        self.across = (WIDTH - LEFT - RIGHT) / ((right - left) or 1)
        self.up = (HEIGHT - TOP - BOTTOM) / ((high - low) or 1)

    def x(self, value: float) -> str:
        return f"{LEFT + (value - self.left) * self.across:.1f}"

    def y(self, value: float) -> str:
        return f"{HEIGHT - BOTTOM - (value - self.low) * self.up:.1f}"


def _line(points: Sequence[Point], colour: int, name: str, along: str, place: _Place) -> str:
    path = " ".join(f"{place.x(x)},{place.y(y)}" for x, y in points)
    line = f'<polyline class="series-{colour}" points="{path}"/>'
    if len(points) > MOST_DOTS:
        return line
    dots = [
        f'<circle class="series-{colour}" cx="{place.x(x)}" cy="{place.y(y)}" r="3">'
        f"<title>{escape(name)} {y:.4g} at {escape(along)} {x:g}</title></circle>"
        for x, y in points
    ]
    return line + "".join(dots)


def _axes(x_ticks: Sequence[float], y_ticks: Sequence[float], along: str, place: _Place) -> str:
    right = WIDTH - RIGHT
    bottom = HEIGHT - BOTTOM
    rows = [
        f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{place.y(y)}" y2="{place.y(y)}"/>'
        f'<text x="{LEFT - 6}" y="{place.y(y)}" dy="0.35em" text-anchor="end">{y:g}</text>'
        for y in y_ticks
    ]
    inside = [x for x in x_ticks if LEFT - 1 <= float(place.x(x)) <= right + 1]
    columns = [
        f'<text x="{place.x(x)}" y="{bottom + 15}" text-anchor="middle">{_count(x)}</text>'
        for x in inside
    ]
    name = (
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 3}" '
        f'text-anchor="middle">{escape(along)}</text>'
    )
    return "".join([*rows, *columns, name])


def _count(value: float) -> str:
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:g}"
