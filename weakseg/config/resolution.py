"""A recipe whose classes are known: `resolve` imports them, and so torch, and turns values into the
types of their arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any

from weakseg.config import sections as known_sections
from weakseg.config.auto import AUTO, is_auto, known_value, left_to_plan, reason
from weakseg.config.known_lengths import with_known_lengths
from weakseg.config.lookup import Part, imported, lookup
from weakseg.config.schema import arguments, filled
from weakseg.config.sections import Recipe, meaning_of, nodes_of
from weakseg.config.spelling import validated
from weakseg.config.values import RecipeError, plain


@dataclass(frozen=True)
class Resolved(Recipe):
    """A recipe whose classes are known, and whose values have the types of their arguments."""

    parts: dict[str, Part] = field(default_factory=dict)

    def build(self, section: str, **given: Any) -> Any:
        """The object that a section describes; `given` are arguments that the program supplies
        where the recipe does not. What is still auto has the default of its class:
        `weakseg.planning.planned` resolves it."""
        try:
            return self.parts[section].construct(**given)
        except RecipeError as error:
            raise RecipeError(self.located(error.errors)) from error.__cause__

    def build_all(self, section: str) -> dict[str, Any]:
        """The objects of a section that has several, by their keys."""
        built: dict[str, Any] = {}
        errors: list[str] = []
        for place in self.parts:
            if place.startswith(f"{section}."):
                try:
                    built[place.partition(".")[2]] = self.build(place)
                except RecipeError as error:
                    errors += error.errors
        if errors:
            raise RecipeError(errors)
        return built

    @property
    def left_to_plan(self) -> list[str]:
        """The keys that are still auto."""
        return [f"{place}.{key}" for place, part in self.parts.items() for key in part.auto]

    def with_plan(self, values: Mapping[str, Any], reasons: Mapping[str, str]) -> Resolved:
        """The same recipe with values for keys that are auto, which are checked as those of a
        person are.

        Args:
            values: by keys with their sections.
            reasons: of the same keys, why.
        """
        sections = {
            section: {**self.sections[section], **self.parts[section].values}
            for section in {key.partition(".")[0] for key in values}
        }
        for key, value in values.items():
            section, _, name = key.partition(".")
            sections[section][name] = value
        parts = {section: _part(section, node, self.origins) for section, node in sections.items()}
        planned = replace(
            self,
            parts=self.parts | parts,
            sections=self.sections | sections,
            origins=self.origins | {key: reason(text) for key, text in reasons.items()},
        )
        typed = {section: typed_section(planned, section, defaults=False) for section in sections}
        return replace(planned, sections=planned.sections | typed)

    def with_values(self, section: str, **values: Any) -> Resolved:
        """The same recipe with other values for arguments of one section; a RecipeError where its
        class does not have these."""
        part = self.parts[section]
        if missing := values.keys() - arguments(part.constructor).keys():
            raise RecipeError([f"{section}.{name}: no such key" for name in missing])
        auto = tuple(key for key in part.auto if key not in values)
        part = replace(part, values=part.values | values, auto=auto)
        return replace(self, parts=self.parts | {section: part})

    def with_random_weights(self) -> Resolved:
        """The same recipe, whose network is not given the weights that others trained."""
        known = "weights" in self.parts["network"].values
        return self.with_values("network", weights=None) if known else self


def resolve(recipe: Recipe, sections: Iterable[str] | None = None) -> Resolved:
    """The recipe with its classes imported and all values as the types of their arguments; whatever
    is wrong in any section is raised as one RecipeError.

    Args:
        recipe: as it was loaded.
        sections: those that are wanted; None for all.
    """
    parts: dict[str, Part] = {}
    errors: list[str] = []
    wanted = known_sections.SECTIONS if sections is None else list(sections)
    recipe = _with_known_settings(recipe, wanted)
    if "strategy" in wanted:
        strategy, origins = with_known_lengths(recipe.sections["strategy"], _data_class(recipe))
        known = recipe.sections | {"strategy": strategy}
        recipe = replace(recipe, sections=known, origins=recipe.origins | origins)
    for place, node in nodes_of({section: recipe.sections[section] for section in wanted}):
        try:
            parts[place] = _part(place, node, recipe.origins)
        except RecipeError as error:
            errors += error.errors
    if errors:
        raise RecipeError(recipe.located(errors))
    resolved = Resolved(**vars(recipe), parts=parts)
    typed = {section: typed_section(resolved, section, defaults=False) for section in wanted}
    return replace(resolved, sections=recipe.sections | typed)


def _with_known_settings(recipe: Recipe, wanted: Iterable[str]) -> Recipe:
    """The recipe with what the class of its data set knows to suit it in place of `auto`."""
    found = [
        f"{section}.{key}"
        for section in wanted
        if not known_sections.SECTIONS[section].several
        for key, value in recipe.sections[section].items()
        if is_auto(value)
    ]
    if not found:
        return recipe
    data = _data_class(recipe)
    if data is None:
        return recipe
    settings = getattr(data, "known_settings", {})
    nodes = {section: node.get("name", "") for section, node in recipe.sections.items()}
    names = {"recipe": recipe.name} | nodes
    sections = {section: dict(node) for section, node in recipe.sections.items()}
    origins = dict(recipe.origins)
    for key in found:
        section, _, name = key.partition(".")
        for value in known_value(settings, key, names):
            sections[section][name] = value
            origins[key] = reason(f"suits {data.__name__}, the data set")
    return replace(recipe, sections=sections, origins=origins)


def _data_class(recipe: Recipe) -> Any:
    """The class of the data set; None where there is none, which is told of that section, if it is
    wanted."""
    try:
        home = known_sections.SECTIONS["data"].home
        return lookup(recipe.sections["data"].get("name"), "data", home)
    except RecipeError:
        return None


def typed_section(recipe: Resolved, section: str, defaults: bool) -> dict[str, Any]:
    """What a section says, its values as the types of their arguments; with the defaults of all
    others, too, where asked for."""
    typed = {
        place: _typed(recipe.parts[place], node, defaults)
        for place, node in nodes_of({section: recipe.sections[section]})
    }
    if not known_sections.SECTIONS[section].several:
        return typed[section]
    return {place.partition(".")[2]: node for place, node in typed.items()}


def _typed(part: Part, node: Mapping[str, Any], defaults: bool) -> dict[str, Any]:
    meaning = meaning_of(part.where)
    name = {"name": node["name"]} if meaning.home else {}
    supplied = {*meaning.given, *meaning.fixed}
    values = filled(part.constructor, part.values, leave=supplied) if defaults else part.values
    typed: dict[str, Any] = plain(name | values | dict.fromkeys(part.auto, AUTO))
    return typed


def _part(place: str, node: Mapping[str, Any], origins: Mapping[str, str]) -> Part:
    meaning = meaning_of(place)
    base: Any = imported(meaning.base, place) if meaning.base else None
    if meaning.target:
        constructor = imported(meaning.target, place)
    else:
        constructor = lookup(node.get("name"), place, meaning.home, base)
    values = validated(place, constructor, node, origins)
    known = arguments(constructor)
    auto = [key for key in left_to_plan(place, constructor, node) if key in known]
    part = Part(place, constructor, values, base, tuple(auto))
    if is_dataclass(constructor) and not meaning.given:
        part.construct()  # only options, so it costs nothing to ask what it refuses
    return part
