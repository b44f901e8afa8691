"""Lengths in pixels that a data set knows to suit its images, where a recipe gives none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from weakseg.config.auto import reason

if TYPE_CHECKING:
    from weakseg.config.recipe import Recipe


def with_known_lengths(recipe: Recipe, data: Any) -> Recipe:
    """The recipe with the lengths that the class of its data set has for the recipe's strategy
    (`WeakData.known_lengths`).

    What the recipe or a word gives stays. Other data sets are left to the strategy's defaults,
    which are shares of the image.
    """
    strategy = recipe.sections["strategy"]
    lengths = getattr(data, "known_lengths", {}).get(strategy.get("name"), {})
    origins = dict(recipe.origins)
    for key, pixels in lengths.items():
        added = _with(strategy, key.split("."), pixels)
        if added != strategy:
            strategy = added
            origins[f"strategy.{key}"] = reason(f"suits {data.__name__}, the data set")
    return replace(recipe, sections=recipe.sections | {"strategy": strategy}, origins=origins)


def _with(node: Mapping[str, Any], path: list[str], value: float) -> dict[str, Any]:
    """The keys with one more below them, unless it is there or what is above it is no keys."""
    first, *rest = path
    below = node.get(first, {})
    if rest and isinstance(below, Mapping):
        return {**node, first: _with(below, rest, value)}
    return {first: value, **node} if not rest else dict(node)
