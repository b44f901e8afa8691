"""What is wrong with the words of `weakseg.label`, as far as it can be told without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weakseg.config.recipe import RecipeError
from weakseg.utils.engine import check_engine
from weakseg.utils.messages import one_line
from weakseg.utils.output_folder import OutputFolder


def check_words(
    recipe: str | None = None,
    run: Path | str | None = None,
    out: Path | str = "",
    parts: int = 1,
    part: int = 1,
    seed: int | None = None,
    init_from: Path | str | None = None,
    data: Mapping[str, Any] | None = None,
    strategy: Mapping[str, Any] | None = None,
    network: Mapping[str, Any] | None = None,
    describe: bool = False,
    engine: str = "local",
    actors: int | None = None,
) -> None:
    """Raise a RecipeError if the words do not belong together."""
    of_recipes = {"seed": seed, "init_from": init_from}
    of_runs = {"strategy": strategy, "network": network}
    errors = _start(recipe, run, of_recipes, of_runs)
    if describe and engine != "local":
        errors.append(f"describe: engine={engine} does both passes by itself; leave it out")
    try:
        check_engine(engine, actors)
    except ValueError as error:
        errors.append(str(error))
    root = (data or {}).get("root")
    try:
        OutputFolder(out, inputs=[str(root)] if root else [], parts=parts, part=part)
    except (ValueError, OSError) as error:
        errors.append(one_line(error))
    if errors:
        raise RecipeError(errors)


def _start(
    recipe: str | None,
    run: Path | str | None,
    of_recipes: Mapping[str, Any],
    of_runs: Mapping[str, Any],
) -> list[str]:
    """What is wrong with recipe= and run=, and with words that belong to recipe= alone, or that a
    run has itself."""
    if (recipe is None) == (run is None):
        came = "neither" if recipe is None else "both"
        return [
            "recipe, run: expected one of the two, recipe=<name> to label without training or "
            f"run=<run folder> for a trained network, but {came} came"
        ]
    if recipe is not None:
        return []
    wrong = [
        f"{name}: belongs to recipe=; with run= the network is trained already"
        for name, value in of_recipes.items()
        if value is not None
    ]
    return wrong + [
        f"{name}: run= has a {name} of its own; leave it out, or label with recipe="
        for name, section in of_runs.items()
        if section
    ]
