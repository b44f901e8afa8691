"""Differences with their intervals as SVG, a row each, around a line at zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from weakseg.reporting.charts import ticks

WIDTH = 520
ROW = 24
TOP = 8
BOTTOM = 24
NAME = 130  # pixels for the names of rows
RIGHT = 58  # and for the numbers
LONGEST = 20  # characters of a name; all of it is under the pointer


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
    height = TOP + ROW * len(known) + BOTTOM
    grid = "".join(_tick(mark, scale, height) for mark in marks)
    drawn = "".join(_row(row, place, scale) for place, row in enumerate(known))
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


def _row(row: Difference, place: int, scale: _Scale) -> str:
    y = TOP + ROW * place + ROW / 2
    colour = "var(--soft)"
    if row.low > 0:
        colour = "var(--c0)"
    if row.high < 0:
        colour = "var(--c1)"
    short = row.name if len(row.name) <= LONGEST else f"{row.name[: LONGEST - 1]}…"
    interval = "" if math.isnan(row.low) else f", from {row.low:+.3f} to {row.high:+.3f}"
    line = (
        ""
        if math.isnan(row.low)
        else f'<line x1="{scale.x(row.low)}" x2="{scale.x(row.high)}" y1="{y}" y2="{y}" '
        f'style="stroke:{colour};stroke-width:3;stroke-linecap:round;opacity:.55"/>'
    )
    return (
        f"<g><title>{escape(row.name)}: {row.value:+.3f}{interval}</title>"
        f'<text x="{NAME - 10}" y="{y}" dy="0.35em" text-anchor="end">{escape(short)}</text>'
        f'{line}<circle cx="{scale.x(row.value)}" cy="{y}" r="4.5" style="fill:{colour}"/>'
        f'<text x="{WIDTH - 4}" y="{y}" dy="0.35em" text-anchor="end">{row.value:+.3f}</text></g>'
    )
