"""The words of a command whose keys are the arguments of one Python function, and sections of a
recipe: `python -m weakseg.predict run=runs/boxes/latest images=photos predict.flip=true`."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from os.path import isfile
from pathlib import Path
from typing import Any

from weakseg.config.recipe import (
    NAMED,
    SECTIONS,
    Recipe,
    RecipeError,
    changed,
    load,
    resolve,
    show_sections,
)
from weakseg.config.schema import REQUIRED, Constructor, arguments, validate
from weakseg.config.signatures import docstring, sketched
from weakseg.config.values import plain, written
from weakseg.config.words import Grammar, parse
from weakseg.utils.command import load_torch, own_environment, print_and_exit, print_mistakes
from weakseg.utils.messages import suggest

WIDTH = 100
FLAGS = ("--help", "--show")
# words that name where the values of sections come from, if no word changes them
STARTS = ("recipe", "run")


@dataclass(frozen=True)
class Verb:
    """A command: one function, whose arguments are its words."""

    name: str
    """as in `python -m weakseg.<name>`"""
    function: str
    """its dotted name; signature and docstring are read from its source"""
    sections: tuple[str, ...] = ()
    """those sections of a recipe whose keys are words too. The function has an argument of the name
    of each, which becomes a mapping of what the words say, or stays at its default"""
    examples: tuple[str, ...] = ()
    """words of useful calls, for --help"""
    check: str = ""
    """the dotted name of a function that some of the arguments are given to before torch is
    imported, and that raises a RecipeError if they cannot be right; empty for none"""
    mappings: tuple[str, ...] = ()
    """those arguments that are mappings, with keys of their own below them: grid.share=[0.2,0.3]"""

    @property
    def signature(self) -> Constructor:
        """A stand-in with the arguments of the function."""
        found = sketched(self.function)
        if found is None:
            raise ValueError(f"{self.function} has no source whose arguments can be read")
        return found

    @property
    def keys(self) -> list[str]:
        """The words that have no keys below them."""
        deeper = (*self.sections, *self.mappings)
        return [name for name in arguments(self.signature) if name not in deeper]


@dataclass(frozen=True)
class Request:
    """What the words of a command say."""

    values: dict[str, Any]
    """arguments of the function, those that were given, with their types"""
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    """by section the words below it, still as they were written"""
    recipe: Recipe | None = None
    """whose sections the words change; None where none is named"""
    mappings: dict[str, dict[str, str]] = field(default_factory=dict)
    """by argument the words below it, as they were written"""

    @property
    def given(self) -> dict[str, Any]:
        """What the function is called with."""
        return {**self.values, **self.sections, **self.mappings}


@contextmanager
def words_of(
    verb: Verb, argv: Sequence[str], secrets: dict[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """The arguments that the words of a command line give to its function; for a `with` around its
    call. Mistakes, also those that the function finds, are printed and exit with code 2; --help and
    --show are answered.

    Args:
        verb: the command.
        argv: its words.
        secrets: is filled with the sections whose secrets no message may show.
    """
    hidden: dict[str, Any] = {} if secrets is None else secrets
    flags = {word for word in argv if word.startswith("-")}
    try:
        if not argv or flags & {"--help", "-h"}:
            print_and_exit(usage(verb))
        with own_environment():
            request = read_words(verb, [word for word in argv if word != "--show"], hidden)
            _check(verb, request)
            load_torch()  # a mistyped word was answered without it
            if "--show" in flags:
                print_and_exit(show(verb, request))
            yield request.given
    except RecipeError as error:
        raise SystemExit(print_mistakes(error.errors, hidden)) from None


def _check(verb: Verb, request: Request) -> None:
    if not verb.check:
        return
    module, _, name = verb.check.rpartition(".")
    function = getattr(import_module(module), name)
    wanted = inspect.signature(function).parameters
    function(**{key: value for key, value in request.given.items() if key in wanted})


def read_words(verb: Verb, argv: Sequence[str], secrets: dict[str, Any] | None = None) -> Request:
    """What the words say; whatever is wrong with them is raised as one RecipeError. Needs no
    torch."""
    own = verb.keys
    named = [section for section in verb.sections if section in NAMED]
    example = verb.examples[0].split()[0] if verb.examples else "key=value"
    known = (*verb.sections, *verb.mappings)
    words = parse(argv, Grammar(known, named, own, flags=FLAGS, example=example))
    errors = list(words.errors)
    node: dict[str, Any] = {}
    sections: dict[str, dict[str, Any]] = {}
    mappings: dict[str, dict[str, str]] = {}
    for key, value in words.values.items():
        section, _, below = key.partition(".")
        if section in verb.sections and below:
            sections.setdefault(section, {})[below] = value
        elif section in verb.mappings and below:
            mappings.setdefault(section, {})[below] = str(value)
        elif section in known:
            errors.append(f"{key}: expected keys below it, such as {key}.<key>={value}")
        elif section in own and below:
            errors.append(f"{key}: {section} has no keys below it; write {section}=<value>")
        elif section in own:
            node[key] = value
        else:
            errors.append(_unknown(verb, key))
    if secrets is not None:
        secrets |= sections
    values: dict[str, Any] = {}
    try:
        values = validate(verb.signature, node, given=known)
    except RecipeError as error:
        errors += error.errors
    recipe = None
    try:
        recipe = _recipe(node)
        if recipe is not None and secrets is not None:
            secrets |= recipe.sections
        for section, values_below in sections.items():
            recipe = _changed(recipe, section, values_below)
    except RecipeError as error:
        errors += error.errors
    if errors:
        raise RecipeError(list(dict.fromkeys(errors)))
    return Request(values, sections, recipe, mappings)


def usage(verb: Verb) -> str:
    """What --help says: the function's own words on its arguments."""
    text = inspect.cleandoc(docstring(verb.function))
    known = {
        name: argument for name, argument in arguments(verb.signature).items() if name in verb.keys
    }
    told = _told(text)
    needed = [f"{name}=<...>" for name, item in known.items() if item.default is REQUIRED]
    lines = [f"usage: python -m weakseg.{verb.name} {' '.join([*needed, '[key=value ...]'])}", ""]
    lines += textwrap.wrap(" ".join(text.partition("\n\n")[0].split()), WIDTH)
    lines.append("")
    rows = [
        (
            f"{name}={'<...>' if item.default is REQUIRED else written(plain(item.default))}",
            told.get(name, ""),
        )
        for name, item in known.items()
    ]
    for section in verb.sections:
        rows.append(
            (f"{section}.<key>=<...>", told.get(section, f"a key of the section {section}"))
        )
    rows += [(f"{name}.<key>=<...>", told.get(name, "")) for name in verb.mappings]
    rows += [("--help", "this text"), ("--show", "every word and where its value comes from")]
    column = min(26, max(len(word) for word, _ in rows))
    for word, meaning in rows:
        lines += _row(word, meaning, column)
    lines += ["", "for example:", *(f"  python -m weakseg.{verb.name} {e}" for e in verb.examples)]
    return "\n".join(lines if verb.examples else lines[:-2])


def show(verb: Verb, request: Request) -> str:
    """Every word with its value and where that comes from."""
    rows = []
    for name, argument in arguments(verb.signature).items():
        if name in request.values:
            rows.append((f"{name}: {written(plain(request.values[name]))}", "command line"))
        elif name in verb.mappings:
            below = request.mappings.get(name, {})
            rows += [(f"{name}.{key}: {value}", "command line") for key, value in below.items()]
        elif name not in verb.sections:
            rows.append((f"{name}: {written(plain(argument.default))}", "default"))
    width = max(len(line) for line, _ in rows)
    lines = [f"{line:{width}}  # {origin}" for line, origin in rows]
    if request.recipe is not None:
        lines.append(show_sections(resolve(request.recipe, verb.sections)))
    return "\n".join(lines)


def _unknown(verb: Verb, key: str) -> str:
    """What to say of a word that the verb does not have; a key of a section may be meant."""
    first = key.partition(".")[0]
    for section in verb.sections:
        target = SECTIONS[section].target
        constructor = sketched(target) if target else None
        if constructor is not None and first in arguments(constructor):
            return f"{key}: no such word; did you mean {section}.{key}?"
    known = [*verb.keys, *verb.mappings, *verb.sections]
    return f"{key}: no such word{suggest(first, known, 'there are')}"


def _recipe(node: Mapping[str, Any]) -> Recipe | None:
    """The recipe that a word names, or that stands in the folder of a run; None for neither."""
    if "recipe" in node:
        return load([f"recipe={node['recipe']}"])
    run = str(node.get("run", ""))
    for folder in (Path(run), *Path(run).parents[:2]):
        if run and isfile(folder / "recipe.yaml"):
            return load([f"resume={folder}"])
    return None


def _changed(recipe: Recipe | None, section: str, below: Mapping[str, Any]) -> Recipe | None:
    """The recipe with the words of a section. Without one the words are checked alone, where the
    class of the section is known."""
    if recipe is not None:
        return changed(recipe, section, below)
    if SECTIONS[section].home and "name" not in below:
        return None
    changed(_EMPTY, section, below)
    return None


_EMPTY = Recipe("", {section: {} for section in SECTIONS})


def _told(text: str) -> dict[str, str]:
    """What a docstring says of each argument below Args."""
    found: dict[str, str] = {}
    name = ""
    for line in text.partition("\nArgs:\n")[2].splitlines():
        if line and not line.startswith(" "):
            break  # another heading, or text behind the arguments
        start = re.match(r"    (\w+): (.*)", line)
        if start:
            name = start[1]
            found[name] = start[2]
        elif name:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def _row(word: str, meaning: str, column: int) -> list[str]:
    """A word and what it means, in two columns."""
    lines = textwrap.wrap(meaning, WIDTH - column - 4) or [""]
    if len(word) > column:
        return [f"  {word}", *(f"  {'':{column}}  {line}" for line in lines)]
    first, *others = lines
    return [f"  {word:{column}}  {first}".rstrip(), *(f"  {'':{column}}  {o}" for o in others)]
