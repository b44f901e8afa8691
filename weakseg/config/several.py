"""A section that describes any number of objects, such as `callbacks`: each below a key of its own,
which is also its name where none is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weakseg.config.lookup import wrong_name
from weakseg.config.values import Text, read
from weakseg.utils.messages import did_you_mean, quoted

Nodes = dict[str, dict[str, Any]]
OWN = "my_module.MyClass"


def by_key(section: str, written: Any) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """What a section says of each object by its key, which entry of a list became which key, and
    what is wrong.

    Args:
        section: its name.
        written: keys with arguments below them, or a list of names and of arguments with names.
    """
    if isinstance(written, str):
        written = read(dict[str, Any] | list[Any] | None, written)
    if written is None or switch(written) is False:
        return {}, {}, []
    if isinstance(written, Mapping):
        return dict(written), {}, []
    if not isinstance(written, list):
        wrong = f"expected keys below it, or a list of names, but it is {quoted(written)}"
        return {}, {}, [f"{section}: {wrong}"]
    entries: dict[str, Any] = {}
    places: dict[str, str] = {}
    for place, item in enumerate(written):
        key = _key_of(item, entries)
        entries[key] = item
        places[str(place)] = key
    return entries, places, []


def _key_of(item: Any, taken: Mapping[str, Any]) -> str:
    """What an entry of a list is called: the last part of its name, with a number where that is
    taken."""
    name = item.get("name", "") if isinstance(item, Mapping) else item
    first = str(name).rpartition(".")[2] or "1"
    keys = [first, *(f"{first}_{number}" for number in range(2, len(taken) + 2))]
    return next(key for key in keys if key not in taken)


def named_nodes(
    section: str, entries: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[Nodes, list[str]]:
    """The arguments of each object with its name, without those that are switched off; and what is
    wrong.

    Args:
        section: its name.
        entries: by their keys: arguments, no more than a name, or true and false.
        names: those that need no dot.
    """
    nodes: Nodes = {}
    errors = []
    for key, value in entries.items():
        node, wrong = _node(f"{section}.{key}", key, value, names)
        errors += [wrong] if wrong else []
        if node is not None:
            nodes[key] = node
    return nodes, errors


def _node(
    where: str, key: str, value: Any, names: Mapping[str, str]
) -> tuple[dict[str, Any] | None, str]:
    if "." in key:
        return None, f"{where}: dots are for the command line; in a file indent what is below"
    on = switch(value)
    if on is False:
        return None, ""
    if value is None:
        return None, f"{where}: there is nothing below it; write {key}: true, or false for none"
    node = open_node({} if on else value)
    if not isinstance(node, Mapping):
        return None, f"{where}: expected keys below it, but it is {quoted(value)}"
    node = {"name": key, **node} if key in names else dict(node)
    return node, _wrong_name(where, key, node, names)


def open_node(value: Any) -> Any:
    """An entry as arguments that others can be put beside: of one that is no more than a name, or
    that is switched on or off."""
    if switch(value) is not None:
        return {}
    return {"name": value} if isinstance(value, str) else value


def _wrong_name(where: str, key: str, node: Mapping[str, Any], names: Mapping[str, str]) -> str:
    if "name" in node:
        wrong = wrong_name(node["name"], names)
        return f"{where}.name: {wrong}" if wrong else ""
    known = did_you_mean(key, names) or f"; there are {', '.join(names)}"
    return f"{where}: there is no {key}{known} (one of your own: {where}.name={OWN})"


def switch(value: Any) -> bool | None:
    """Whether a value switches an object on or off; None for any other value."""
    if isinstance(value, Text):
        if value.lower() in ("null", "none"):
            return False
        value = read(bool, value)
    return value if isinstance(value, bool) else None


def renamed(place: tuple[str, ...], places: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """The place of a key in a file whose list has become a mapping."""
    top: Sequence[str] = place[:2]
    if len(top) < 2 or top[1] not in places.get(top[0], {}):
        return place
    return (top[0], places[top[0]][top[1]], *place[2:])
