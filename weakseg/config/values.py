"""Values as a person writes them, on a command line or in YAML, and the types that they become."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import yaml
from yaml.composer import Composer, ComposerError
from yaml.parser import Parser

from weakseg.utils.lengths import SHARES, AreaShare, Share, is_percent, parse
from weakseg.utils.messages import one_line, printable, quoted
from weakseg.utils.remote_path import as_path, is_url

Lines = dict[tuple[str, ...], int]

BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
NUMBER = re.compile(r"[-+]?((\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|inf)")
NONE = type(None)
DEEPEST = 20  # levels of keys and lists; recipes have four
QUOTE = "write what is meant as text in quotes"
LEAST = "a strategy, a network and data"  # what every recipe names
REFERENCE = "this value is used again by a reference (&name, *name), which recipes do not have"
NAMES: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    Path: "a path",
    Any: "any value",
    NONE: "none",
    Share: f"{Share.meaning}, such as {Share.example}",
    AreaShare: f"{AreaShare.meaning}, such as {AreaShare.example}",
}
PIXELS = "a number of pixels"  # what a number is where a share is possible, too


class RecipeError(ValueError):
    """Everything wrong with a recipe or a command line, one line each in `errors`."""

    def __init__(self, errors: Sequence[str] | str) -> None:
        lines = [errors] if isinstance(errors, str) else errors
        self.errors = [printable(line) for line in lines]
        super().__init__("\n".join(self.errors))


class Text(str):
    """A value as a person typed it: the type of the argument it is meant for decides what it
    becomes."""


def members(hint: Any) -> tuple[Any, ...]:
    """The types that a union admits; of any other type itself."""
    if typing.get_origin(hint) is Annotated:
        return members(hint.__origin__)
    if typing.get_origin(hint) in (Union, types.UnionType):
        return tuple(kind for member in typing.get_args(hint) for kind in members(member))
    return (hint,)


def choices(hint: Any) -> list[Any]:
    """The values of the literals that a type admits."""
    return [
        value
        for kind in members(hint)
        if typing.get_origin(kind) is Literal
        for value in typing.get_args(kind)
    ]


def describe(hint: Any) -> str:
    """The type in a user's words.

    >>> describe(int | None)
    'a whole number or none'
    >>> describe(list[float])
    'a list (each entry a number)'
    """
    kinds = members(hint)
    words = [_described(kind) for kind in kinds if not (kind is int and float in kinds)]
    if not set(SHARES).isdisjoint(kinds):
        words = [PIXELS if word in (NAMES[int], NAMES[float]) else word for word in words]
    known = [word for word in words if word and word != NAMES[NONE]]
    if not known:
        known = [f"{getattr(kinds[0], '__name__', kinds[0])}, an object that no recipe can write"]
    return " or ".join(dict.fromkeys(known)) + (" or none" if NONE in kinds else "")


def _described(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return " or ".join(map(str, typing.get_args(kind)))
    inner = typing.get_args(kind)
    if _is(kind, tuple) and inner and ... not in inner:
        return f"{len(inner)} values ({', '.join(map(describe, inner))})"
    if _is(kind, Mapping):
        return "keys with values below it"
    if kind is not str and _is(kind, Collection):
        return f"a list (each entry {describe(inner[0])})" if inner else "a list"
    return NAMES.get(kind, "")


def _is(kind: Any, family: type) -> bool:
    """Whether a type such as list[int] is of a family such as Sequence."""
    origin = typing.get_origin(kind) or kind
    return isinstance(origin, type) and (
        issubclass(origin, family) or (origin is Iterable and family is Collection)
    )


def read(hint: Any, value: Any) -> Any:
    """The value with every text in it turned into what the type asks for; what does not fit stays
    as it is.

    >>> (
    ...     read(float, Text("1e-3")),
    ...     read(str, Text("2008_000008")),
    ...     read(list[int] | None, Text("6,12,18")),
    ... )
    (0.001, '2008_000008', [6, 12, 18])
    """
    kinds = members(hint)
    as_text = str in kinds or Any in kinds
    if isinstance(value, Text) or (isinstance(value, str) and not as_text):
        value = _from_text(hint, kinds, value)
    if isinstance(value, str) and Path in kinds and not as_text and is_url(value):
        return as_path(value)  # Path would make one slash of two
    if isinstance(value, bool) and not (bool in kinds or Any in kinds or value in choices(hint)):
        quote = f"; {QUOTE}" if str in kinds else ""
        # True would pass for the number 1
        raise ValueError(f"expected {describe(hint)}, but it is {quoted(value)}{quote}")
    if isinstance(value, Mapping):
        inner = next((typing.get_args(kind) for kind in kinds if _is(kind, Mapping)), ())
        key, entry = inner or (Any, Any)
        return {read(key, k): read(entry, v) for k, v in value.items()}
    if isinstance(value, list):
        inner = next((typing.get_args(kind) for kind in kinds if _lists(kind)), ()) or (Any,)
        if len(inner) != len(value) or ... in inner:
            inner = inner[:1] * len(value)
        return [read(kind, item) for kind, item in zip(inner, value, strict=True)]
    return value


def _lists(kind: Any) -> bool:
    return kind is Any or (kind is not str and _is(kind, Collection) and not _is(kind, Mapping))


def _from_text(hint: Any, kinds: tuple[Any, ...], text: str) -> Any:
    untyped = Any in kinds
    low = text.lower()
    for choice in choices(hint):
        if text == (quoted(choice) if isinstance(choice, bool) else str(choice)):
            return choice
    if low in ("null", "none") and (NONE in kinds or untyped):
        return None
    if low in BOOLS and (bool in kinds or untyped):
        return BOOLS[low]
    lists = any(map(_lists, kinds))
    maps = untyped or any(_is(kind, Mapping) for kind in kinds)
    if (text[:1] == "[" and lists) or (text[:1] == "{" and maps):
        try:
            return yaml.load(text, _Brackets)
        except yaml.YAMLError:
            wrong = f"{quoted(text)} cannot be read; write a list as [a, b, c]"
            raise ValueError(wrong) from None
    number = _number(text, int in kinds or untyped, float in kinds or untyped)
    if number is not None:
        return number
    for share in SHARES:
        if share in kinds and is_percent(text):
            return parse(text, share)
    if str in kinds or Path in kinds or untyped or not lists:
        return str(text)
    entries = [entry.strip() for entry in text.removesuffix(",").split(",")]
    if "" in entries:
        way = "write a list as a,b,c or, with nothing in it, as []"
        raise ValueError(f"{quoted(text)} has an empty entry; {way}")
    return [Text(entry) for entry in entries]


def _number(text: str, whole: bool, real: bool) -> int | float | None:
    if not (whole or real) or not NUMBER.fullmatch(text):
        return None
    # Python refuses to read longer ones
    if whole and text.lstrip("+-").isdecimal() and len(text) < 400:
        return int(text)
    value = float(text)
    # 1e4 is a whole number too
    return value if real else int(value) if value.is_integer() else None


class _Plain(Parser, Composer):
    """Refuses references, and what is nested so deeply that it would exhaust Python's stack."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event: Any = self.get_event()  # type: ignore[no-untyped-call]
            first = self.anchors.get(event.anchor)
            at = first.start_mark if first else None
            raise ComposerError(None, None, f"{REFERENCE}; write it out", at)
        self.depth += 1
        if self.depth > DEEPEST:
            at = parent.start_mark if parent else None
            raise ComposerError(None, None, f"nested more than {DEEPEST} levels deep", at)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Brackets(_Plain, yaml.BaseLoader):
    """Reads nothing but lists, mappings and text, as they stand in one word."""

    def construct_scalar(self, node: yaml.ScalarNode) -> Text:
        return Text(node.value)


class _Loader(_Plain, yaml.SafeLoader):
    """safe_load, but keys are text as written (`on:` is no boolean), each with its line, and 1e-3
    is a number, as everybody means it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lines: Lines = {}
        self.errors: list[str] = []

    def read(self, node: yaml.Node, place: tuple[str, ...] = ()) -> Any:
        """The value of a node at this place of the file."""
        if node.tag == "tag:yaml.org,2002:map" and isinstance(node, yaml.MappingNode):
            pairs = [(key, value) for key, value in node.value if self._is_new(key, place)]
            return {Text(key.value): self.read(value, (*place, key.value)) for key, value in pairs}
        if node.tag == "tag:yaml.org,2002:seq" and isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*place, str(at))) for at, item in enumerate(node.value)]
        return self.construct_object(node, deep=True)

    def _is_new(self, key: yaml.Node, place: tuple[str, ...]) -> bool:
        """Notes the line of a key, or what is wrong with it."""
        at = key.start_mark.line + 1
        whole = (*place, str(key.value))
        if not isinstance(key, yaml.ScalarNode):
            self.errors.append(f"line {at}: a key must be text")
            return False
        if first := self.lines.get(whole):
            name = ".".join(whole)
            self.errors.append(f"line {at}: {name} is given in line {first} already; keep one")
            return False
        self.lines[whole] = at
        return True


class _Dumper(yaml.SafeDumper):
    """safe_dump, every value on one line."""


_EXPONENT = re.compile(r"[-+]?(?:\d+|\.\d+)[eE][-+]?\d+$|[-+]?\d+\.\d*[eE]\d+$")
for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, None if text.splitlines() in ([], [text]) else '"'
    ),
)


def read_yaml(content: bytes, file: str) -> tuple[dict[str, Any], Lines]:
    """A YAML mapping and the line of each of its keys; a RecipeError names the file and the lines
    of all that is wrong."""
    try:
        loader = _Loader(content.decode("utf-8-sig"))
        root = loader.get_single_node()
        data = {} if root is None else loader.read(root)
    except UnicodeDecodeError as error:
        wrong = f"{file}: byte {error.start} is not UTF-8 text; save the file as UTF-8"
        raise RecipeError(wrong) from None
    except yaml.MarkedYAMLError as error:
        at = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = one_line(error.problem or error.context or "")
        raise RecipeError(f"{file}{at}: {problem}") from None
    except Exception as error:
        # a control character, a date that no calendar has, or a tag such as !!int, whose reader may
        # fail in any way
        raise RecipeError(f"{file}: {one_line(error) or 'it cannot be read'}") from None
    errors = [f"{file} {line}" for line in loader.errors]
    if root is None:
        errors = [f"{file}: the file is empty; a recipe names at least {LEAST}"]
    elif not isinstance(data, dict):
        came = quoted(data)[:40]
        errors = [f"{file} line 1: expected sections such as `strategy:`, but it is {came}"]
    if errors:
        raise RecipeError(errors)
    return data, loader.lines


def plain(value: Any) -> Any:
    """The value as lists, dicts, text and numbers, which YAML can hold; what has no such form stays
    as it is."""
    if isinstance(value, SHARES):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.init
        }
    if isinstance(value, Mapping):
        return {plain(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(entry) for entry in value), key=str)
    if isinstance(value, Enum):
        return plain(value.value)
    return str(value) if isinstance(value, (str, Path, timedelta)) else value


def written(value: object) -> str:
    """The value as YAML on one line, from which it is read as the same value.

    >>> written(["2008_000008", "yes", 0.001, None])
    "['2008_000008', 'yes', 0.001, null]"
    """
    text = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=True,
        width=float("inf"),
        allow_unicode=True,
        sort_keys=False,
    )
    return text.removesuffix("\n").removesuffix("\n...")
