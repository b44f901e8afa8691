"""The words of a command line above the content of a recipe's file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from weakseg.config import sections as known_sections
from weakseg.config.auto import STAY, is_auto
from weakseg.config.schema import arguments
from weakseg.config.sections import Recipe, names_of
from weakseg.config.several import by_key, named_nodes, open_node, renamed
from weakseg.config.spelling import from_source, unknown_key
from weakseg.config.values import Text, read
from weakseg.config.words import OTHERS, Words
from weakseg.utils.messages import quoted


def merge(
    words: Words, content: Mapping[str, Any], empty: Recipe, keep: bool
) -> tuple[Recipe, list[str]]:
    """The recipe, the words above the content of its file, and what is wrong with that."""
    values = words.values
    sections, places, errors = _sections(words, content)
    errors += _name_several(sections)
    switched = words.switched & known_sections.SECTIONS.keys()
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
    known = (*known_sections.SECTIONS, "seed")
    unknown_keys = [key for key in content if key not in known]
    unknown_keys += [key for key in values if key.partition(".")[0] not in (*known, *OTHERS)]
    errors += wrong_processes + wrong_seed
    return recipe, errors + [unknown_key(recipe, key) for key in unknown_keys]


def _sections(
    words: Words, content: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, str]], list[str]]:
    """The sections as they are written: those of the file whose name no word changes, and above
    them the words; of those that are lists, which entry became which key; and what is wrong."""
    sections: dict[str, dict[str, Any]] = {section: {} for section in known_sections.SECTIONS}
    places: dict[str, dict[str, str]] = {}
    errors: list[str] = []
    for key, node in content.items():
        if key not in known_sections.SECTIONS or key in words.switched or node is None:
            continue
        if known_sections.SECTIONS[key].several:
            entries, places[key], wrong = by_key(key, node)
            sections[key] = {
                name: entry for name, entry in entries.items() if not _replaced((key, name), words)
            }
            errors += wrong
        elif isinstance(node, dict):
            sections[key] = node
        elif isinstance(node, str) and known_sections.SECTIONS[key].home:
            sections[key] = {"name": node}
        else:
            errors.append(f"{key}: expected keys below it, but it is {quoted(node)}")
    for key, text in words.values.items():
        section, *path = key.split(".")
        if section in known_sections.SECTIONS and known_sections.SECTIONS[section].several:
            _put_several(sections, section, path, text)
        elif section in known_sections.SECTIONS and path:
            _put(sections[section], path, text)
        elif section in known_sections.SECTIONS:
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
    for section, meaning in known_sections.SECTIONS.items():
        if meaning.several:
            entries, _, wrong = by_key(section, sections[section])
            sections[section], wrong_nodes = named_nodes(section, entries, names_of(section))
            errors += wrong + wrong_nodes
    return errors


def _from_words(
    values: Mapping[str, Text], sections: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """The keys that the words give; of a word for all of a section or object, those below it."""
    given = [key for key in values if key not in OTHERS]
    for section, meaning in known_sections.SECTIONS.items():
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
        constructor = from_source(section, {"evidence": None} | sections[section])
        if constructor is None or not isinstance(node, dict):
            continue
        known = arguments(constructor)
        if "evidence" in known and not ("mask_share" in node and known["evidence"].default is None):
            for key in known_sections.SECTIONS[section].kept:
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
        if not isinstance(node, dict) or (section != "data" and name not in names_of(section)):
            continue
        constructor = from_source(section, dict.fromkeys(STAY.get(section, ())) | sections[section])
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
    for name, meaning in known_sections.SECTIONS.items():
        if meaning.default:
            sections[name] = {"name": meaning.default, **sections[name]}
        for key, value in meaning.none.items():
            if str(sections[name].get(key, "")).lower() in ("null", "none"):
                sections[name][key] = value
