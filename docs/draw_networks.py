"""Writes the figures and the table of docs/explanation/networks.md, and draws its family tree:
python docs/draw_networks.py

How boxes and arrows lie in a figure is in draw_networks.txt. What stands in the boxes (channels,
strides, kernels, rates) and in the table is measured on the networks themselves, as their
constructors make them. They are made without memory, so this takes seconds.
"""

from __future__ import annotations

import inspect
import math
import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from weakseg.config.recipe import build
from weakseg.networks.analysis.gridding import valid_weights
from weakseg.networks.analysis.receptive_field import Layer, receptive_field
from weakseg.networks.parts.layers import run_sizes

PAGE = Path(__file__).parent / "explanation" / "networks.md"
FIGURES = Path(__file__).with_suffix(".txt")
TREE = PAGE.with_name("networks.svg")
CLASSES = 21
SIZE = 512  # side of the image in the figures
EDGES = 4  # columns of text that a box has around its words
FROM_ABOVE = ("│", "┘", "+", "together")  # words of a figure that a line comes down to
MIDDLE = 2  # line of a box that arrows come from and go to
# part of its weights that a dilated kernel should have on the map; below it a run warns
LEAST = 0.25


class Member(NamedTuple):
    """One row of the family tree."""

    year: int
    """in which the paper was first to be read"""
    name: str
    parent: str
    added: str
    also: str = ""
    """of whom it took something as well"""


FAMILY = [
    Member(
        2014,
        "VGG-16",
        "",
        "a classifier: 13 convolutions, 5 poolings, 3 layers that see everything",
    ),
    Member(2014, "fcn32s", "VGG-16", "these 3 layers are convolutions: scores for every place"),
    Member(2014, "fcn16s", "fcn32s", "finer: scores of the fourth pooling are added"),
    Member(2014, "fcn8s", "fcn16s", "finer still: and those of the third"),
    Member(2015, "unet", "fcn8s", "whole features, not scores, come along at every size"),
    Member(2016, "refinenet", "unet", "residual convolutions and chained pooling on the way up"),
    Member(
        2015,
        "segnet",
        "fcn32s",
        "poolings remember their places; the way up puts values back there",
    ),
    Member(
        2014, "deeplabv1", "VGG-16", "late poolings do not shrink; dilated convolutions see as far"
    ),
    Member(
        2015,
        "dilated_context",
        "deeplabv1",
        "convolutions of growing dilation, one after the other, on the scores",
    ),
    Member(
        2016,
        "deeplabv2",
        "deeplabv1",
        "several dilation rates side by side, added; ResNet; several sizes",
    ),
    Member(2016, "pspnet", "deeplabv2", "averages over 1, 4, 9 and 36 parts of the image"),
    Member(
        2017,
        "deeplabv3",
        "deeplabv2",
        "batch norm in the pyramid, and the average of the whole image",
        "pspnet",
    ),
    Member(
        2017,
        "deeplabv3_cascade",
        "deeplabv3",
        "stages of growing dilation, one after the other",
        "dilated_context",
    ),
    Member(
        2018,
        "deeplabv3plus",
        "deeplabv3",
        "fine features at stride 4 come along; separable convolutions",
        "unet",
    ),
]


# measuring ----------------------------------------------------------------------------------------


@cache
def made(name: str) -> nn.Module:
    """A network as its constructor makes it, without memory."""
    with torch.device("meta"):
        network: nn.Module = build(
            {"name": name, "classes": CLASSES}, "network", "weakseg.networks"
        )
    return network.eval()


def parts(network: nn.Module, path: str) -> list[nn.Module]:
    """A module by its path, or several in a row: `features[5:10]`. An @ is the network itself."""
    if found := re.fullmatch(r"(.*)\[(\d+):(\d+)\]", path):
        return list(network.get_submodule(found[1]).children())[int(found[2]) : int(found[3])]
    return [network.get_submodule(path.removeprefix("@"))]


def measure(network: nn.Module, paths: list[str]) -> dict[str, list[str]]:
    """What stands in the box of each path: channels and stride, kernel and rates."""
    seen: dict[str, Any] = {"image": torch.empty(1, 3, SIZE, SIZE, device="meta")}
    modules = {path: parts(network, path) for path in paths if path != "image"}
    handles = [
        each[-1].register_forward_hook(
            lambda _module, _inputs, output, path=path: seen.update({path: output})
        )
        for path, each in modules.items()
    ]
    run_sizes(network, seen["image"])
    for handle in handles:
        handle.remove()
    return {
        path: [
            place(seen[path]),
            *(kernels(modules[path]) if path in modules and path != "@" else []),
        ]
        for path in paths
    }


def place(output: Any) -> str:
    """Channels and stride; of few values, their number."""
    # a pooling may say where it found them
    values: Tensor = output[0] if isinstance(output, tuple) else output
    channels, rows = values.shape[1:3]
    return (
        f"{channels}, {rows}x{rows}"
        if rows <= 6
        else f"{channels} /{2 ** round(math.log2(SIZE / rows))}"
    )


def kernels(modules: list[nn.Module]) -> list[str]:
    """The kernel, if there is one convolution that has more than one tap, or one alone; and rates,
    if there are any above 1."""
    convs = [each for module in modules for each in module.modules() if isinstance(each, nn.Conv2d)]
    wide = [conv for conv in convs if conv.kernel_size != (1, 1)]
    [kernel] = (
        [f"{conv.kernel_size[0]}x{conv.kernel_size[1]}" for conv in wide or convs]
        if len(wide or convs) == 1
        else [""]
    )
    rates = sorted({conv.dilation[0] for conv in wide})
    listed = f"{rates[0]}-{rates[-1]}" if len(rates) > 3 else ",".join(map(str, rates))
    rate = f"rate{'s' * (len(rates) > 1)} {listed}" if rates and max(rates) > 1 else ""
    return [line for line in (kernel, rate) if line]


def row(name: str) -> str:
    """A line of the page's table."""
    network = made(name)
    layers = receptive_field(network, SIZE)
    encoder = max(layer.field for layer in layers if layer.name.startswith("encoder"))
    everything = max(layer.field for layer in layers)
    coarsest = max(
        round(layer.jump)
        for layer in layers
        if layer.name.startswith("encoder") and layer.kernel > 1
    )
    default = inspect.signature(type(network)).parameters.get("encoder")
    cells = [
        f"[`{name}`](#{name})",
        default.default if default else "VGG-16",
        f"{sum(parameter.numel() for parameter in network.parameters()) / 1e6:.1f}",
        f"{coarsest}, {network.stride}",
        f"{encoder:.0f}, {'all' if everything == math.inf else f'{everything:.0f}'}",
        str(least_crop(layers)),
    ]
    return f"| {' | '.join(cells)} |"


def least_crop(layers: list[Layer]) -> int | str:
    """The side of the smallest image on which every dilated kernel has enough of its weights on the
    map."""
    dilated = {
        (layer.dilation, layer.kernel, round(layer.jump))
        for layer in layers
        if layer.dilation > 1 and layer.kernel > 1
    }
    return max((jump * least_map(rate, kernel) for rate, kernel, jump in dilated), default="any")


@cache
def least_map(rate: int, kernel: int) -> int:
    return next(
        side for side in range(1, 10**4) if valid_weights(rate, side, side, kernel) >= LEAST
    )


# drawing in text ----------------------------------------------------------------------------------


@cache
def figures() -> dict[str, list[list[str]]]:
    """The cells of every figure, by rows, as FIGURES has them."""
    text = "\n".join(line for line in FIGURES.read_text().splitlines() if not line.startswith("#"))
    paragraphs = [paragraph.splitlines() for paragraph in text.strip().split("\n\n")]
    return {name: [line.split() for line in lines] for name, *lines in paragraphs}


def figure(name: str) -> str:
    """The figure of a network as text."""
    rows = figures()[name]
    boxes = measure(
        made(name), [cell.split("=")[1] for line in rows for cell in line if "=" in cell]
    )
    table = [[written(cell, boxes) for cell in line] for line in rows]
    columns = range(max(map(len, table)))
    widths = [
        max(len(text) for line in table if column < len(line) for text in line[column])
        for column in columns
    ]
    lines = [
        drawn
        for line in table
        for drawn in draw_row(line, [width + (width > 3) * EDGES for width in widths])
    ]
    return "\n".join(line.rstrip() for line in lines)


def written(cell: str, boxes: dict[str, list[str]]) -> list[str]:
    """What is written in a cell: several lines in a box, else one."""
    if "=" in cell:
        label, path = cell.split("=")
        return [label.replace("_", " "), *boxes[path]]
    return [{">": "─>", "<": "<─", ".": ""}.get(cell, cell)]


def draw_row(cells: list[list[str]], widths: list[int]) -> list[str]:
    """A row of cells: arrows between boxes are at the height of their second line."""
    height = max(len(cell) + 2 * (len(cell) > 1) for cell in cells)
    drawn = [draw_cell(cell, width, height) for cell, width in zip(cells, widths, strict=False)]
    return ["".join(cell[line] for cell in drawn) for line in range(height)]


def draw_cell(cell: list[str], width: int, height: int) -> list[str]:
    """The lines of a cell, as wide as its column: a box fills it, lines and arrows reach its
    sides."""
    if len(cell) > 1:
        inner = [f"│{text:^{width - 2}}│" for text in cell]
        box = [f"┌{'─' * (width - 2)}┐", *inner, f"└{'─' * (width - 2)}┘"]
        return box + [" " * width] * (height - len(box))
    [text] = cell
    middle = MIDDLE if height > 1 else 0
    left, right = (
        "─" if text and text[place] in ends else " "
        for place, ends in ((0, "─┬┴┤┘+"), (-1, "─┬┴┌└+"))
    )
    before = (
        0
        if text.startswith("<")
        else width - len(text)
        if text.endswith(">")
        else (width - len(text)) // 2
    )
    line = left * before + text + right * (width - len(text) - before)
    above, below = (
        ("│" if text in ends else " ").rjust((width + 1) // 2).ljust(width)
        for ends in (FROM_ABOVE, ("│",))
    )
    return [above] * middle + [line] + [below] * (height - middle - 1)


# drawing the tree ---------------------------------------------------------------------------------

STEP = 52
HIGH = 42
INDENT = 34
LEFT = 64
WIDE = 740
RIGHT = 64
STYLE = """
    rect { fill: #e8eaf6; stroke: #3f51b5; }
    text { font: 12px sans-serif; fill: #444; }
    .name { font: bold 13px monospace; fill: #1a237e; }
    .year { font: 12px monospace; text-anchor: end; }
    path { stroke: #3f51b5; stroke-width: 1.5; fill: none; }
    .also { stroke-dasharray: 4 3; stroke: #00796b; marker-end: url(#tip); }
"""


def tree() -> str:
    """The family tree as SVG: a line per member, further in than its parent."""
    lines = [(member, depth(member), 12 + STEP * number) for number, member in enumerate(FAMILY)]
    where = {member.name: (LEFT + INDENT * deep, top) for member, deep, top in lines}
    shapes = [shape for member, _, _ in lines for shape in drawn(member, where)]
    borrowed = [member for member in FAMILY if member.also]
    shapes += [
        arc(where[member.also][1], where[member.name][1], number)
        for number, member in enumerate(borrowed)
    ]
    high = 12 + STEP * len(FAMILY) + 24
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M 0 0 L 8 4 L 0 8 z" '
    )
    shapes.append(
        f'<text x="{LEFT}" y="{high - 14}">line: grew out of · dashed: took something as well · '
        "year: of the first paper</text>"
    )
    start = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {high}" role="img" '
        'aria-label="The family tree of the networks">'
    )
    white = f'<rect width="{WIDE}" height="{high}" style="fill: #fff; stroke: none"/>'
    defs = f'<defs>{tip}style="fill: #00796b; stroke: none"/></marker></defs>'
    return "\n  ".join([start, f"<style>{STYLE}  </style>", white, defs, *shapes]) + "\n</svg>\n"


def depth(member: Member) -> int:
    """How many ancestors a member has."""
    parent = next((each for each in FAMILY if each.name == member.parent), None)
    return 0 if parent is None else 1 + depth(parent)


def drawn(member: Member, where: dict[str, tuple[int, int]]) -> list[str]:
    x, top = where[member.name]
    shapes = [
        f'<text x="{LEFT - 14}" y="{top + 26}" class="year">{member.year}</text>',
        f'<rect x="{x}" y="{top}" width="{WIDE - RIGHT - x}" height="{HIGH}" rx="4"/>',
        f'<text x="{x + 12}" y="{top + 17}" class="name">{escape(member.name)}</text>',
        f'<text x="{x + 12}" y="{top + 34}">{escape(member.added)}</text>',
    ]
    if member.parent:
        left, above = where[member.parent]
        shapes.append(
            f'<path d="M {left + INDENT // 2} {above + HIGH} V {top + HIGH // 2} H {x}"/>'
        )
    return shapes


def arc(start: int, end: int, number: int) -> str:
    """On the right, from one member down to another."""
    side = WIDE - RIGHT
    out = WIDE - RIGHT + 18 + 16 * number
    return (
        f'<path class="also" d="M {side} {start + HIGH // 2} H {out} V {end + HIGH // 2} H '
        f'{side + 1}"/>'
    )


# the page -----------------------------------------------------------------------------------------


def filled(page: str) -> str:
    """The page with its table and figures as they are now: a figure stands behind a comment that
    names it."""
    for name in figures():
        page = with_row(with_figure(page, name), name)
    return page


def with_figure(page: str, name: str) -> str:
    mark = f"<!-- figure {name} -->\n\n```text\n"
    before, after = page.split(mark)
    return before + mark + f"{figure(name)}\n" + after[after.index("```\n") :]


def with_row(page: str, name: str) -> str:
    start = page.index(f"| [`{name}`](#{name})")
    return page[:start] + row(name) + page[page.index("\n", start) :]


def main() -> None:
    PAGE.write_text(filled(PAGE.read_text()))
    TREE.write_text(tree())


if __name__ == "__main__":
    main()
