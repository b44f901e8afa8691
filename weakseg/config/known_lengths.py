"""Lengths in pixels that a data set knows to suit its images, where a recipe gives none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weakseg.config.auto import reason


def with_known_lengths(
    strategy: Mapping[str, Any], data: Any
) -> tuple[dict[str, Any], dict[str, str]]:
    """The keys of a strategy with the lengths that the class of a data set has for it
    (`WeakData.known_lengths`), and where these come from, by keys of the recipe.

    What the recipe or a word gives stays. Other data sets are left to the strategy's defaults,
    which are shares of the image.
    """
    found = dict(strategy)
    origins = {}
    for key, pixels in getattr(data, "known_lengths", {}).get(strategy.get("name"), {}).items():
        added = _with(found, key.split("."), pixels)
        if added != found:
            found = added
            origins[f"strategy.{key}"] = reason(f"suits {data.__name__}, the data set")
    return found, origins


def _with(node: Mapping[str, Any], path: list[str], value: float) -> dict[str, Any]:
    """The keys with one more below them, unless it is there or what is above it is no keys."""
    first, *rest = path
    below = node.get(first, {})
    if rest and isinstance(below, Mapping):
        return {**node, first: _with(below, rest, value)}
    return {first: value, **node} if not rest else dict(node)
