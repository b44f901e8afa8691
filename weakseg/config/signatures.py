"""What a class or function may be given, read from its source and not imported: torch takes
seconds, the answer to a mistyped key not."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib.util
import inspect
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union

import annotated_types

from weakseg.config.schema import REQUIRED, Argument, Constructor, nested

SOMETHING = object()  # a default that only running the code would tell
LIMITS = ("Gt", "Ge", "Lt", "Le", "doc")
TYPES: dict[str, Any] = {
    **{kind.__name__: kind for kind in (int, float, str, bool, list, tuple, dict, set, frozenset)},
    **{f"typing.{name}": getattr(typing, name) for name in ("Any", "List", "Tuple", "Dict", "Set")},
    "typing.Literal": Literal,
    "typing.Optional": Optional,
    "typing.Union": Union,
    "typing.Annotated": Annotated,
    "pathlib.Path": Path,
    "math.inf": inf,
    **{f"annotated_types.{name}": getattr(annotated_types, name) for name in LIMITS},
    **{
        f"collections.abc.{kind.__name__}": kind
        for kind in (Collection, Iterable, Mapping, Sequence)
    },
}
WITHOUT_KEYWORDS = ("object", "abc.ABC", "torch.nn.Module")
KEEP_SIGNATURES = ("limited", "_defaults_from_env_vars")  # decorators; the latter is Lightning's


class _Found(NamedTuple):
    """A statement at the top of a module."""

    node: ast.stmt
    module: str


Arguments = dict[str, Argument]


def sketched(dotted: str) -> Constructor | None:
    """A stand-in that may be given what the class or function may be given; None where its source
    does not tell.

    It has the same keywords. A type or a default that cannot be told from the source is any value,
    so the stand-in refuses less.
    """
    try:
        found = _arguments(dotted)
    except (OSError, SyntaxError, ValueError, RecursionError):
        # the import will say what is wrong with that file
        return None
    if found is None:
        return None

    def stand_in(**values: Any) -> Mapping[str, Any]:
        return values

    stand_in.__name__ = stand_in.__qualname__ = dotted.rpartition(".")[2]
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(name, keyword, default=default, annotation=hint)
        for name, (hint, default) in found.items()
    ]
    stand_in.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return stand_in


def _arguments(dotted: str) -> Arguments | None:
    """The keywords of a class or function; None: they cannot be told."""
    if dotted in WITHOUT_KEYWORDS:
        return {}
    found = _find(dotted)
    if found is None:
        return None
    if isinstance(found.node, ast.FunctionDef):
        return None if _changed(found.node) else _keywords(found.node.args, found.module)
    return _of_class(found.node, found.module) if isinstance(found.node, ast.ClassDef) else None


def _of_class(node: ast.ClassDef, module: str) -> Arguments | None:
    if _is_dataclass(node):
        return _fields(node, module)
    if node.decorator_list:
        return None
    own: Arguments = {}
    inits = [
        item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"
    ]
    for init in inits[-1:]:
        own = _keywords(init.args, module, leave=1)
        if _changed(init) or not init.args.kwarg:
            return None if _changed(init) else own
    above = _above(node, module)
    return (
        None
        if above is None
        else own | {name: argument for name, argument in above.items() if name not in own}
    )


def _above(node: ast.ClassDef, module: str) -> Arguments | None:
    """The keywords of the parent. With several parents the order in which they are called is not
    told here."""
    if len(node.bases) > 1:
        return None
    for base in node.bases:
        name = _dotted(base)
        return None if name is None else _arguments(_full(name, module))
    return {}


def _changed(node: ast.FunctionDef) -> bool:
    return any(_last(decorator) not in KEEP_SIGNATURES for decorator in node.decorator_list)


def _is_dataclass(node: ast.ClassDef) -> bool:
    return [_last(decorator) for decorator in node.decorator_list] == ["dataclass"]


def _keywords(arguments: ast.arguments, module: str, leave: int = 0) -> Arguments:
    """The keywords of a function but for the first few, such as self."""
    named = [*arguments.posonlyargs, *arguments.args]
    defaults = [*([None] * (len(named) - len(arguments.defaults))), *arguments.defaults]
    pairs = [*zip(named, defaults, strict=True)][max(leave, len(arguments.posonlyargs)) :]
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {item.arg: _argument(item.annotation, default, module) for item, default in pairs}


def _fields(node: ast.ClassDef, module: str) -> Arguments | None:
    """The fields of a dataclass, those of its parent first."""
    found = _above(node, module)
    if found is None:
        return None
    for item in node.body:
        if (
            isinstance(item, ast.AnnAssign)
            and isinstance(item.target, ast.Name)
            and _is_field(item)
        ):
            found[item.target.id] = _argument(item.annotation, _default_of(item.value), module)
    return found


def _is_field(item: ast.AnnAssign) -> bool:
    kind = item.annotation.value if isinstance(item.annotation, ast.Subscript) else item.annotation
    set_later = any(
        word.arg == "init" and _literal(word.value) is False for word in _field_words(item.value)
    )
    return not set_later and _last(kind) not in ("ClassVar", "KW_ONLY")


def _default_of(value: ast.expr | None) -> ast.expr | None:
    """The default behind field(default=...); what a factory makes is not told."""
    if not (isinstance(value, ast.Call) and _last(value.func) == "field"):
        return value
    given = [
        word.value for word in _field_words(value) if word.arg in ("default", "default_factory")
    ]
    return given[0] if given else None


def _field_words(value: ast.expr | None) -> list[ast.keyword]:
    return value.keywords if isinstance(value, ast.Call) and _last(value.func) == "field" else []


def _argument(annotation: ast.expr | None, default: ast.expr | None, module: str) -> Argument:
    hint = Any if annotation is None else _hint(annotation, module)
    if default is None:
        return Argument(hint, REQUIRED)
    section = nested(hint)
    value = _literal(default)
    return Argument(hint, section() if section is not None and value is SOMETHING else value)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return SOMETHING


def _hint(annotation: ast.expr, module: str) -> Any:
    """The type that an annotation means; any value where the source does not tell."""
    try:
        return _type(annotation, module)
    except (LookupError, TypeError, SyntaxError):
        return Any


def _type(node: ast.expr, module: str) -> Any:
    if isinstance(node, ast.Constant) and node.value in (None, ...):
        return node.value
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _type(ast.parse(node.value, mode="eval").body, module)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Union[_type(node.left, module), _type(node.right, module)]  # noqa: UP007
    if isinstance(node, ast.Subscript):
        outer = _type(node.value, module)
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if outer is Annotated:
            kind = _type(inner[0], module)
            limits = [limit for part in inner[1:] if (limit := _limit(part, module))]
            return Annotated[(kind, *limits)] if limits else kind
        parts = [
            ast.literal_eval(part) if outer is Literal else _type(part, module) for part in inner
        ]
        return outer[parts[0] if len(parts) == 1 else tuple(parts)]
    name = _dotted(node)
    if name is None:
        raise LookupError
    return _named(_full(name, module))


def _limit(node: ast.expr, module: str) -> Any:
    """A limit such as Ge(0) that a type is annotated with; nothing of anything else."""
    name = _dotted(node.func) if isinstance(node, ast.Call) else None
    kind = TYPES.get(_full(name, module)) if name else None
    if kind is None or not isinstance(node, ast.Call):
        return None
    return kind(*(_constant(given, module) for given in node.args))


def _constant(node: ast.expr, module: str) -> Any:
    """A number or a text, written out or by the name that its module has for it."""
    value = _literal(node)
    dotted = _full(_dotted(node) or "", module)
    if value is not SOMETHING or dotted in TYPES:
        return TYPES.get(dotted, value)
    found = _find(dotted)
    if found is None or not isinstance(found.node, ast.Assign):
        raise LookupError
    return _constant(found.node.value, found.module)


def _named(dotted: str) -> Any:
    """The type of a name: one that everybody has, a dataclass, or what stands behind an alias."""
    if dotted in TYPES:
        return TYPES[dotted]
    found = _find(dotted)
    if found and isinstance(found.node, ast.ClassDef) and _is_dataclass(found.node):
        return _stand_in(found.node, found.module)
    if found and isinstance(found.node, ast.Assign):
        return _type(found.node.value, found.module)
    raise LookupError


def _stand_in(node: ast.ClassDef, module: str) -> Any:
    """A dataclass with the same fields, and none of the code that would refuse their values."""
    found = _fields(node, module)
    if found is None:
        raise LookupError
    fields = [
        (name, hint, dataclasses.field(default_factory=_always(default)))
        for name, (hint, default) in found.items()
    ]
    return dataclasses.make_dataclass(node.name, fields, kw_only=True)


def _always(default: Any) -> Callable[[], Any]:
    value = SOMETHING if default is REQUIRED else default
    return lambda: value


# names --------------------------------------------------------------------------------------------


def _dotted(node: ast.expr) -> str | None:
    """`nn.Module` as text; None for anything but names and dots."""
    if isinstance(node, ast.Attribute):
        above = _dotted(node.value)
        return None if above is None else f"{above}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else None


def _last(node: ast.expr) -> str:
    name = _dotted(node.func if isinstance(node, ast.Call) else node)
    return (name or "").rpartition(".")[2]


def _full(name: str, module: str) -> str:
    """The whole dotted name of what a module calls by this one."""
    first, dot, rest = name.partition(".")
    for node in reversed(_body(module)):
        imported = _imported(node, module)
        if first in imported:
            return f"{imported[first]}{dot}{rest}"
        if _binds(node, first):
            return f"{module}.{name}"
    return name


def _imported(node: ast.stmt, module: str) -> dict[str, str]:
    """The names that an import gives to a module, and what they are called elsewhere."""
    if isinstance(node, ast.Import):
        tops = {alias.name.partition(".")[0] for alias in node.names if not alias.asname}
        return {top: top for top in tops} | {
            alias.asname: alias.name for alias in node.names if alias.asname
        }
    if isinstance(node, ast.ImportFrom):
        return {
            alias.asname or alias.name: f"{_origin(node, module)}.{alias.name}"
            for alias in node.names
        }
    return {}


def _origin(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    file = _file(module)
    parts = module.split(".")
    up = node.level - (file is not None and file.name == "__init__.py")
    return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])


def _find(dotted: str) -> _Found | None:
    """The last statement that makes a name, also where the module only hands it on."""
    module, _, name = dotted.rpartition(".")
    for node in reversed([*_for_types_only(module), *_body(module)]):
        imported = _imported(node, module)
        if name in imported:
            return _find(imported[name])
        if _binds(node, name):
            return _Found(node, module)
    return None


def _binds(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    return isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name


def _for_types_only(module: str) -> Iterator[ast.stmt]:
    """What stands below `if TYPE_CHECKING:`, as the names do that a package imports late."""
    for node in _body(module):
        if isinstance(node, ast.If) and _last(node.test) == "TYPE_CHECKING":
            yield from node.body


def _body(module: str) -> list[ast.stmt]:
    file = _file(module)
    return [] if file is None else _parsed(file, file.stat().st_mtime_ns).body


@functools.lru_cache(64)
def _parsed(file: Path, changed: int) -> ast.Module:
    return ast.parse(file.read_bytes())


def _file(module: str) -> Path | None:
    """The file of a module, found without importing its parents."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top) if top else None
    places = (
        (Path(folder, *rest) for folder in spec.submodule_search_locations or []) if spec else ()
    )
    files = [
        file
        for place in places
        for file in (place.parent / f"{place.name}.py", place / "__init__.py")
    ]
    if spec is None or spec.origin is None:
        return None
    return next(
        (file for file in [*files, *([] if rest else [Path(spec.origin)])] if file.is_file()), None
    )
