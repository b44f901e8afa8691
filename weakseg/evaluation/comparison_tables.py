"""Comparisons in wandb and TensorBoard: figures, and tables of runs, differences, recipes and
images."""

from __future__ import annotations

from pathlib import Path

from weakseg.evaluation.compared import Comparison
from weakseg.evaluation.comparison_files import cost_texts, heading
from weakseg.evaluation.dashboards import show_results
from weakseg.reporting.loggers.base import Table, View


def show_comparison(view: View, folder: Path, comparison: Comparison) -> None:
    """Show a comparison: figures of each side as comparison/miou/A and the like, and its tables."""
    facts = {
        "command": "compare",
        "runs": {side.letter: side.name for side in comparison.sides},
        "draws": comparison.draws._asdict(),
    }
    figures = {
        f"comparison/{figure.name}/{letter}": each.value
        for figure in comparison.figures
        for letter, each in zip(comparison.letters, figure.values, strict=True)
    }
    show_results(view, folder, facts, figures, comparison_tables(comparison))


def comparison_tables(comparison: Comparison) -> list[Table]:
    """The tables of a comparison."""
    letters = comparison.letters
    tables = [_runs(comparison), _differences(comparison)]
    if comparison.keys:
        keys = [[key, *values] for key, values in comparison.keys.items()]
        tables.append(Table("comparison/recipes", ["key", *letters], keys))
    rows = [[image.name, *image.ious] for image in comparison.apart]
    tables.append(
        Table("comparison/images", ["image", *(f"IoU of {each}" for each in letters)], rows)
    )
    return tables


def _runs(comparison: Comparison) -> Table:
    """What each letter stands for, and what its annotation costs."""
    costs = cost_texts(comparison)
    rows = [
        [side.letter, side.name, *(texts[at] for texts in costs.values())]
        for at, side in enumerate(comparison.sides)
    ]
    return Table("comparison/runs", ["letter", "run", *costs], rows)


def _differences(comparison: Comparison) -> Table:
    """Every figure of each side, and its differences from the first with their intervals."""
    first, *others = comparison.letters
    columns = ["figure", first, *others]
    for letter in others:
        name = f"{letter} - {first}"
        columns += [name, f"{name}, low", f"{name}, high"]
    rows = [
        [
            heading(figure.name),
            *(each.value for each in figure.values),
            *(number for each in figure.differences for number in each),
        ]
        for figure in comparison.figures
    ]
    return Table("comparison/figures", columns, rows)
