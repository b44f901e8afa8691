"""What is wrong with the names, keys and values of a recipe, as far as the sources of its classes
tell: without an import, and so without torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Real
from typing import Any

from weakseg.config import sections as known_sections
from weakseg.config.auto import left_to_plan, with_keys_that_may
from weakseg.config.common_keys import sketch_with_common_keys
from weakseg.config.lookup import wrong_name
from weakseg.config.schema import Constructor, arguments, validate
from weakseg.config.sections import Recipe, meaning_of, names_of, nodes_of
from weakseg.config.signatures import sketched
from weakseg.config.values import RecipeError
from weakseg.config.words import OTHERS
from weakseg.utils.limits import refusal
from weakseg.utils.messages import suggest


def check_spelling(recipe: Recipe) -> None:
    """Raises all mistyped keys and values of a recipe, as far as they can be told without importing
    torch, as one RecipeError."""
    if lines := mistyped(recipe):
        raise RecipeError(lines)


def mistyped(recipe: Recipe, only: Collection[str] = known_sections.SECTIONS.keys()) -> list[str]:
    """Mistyped keys and values as far as the sources of the classes tell, which takes no import."""
    lines: list[str] = []
    for place, node in nodes_of(recipe.sections):
        constructor = from_source(place, node) if place.partition(".")[0] in only else None
        if constructor is not None:
            try:
                validated(place, constructor, node, recipe.origins)
            except RecipeError as error:
                lines += error.errors
    return recipe.located(lines)


def validated(
    place: str, constructor: Constructor, node: Mapping[str, Any], origins: Mapping[str, str]
) -> dict[str, Any]:
    """The values of an object as the types of its arguments, but for what is auto. What a file
    leaves to a plan may be more than its class knows, since another one may take its place."""
    meaning = meaning_of(place)
    own = {key: value for key, value in node.items() if key != "name" or not meaning.home}
    for key in left_to_plan(place, constructor, own):
        typed = origins.get(f"{place}.{key}") == "command line"
        if key in arguments(constructor) or not typed:
            del own[key]
    try:
        values = validate(constructor, own, meaning.given, meaning.fixed, above=f"{place}.")
    except RecipeError as error:
        raise RecipeError(with_keys_that_may(error.errors, place, constructor, own)) from None
    wrong = {
        key: refusal(hint, values[key])
        for key, hint in meaning.limits.items()
        # which may be a text or a time, too
        if isinstance(values.get(key), Real)
    }
    if any(wrong.values()):
        raise RecipeError([f"{place}.{key}: it {what}" for key, what in wrong.items() if what])
    return values


def from_source(place: str, node: Mapping[str, Any]) -> Constructor | None:
    """A stand-in for the class of an object, from its source; None when that cannot tell."""
    meaning = meaning_of(place)
    name = node.get("name", "")
    known = names_of(place).get(name, name) if isinstance(name, str) else ""
    wanted = [key for key in node if key != "name" or not meaning.home]
    sketch = sketched(meaning.target or known, wanted)
    return sketch and sketch_with_common_keys(sketch, known, meaning.home)


def wrong_names(recipe: Recipe, complete: bool) -> list[str]:
    """One line per `name:` that is wrong; one that is missing counts only when the recipe could be
    read completely."""
    lines = []
    for section, node in recipe.sections.items():
        meaning = known_sections.SECTIONS[section]
        if meaning.home and not meaning.several and (complete or "name" in node):
            wrong = wrong_name(node.get("name"), names_of(section))
            lines += [f"{section}.name: {wrong}"] if wrong else []
    return lines


def unknown_key(recipe: Recipe, key: str) -> str:
    """What to say of a key in no section; when some section has an argument of that name, that one
    is meant."""
    first, _, below = key.partition(".")
    if first in OTHERS:
        return f"{key}: belongs on the command line, not into a recipe"
    if first in known_sections.SECTIONS:  # only a file's key gets here
        line = f"in a file write {below} in a line of its own, indented, below {first}:"
        return f"{key}: dots are for the command line; {line}"
    for place, node in nodes_of(recipe.sections):
        constructor = from_source(place, node)
        if constructor is not None and first in arguments(constructor):
            return f"{key}: no such section; did you mean {place}.{key}?"
    others = [*known_sections.SECTIONS, "seed", *OTHERS]
    return f"{key}: no such section{suggest(first, others, 'the sections are')}"
