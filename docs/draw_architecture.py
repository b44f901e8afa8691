"""Draws docs/explanation/architecture.svg: the packages of weakseg in layers.

    python docs/draw_architecture.py

A package imports only from layers below its own; tests/test_architecture.py compares the layers
with the imports that the code has.
"""

from __future__ import annotations

from pathlib import Path

PICTURE = Path(__file__).parent / "explanation" / "architecture.svg"
LAYERS = [
    {"__main__": "weakseg <verb>: finds the command"},
    {
        "check": "a data set",
        "fit": "trains",
        "label": "pseudo-labels",
        "tune": "settings",
        "review": "corrections",
        "predict": "masks",
        "evaluate": "figures",
        "export": "graphs",
        "compare": "runs",
    },
    {"run": "one run from a recipe: composes the parts, leaves a folder"},
    {
        "reviewing": "the page on which a person corrects evidence",
        "tuning": "settings, by the evidence itself",
        "integrations": "backends of CVAT and Label Studio",
    },
    {
        "prediction": "masks of images, as files",
        "evaluation": "figures on a data set",
        "labelling": "pseudo-labels as files",
    },
    {
        "reporting": "report, charts, tables, loggers",
        "planning": "what is auto",
        "suspicion": "worst labels first",
        "trained": "networks, stored, exported",
    },
    {"training": "LightningModule, rounds, estimation, checkpoints, label quality"},
    {"optimizers": "parameter groups of body and head, schedules"},
    {
        "strategies": "one file per method",
        "networks": "one file per family",
        "data": "images, evidence, targets",
        "inference": "scales, windows, CRF",
    },
    {"foundation": "models of others: found, loaded, asked once per image"},
    {"functional": "maths on tensors: no Lightning, no recipes, no files"},
    {"recipe": "recipes in Python", "evidence": "what packages hand on"},
    {"config": "key=value to objects"},
    {"utils": "whole files, content keys, processes, signals"},
]
WIDTH = 760
HEIGHT = 54
GAP = 10
STYLE = """\
    .package { fill: #e8eaf6; stroke: #3f51b5; }
    text { font: 12px sans-serif; fill: #444; text-anchor: middle; }
    .name { font: bold 13px monospace; fill: #1a237e; }
    .arrow { stroke: #3f51b5; stroke-width: 2; }
    .tip { fill: #3f51b5; }"""


def drawn() -> str:
    """The picture as SVG."""
    full = len(LAYERS) * (HEIGHT + GAP) + GAP
    right = WIDTH + 24
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 50} {full}" role="img" '
        'aria-label="The packages of weakseg in layers; imports go down only">',
        f"  <style>\n{STYLE}\n  </style>",
        f'  <rect width="{WIDTH + 50}" height="{full}" fill="#fff"/>',
    ]
    for row, layer in enumerate(LAYERS):
        lines += boxes(layer, GAP + row * (HEIGHT + GAP))
    lines += [
        f'  <line class="arrow" x1="{right}" y1="{GAP}" x2="{right}" y2="{full - 2 * GAP}"/>',
        f'  <path class="tip" d="M {right - 6} {full - 2 * GAP} h 12 l -6 10 z"/>',
        f'  <text x="{right + 14}" y="{full // 2}" transform="rotate(90 {right + 14} '
        f'{full // 2})">imports go down only</text>',
        "</svg>",
    ]
    return "\n".join([*lines, ""])


def boxes(layer: dict[str, str], top: int) -> list[str]:
    """A layer: boxes of equal width beside each other."""
    width = (WIDTH - GAP * (len(layer) + 1)) / len(layer)
    lines = []
    for place, (name, meaning) in enumerate(layer.items()):
        left = GAP + place * (width + GAP)
        middle = left + width / 2
        lines += [
            f'  <rect class="package" x="{left:g}" y="{top}" width="{width:g}" '
            f'height="{HEIGHT}" rx="4"/>',
            f'  <text class="name" x="{middle:g}" y="{top + 22}">{name}</text>',
            f'  <text x="{middle:g}" y="{top + 41}">{meaning}</text>',
        ]
    return lines


if __name__ == "__main__":
    PICTURE.write_text(drawn())
