"""The picture of review_loop.py: accuracy over corrections, looks and hours, and targets over
looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from math import isnan
from statistics import mean
from typing import NamedTuple, Protocol

from weakseg.reporting.charts import ticks

WIDTH = 640
HEIGHT = 300  # of a panel
LEFT = 56
RIGHT = 90
TOP = 16
BOTTOM = 44
COLOURS = ("#2563eb", "#dc2626", "#16a34a")
MASKS = "#9333ea"
STYLE = """text {font: 12px sans-serif; fill: #444; paint-order: stroke; stroke: white;
stroke-width: 3}
.grid {stroke: #ddd}
polyline {fill: none; stroke-width: 2}"""
APART = 14  # pixels between two names


class Measured(Protocol):
    """A point of one seed."""

    @property
    def corrections(self) -> float: ...

    @property
    def looks(self) -> float: ...

    @property
    def hours(self) -> float: ...

    @property
    def miou(self) -> float: ...

    @property
    def target(self) -> float: ...


class Curve(NamedTuple):
    """The points of every seed, round by round."""

    name: str
    seeds: Sequence[Sequence[Measured]]


class Dot(NamedTuple):
    """A place of a curve: the mean over the seeds, and the worst and the best of them."""

    x: float
    low: float
    middle: float
    high: float


class Line(NamedTuple):
    """A curve as it is drawn."""

    name: str
    colour: str
    dots: Sequence[Dot]


class Frame(NamedTuple):
    """Where numbers are in a panel."""

    across: Sequence[float]
    """ticks"""
    up: Sequence[float]
    """ticks"""

    def x(self, value: float) -> float:
        """Pixels from the left."""
        share = (value - self.across[0]) / (self.across[-1] - self.across[0])
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        share = (value - self.up[0]) / (self.up[-1] - self.up[0])
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def review_chart(curves: Sequence[Curve], masks: Sequence[Measured] = ()) -> str:
    """Panels below each other, as an SVG file that needs no page around it; that of the targets is
    there if there are targets."""
    hours = _lines(curves, lambda point: (point.hours, point.miou))
    if masks:
        dot = _dot([(point.hours, point.miou) for point in masks])
        hours.append(Line("full masks", MASKS, [dot]))
    networks = _lines(curves, lambda point: (point.corrections, point.miou))
    looks = _lines(curves, lambda point: (point.looks, point.miou))
    targets = _lines(curves, lambda point: (point.looks, point.target))
    panels = [
        _panel(networks, "corrections; val mIoU upwards"),
        _panel(looks, "looks at an image; val mIoU upwards"),
        _panel(hours, "hours of annotation, corrections included; val mIoU upwards"),
    ]
    if not any(isnan(dot.middle) for line in targets for dot in line.dots):
        panels.append(_panel(targets, "looks at an image; target mIoU upwards"))
    tall = len(panels) * HEIGHT
    drawn = "".join(
        f'<g transform="translate(0 {number * HEIGHT})">{panel}</g>'
        for number, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {tall}" '
        f'width="{WIDTH}"><style>{STYLE}</style><rect width="100%" height="100%" fill="white"/>'
        f"{drawn}</svg>\n"
    )


def _lines(curves: Sequence[Curve], place: Callable[[Measured], tuple[float, float]]) -> list[Line]:
    lines = []
    for number, curve in enumerate(curves):
        rounds = zip(*curve.seeds, strict=True)
        dots = [_dot([place(point) for point in points]) for points in rounds]
        lines.append(Line(curve.name, COLOURS[number % len(COLOURS)], dots))
    return lines


def _dot(points: Sequence[tuple[float, float]]) -> Dot:
    heights = [y for _, y in points]
    return Dot(mean(x for x, _ in points), min(heights), mean(heights), max(heights))


def _panel(lines: Sequence[Line], title: str) -> str:
    dots = [dot for line in lines for dot in line.dots]
    across = [dot.x for dot in dots]
    heights = [height for dot in dots for height in (dot.low, dot.high)]
    frame = Frame(_wide(ticks(min(across), max(across))), _wide(ticks(min(heights), max(heights))))
    middle = (LEFT + WIDTH - RIGHT) / 2
    names = _names(lines, frame)
    return "".join(
        [
            *_axes(frame),
            f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(title)}</text>',
            *(_drawn(line, frame, side) for side, line in enumerate(lines)),
            *names,
        ]
    )


def _wide(values: Sequence[float]) -> Sequence[float]:
    """Ticks that span something, where all points have the same place."""
    return values if values[-1] > values[0] else [values[0] - 1, values[0] + 1]


def _axes(frame: Frame) -> list[str]:
    right = WIDTH - RIGHT
    rows = [
        f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{frame.y(row):.1f}" '
        f'y2="{frame.y(row):.1f}"/><text x="{LEFT - 8}" y="{frame.y(row) + 4:.1f}" '
        f'text-anchor="end">{row:g}</text>'
        for row in frame.up
    ]
    columns = [
        f'<text x="{frame.x(tick):.1f}" y="{HEIGHT - BOTTOM + 18}" '
        f'text-anchor="middle">{tick:g}</text>'
        for tick in frame.across
    ]
    return rows + columns


def _drawn(line: Line, frame: Frame, side: int) -> str:
    """A curve, and for each of its dots a line from the worst seed to the best one, a little beside
    those of other curves."""
    way = " ".join(f"{frame.x(dot.x):.1f},{frame.y(dot.middle):.1f}" for dot in line.dots)
    parts = [f'<polyline points="{way}" stroke="{line.colour}"/>']
    for dot in line.dots:
        x = frame.x(dot.x)
        beside = x + 3 * (side - 1)
        parts.append(
            f'<line stroke="{line.colour}" x1="{beside:.1f}" x2="{beside:.1f}" '
            f'y1="{frame.y(dot.low):.1f}" y2="{frame.y(dot.high):.1f}"/><circle cx="{x:.1f}" '
            f'cy="{frame.y(dot.middle):.1f}" r="4" fill="{line.colour}"/>'
        )
    return "".join(parts)


def _names(lines: Sequence[Line], frame: Frame) -> list[str]:
    """The name of each curve behind its last dot, or lower where another one is."""
    parts = []
    below = -float(APART)
    for line in sorted(lines, key=lambda each: -each.dots[-1].middle):
        last = line.dots[-1]
        below = max(below + APART, frame.y(last.middle) + 4)
        parts.append(
            f'<text x="{frame.x(last.x) + 9:.1f}" y="{below:.1f}" style="fill: {line.colour}">'
            f"{escape(line.name)}</text>"
        )
    return parts
