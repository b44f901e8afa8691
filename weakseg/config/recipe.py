"""Recipes: a YAML file and key=value words on top of it become the objects of a run. Imports no
torch until a class is needed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from importlib.resources.abc import Traversable
from typing import Any

from yaml.representer import RepresenterError

from weakseg.config.lookup import build, construct, imported, lookup, validated, wrong_name
from weakseg.config.schema import Constructor, arguments, filled
from weakseg.config.signatures import sketched
from weakseg.config.values import (
    Lines,
    RecipeError,
    Text,
    nearest,
    one_line,
    plain,
    read,
    read_yaml,
    shown,
    written,
)
from weakseg.config.words import OTHERS, Words, list_recipes, parse, source, usage, wrong_start

__all__ = [
    "SECTIONS",
    "Recipe",
    "RecipeError",
    "build",
    "build_section",
    "check",
    "check_spelling",
    "list_recipes",
    "load",
    "show",
    "to_yaml",
    "usage",
]

LARGEST = 2**20  # bytes of a recipe; those that come along have some hundreds


@dataclass(frozen=True)
class Section:
    """What a section of a recipe describes."""

    home: str = ""  # the package in whose NAMES its `name:` is looked up ...
    target: str = ""  # ... or the one class that it always means
    base: str = ""  # what a class of the user's has to be
    default: str = ""  # the name, where a recipe gives none
    given: tuple[str, ...] = ()  # arguments that the program supplies where the recipe does not
    fixed: tuple[str, ...] = ()  # arguments that only the program supplies
    kept: tuple[str, ...] = ()  # keys of the recipe that another name leaves as they are
    # what null is called by keys that have a value of their own for it
    none: Mapping[str, Any] = field(default_factory=dict)


SECTIONS = {
    "strategy": Section(
        "weakseg.strategies", base="weakseg.strategies.base.Strategy", given=("classes",)
    ),
    "network": Section("weakseg.networks", base="torch.nn.Module", given=("classes",)),
    "data": Section(
        "weakseg.data", base="weakseg.data.base.WeakData", kept=("evidence", "mask_share")
    ),
    "rounds": Section(target="weakseg.training.rounds.Rounds"),
    "optimizer": Section(
        "weakseg.optimizers", base="weakseg.optimizers.Optimizer", default="adamw"
    ),
    "predict": Section(target="weakseg.inference.multiscale.Inference"),
    "trainer": Section(
        target="pytorch_lightning.Trainer",
        given=("default_root_dir",),
        fixed=("logger", "callbacks", "plugins", "use_distributed_sampler"),
        none={"max_steps": -1},
    ),
    "logger": Section(
        "weakseg.reporting.loggers", base="weakseg.reporting.loggers.View", default="none"
    ),
}


@dataclass
class Recipe:
    """A recipe file with the command line's words on top; values still as they were written."""

    name: str
    sections: dict[str, dict[str, Any]]
    seed: int = 0
    # of every key that is not a default: "recipe" or "command line"
    origins: dict[str, str] = field(default_factory=dict)
    resume: str | None = None
    init_from: str | None = None
    processes: int | None = None  # with which a run may go on that was begun with another number
    file: str = ""
    lines: Lines = field(default_factory=dict)  # of the recipe's keys in that file

    def located(self, line: str) -> str:
        """An error line, with the line of the file when the value came from there."""
        key = line.partition(": ")[0]
        at = next((line for place, line in self.lines.items() if ".".join(place) == key), None)
        below = [
            origin
            for place, origin in self.origins.items()
            if place == key or place.startswith(f"{key}.")
        ]
        if at is None or "command line" in below:
            return line
        section = key.partition(".")[0]
        switched = self.origins.get(f"{section}.name") == "command line" and "no such key" in line
        drop = (
            f"; {section}={self.sections[section]['name']} without .name drops the recipe's keys"
            if switched
            else ""
        )
        return f"{line}{drop} ({self.file} line {at})"


def load(argv: Sequence[str], keep: bool = True) -> Recipe:
    """The recipe that the words of a command line ask for. Looks at sections and names only, which
    needs no torch.

    Values stay as they were written until `check`. Whatever is wrong is raised as one RecipeError.

    Arguments:
        argv: the words.
        keep: whether what the recipe says of the kind of its evidence holds for another data set,
            too.
    """
    words = parse(argv, SECTIONS, [name for name, section in SECTIONS.items() if section.home])
    values = words.values
    errors = words.errors + wrong_start(words.values)
    recipe = Recipe(
        "",
        {name: {} for name in SECTIONS},
        resume=_text(values, "resume"),
        init_from=_text(values, "init_from"),
    )
    content: dict[str, Any] = {}
    complete = False
    try:
        recipe.name, file = source(values)
        recipe.file = file.name if values.get("recipe") == recipe.name else str(file)
        content, recipe.lines = read_yaml(_bytes(file), recipe.file)
        complete = True
    except RecipeError as error:
        errors += error.errors
    errors += _set_processes(recipe, values.get("processes")) + _merge(recipe, content, words, keep)
    errors += [recipe.located(line) for line in _wrong_names(recipe, complete)]
    if errors:
        raise RecipeError(errors + _mistyped(recipe))
    return recipe


def _bytes(file: Traversable) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise RecipeError([f"{file}: {error.strerror}"]) from None
    if len(content) > LARGEST:
        raise RecipeError(
            [f"{file}: expected a recipe, a short text, but it has more than {LARGEST:,} bytes"]
        )
    return content


def _text(values: Mapping[str, Text], key: str) -> str | None:
    return str(values[key]) if key in values else None


def _merge(recipe: Recipe, content: Mapping[str, Any], words: Words, keep: bool) -> list[str]:
    """Fills the recipe from its file, then from the words; returns what is wrong with that."""
    errors = [
        recipe.located(line)
        for line in _take_file(
            recipe, {k: v for k, v in content.items() if k not in words.switched}
        )
    ]
    for key, text in words.values.items():
        section, *path = key.split(".")
        if section in SECTIONS and path:
            _put(recipe.sections[section], path, text)
        elif section in SECTIONS:
            errors.append(f"{key}: expected keys below it, such as {key}.<key>={text}")
        elif section in ("seed", *OTHERS) and path:
            errors.append(f"{key}: {section} has no keys below it; write {section}=<value>")
    kept = [
        place
        for section in words.switched
        if keep
        for place in _keep(recipe, section, content.get(section))
    ]
    recipe.lines = {
        place: line
        for place, line in recipe.lines.items()
        if place[0] not in words.switched or place in kept
    }
    seed = words.values.get("seed", content.get("seed", 0))
    everything = [
        *_paths(recipe.sections),
        *(["seed"] if "seed" in {**content, **words.values} else []),
    ]
    recipe.origins = {path: _origin(path, words) for path in everything}
    for name, meaning in SECTIONS.items():
        if meaning.default:
            recipe.sections[name] = {"name": meaning.default, **recipe.sections[name]}
        recipe.sections[name] |= {
            key: value
            for key, value in meaning.none.items()
            if _is_none(recipe.sections[name], key)
        }
    strangers = [key for key in content if key not in (*SECTIONS, "seed")]
    strangers += [
        key for key in words.values if key.partition(".")[0] not in (*SECTIONS, "seed", *OTHERS)
    ]
    return errors + [
        recipe.located(line)
        for line in [*_set_seed(recipe, seed), *(_stranger(recipe, key) for key in strangers)]
    ]


def _take_file(recipe: Recipe, content: Mapping[str, Any]) -> list[str]:
    errors = []
    for key, node in content.items():
        if key in SECTIONS and isinstance(node, str) and SECTIONS[key].home:
            recipe.sections[key] = {"name": node}
        elif key in SECTIONS and isinstance(node, dict):
            recipe.sections[key] = node
        elif key in SECTIONS and node is not None:
            errors.append(f"{key}: expected keys below it, but it is {shown(node)}")
    return errors


def _is_none(node: Mapping[str, Any], key: str) -> bool:
    return key in node and (node[key] is None or str(node[key]).lower() in ("null", "none"))


def _keep(recipe: Recipe, section: str, node: Any) -> list[tuple[str, str]]:
    """Keeps what a recipe says of the kind of its evidence when a word names another data set; the
    words may say otherwise.

    A mixture gives way to a data set that takes all there is, since that may be a mixture of its
    own.
    """
    constructor = _sketch(recipe, section) if isinstance(node, dict) else None
    known = {} if constructor is None else arguments(constructor)
    if "evidence" not in known or ("mask_share" in node and known["evidence"].default is None):
        return []
    kept = {
        key: node[key]
        for key in SECTIONS[section].kept
        if key in node and key in known and key not in recipe.sections[section]
    }
    recipe.sections[section] |= kept
    return [(section, key) for key in kept]


def _put(node: dict[str, Any], path: Sequence[str], value: Text) -> None:
    for part in path[:-1]:
        if not isinstance(node.get(part), dict):
            node[part] = {}
        node = node[part]
    node[path[-1]] = value


def _paths(node: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The dotted keys of all values."""
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _paths(value, f"{above}{key}.")
        elif value != {} or above:
            yield f"{above}{key}"


def _origin(path: str, words: Words) -> str:
    return (
        "command line"
        if any(f"{path}.".startswith(f"{key}.") for key in words.values)
        else "recipe"
    )


def _set_seed(recipe: Recipe, seed: Any) -> list[str]:
    number = read(int, seed) if isinstance(seed, str) else seed
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**32:
        return [f"seed: expected a whole number from 0 to {2**32 - 1}, but it is {shown(seed)}"]
    recipe.seed = number
    return []


def _set_processes(recipe: Recipe, text: Text | None) -> list[str]:
    number = None if text is None else read(int, text)
    if number is not None and (not isinstance(number, int) or number < 1):
        return [f"processes: expected a whole number from 1 on, but it is {shown(text)}"]
    recipe.processes = number
    return []


def _stranger(recipe: Recipe, key: str) -> str:
    """What to say of a key in no section; when some section has an argument of that name, that one
    is meant."""
    first, _, below = key.partition(".")
    if first in OTHERS:
        return f"{key}: belongs on the command line, not into a recipe"
    if first in SECTIONS:  # only a file's key gets here
        return (
            f"{key}: dots are for the command line; in a file write {below} in a line of its own, "
            f"indented, below {first}:"
        )
    for section in SECTIONS:
        constructor = _sketch(recipe, section)
        if constructor is not None and first in arguments(constructor):
            return f"{key}: no such section; did you mean {section}.{key}?"
    return (
        f"{key}: no such section{nearest(first, [*SECTIONS, 'seed', *OTHERS], 'the sections are')}"
    )


def _names(section: str) -> Mapping[str, str]:
    """The names that a section knows; none for a section that has no choice."""
    home = SECTIONS[section].home
    names: Mapping[str, str] = importlib.import_module(home).NAMES if home else {}
    return names


def _wrong_names(recipe: Recipe, complete: bool) -> list[str]:
    """One line per `name:` that is wrong; one that is missing counts only when the recipe could be
    read completely."""
    checked = [
        name
        for name in SECTIONS
        if SECTIONS[name].home and (complete or "name" in recipe.sections[name])
    ]
    wrong = {name: wrong_name(recipe.sections[name].get("name"), _names(name)) for name in checked}
    return [f"{name}.name: {message}" for name, message in wrong.items() if message]


def _sketch(recipe: Recipe, section: str) -> Constructor | None:
    """What the class of a section may be given, from its source; None when that cannot tell."""
    name = recipe.sections[section].get("name", "")
    dotted = SECTIONS[section].target or (
        _names(section).get(name, name) if isinstance(name, str) else ""
    )
    return sketched(dotted)


def _mistyped(recipe: Recipe) -> list[str]:
    """Mistyped keys and values as far as the sources of the classes tell, which takes no import."""
    lines: list[str] = []
    for section, meaning in SECTIONS.items():
        constructor = _sketch(recipe, section)
        if constructor is None:
            continue
        node = {
            key: value
            for key, value in recipe.sections[section].items()
            if key != "name" or not meaning.home
        }
        try:
            validated(constructor, node, section, meaning.given, meaning.fixed)
        except RecipeError as error:
            lines += error.errors
    return [recipe.located(line) for line in lines]


def check_spelling(recipe: Recipe) -> None:
    """Raises all mistyped keys and values of a recipe, as far as they can be told without importing
    torch, as one RecipeError."""
    if lines := _mistyped(recipe):
        raise RecipeError(lines)


def check(recipe: Recipe) -> None:
    """Turns all values into the types of the constructors; whatever is wrong in any section is
    raised as one RecipeError.

    What the sources of the classes tell is answered before torch is imported. What only the classes
    themselves refuse comes after that.
    """
    check_spelling(recipe)
    errors: list[str] = []
    for section, meaning in SECTIONS.items():
        name = {"name": plain(recipe.sections[section].get("name"))} if meaning.home else {}
        try:
            constructor, node = _constructor(recipe, section)
            values = validated(constructor, node, section, meaning.given, meaning.fixed)
            # only options, so it costs nothing to ask what it refuses
            if is_dataclass(constructor) and not meaning.given:
                construct(constructor, values, section, None, {})
            recipe.sections[section] = {**name, **plain(values)}
        except RecipeError as error:
            errors += error.errors
    if errors:
        raise RecipeError([recipe.located(line) for line in errors])


def _constructor(recipe: Recipe, section: str) -> tuple[Constructor, dict[str, Any]]:
    """The class or function of a section, and the arguments that the recipe has for it."""
    meaning = SECTIONS[section]
    node = dict(recipe.sections[section])
    if meaning.target:
        return imported(meaning.target, section), node
    return lookup(node.pop("name", None), section, meaning.home, _base(section)), node


def _base(section: str) -> Any:
    return imported(SECTIONS[section].base, section) if SECTIONS[section].base else None


def build_section(recipe: Recipe, section: str, **given: Any) -> Any:
    """The object that a section describes; `given` are arguments that the program supplies where
    the recipe does not."""
    constructor, node = _constructor(recipe, section)
    try:
        return construct(constructor, node, section, _base(section), given)
    except RecipeError as error:
        raise RecipeError([recipe.located(line) for line in error.errors]) from error.__cause__


def to_yaml(recipe: Recipe, defaults: bool = False) -> str:
    """The merged recipe as YAML that loads again to the same values; with the constructors'
    defaults, too, where asked for."""
    lines = [line for line, _ in _written(recipe, defaults, objects=False)]
    return "\n".join([f"# {recipe.name}, as it was run", *lines, ""])


def show(recipe: Recipe) -> str:
    """Every key of the recipe, and where its value comes from."""
    lines = _written(recipe, defaults=True, objects=True)
    width = max(len(line) for line, _ in lines)
    return "\n".join(f"{line:{width}}  # {origin}" if origin else line for line, origin in lines)


def _written(recipe: Recipe, defaults: bool, objects: bool) -> list[tuple[str, str]]:
    """Lines of YAML and where their values come from; `objects`: also those that YAML cannot hold,
    as text."""
    check(recipe)
    lines: list[tuple[str, str]] = []
    for section, meaning in SECTIONS.items():
        node = recipe.sections[section]
        if defaults:
            constructor, own = _constructor(recipe, section)
            name = {"name": node["name"]} if meaning.home else {}
            node = {
                **name,
                **plain(filled(constructor, own, leave={*meaning.given, *meaning.fixed})),
            }
        lines += _lines({section: node} if node else {}, "", "", recipe.origins, objects)
    return [*lines, (f"seed: {recipe.seed}", recipe.origins.get("seed", "default"))]


def _lines(
    node: Mapping[Any, Any], above: str, indent: str, origins: Mapping[str, str], objects: bool
) -> list[tuple[str, str]]:
    lines = []
    for key, value in node.items():
        path = f"{above}{key}"
        if isinstance(value, dict) and value:
            lines += [
                (f"{indent}{written(key)}:", ""),
                *_lines(value, f"{path}.", f"{indent}  ", origins, objects),
            ]
            continue
        try:
            lines.append(
                (f"{indent}{written(key)}: {written(value)}", origins.get(path, "default"))
            )
        except RepresenterError:
            if objects:
                lines.append((f"{indent}{written(key)}: {written(one_line(value))}", "default"))
    return lines
