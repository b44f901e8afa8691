"""How much careless annotation costs: label quality and val/miou over the amount of a fault, one
chart per row of ROWS.

    python benchmarks/noise.py                                    all rows, three seeds each
    python benchmarks/noise.py --only box_loose --seeds 1         a quick look at one of them
    python benchmarks/noise.py trainer.max_steps=100 data.train=60    words for every run

Writes noise.csv (a line per run), noise.md (a table) and noise.svg into a folder, where finished
runs are kept too: a second call goes on where the first was stopped. More of a fault changes the
same annotations as less of it, so along a curve nothing else differs. label/miou measures targets
against the truth; strategies that make their labels inside the loss have none.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from sweep import FIGURES, Figures, Panel, cell, figures_of, picture, setting


class Row(NamedTuple):
    """One fault of an annotator, and the recipe that has to live with it."""

    fault: str
    """a field of the annotator"""
    recipe: str
    amounts: tuple[float, ...]
    says: str


ROWS = (
    Row(
        "box_loose",
        "boxes",
        (0, 0.02, 0.05, 0.1, 0.2, 0.3),
        "edges of boxes are off, in percent of a side (standard deviation)",
    ),
    Row("box_missing", "boxes", (0, 0.05, 0.1, 0.2, 0.4), "objects without a box, in percent"),
    Row(
        "scribble_length",
        "scribbles",
        (0.1, 0.3, 0.75, 1),
        "mean length of scribbles, in percent of the long way of a region",
    ),
    Row(
        "point_spread",
        "points",
        (0, 0.5, 1),
        "how far from the middle of an object clicks fall, in percent",
    ),
    Row(
        "tag_missing",
        "tags",
        (0, 0.05, 0.1, 0.2, 0.4),
        "classes that are there and not named, in percent",
    ),
    Row(
        "tag_wrong",
        "tags",
        (0, 0.05, 0.1, 0.2, 0.4),
        "classes that are not there and named, in percent",
    ),
)
Runs = Mapping[float, Sequence[Figures]]
"""the figures of each seed, by the amount of the fault"""


def runs_of(row: Row, seeds: int, words: Sequence[str], folder: Path) -> Runs:
    """All runs of one row."""
    runs: dict[float, list[Figures]] = {}
    for amount in row.amounts:
        for seed in range(seeds):
            own = [f"recipe={row.recipe}", f"seed={seed}", f"data.annotator.{row.fault}={amount}"]
            name = f"{row.recipe}, {row.fault} {amount:g}, seed {seed}"
            runs.setdefault(amount, []).append(figures_of(name, [*own, *words], folder))
    return runs


def values(figures: Sequence[Figures], figure: str) -> list[float]:
    """A figure of every seed that has it."""
    return [each[figure] for each in figures if figure in each]


def table(results: Mapping[Row, Runs]) -> str:
    """Means over the seeds, with half the distance of the best from the worst, as markdown."""
    lines = [
        "| recipe | fault | amount | " + " | ".join(FIGURES) + " |",
        "|---" * (3 + len(FIGURES)) + "|",
    ]
    for row, runs in results.items():
        for amount, figures in runs.items():
            cells = " | ".join(cell(values(figures, figure)) for figure in FIGURES)
            lines.append(f"| {row.recipe} | {row.fault} | {amount:g} | {cells} |")
    return "\n".join(lines)


def sheet(results: Mapping[Row, Runs]) -> str:
    """A line for every run, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["recipe", "fault", "amount", "seed", *FIGURES])
    for row, runs in results.items():
        for amount, seeds in runs.items():
            for seed, figures in enumerate(seeds):
                writer.writerow(
                    [
                        row.recipe,
                        row.fault,
                        amount,
                        seed,
                        *(figures.get(figure, "") for figure in FIGURES),
                    ]
                )
    return text.getvalue()


def panel(row: Row, runs: Runs) -> Panel:
    """The chart of one row."""
    curves = {
        figure: [
            (100 * amount, mean(values(seeds, figure)))
            for amount, seeds in runs.items()
            if values(seeds, figure)
        ]
        for figure in FIGURES
    }
    return Panel(f"recipe={row.recipe} data.annotator.{row.fault}", row.says, curves)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument(
        "--only",
        default=",".join(row.fault for row in ROWS),
        help="these faults, such as box_loose,tag_wrong",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("runs/noise"),
        help="for everything; take a new one after a change of the code",
    )
    arguments = parser.parse_intermixed_args()
    faults = arguments.only.split(",")
    if unknown := sorted(set(faults) - {row.fault for row in ROWS}):
        parser.error(
            f"no row of ROWS is about {unknown[0]}; they are about "
            f"{', '.join(row.fault for row in ROWS)}"
        )
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(setting())
    results: dict[Row, Runs] = {}
    for row in ROWS:
        if row.fault in faults:
            results[row] = runs_of(row, arguments.seeds, arguments.words, arguments.folder)
            (arguments.folder / "noise.csv").write_text(sheet(results))
            (arguments.folder / "noise.md").write_text(table(results) + "\n")
            (arguments.folder / "noise.svg").write_text(
                picture([panel(*result) for result in results.items()])
            )
    print(f"\n{table(results)}\n\ntable and curves: {arguments.folder}")


if __name__ == "__main__":
    main()
