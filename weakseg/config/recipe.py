"""Recipes: `load` reads a YAML file and the key=value words on top of it, `resolve` turns them
into classes and the values of their arguments. Only `resolve` imports classes, and so torch."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from importlib.resources.abc import Traversable
from numbers import Real
from typing import Annotated, Any

from annotated_types import Ge, Gt
from yaml.representer import RepresenterError

from weakseg.config.auto import (
    AUTO,
    STAY,
    is_auto,
    known_value,
    left_to_plan,
    reason,
    with_keys_that_may,
)
from weakseg.config.common_keys import sketch_with_common_keys
from weakseg.config.known_lengths import with_known_lengths
from weakseg.config.lengths_shown import pixels_of_shares
from weakseg.config.lookup import Part, build, imported, lookup, wrong_name
from weakseg.config.schema import OURS, Constructor, arguments, filled, validate
from weakseg.config.several import by_key, named_nodes, open_node, renamed
from weakseg.config.signatures import sketched
from weakseg.config.values import Lines, RecipeError, Text, plain, read, read_yaml, written
from weakseg.config.words import (
    OTHERS,
    Grammar,
    Words,
    list_recipes,
    parse,
    source,
    usage,
    wrong_start,
)
from weakseg.utils.limits import refusal
from weakseg.utils.messages import one_line, quoted, suggest

__all__ = [
    "SECTIONS",
    "Recipe",
    "RecipeError",
    "Resolved",
    "build",
    "build_section",
    "changed",
    "check_spelling",
    "list_recipes",
    "load",
    "resolve",
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
    # arguments that only the program supplies; as a mapping, with what to write instead
    fixed: Collection[str] = ()
    kept: tuple[str, ...] = ()  # keys of the recipe that another name leaves as they are
    # what null is called by keys that have a value of their own for it
    none: Mapping[str, Any] = field(default_factory=dict)
    # ranges of numbers for arguments of a class that is not ours
    limits: Mapping[str, Any] = field(default_factory=dict)
    several: bool = False  # any number of objects, each below a key of its own


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
        fixed={
            "logger": "write logger=<name>, a section of its own",
            "callbacks": "write callbacks.<name>.<key>=<value>, a section of its own",
            "plugins": OURS,
            "use_distributed_sampler": OURS,
        },
        none={"max_steps": -1},
        limits={
            "val_check_interval": Annotated[float, Gt(0)],
            "check_val_every_n_epoch": Annotated[int, Ge(1)],
            "accumulate_grad_batches": Annotated[int, Ge(1)],
            "gradient_clip_val": Annotated[float, Ge(0)],
            "log_every_n_steps": Annotated[int, Ge(0)],
        },
    ),
    "callbacks": Section(
        "weakseg.training.callbacks", base="pytorch_lightning.Callback", several=True
    ),
    "logger": Section(
        "weakseg.reporting.loggers", base="weakseg.reporting.loggers.View", default="none"
    ),
}


NAMED = [name for name, section in SECTIONS.items() if section.home and not section.several]
SEVERAL = [name for name, section in SECTIONS.items() if section.several]


@dataclass(frozen=True)
class Recipe:
    """A recipe file with the command line's words on top; values still as they were written."""

    name: str
    sections: dict[str, dict[str, Any]]
    seed: int = 0
    resume: str | None = None
    init_from: str | None = None
    processes: int | None = None  # with which a run may go on that was begun with another number
    # of every key that is not a default: "recipe" or "command line"
    origins: dict[str, str] = field(default_factory=dict)
    file: str = ""
    lines: Lines = field(default_factory=dict)  # of the recipe's keys in that file
    words: tuple[str, ...] = ()  # of the command line

    def located(self, errors: Iterable[str]) -> list[str]:
        """Lines about a key, with the line of the file where the value came from there."""
        return [self._located(line) for line in errors]

    def _located(self, line: str) -> str:
        key = line.partition(": ")[0]
        at = next((line for place, line in self.lines.items() if ".".join(place) == key), None)
        below = [self.origins[path] for path in self.origins if f"{path}.".startswith(f"{key}.")]
        if at is None or "command line" in below:
            return line
        section = key.partition(".")[0]
        drop = ""
        if self.origins.get(f"{section}.name") == "command line" and "no such key" in line:
            name = self.sections[section]["name"]
            drop = f"; {section}={name} without .name drops the recipe's keys"
        return f"{line}{drop} ({self.file} line {at})"


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
        typed = {section: _section(planned, section, defaults=False) for section in sections}
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
    words = parse(argv, Grammar(SECTIONS, NAMED, several=SEVERAL))
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
    recipe, wrong = _merge(words, content or {}, empty, keep)
    errors += recipe.located(wrong + _wrong_names(recipe, complete=content is not None))
    if errors:
        raise RecipeError(errors + _mistyped(recipe))
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
    merged, errors = _merge(Words(words, switched, []), recipe.sections, recipe, keep=True)
    merged = replace(
        merged,
        origins=recipe.origins | merged.origins,
        seed=recipe.seed,
        resume=recipe.resume,
        init_from=recipe.init_from,
        processes=recipe.processes,
    )
    errors += [line for line in _wrong_names(merged, True) if line.startswith(f"{section}.")]
    if errors := merged.located(errors) or _mistyped(merged, [section]):
        raise RecipeError(errors)
    return merged


def build_section(
    section: str, node: Mapping[str, Any], values: Mapping[str, Any], **given: Any
) -> Any:
    """The object that a section of a recipe describes, with other values above it, as in
    `changed`."""
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
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


def _merge(
    words: Words, content: Mapping[str, Any], empty: Recipe, keep: bool
) -> tuple[Recipe, list[str]]:
    """The recipe, the words above the content of its file, and what is wrong with that."""
    values = words.values
    sections, places, errors = _sections(words, content)
    errors += _name_several(sections)
    switched = words.switched & SECTIONS.keys()
    kept = _keep_evidence(sections, content, switched) if keep else []
    kept += _keep_auto(sections, content, switched)
    _add_defaults(sections)
    seed, wrong_seed = _whole_number(
        "seed", values.get("seed", content.get("seed", 0)), 0, 2**32 - 1
    )
    processes, wrong_processes = _whole_number("processes", values.get("processes", 1), 1)
    lines = {
        renamed(place, places): line
        for place, line in empty.lines.items()
        if not _replaced(renamed(place, places), words) or place in kept
    }
    for key in content:
        if isinstance(content[key], str) and (key,) in lines:  # short for its name
            lines[key, "name"] = lines[key,]
    origins = {".".join(place): "recipe" for place in lines}
    origins |= _from_words(values, sections)
    recipe = replace(
        empty,
        sections=sections,
        seed=seed,
        resume=values.get("resume"),
        init_from=values.get("init_from"),
        processes=processes if "processes" in values else None,
        origins=origins,
        lines=lines,
    )
    known = (*SECTIONS, "seed")
    unknown_keys = [key for key in content if key not in known]
    unknown_keys += [key for key in values if key.partition(".")[0] not in (*known, *OTHERS)]
    errors += wrong_processes + wrong_seed
    return recipe, errors + [_unknown_key(recipe, key) for key in unknown_keys]


def _sections(
    words: Words, content: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, str]], list[str]]:
    """The sections as they are written: those of the file whose name no word changes, and above
    them the words; of those that are lists, which entry became which key; and what is wrong."""
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    places: dict[str, dict[str, str]] = {}
    errors: list[str] = []
    for key, node in content.items():
        if key not in SECTIONS or key in words.switched or node is None:
            continue
        if SECTIONS[key].several:
            entries, places[key], wrong = by_key(key, node)
            sections[key] = {
                name: entry for name, entry in entries.items() if not _replaced((key, name), words)
            }
            errors += wrong
        elif isinstance(node, dict):
            sections[key] = node
        elif isinstance(node, str) and SECTIONS[key].home:
            sections[key] = {"name": node}
        else:
            errors.append(f"{key}: expected keys below it, but it is {quoted(node)}")
    for key, text in words.values.items():
        section, *path = key.split(".")
        if section in SECTIONS and SECTIONS[section].several:
            _put_several(sections, section, path, text)
        elif section in SECTIONS and path:
            _put(sections[section], path, text)
        elif section in SECTIONS:
            errors.append(f"{key}: expected keys below it, such as {key}.<key>={text}")
        elif section in ("seed", *OTHERS) and path:
            errors.append(f"{key}: {section} has no keys below it; write {section}=<value>")
    return sections, places, errors


def _replaced(place: Sequence[str], words: Words) -> bool:
    """Whether a word names another class for what a file describes at this place."""
    return bool({place[0], ".".join(place[:2])} & words.switched)


def _put(node: dict[str, Any], path: Sequence[str], value: Text) -> None:
    for part in path[:-1]:
        if not isinstance(node.get(part), dict):
            node[part] = {}
        node = node[part]
    node[path[-1]] = value


def _put_several(sections: dict[str, Any], section: str, path: Sequence[str], value: Text) -> None:
    """A word about a section of several objects: all of it, one of them, or an argument of one."""
    if not path:
        sections[section] = value
        return
    node = sections[section]
    if not isinstance(node, dict):  # another word is all of it, which is a mistake of its own
        return
    if len(path) > 1 and path[0] in node:
        node[path[0]] = open_node(node[path[0]])
    _put(node, path, value)


def _name_several(sections: dict[str, dict[str, Any]]) -> list[str]:
    """Gives each object of a section of several its name. Returns what is wrong."""
    errors: list[str] = []
    for section, meaning in SECTIONS.items():
        if meaning.several:
            entries, _, wrong = by_key(section, sections[section])
            sections[section], wrong_nodes = named_nodes(section, entries, _names(section))
            errors += wrong + wrong_nodes
    return errors


def _from_words(
    values: Mapping[str, Text], sections: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """The keys that the words give; of a word for all of a section or object, those below it."""
    given = [key for key in values if key not in OTHERS]
    for section, meaning in SECTIONS.items():
        if meaning.several:
            for key, node in sections[section].items():
                above = {section, f"{section}.{key}"} & set(given)
                given += [f"{section}.{key}.{name}" for name in node if above]
    return dict.fromkeys(given, "command line")


def _keep_evidence(
    sections: Mapping[str, dict[str, Any]], content: Mapping[str, Any], switched: Iterable[str]
) -> list[tuple[str, str]]:
    """Keeps what a recipe says of the kind of its evidence when a word names another data set; the
    words may say otherwise. Returns the keys that stay.

    A mixture gives way to a data set that takes all there is, since that may be a mixture of its
    own.
    """
    kept = []
    for section in switched:
        node = content.get(section)
        constructor = _from_source(section, {"evidence": None} | sections[section])
        if constructor is None or not isinstance(node, dict):
            continue
        known = arguments(constructor)
        if "evidence" in known and not ("mask_share" in node and known["evidence"].default is None):
            for key in SECTIONS[section].kept:
                if key in node and key in known and key not in sections[section]:
                    sections[section][key] = node[key]
                    kept.append((section, key))
    return kept


def _keep_auto(
    sections: Mapping[str, dict[str, Any]], content: Mapping[str, Any], switched: Iterable[str]
) -> list[tuple[str, str]]:
    """Keeps what a recipe leaves to the data and the machine when a word names another data set,
    or another network or optimizer of ours. Returns the keys that stay."""
    kept = []
    for section in switched:
        node = content.get(section)
        name = sections[section].get("name")
        if not isinstance(node, dict) or (section != "data" and name not in _names(section)):
            continue
        constructor = _from_source(
            section, dict.fromkeys(STAY.get(section, ())) | sections[section]
        )
        for key in STAY.get(section, ()):
            known = constructor is None or key in arguments(constructor)
            if is_auto(node.get(key)) and known and key not in sections[section]:
                sections[section][key] = node[key]
                kept.append((section, key))
    return kept


def _whole_number(
    key: str, value: Any, least: int, most: int | None = None
) -> tuple[int, list[str]]:
    """A whole number, and what is wrong with it."""
    number = read(int, value) if isinstance(value, str) else value
    right = isinstance(number, int) and not isinstance(number, bool) and number >= least
    if right and (most is None or number <= most):
        return number, []
    reach = "on" if most is None else f"to {most}"
    wrong = f"expected a whole number from {least} {reach}, but it is {quoted(value)}"
    return least, [f"{key}: {wrong}"]


def _add_defaults(sections: dict[str, dict[str, Any]]) -> None:
    for name, meaning in SECTIONS.items():
        if meaning.default:
            sections[name] = {"name": meaning.default, **sections[name]}
        for key, value in meaning.none.items():
            if str(sections[name].get(key, "")).lower() in ("null", "none"):
                sections[name][key] = value


def _unknown_key(recipe: Recipe, key: str) -> str:
    """What to say of a key in no section; when some section has an argument of that name, that one
    is meant."""
    first, _, below = key.partition(".")
    if first in OTHERS:
        return f"{key}: belongs on the command line, not into a recipe"
    if first in SECTIONS:  # only a file's key gets here
        line = f"in a file write {below} in a line of its own, indented, below {first}:"
        return f"{key}: dots are for the command line; {line}"
    for place, node in _nodes(recipe.sections):
        constructor = _from_source(place, node)
        if constructor is not None and first in arguments(constructor):
            return f"{key}: no such section; did you mean {place}.{key}?"
    others = [*SECTIONS, "seed", *OTHERS]
    return f"{key}: no such section{suggest(first, others, 'the sections are')}"


def _wrong_names(recipe: Recipe, complete: bool) -> list[str]:
    """One line per `name:` that is wrong; one that is missing counts only when the recipe could be
    read completely."""
    lines = []
    for section, node in recipe.sections.items():
        meaning = SECTIONS[section]
        if meaning.home and not meaning.several and (complete or "name" in node):
            wrong = wrong_name(node.get("name"), _names(section))
            lines += [f"{section}.name: {wrong}"] if wrong else []
    return lines


def _names(place: str) -> Mapping[str, str]:
    """The names that a section knows; none for a section that has no choice."""
    home = _meaning(place).home
    names: Mapping[str, str] = importlib.import_module(home).NAMES if home else {}
    return names


def _meaning(place: str) -> Section:
    """What is described at a place of a recipe, such as strategy or callbacks.mine."""
    return SECTIONS[place.partition(".")[0]]


def _nodes(sections: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The place and the arguments of every object that sections describe."""
    for section, node in sections.items():
        if SECTIONS[section].several:
            yield from ((f"{section}.{key}", below) for key, below in node.items())
        else:
            yield section, node


def _from_source(place: str, node: Mapping[str, Any]) -> Constructor | None:
    """A stand-in for the class of an object, from its source; None when that cannot tell."""
    meaning = _meaning(place)
    name = node.get("name", "")
    known = _names(place).get(name, name) if isinstance(name, str) else ""
    wanted = [key for key in node if key != "name" or not meaning.home]
    sketch = sketched(meaning.target or known, wanted)
    return sketch and sketch_with_common_keys(sketch, known, meaning.home)


def _mistyped(recipe: Recipe, only: Collection[str] = SECTIONS.keys()) -> list[str]:
    """Mistyped keys and values as far as the sources of the classes tell, which takes no import."""
    lines: list[str] = []
    for place, node in _nodes(recipe.sections):
        constructor = _from_source(place, node) if place.partition(".")[0] in only else None
        if constructor is not None:
            try:
                _validated(place, constructor, node, recipe.origins)
            except RecipeError as error:
                lines += error.errors
    return recipe.located(lines)


def _validated(
    place: str, constructor: Constructor, node: Mapping[str, Any], origins: Mapping[str, str]
) -> dict[str, Any]:
    """The values of an object as the types of its arguments, but for what is auto. What a file
    leaves to a plan may be more than its class knows, since another one may take its place."""
    meaning = _meaning(place)
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


def check_spelling(recipe: Recipe) -> None:
    """Raises all mistyped keys and values of a recipe, as far as they can be told without importing
    torch, as one RecipeError."""
    if lines := _mistyped(recipe):
        raise RecipeError(lines)


def resolve(recipe: Recipe, sections: Iterable[str] | None = None) -> Resolved:
    """The recipe with its classes imported and all values as the types of their arguments; whatever
    is wrong in any section is raised as one RecipeError.

    Args:
        recipe: as it was loaded.
        sections: those that are wanted; None for all.
    """
    parts: dict[str, Part] = {}
    errors: list[str] = []
    wanted = SECTIONS if sections is None else list(sections)
    recipe = _with_known_settings(recipe, wanted)
    if "strategy" in wanted:
        strategy, origins = with_known_lengths(recipe.sections["strategy"], _data_class(recipe))
        known = recipe.sections | {"strategy": strategy}
        recipe = replace(recipe, sections=known, origins=recipe.origins | origins)
    for place, node in _nodes({section: recipe.sections[section] for section in wanted}):
        try:
            parts[place] = _part(place, node, recipe.origins)
        except RecipeError as error:
            errors += error.errors
    if errors:
        raise RecipeError(recipe.located(errors))
    resolved = Resolved(**vars(recipe), parts=parts)
    typed = {section: _section(resolved, section, defaults=False) for section in wanted}
    return replace(resolved, sections=recipe.sections | typed)


def _with_known_settings(recipe: Recipe, wanted: Iterable[str]) -> Recipe:
    """The recipe with what the class of its data set knows to suit it in place of `auto`."""
    found = [
        f"{section}.{key}"
        for section in wanted
        if not SECTIONS[section].several
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
        return lookup(recipe.sections["data"].get("name"), "data", SECTIONS["data"].home)
    except RecipeError:
        return None


def _section(recipe: Resolved, section: str, defaults: bool) -> dict[str, Any]:
    """What a section says, its values as the types of their arguments; with the defaults of all
    others, too, where asked for."""
    typed = {
        place: _typed(recipe.parts[place], node, defaults)
        for place, node in _nodes({section: recipe.sections[section]})
    }
    if not SECTIONS[section].several:
        return typed[section]
    return {place.partition(".")[2]: node for place, node in typed.items()}


def _typed(part: Part, node: Mapping[str, Any], defaults: bool) -> dict[str, Any]:
    meaning = _meaning(part.where)
    name = {"name": node["name"]} if meaning.home else {}
    supplied = {*meaning.given, *meaning.fixed}
    values = filled(part.constructor, part.values, leave=supplied) if defaults else part.values
    typed: dict[str, Any] = plain(name | values | dict.fromkeys(part.auto, AUTO))
    return typed


def _part(place: str, node: Mapping[str, Any], origins: Mapping[str, str]) -> Part:
    meaning = _meaning(place)
    base: Any = imported(meaning.base, place) if meaning.base else None
    if meaning.target:
        constructor = imported(meaning.target, place)
    else:
        constructor = lookup(node.get("name"), place, meaning.home, base)
    values = _validated(place, constructor, node, origins)
    known = arguments(constructor)
    auto = [key for key in left_to_plan(place, constructor, node) if key in known]
    part = Part(place, constructor, values, base, tuple(auto))
    if is_dataclass(constructor) and not meaning.given:
        part.construct()  # only options, so it costs nothing to ask what it refuses
    return part


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
        node = _section(recipe, section, defaults)
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
