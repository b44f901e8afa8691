"""Ranges of arguments, which stand in their types: `lr: Annotated[float, Gt(0)]`.

The command line refuses a value outside of its range when it reads the value. `limited`, above an
`__init__`, and `check_limits`, in a `__post_init__`, refuse it with the same words when Python code
gives it.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from math import inf
from numbers import Integral, Real
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union

from annotated_types import DocInfo, Ge, Gt, Le, Lt

from weakseg.utils.lengths import SHARES

Count = Annotated[int, Ge(1)]
CountFromZero = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0), Lt(inf)]
NotNegative = Annotated[float, Ge(0), Lt(inf)]
ZeroToOne = Annotated[float, Ge(0), Le(1)]

NUMBERS = {int: (Integral, "a whole number"), float: (Real, "a number")}

Given = ParamSpec("Given")
Made = TypeVar("Made")


def refusal(hint: Any, value: Any) -> str:
    """What is wrong with a value of this type, as far as limits and choices tell; nothing for a
    right one. What `doc` says of it stands where it stands among the limits.

    >>> refusal(Annotated[float, Gt(0), Le(1)] | None, 2)
    'should be more than 0 and at most 1, but it is 2'
    >>> from annotated_types import doc
    >>> refusal(Annotated[float, doc("a probability"), Ge(0), Le(1)], -1)
    'should be a probability, from 0 to 1, but it is -1'
    >>> refusal(Literal[8, 16], 4)
    'should be 8 or 16, but it is 4'
    """
    union = typing.get_origin(hint) in (Union, types.UnionType)
    kinds = typing.get_args(hint) if union else (hint,)
    expected = [_expected(kind, value) for kind in kinds]
    if not all(expected):
        return ""
    came = repr(value) if isinstance(value, str) else str(value)
    shares = [f", or {kind.meaning}" for kind in kinds if kind in SHARES]
    return f"should {''.join([expected[0], *shares])}, but it is {came[:100]}"


def _expected(kind: Any, value: Any) -> str:
    """What was expected of a value that this type does not admit; nothing of one that it may."""
    if kind is types.NoneType:
        return "" if value is None else "be None"
    if kind in SHARES:
        return "" if isinstance(value, kind) else f"be {kind.meaning}"
    origin = typing.get_origin(kind)
    if origin is Literal:
        choices = typing.get_args(kind)
        return "" if _is_one_of(value, choices) else f"be {_one_of(choices)}"
    if origin is not Annotated or kind.__origin__ not in NUMBERS:
        return ""
    number, name = NUMBERS[kind.__origin__]
    limits = {type(limit): limit for limit in kind.__metadata__}
    is_number = isinstance(value, number) and not isinstance(value, bool)
    if not limits.keys() & {Gt, Ge, Lt, Le} or (is_number and _within(value, limits)):
        return ""
    words = _in_words(kind.__metadata__, _range(limits, whole=number is Integral))
    if not is_number and type(kind.__metadata__[0]) is not DocInfo:
        words.insert(0, name)
    verb = "lie" if words[0].startswith("from") else "be"
    return f"{verb} {', '.join(words)}"


def _is_one_of(value: Any, choices: Sequence[Any]) -> bool:
    """Whether a value is one of the choices; an array, which compares in another way, is none."""
    return any(type(value) is type(choice) and value == choice for choice in choices)


def _one_of(choices: Sequence[Any]) -> str:
    names = [str(choice) for choice in choices]
    return " or ".join(names) if len(names) < 3 else f"one of {', '.join(names)}"


def _in_words(metadata: Sequence[Any], limits: str) -> list[str]:
    """The limits, and what stands before and after them."""
    words: list[str] = []
    for item in metadata:
        if isinstance(item, DocInfo):
            words.append(item.documentation)
        elif limits not in words:
            words.append(limits)
    return words


def _within(value: Any, limits: Mapping[type, Any]) -> bool:
    return (
        (Gt not in limits or value > limits[Gt].gt)
        and (Ge not in limits or value >= limits[Ge].ge)
        and (Lt not in limits or value < limits[Lt].lt)
        and (Le not in limits or value <= limits[Le].le)
    )


def _range(limits: Mapping[type, Any], whole: bool) -> str:
    """The limits in words.

    >>> _range({Ge: Ge(0), Le: Le(1)}, whole=False)
    'from 0 to 1'
    """
    if Ge in limits and Le in limits:
        return f"from {limits[Ge].ge} to {limits[Le].le}"
    words = []
    if Gt in limits:
        words.append(f"more than {limits[Gt].gt}")
    if Ge in limits:
        plain = whole or (Lt in limits and limits[Lt].lt != inf)
        words.append(f"at least {limits[Ge].ge}" if plain else f"{limits[Ge].ge} or more")
    if Lt in limits:
        words.append("finite" if limits[Lt].lt == inf else f"less than {limits[Lt].lt}")
    if Le in limits:
        words.append(f"at most {limits[Le].le}")
    return " and ".join(words)


def resolve_hint(annotation: Any, names: Mapping[str, Any]) -> Any:
    """The type that an annotation means; any value where there is none, or none that can be looked
    up."""
    if annotation is inspect.Parameter.empty:
        return Any
    try:
        holder = types.SimpleNamespace(__annotations__={"it": annotation})
        return typing.get_type_hints(holder, dict(names), include_extras=True)["it"]
    except Exception:  # a name that is imported for the type checker only
        return Any


def check_limits(options: Any, called: str = "{}") -> None:
    """Raise a ValueError if a field of a dataclass lies outside of the range that stands in its
    type; for its `__post_init__`.

    Args:
        options: the dataclass.
        called: what a message calls a field, as in "{} of the dense CRF".
    """
    kind: Any = type(options)
    for name, hint in _field_hints(kind).items():
        require(called.format(name), hint, getattr(options, name))


@functools.cache
def _field_hints(kind: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for owner in reversed(kind.__mro__):
        names = vars(sys.modules[owner.__module__])
        annotations = vars(owner).get("__annotations__", {})
        found |= {name: resolve_hint(item, names) for name, item in annotations.items()}
    return {name: found[name] for name in kind.__dataclass_fields__}


def limited(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """A function, such as an `__init__`, that raises a ValueError if an argument lies outside of
    the range that stands in its type."""
    parameters = inspect.signature(function).parameters
    hints: dict[str, Any] = {}

    @functools.wraps(function)
    def checked(*given: Given.args, **named: Given.kwargs) -> Made:
        if not hints:  # only now are all names of its module known
            names = getattr(function, "__globals__", {})
            hints.update(
                {name: resolve_hint(item.annotation, names) for name, item in parameters.items()}
            )
        for name, value in {**dict(zip(parameters, given, strict=False)), **named}.items():
            require(name, hints.get(name), value)
        return function(*given, **named)

    return checked


def require(name: str, hint: Any, value: Any) -> None:
    """Raise a ValueError if a value lies outside of the range that stands in a type."""
    if wrong := refusal(hint, value):
        raise ValueError(f"{name} {wrong}")
