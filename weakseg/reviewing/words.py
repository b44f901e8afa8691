"""What is wrong with the words of `weakseg.review`, as far as it can be told without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weakseg.config.recipe import RecipeError


def check_words(
    run: Path | str | None = None,
    recipe: str | None = None,
    data: Mapping[str, Any] | None = None,
    strategy: Mapping[str, Any] | None = None,
    network: Mapping[str, Any] | None = None,
    queue: Path | str | None = None,
) -> None:
    """Raise a RecipeError if the words do not belong together, or name no file."""
    errors = _mistakes(run, recipe, data, {"strategy": strategy, "network": network})
    if queue is not None and not Path(queue).is_file():
        errors.append(
            f"queue: there is no file {queue}; expected a review.csv, which a run leaves, and "
            "weakseg.check with tags_by="
        )
    if errors:
        raise RecipeError(errors)


def _mistakes(
    run: Path | str | None,
    recipe: str | None,
    data: Mapping[str, Any] | None,
    of_recipes: Mapping[str, Any],
) -> list[str]:
    if run is not None and recipe is not None:
        return ["recipe, run: expected one of the two, but both came"]
    if run is None and recipe is None and not data:
        return [
            "run: expected run=<run folder>, or recipe=<name>, or data=folder data.root=<folder> "
            "before any training, but none of them came"
        ]
    if run is None:
        return []
    return [
        f"{name}: run= has a {name} of its own; leave it out, or review with recipe="
        for name, section in of_recipes.items()
        if section
    ]
