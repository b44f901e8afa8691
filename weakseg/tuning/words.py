"""What is wrong with the words of `weakseg.tune`, as far as it can be told without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weakseg.config.recipe import RecipeError, changed, load
from weakseg.tuning.grid import check_grid, read_grid
from weakseg.utils.messages import one_line
from weakseg.utils.output_folder import OutputFolder


def check_words(
    recipe: str,
    out: Path | str,
    grid: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    strategy: Mapping[str, Any] | None = None,
) -> None:
    """Raise a RecipeError if the words cannot be right."""
    errors: list[str] = []
    root = (data or {}).get("root")
    try:
        OutputFolder(out, inputs=[str(root)] if root else [])
    except (ValueError, OSError) as error:
        errors.append(one_line(error))
    try:
        written = load([f"recipe={recipe}"])
        if strategy:
            written = changed(written, "strategy", strategy)
        check_grid(written, read_grid(grid or {}))
    except RecipeError as error:
        errors += error.errors
    if errors:
        raise RecipeError(list(dict.fromkeys(errors)))
