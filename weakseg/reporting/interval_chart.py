"""Differences with their intervals as SVG, a row each, around a line at zero."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from weakseg.reporting.charts import ticks

WIDTH = 520
ROW = 24
LINE = 15  # and so much more for each further line of its name
TOP = 8
BOTTOM = 24
NAME = 150  # pixels for the names of rows
RIGHT = 58  # and for the numbers
LONGEST = 20  # characters of a line of a name; a longer word is cut, and is under the pointer


class Difference(NamedTuple):
    """A row: nan for an end that is not known."""

    name: str
    value: float
    low: float
    high: float


def interval_chart(rows: Sequence[Difference]) -> str:
    """One chart; nothing for no row with a value. Intervals that exclude zero are in the colour of
    their side, blue above zero and orange below; others are grey."""
    known = [row for row in rows if not math.isnan(row.value)]
    if not known:
        return ""
    ends = [end for row in known for end in (row.value, row.low, row.high) if not math.isnan(end)]
    marks = ticks(min(0.0, *ends), max(0.0, *ends), 4)
    scale = _Scale(min(marks[0], *ends), max(marks[-1], *ends))
    names = [_lines(row.name) for row in known]
    heights = [ROW + LINE * (len(lines) - 1) for lines in names]
    tops = [TOP + sum(heights[:place]) for place in range(len(known))]
    height = TOP + sum(heights) + BOTTOM
    grid = "".join(_tick(mark, scale, height) for mark in marks)
    drawn = "".join(
        _row(row, lines, top + tall / 2, scale)
        for row, lines, top, tall in zip(known, names, tops, heights, strict=True)
    )
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">{grid}{drawn}</svg>'


class _Scale:
    """From differences to places."""

    def __init__(self, low: float, high: float) -> None:
        self.low = low
        self.across = (WIDTH - NAME - RIGHT) / ((high - low) or 1)

    def x(self, value: float) -> str:
        return f"{NAME + (value - self.low) * self.across:.1f}"


def _tick(mark: float, scale: _Scale, height: int) -> str:
    x = scale.x(mark)
    style = ' style="stroke:var(--soft)"' if mark == 0 else ""
    return (
        f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{height - BOTTOM}"{style}/>'
        f'<text x="{x}" y="{height - 8}" text-anchor="middle">{mark:+.3g}</text>'
        if mark
        else f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{height - BOTTOM}"{style}/>'
        f'<text x="{x}" y="{height - 8}" text-anchor="middle">0</text>'
    )


def _lines(name: str) -> list[str]:
    """A name in lines that are short enough.

    >>> _lines("a class with quite a long name"), _lines("xy=13%"), _lines("a" * 21)
    (['a class with quite a', 'long name'], ['xy=13%'], ['aaaaaaaaaaaaaaaaaaa…'])
    """
    lines = textwrap.wrap(name, LONGEST, break_long_words=False, break_on_hyphens=False) or [name]
    return [line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…" for line in lines]


def _name(lines: Sequence[str], y: float) -> str:
    first = y - LINE * (len(lines) - 1) / 2
    spans = [
        f'<tspan x="{NAME - 10}" y="{first + LINE * place}" dy="0.35em">{escape(line)}</tspan>'
        for place, line in enumerate(lines)
    ]
    return f'<text text-anchor="end">{"".join(spans)}</text>'


def _row(row: Difference, lines: Sequence[str], y: float, scale: _Scale) -> str:
    colour = "var(--soft)"
    if row.low > 0:
        colour = "var(--c0)"
    if row.high < 0:
        colour = "var(--c1)"
    interval = "" if math.isnan(row.low) else f", from {row.low:+.3f} to {row.high:+.3f}"
    line = (
        ""
        if math.isnan(row.low)
        else f'<line x1="{scale.x(row.low)}" x2="{scale.x(row.high)}" y1="{y}" y2="{y}" '
        f'style="stroke:{colour};stroke-width:3;stroke-linecap:round;opacity:.55"/>'
    )
    return (
        f"<g><title>{escape(row.name)}: {row.value:+.3f}{interval}</title>"
        f"{_name(lines, y)}{line}"
        f'<circle cx="{scale.x(row.value)}" cy="{y}" r="4.5" style="fill:{colour}"/>'
        f'<text x="{WIDTH - 4}" y="{y}" dy="0.35em" text-anchor="end">{row.value:+.3f}</text></g>'
    )
