"""Recipes: `load` reads a YAML file and the key=value words on top of it, `resolve` turns them
into classes and the values of their arguments. Only `resolve` imports classes, and so torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources.abc import Traversable
from typing import Any

from weakseg.config import sections as known_sections
from weakseg.config.lookup import build
from weakseg.config.merging import merge
from weakseg.config.resolution import Resolved, resolve
from weakseg.config.sections import NAMED, SECTIONS, SEVERAL, Recipe, Section
from weakseg.config.shown import show, show_sections, to_yaml
from weakseg.config.spelling import check_spelling, mistyped, wrong_names
from weakseg.config.values import Lines, RecipeError, read_yaml
from weakseg.config.words import Grammar, Words, list_recipes, parse, source, usage, wrong_start

__all__ = [
    "NAMED",
    "SECTIONS",
    "Recipe",
    "RecipeError",
    "Resolved",
    "Section",
    "build",
    "build_section",
    "changed",
    "check_spelling",
    "list_recipes",
    "load",
    "resolve",
    "show",
    "show_sections",
    "to_yaml",
    "usage",
]

LARGEST = 2**20  # bytes of a recipe; those that come along have some hundreds


def load(argv: Sequence[str], keep: bool = True) -> Recipe:
    """The recipe that the words of a command line ask for. Looks at sections and names only, which
    needs no torch.

    Values stay as they were written until `resolve`. Whatever is wrong is raised as one
    RecipeError.

    Args:
        argv: the words.
        keep: whether what the recipe says of the kind of its evidence holds for another data set,
            too.
    """
    words = parse(argv, Grammar(known_sections.SECTIONS, NAMED, several=SEVERAL))
    errors = words.errors + wrong_start(words.values)
    name, file = "", ""
    content: dict[str, Any] | None = None
    lines: Lines = {}
    try:
        name, path = source(words.values)
        file = path.name if words.values.get("recipe") == name else str(path)
        content, lines = read_yaml(_bytes(path), file)
    except RecipeError as error:
        errors += error.errors
    empty = Recipe(name, {}, file=file, lines=lines, words=tuple(argv))
    recipe, wrong = merge(words, content or {}, empty, keep)
    errors += recipe.located(wrong + wrong_names(recipe, complete=content is not None))
    if errors:
        raise RecipeError(errors + mistyped(recipe))
    return recipe


def changed(recipe: Recipe, section: str, values: Mapping[str, Any]) -> Recipe:
    """The recipe with other values in one section, as the words of a command have them; a `name`
    among them drops the recipe's keys there, but for the kind of evidence.

    Args:
        recipe: as it was loaded.
        section: its name.
        values: by keys below the section, with dots for deeper ones.
    """
    words = {f"{section}.{key}": value for key, value in values.items()}
    switched = {section} if "name" in values else set()
    merged, errors = merge(Words(words, switched, []), recipe.sections, recipe, keep=True)
    merged = replace(
        merged,
        origins=recipe.origins | merged.origins,
        seed=recipe.seed,
        resume=recipe.resume,
        init_from=recipe.init_from,
        processes=recipe.processes,
    )
    errors += [line for line in wrong_names(merged, True) if line.startswith(f"{section}.")]
    if errors := merged.located(errors) or mistyped(merged, [section]):
        raise RecipeError(errors)
    return merged


def build_section(
    section: str, node: Mapping[str, Any], values: Mapping[str, Any], **given: Any
) -> Any:
    """The object that a section of a recipe describes, with other values above it, as in
    `changed`."""
    sections: dict[str, dict[str, Any]] = {name: {} for name in known_sections.SECTIONS}
    alone = Recipe("", sections | {section: dict(node)})
    return resolve(changed(alone, section, values), [section]).build(section, **given)


def _bytes(file: Traversable) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise RecipeError(f"{file}: {error.strerror}") from None
    if len(content) > LARGEST:
        large = f"expected a recipe, a short text, but it has more than {LARGEST:,} bytes"
        raise RecipeError(f"{file}: {large}")
    return content
