"""What a constructor may be given, read from its signature: there is no second list of options."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from weakseg.config.values import NONE, QUOTE, RecipeError, choices, describe, members, plain, read
from weakseg.utils.limits import refusal, resolve_hint
from weakseg.utils.messages import did_you_mean, one_line, quoted, suggest

if TYPE_CHECKING:
    from pydantic import ValidationError

Constructor = Callable[..., Any]
REQUIRED = inspect.Parameter.empty
OURS = "weakseg sets this itself; leave it out"
LIMITS = {"gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length"}


class Argument(NamedTuple):
    """One keyword of a constructor: its type and its default, or REQUIRED."""

    hint: Any
    default: Any


@functools.cache
def arguments(constructor: Constructor) -> dict[str, Argument]:
    """Every keyword that a class or function takes; where a class hands **keywords on to its
    parent, also the parent's."""
    if hasattr(constructor, "read_from_source"):
        return dict(constructor.read_from_source)
    if not inspect.isclass(constructor):
        return _signature(constructor)[0]
    found: dict[str, Argument] = {}
    for owner in constructor.__mro__[:-1]:
        if "__init__" in vars(owner):
            more, passes_on = _signature(vars(owner)["__init__"], owner)
            found |= {name: argument for name, argument in more.items() if name not in found}
            if not passes_on:
                break
    return found


def _signature(function: Constructor, owner: Any = None) -> tuple[dict[str, Argument], bool]:
    """The keywords of one function, and whether it takes others by **."""
    parameters = list(inspect.signature(function).parameters.values())[0 if owner is None else 1 :]
    names = getattr(inspect.unwrap(function), "__globals__", {})
    factories = {}
    if dataclasses.is_dataclass(owner):
        factories = {field.name: field.default_factory for field in dataclasses.fields(owner)}
    found = {}
    for item in parameters:
        if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY):
            factory = factories.get(item.name, dataclasses.MISSING)
            default = item.default if factory is dataclasses.MISSING else factory()
            hint = resolve_hint(item.annotation, names)
            if isinstance(hint, dataclasses.InitVar):
                hint = hint.type
            hint = typing.Optional[hint] if default is None else hint  # noqa: UP045
            found[item.name] = Argument(hint, default)
    return found, any(item.kind is item.VAR_KEYWORD for item in parameters)


def nested(hint: Any) -> Any:
    """The dataclass whose fields are keys below this argument, as for `crf: DenseCRF` or `crf:
    DenseCRF | None`; or None."""
    kinds = [kind for kind in members(hint) if kind is not NONE]
    only = kinds[0] if len(kinds) == 1 else None
    return only if isinstance(only, type) and dataclasses.is_dataclass(only) else None


def keys(constructor: Constructor) -> list[str]:
    """Every key that a recipe may set, those below dataclasses with dots."""
    found = []
    for name, argument in arguments(constructor).items():
        below = nested(argument.hint)
        found += [name, *(f"{name}.{key}" for key in keys(below))] if below else [name]
    return found


def unknown(key: str, names: Sequence[str]) -> str:
    """What to say of a key that is none of these names; a name deeper down is meant when its last
    part is the key, unless the key is the singular of a name here: `scale` for `scales`."""
    deeper = [name for name in names if name.rpartition(".")[2] == key]
    tops = [name for name in names if "." not in name]
    above, _, last = key.rpartition(".")
    if key in names:
        return f"dots are for the command line; in a file write {last} below {above}"
    if deeper and f"{key}s" not in tops:
        return f"no such key; did you mean {deeper[0]}?"
    if len(tops) > 20:
        others = f"; leave it out, and --show lists all {len(tops)}"
        return f"no such key{did_you_mean(key, tops) or others}"
    return f"no such key{suggest(key, tops, 'the keys are') or '; there are no keys here'}"


def validate(
    constructor: Constructor,
    node: Mapping[str, Any],
    given: Collection[str] = (),
    fixed: Collection[str] = (),
    above: str = "",
) -> dict[str, Any]:
    """The node's values as the types of the constructor's arguments, those of dataclasses still as
    plain keys.

    The program supplies `given`, which the node may set, and `fixed`, which it may not; as a
    mapping, `fixed` has what to do instead. A
    RecipeError has one line per mistake, which begins with the key below `above`.
    """
    known = arguments(constructor)
    values: dict[str, Any] = {}
    advice = dict(fixed) if isinstance(fixed, Mapping) else dict.fromkeys(fixed, OURS)
    advice |= getattr(constructor, "refused", {})
    fixed = advice.keys()
    errors = [f"{above}{key}: {advice[key]}" for key in node if key in fixed]
    for name, argument in known.items():
        if name in node and name not in fixed:
            try:
                values[name] = _validated(argument, node[name], f"{above}{name}")
            except RecipeError as error:
                errors += error.errors
            except ValueError as error:
                errors.append(f"{above}{name}: {one_line(error)}")
        elif argument.default is REQUIRED and name not in (*given, *fixed):
            errors.append(f"{above}{name}: missing; expected {describe(argument.hint)}")
    unknown_keys = [key for key in node if key not in known and key not in fixed]
    names = [name for name in keys(constructor) if name not in fixed] if unknown_keys else []
    errors += [f"{above}{key}: {unknown(key, names)}" for key in unknown_keys]
    if errors:
        raise RecipeError(errors)
    return values


def _validated(argument: Argument, value: Any, where: str) -> Any:
    """A value as the type of its argument; a ValueError says what is wrong with it."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    hint = argument.hint
    section = nested(hint)
    if section is not None:
        return _section(section, argument, value, where)
    value_read = read(hint, value)
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except Exception:  # a type that pydantic cannot check: the constructor has to
        return value_read
    try:
        result = adapter.validate_python(value_read)
    except ValidationError as error:
        raise ValueError(_mismatch(hint, value, value_read, error)) from None
    if _has_nan(result):
        raise ValueError(f"expected {describe(hint)}, but it is {quoted(value)}")
    return result


def _section(section: Any, argument: Argument, value: Any, where: str) -> Any:
    """The keys below an argument that is a dataclass; a ValueError also says what its own checks
    refuse."""
    value = read(argument.hint, value) if isinstance(value, str) else value
    if isinstance(value, section) or (value is None and NONE in members(argument.hint)):
        return value
    if not isinstance(value, Mapping):
        first = "".join(f", such as {key}" for key in keys(section)[:1])
        raise ValueError(f"expected keys below it{first}, but it is {quoted(value)}")
    defaults = arguments(section) if isinstance(argument.default, section) else ()
    values = validate(section, value, given=defaults, above=f"{where}.")
    try:
        make(section, values, argument.default)
    except TypeError as error:
        raise ValueError(error) from None
    return values


def _has_nan(value: Any) -> bool:
    if isinstance(value, (list, tuple, dict)):
        return any(map(_has_nan, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and value != value


def _mismatch(hint: Any, value: Any, value_read: Any, error: ValidationError) -> str:
    """One line for a value that does not fit its type."""
    text = f"expected {describe(hint)}, but it is {quoted(value)}"
    items = error.errors(include_url=False)
    for item in items:
        if LIMITS & set(item.get("ctx", {})) and item["ctx"].get("field_type") != "Tuple":
            theirs = f"{item['msg'].removeprefix('Input ')}, but it is {quoted(item['input'])}"
            return f"it {refusal(hint, value_read) or theirs}"
        if item["type"] == "value_error":
            return one_line(item["ctx"]["error"])
        if item["type"] == "string_type" and not isinstance(item["input"], (str, list, dict)):
            text += f"; {QUOTE}" if value is not None else ""
    if isinstance(value, str):
        return text + did_you_mean(value, [str(choice) for choice in choices(hint)])
    return text


def make(
    constructor: Constructor, values: Mapping[str, Any], default: Any = None, **given: Any
) -> Any:
    """The object, with its dataclasses, from validated values; a dataclass that is the default
    keeps its other fields."""
    known = arguments(constructor)
    keeps = dataclasses.is_dataclass(constructor) and isinstance(default, constructor)
    built = {name: value for name, value in given.items() if name in known} | dict(values)
    for name, value in values.items():
        section = nested(known[name].hint)
        if section and isinstance(value, dict):
            fallback = getattr(default, name) if keeps else known[name].default
            built[name] = make(section, value, fallback)
    return dataclasses.replace(default, **built) if keeps else constructor(**built)


def filled(
    constructor: Constructor, values: Mapping[str, Any], leave: Collection[str] = ()
) -> dict[str, Any]:
    """The values as YAML can hold them, with the defaults of all other arguments but for those in
    `leave`, which the program supplies."""
    everything = {}
    for name, (hint, default) in arguments(constructor).items():
        value = values.get(name, default)
        section = nested(hint)
        if section and isinstance(value, dict):
            value = make(section, value, default)
        if name in values or (value is not REQUIRED and name not in leave):
            everything[name] = plain(value)
    return everything
