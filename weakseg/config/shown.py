"""A recipe as text: as a file that loads again, and with where each value comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from yaml.representer import RepresenterError

from weakseg.config.lengths_shown import pixels_of_shares
from weakseg.config.resolution import Resolved, typed_section
from weakseg.config.values import written
from weakseg.utils.messages import one_line


def to_yaml(recipe: Resolved, defaults: bool = False) -> str:
    """The merged recipe as YAML that loads again to the same values; with the constructors'
    defaults, too, where asked for."""
    lines = [line for line, _ in _written(recipe, defaults, objects=False)]
    return "\n".join([f"# {recipe.name}, as it was run", *lines, ""])


def show(recipe: Resolved) -> str:
    """Every key of the recipe, and where its value comes from."""
    return _aligned(_written(_with_pixels(recipe), defaults=True, objects=True))


def show_sections(recipe: Resolved) -> str:
    """The same for those sections alone that were resolved."""
    return _aligned(_written_sections(_with_pixels(recipe), defaults=True, objects=True))


def _with_pixels(recipe: Resolved) -> Resolved:
    """The recipe where behind the origins of shares there is what they are in pixels."""
    notes = {
        place: f"{recipe.origins.get(place, 'default')}; {pixels}"
        for place, pixels in pixels_of_shares(recipe.parts).items()
    }
    return replace(recipe, origins=recipe.origins | notes)


def _aligned(pairs: Iterable[tuple[str, str]]) -> str:
    lines = [*pairs]
    width = max((len(line) for line, _ in lines), default=0)
    return "\n".join(f"{line:{width}}  # {origin}" if origin else line for line, origin in lines)


def _written(recipe: Resolved, defaults: bool, objects: bool) -> Iterator[tuple[str, str]]:
    """Lines of YAML and where their values come from; `objects`: also those that YAML cannot hold,
    as text."""
    yield from _written_sections(recipe, defaults, objects)
    yield f"seed: {recipe.seed}", recipe.origins.get("seed", "default")


def _written_sections(recipe: Resolved, defaults: bool, objects: bool) -> Iterator[tuple[str, str]]:
    for section in dict.fromkeys(place.partition(".")[0] for place in recipe.parts):
        node = typed_section(recipe, section, defaults)
        if node:
            yield from _lines({section: node}, "", "", recipe.origins, objects)


def _lines(
    node: Mapping[Any, Any], above: str, indent: str, origins: Mapping[str, str], objects: bool
) -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        path = f"{above}{key}"
        start = f"{indent}{written(key)}:"
        if isinstance(value, dict) and value:
            yield start, ""
            yield from _lines(value, f"{path}.", f"{indent}  ", origins, objects)
            continue
        try:
            yield f"{start} {written(value)}", origins.get(path, "default")
        except RepresenterError:
            if objects:
                yield f"{start} {written(one_line(value))}", "default"
