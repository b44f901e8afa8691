"""What a check of a data set leaves: files in a folder, and what a training would take."""

from __future__ import annotations

from pathlib import Path

from weakseg.config.recipe import Resolved
from weakseg.data.base import WeakData
from weakseg.reporting.contact_sheet import write_sheet
from weakseg.reporting.dataset_check import DatasetCheck
from weakseg.reporting.problem import Problem
from weakseg.strategies.base import Strategy
from weakseg.training.memory_budget import describe_cost
from weakseg.training.segmenter import Segmenter
from weakseg.utils.files import write_whole
from weakseg.utils.remote_path import as_path


def write_results(data: WeakData, found: DatasetCheck, out: Path | None, sheet: str) -> None:
    """Write problems.txt into a folder, and the contact sheet there or where `sheet` says."""
    if out is not None:
        write_whole(
            out / "problems.txt", "".join(f"{problem}\n" for problem in found.problems).encode()
        )
        print(f"problems: {out / 'problems.txt'}\n" * bool(found.problems), end="")
    path = None if sheet == "null" else as_path(sheet) if sheet else out and out / "sheet.png"
    if path is not None:
        write_sheet(data, path)
        print(f"contact sheet: {path}")


def training_cost(recipe: Resolved, data: WeakData, found: DatasetCheck) -> list[str]:
    """What a training by the recipe takes, in lines; a step that takes too much memory becomes a
    problem among the others."""
    if not found.sizes or not data.training:
        return []
    untrained = recipe.with_random_weights()  # which change nothing of what a step takes
    network, strategy = (
        untrained.build(section, classes=len(data.classes)) for section in ("network", "strategy")
    )
    found.problems.extend(_wrong_model(strategy))
    segmenter = Segmenter(network, strategy, data.classes)
    trainer = recipe.sections["trainer"]
    lines, excess = describe_cost(segmenter, data, found.sizes, recipe.name, trainer)
    if excess:
        found.problems.append(Problem("a training step", "its memory", *excess, "warning"))
    return lines


def _wrong_model(strategy: Strategy) -> list[Problem]:
    """What is wrong with the model of others that a strategy asks. One that is not here is not
    fetched: a training does so."""
    encoder = strategy.wants.encoder
    if encoder is None:
        return []
    if not encoder.is_here:
        here = "on this machine, or it is fetched when a training begins"
        return [
            Problem("the strategy", "its model", here, f"{encoder.model}, elsewhere", "warning")
        ]
    try:
        encoder.check()
    except ValueError as error:
        return [Problem("the strategy", "its model", "one that can be used", str(error))]
    return []
