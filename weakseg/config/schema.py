"""What a constructor may be given: a pydantic model made from its signature. There is no second
list of options."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from weakseg.config.values import (
    NONE,
    QUOTE,
    RecipeError,
    choices,
    describe,
    meant,
    members,
    nearest,
    one_line,
    read,
    shown,
)

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

Constructor = Callable[..., Any]
REQUIRED = inspect.Parameter.empty
LIMITS = {"gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length"}


class Argument(NamedTuple):
    """One keyword of a constructor: its type and its default, or REQUIRED."""

    hint: Any
    default: Any


@functools.cache
def arguments(constructor: Constructor) -> dict[str, Argument]:
    """Every keyword that a class or function takes; where a class hands **keywords on to its
    parent, also the parent's."""
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
    factories = (
        {field.name: field.default_factory for field in dataclasses.fields(owner)}
        if dataclasses.is_dataclass(owner)
        else {}
    )
    found = {}
    for item in parameters:
        if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY):
            factory = factories.get(item.name, dataclasses.MISSING)
            default = item.default if factory is dataclasses.MISSING else factory()
            hint = _resolved(item.annotation, getattr(inspect.unwrap(function), "__globals__", {}))
            found[item.name] = Argument(typing.Optional[hint] if default is None else hint, default)  # noqa: UP045
    return found, any(item.kind is item.VAR_KEYWORD for item in parameters)


def _resolved(annotation: Any, names: dict[str, Any]) -> Any:
    """The type that an annotation means; any value where there is none, or none that can be looked
    up."""
    if annotation is REQUIRED:
        return Any
    try:
        holder = types.SimpleNamespace(__annotations__={"it": annotation})
        hint = typing.get_type_hints(holder, names, include_extras=True)["it"]
    except Exception:  # a name that is imported for the type checker only
        hint = Any
    return hint.type if isinstance(hint, dataclasses.InitVar) else hint


def nested(hint: Any) -> Any:
    """The dataclass whose fields are keys below this argument, as for `crf: DenseCRF` or `crf:
    DenseCRF | None`; or None."""
    kinds = [kind for kind in members(hint) if kind is not NONE]
    return (
        kinds[0]
        if len(kinds) == 1 and isinstance(kinds[0], type) and dataclasses.is_dataclass(kinds[0])
        else None
    )


def keys(constructor: Constructor) -> list[str]:
    """Every key that a recipe may set, those below dataclasses with dots."""
    found = []
    for name, argument in arguments(constructor).items():
        below = nested(argument.hint)
        found += [name, *(f"{name}.{key}" for key in keys(below))] if below else [name]
    return found


def unknown(key: str, names: Sequence[str]) -> str:
    """What to say of a key that is none of these names; a name deeper down is meant when its last
    part is the key."""
    deeper = [name for name in names if name.rpartition(".")[2] == key]
    tops = [name for name in names if "." not in name]
    if key in names:
        return (
            f"dots are for the command line; in a file write {key.rpartition('.')[2]} below "
            f"{key.rpartition('.')[0]}"
        )
    if deeper:
        return f"no such key; did you mean {deeper[0]}?"
    if len(tops) > 20:
        return "no such key" + (
            meant(key, tops) or f"; leave it out, and --show lists all {len(tops)}"
        )
    return "no such key" + (
        nearest(key, tops, "the keys are") if tops else "; there are no keys here"
    )


def validate(
    constructor: Constructor,
    node: Mapping[str, Any],
    given: Collection[str] = (),
    fixed: Collection[str] = (),
) -> dict[str, Any]:
    """The node's values as the types of the constructor's arguments, those of dataclasses still as
    plain keys.

    The program supplies `given`, which the node may set, and `fixed`, which it may not. A
    RecipeError has one line per mistake.
    """
    from pydantic import ValidationError

    errors = [f"{key}: weakseg sets this itself; leave it out" for key in node if key in fixed]
    model = _model(constructor, frozenset({*given, *fixed}))
    try:
        made = model.model_validate({key: value for key, value in node.items() if key not in fixed})
    except ValidationError as error:
        raise RecipeError(errors + _explain(error, constructor, fixed)) from None
    if errors:
        raise RecipeError(errors)
    return _plain(made)


@functools.cache
def _model(constructor: Constructor, optional: frozenset[str]) -> type[BaseModel]:
    from pydantic import ConfigDict, Field, create_model

    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    fields: dict[str, Any] = {}
    for index, (name, argument) in enumerate(arguments(constructor).items()):
        kind = _typed(argument)
        try:
            create_model("probe", __config__=config, it=(kind, ...))
        except Exception:  # a type that pydantic cannot check: the constructor has to
            kind = Any
        required = argument.default is REQUIRED and name not in optional
        # pydantic keeps names such as copy to itself
        fields[f"field_{index}"] = (kind, Field(... if required else None, alias=name))
    return create_model(getattr(constructor, "__name__", "arguments"), __config__=config, **fields)


def _plain(made: BaseModel) -> dict[str, Any]:
    fields = type(made).model_fields
    return {
        str(fields[name].alias): getattr(made, name)
        for name in fields
        if name in made.model_fields_set
    }


def _typed(argument: Argument) -> Any:
    """The argument's type for pydantic, with our reading of text in front of it."""
    from pydantic import ValidationError, WrapValidator

    hint = argument.hint
    section = nested(argument.hint)

    def check(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            result = handler(read(hint, value))
        except ValidationError as error:
            raise ValueError(_mismatch(hint, value, error)) from None
        if _has_nan(result):
            raise ValueError(f"expected {describe(hint)}, but it is {shown(value)}")
        return result

    def check_section(value: Any, handler: Callable[[Any], Any]) -> Any:
        made = value if isinstance(value, section) else handler(read(hint, value))
        if made is None or isinstance(made, section):
            return made
        try:
            make(section, _plain(made), argument.default)
        except (ValueError, TypeError) as error:
            raise ValueError(one_line(error)) from None
        return _plain(made)

    if section is None:
        return Annotated[hint, WrapValidator(check)]
    model: Any = _model(
        section, frozenset(arguments(section) if isinstance(argument.default, section) else ())
    )
    return Annotated[model | None if NONE in members(hint) else model, WrapValidator(check_section)]


def _has_nan(value: Any) -> bool:
    if isinstance(value, (list, tuple, dict)):
        return any(map(_has_nan, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and value != value


def _mismatch(hint: Any, value: Any, error: ValidationError) -> str:
    """One line for a value that does not fit its type."""
    items = error.errors(include_url=False)
    for item in items:
        if LIMITS & set(item.get("ctx", {})) and item["ctx"].get("field_type") != "Tuple":
            return f"{item['msg'].replace('Input', 'it', 1)}, but it is {shown(item['input'])}"
        if item["type"] == "value_error":
            return one_line(item["ctx"]["error"])
    text = f"expected {describe(hint)}, but it is {shown(value)}"
    if isinstance(value, str):
        return text + meant(value, [str(choice) for choice in choices(hint)])
    quote = any(
        item["type"] == "string_type" and not isinstance(item["input"], (list, dict))
        for item in items
    )
    return text + (f"; {QUOTE}" if quote and value is not None else "")


def _explain(error: ValidationError, constructor: Constructor, fixed: Collection[str]) -> list[str]:
    """One line per mistake, each starting with its key."""
    lines = []
    for item in error.errors(include_url=False):
        owner = constructor
        for part in item["loc"][:-1]:
            owner = nested(arguments(owner)[str(part)].hint)
        name = str(item["loc"][-1])
        key = ".".join(map(str, item["loc"]))
        if item["type"] == "extra_forbidden":
            message = unknown(name, [known for known in keys(owner) if known not in fixed])
        elif item["type"] == "missing":
            message = f"missing; expected {describe(arguments(owner)[name].hint)}"
        elif item["type"] == "value_error":
            message = one_line(item["ctx"]["error"])
        else:
            below = keys(nested(arguments(owner)[name].hint))[:1]
            message = (
                f"expected keys below it{''.join(f', such as {first}' for first in below)}, but "
                f"it is {shown(item['input'])}"
            )
        lines.append(f"{key}: {message}")
    return lines


def make(
    constructor: Constructor, values: Mapping[str, Any], default: Any = None, **given: Any
) -> Any:
    """The object, with its dataclasses, from validated values; a dataclass that is the default
    keeps its other fields."""
    known = arguments(constructor)
    keeps = dataclasses.is_dataclass(constructor) and isinstance(default, constructor)
    built = dict(values)
    for name, value in values.items():
        section = nested(known[name].hint)
        fallback = getattr(default, name) if keeps else known[name].default
        if section and isinstance(value, dict):
            built[name] = make(section, value, fallback)
    if keeps:
        return dataclasses.replace(default, **built)
    return constructor(
        **built,
        **{name: value for name, value in given.items() if name in known and name not in built},
    )


def filled(
    constructor: Constructor,
    values: Mapping[str, Any],
    default: Any = None,
    leave: Collection[str] = (),
) -> dict[str, Any]:
    """The values with the defaults of all other arguments, but for those in `leave`, which the
    program supplies."""
    everything = {}
    for name, (hint, own) in arguments(constructor).items():
        fallback = getattr(default, name, own) if dataclasses.is_dataclass(default) else own
        below = nested(hint)
        if below and isinstance(values.get(name), dict):
            everything[name] = filled(below, values[name], fallback)
        elif name in values or (fallback is not REQUIRED and name not in leave):
            everything[name] = values.get(name, fallback)
    return everything
