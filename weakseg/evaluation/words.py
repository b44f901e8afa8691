"""What is wrong with the words of `weakseg.evaluate`, as far as it can be told without torch."""

from __future__ import annotations

from weakseg.config.recipe import RecipeError
from weakseg.utils.engine import check_engine
from weakseg.utils.output_folder import check_part


def check_words(
    parts: int = 1, part: int = 1, engine: str = "local", actors: int | None = None
) -> None:
    """Raise a RecipeError if the words do not belong together."""
    try:
        check_part(parts, part)
        check_engine(engine, actors)
    except ValueError as error:
        raise RecipeError(str(error)) from None
