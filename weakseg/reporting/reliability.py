"""The reliability diagram: how often a network is right that is so sure."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 520
HEIGHT = 300
LEFT = 44
BOTTOM = 34
TOP = 10
RIGHT = 12
TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def reliability_diagram(bins: Sequence[tuple[float, float, int]], count: int) -> str:
    """Bars of accuracy above confidence as SVG text; nothing for no bin.

    Args:
        bins: mean confidence, accuracy and pixels of each bin that has any.
        count: how many bins there are from 0 to 1.

    What is right as often as it is sure lies on the dashed line. Each bar shows its numbers under
    the pointer, and is the fainter the fewer pixels it stands for.
    """
    if not bins:
        return ""
    total = sum(pixels for _, _, pixels in bins)
    bars = "".join(_bar(*each, total, count) for each in bins)
    line = (
        f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}" '
        'style="stroke:var(--soft);stroke-dasharray:5 4"/>'
    )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{_axes()}{bars}{line}</svg>'


def _bar(confidence: float, accuracy: float, pixels: int, total: int, count: int) -> str:
    first = min(int(confidence * count), count - 1) / count
    width = (WIDTH - LEFT - RIGHT) / count
    share = pixels / total
    opacity = 0.35 + 0.65 * min(1.0, share * count)
    return (
        f'<rect x="{float(_x(first)) + 1:.1f}" y="{_y(accuracy)}" width="{width - 2:.1f}" '
        f'height="{float(_y(0)) - float(_y(accuracy)):.1f}" '
        f'style="fill:var(--accent);opacity:{opacity:.2f}"><title>'
        f"{pixels:,} pixels ({100 * share:.1f} %): on average {confidence:.3f} sure, "
        f"{accuracy:.3f} are right</title></rect>"
    )


def _axes() -> str:
    rows = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(tick)}" y2="{_y(tick)}"/>'
        f'<text x="{LEFT - 6}" y="{_y(tick)}" dy="0.35em" text-anchor="end">{tick:g}</text>'
        for tick in TICKS
    ]
    columns = [
        f'<text x="{_x(tick)}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{tick:g}</text>'
        for tick in TICKS
    ]
    names = (
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 3}" text-anchor="middle">'
        f'confidence</text><text x="{LEFT + 4}" y="{TOP + 10}">share that is right</text>'
    )
    return "".join([*rows, *columns, names])


def _x(value: float) -> str:
    return f"{LEFT + value * (WIDTH - LEFT - RIGHT):.1f}"


def _y(value: float) -> str:
    return f"{HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM):.1f}"
