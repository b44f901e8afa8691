"""The picture of label_efficiency.py: accuracy over hours of annotation, and the curve of what is
best for the time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from statistics import mean
from typing import NamedTuple

from weakseg.reporting.charts import ticks

WIDTH = 640
HEIGHT = 420
LEFT = 56
RIGHT = 120
TOP = 16
BOTTOM = 44
STYLE = """text {font: 12px sans-serif; fill: #444; paint-order: stroke; stroke: white;
stroke-width: 3}
.grid {stroke: #ddd}
.spread {stroke: #2563eb} .to {stroke: #aaa} circle {fill: #2563eb}
polyline {fill: none; stroke: #16a34a; stroke-width: 2; stroke-dasharray: 5 4}"""
# pixels that a letter of a name takes at most, and a line
LETTER = 6.5
LINE = 13


class Dot(NamedTuple):
    """One way of annotating: what it costs, and what each seed reached with it."""

    name: str
    hours: float
    scores: Sequence[float]


def best_for_the_time(dots: Sequence[Dot]) -> list[Dot]:
    """Those that no cheaper or equally cheap one beats, from the cheapest on.

    >>> [
    ...     dot.name
    ...     for dot in best_for_the_time(
    ...         [Dot("masks", 9, [0.8]), Dot("dear", 5, [0.3]), Dot("tags", 1, [0.4])]
    ...     )
    ... ]
    ['tags', 'masks']
    """
    best: list[Dot] = []
    for dot in sorted(dots, key=lambda each: (each.hours, -mean(each.scores))):
        if not best or mean(dot.scores) > mean(best[-1].scores):
            best.append(dot)
    return best


def efficiency_chart(dots: Sequence[Dot]) -> str:
    """Dots with a line from the worst to the best seed, as an SVG file that needs no page around
    it."""
    hours = [dot.hours for dot in dots]
    scores = [score for dot in dots for score in dot.scores]
    left = math.log(min(hours) * 0.9)
    right = math.log(max(hours) * 1.1)
    rows = ticks(min(scores), max(scores))

    def x(value: float) -> float:
        return LEFT + (math.log(value) - left) / (right - left) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - rows[0]) / (rows[-1] - rows[0]) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(row):.1f}" y2="{y(row):.1f}"/>'
        f'<text x="{LEFT - 8}" y="{y(row) + 4:.1f}" text-anchor="end">{row:g}</text>'
        for row in rows
    ]
    parts += [
        f'<text x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:g}</text>'
        for tick in _log_ticks(hours)
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">hours of annotation (published '
        "means per image); val mIoU upwards</text>"
    )
    curve = " ".join(
        f"{x(dot.hours):.1f},{y(mean(dot.scores)):.1f}" for dot in best_for_the_time(dots)
    )
    parts.append(f'<polyline points="{curve}"/>')
    taken = [_around(x(dot.hours) - 5, y(mean(dot.scores)) + 4, 10) for dot in dots]
    for dot in sorted(dots, key=lambda each: -mean(each.scores)):
        across = x(dot.hours)
        up = y(mean(dot.scores))
        low = y(min(dot.scores))
        high = y(max(dot.scores))
        box = _free(across, up, len(dot.name) * LETTER, taken)
        taken.append(box)
        near, anchor = (box.left, "start") if box.left > across else (box.right, "end")
        line = box.bottom - 3
        if abs(line - 4 - up) > LINE / 2:
            parts.append(
                f'<line class="to" x1="{across:.1f}" y1="{up:.1f}" x2="{near:.1f}" '
                f'y2="{line - 4:.1f}"/>'
            )
        parts.append(
            f'<line class="spread" x1="{across:.1f}" x2="{across:.1f}" y1="{low:.1f}" '
            f'y2="{high:.1f}"/><circle cx="{across:.1f}" cy="{up:.1f}" r="4"/><text '
            f'x="{near:.1f}" y="{line:.1f}" text-anchor="{anchor}">{escape(dot.name)}</text>'
        )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}"><style>{STYLE}</style>'
    )
    return f'{head}<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'


class _Box(NamedTuple):
    left: float
    right: float
    top: float
    bottom: float


def _around(start: float, line: float, width: float) -> _Box:
    """The place of a name that begins at `start` and stands on `line`."""
    return _Box(start, start + width, line - LINE + 3, line + 3)


def _free(across: float, up: float, width: float, taken: Sequence[_Box]) -> _Box:
    """The place of the name of a dot: right or left of the dot, as near as nothing is in the
    way."""
    for away in range(HEIGHT):
        for line in (up + 4 + away, up + 4 - away):
            for start in (across + 9, across - 9 - width):
                box = _around(start, line, width)
                if (
                    box.left > LEFT
                    and box.right < WIDTH
                    and box.top > 0
                    and box.bottom < HEIGHT - BOTTOM
                    and not _meets(box, taken)
                ):
                    return box
    return _around(across + 9, up + 4, width)  # a picture full of names


def _meets(box: _Box, taken: Sequence[_Box]) -> bool:
    return any(
        box.left < b.right and b.left < box.right and box.top < b.bottom and b.top < box.bottom
        for b in taken
    )


def _log_ticks(values: Sequence[float]) -> list[float]:
    """Round numbers between the smallest and the largest, wider apart the larger they are.

    >>> _log_ticks([1.8, 21.0])
    [2.0, 5.0, 10.0, 20.0]
    """
    powers = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
    found = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    return [tick for tick in found if min(values) * 0.9 <= tick <= max(values) * 1.1]
