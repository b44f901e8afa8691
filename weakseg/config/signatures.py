"""What a class or function may be given, read from its source and not imported: torch takes
seconds, the answer to a mistyped key not."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import functools
import importlib
import importlib.util
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Optional

from weakseg.config.schema import REQUIRED, Argument, Constructor, nested

SOMETHING = object()  # a default that only running the code would tell
# what their names mean is known, since to import them takes no time
LIGHT = (
    "annotated_types",
    "collections.abc",
    "datetime",
    "math",
    "pathlib",
    "typing",
    "weakseg.utils.lengths",
)
UNREAD = Argument(Any, SOMETHING)
WITHOUT_KEYWORDS = ("object", "abc.ABC", "torch.nn.Module")
KEEP_SIGNATURES = ("limited", "_defaults_from_env_vars")  # decorators; the latter is Lightning's

# of each keyword its annotation, its default, and the module in which they stand
Written = tuple[ast.expr | None, ast.expr | None, str]
Names = dict[str, ast.stmt | ast.expr | str]


def sketched(dotted: str, wanted: Collection[str] = ()) -> Constructor | None:
    """A stand-in that may be given what the class or function may be given; None where its source
    does not tell.

    It has the same keywords. A type or a default that cannot be told from the source is any value,
    so the stand-in refuses less. Where only some keywords are `wanted`, and there are such, the
    types of others are not looked up, which may stand in files of their own.
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

    some = set(wanted) if wanted and found.keys() >= set(wanted) else set(found)
    stand_in.read_from_source = {  # type: ignore[attr-defined]
        name: _argument(*written) if name in some or written[1] is None else UNREAD
        for name, written in found.items()
    }
    return stand_in


def docstring(dotted: str) -> str:
    """The docstring of a class or function, read from its source; empty where there is none."""
    node = _find(dotted)[0]
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        return ""
    return ast.get_docstring(node) or ""


def attributes(dotted: str) -> dict[str, Argument]:
    """The annotated attributes of a class that have a default, those of its parent first; those
    that belong to the class alone (ClassVar) are left out."""
    node, module = _find(dotted)
    found = _fields(node, module) if isinstance(node, ast.ClassDef) else None
    return {name: _argument(*written) for name, written in (found or {}).items()}


def class_value(dotted: str, name: str) -> Any:
    """The value that a class, or one that it derives from, gives to an attribute; None where the
    source does not tell."""
    try:
        return _class_value(dotted, name)
    except Exception:  # whatever code may raise
        return None


def _class_value(dotted: str, name: str) -> Any:
    node, module = _find(dotted)
    if not isinstance(node, ast.ClassDef):
        return None
    for item in node.body:
        targets = item.targets if isinstance(item, ast.Assign) else [getattr(item, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return _value(item.value, module)  # type: ignore[attr-defined]
    above = (_class_value(_full(_dotted(base), module), name) for base in node.bases)
    return next((value for value in above if value is not None), None)


def _arguments(dotted: str) -> dict[str, Written] | None:
    """The keywords of a class or function; None: they cannot be told."""
    if dotted in WITHOUT_KEYWORDS:
        return {}
    node, module = _find(dotted)
    if isinstance(node, ast.FunctionDef):
        return None if _changed(node) else _keywords(node.args, module)
    if not isinstance(node, ast.ClassDef):
        return None
    if _is_dataclass(node):
        return _fields(node, module)
    inits = [item for item in node.body if getattr(item, "name", "") == "__init__"]
    init = inits[-1] if inits else None
    if node.decorator_list or (isinstance(init, ast.FunctionDef) and _changed(init)):
        return None
    own = _keywords(init.args, module, leave=1) if isinstance(init, ast.FunctionDef) else {}
    if isinstance(init, ast.FunctionDef) and not init.args.kwarg:
        return own
    above = _above(node, module)
    return None if above is None else own | above | own


def _above(node: ast.ClassDef, module: str) -> dict[str, Written] | None:
    """The keywords of the parent. With several parents the order in which they are called is not
    told here."""
    names = [_dotted(base) for base in node.bases]
    if len(names) > 1 or "" in names:
        return None
    return _arguments(_full(names[0], module)) if names else {}


def _changed(node: ast.FunctionDef) -> bool:
    return any(_last(decorator) not in KEEP_SIGNATURES for decorator in node.decorator_list)


def _is_dataclass(node: ast.ClassDef) -> bool:
    return [_last(decorator) for decorator in node.decorator_list] == ["dataclass"]


def _keywords(arguments: ast.arguments, module: str, leave: int = 0) -> dict[str, Written]:
    """The keywords of a function but for the first few, such as self."""
    named = [*arguments.posonlyargs, *arguments.args]
    defaults = [*([None] * (len(named) - len(arguments.defaults))), *arguments.defaults]
    pairs = [*zip(named, defaults, strict=True)][max(leave, len(arguments.posonlyargs)) :]
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {item.arg: (item.annotation, default, module) for item, default in pairs}


def _fields(node: ast.ClassDef, module: str) -> dict[str, Written] | None:
    """The fields of a dataclass, those of its parent first."""
    found = _above(node, module)
    for item in node.body:
        if found is None or not isinstance(item, ast.AnnAssign):
            continue
        default, is_given = _default_of(item.value)
        kind = item.annotation.value if isinstance(item.annotation, ast.Subscript) else None
        if is_given and _last(kind or item.annotation) not in ("ClassVar", "KW_ONLY"):
            found[_dotted(item.target)] = (item.annotation, default, module)
    return found


def _default_of(value: ast.expr | None) -> tuple[ast.expr | None, bool]:
    """The default of a field, also in field(default=...), and whether a constructor may be given
    another."""
    if not isinstance(value, ast.Call) or _last(value) != "field":
        return value, True
    words = {word.arg: word.value for word in value.keywords}
    if factory := words.get("default_factory"):
        words["default"] = ast.copy_location(ast.Call(factory, [], []), value)
    init = words.get("init")
    return words.get("default"), not (isinstance(init, ast.Constant) and init.value is False)


def _argument(annotation: ast.expr | None, default: ast.expr | None, module: str) -> Argument:
    hint = Any if annotation is None else _hint(annotation, module)
    if isinstance(default, ast.Constant) and default.value is None:
        hint = Optional[hint]  # noqa: UP045
    if default is None:
        return Argument(hint, REQUIRED)
    section = nested(hint)
    try:
        return Argument(hint, _value(default, module))
    except Exception:  # whatever code may raise
        return Argument(hint, SOMETHING if section is None else section())


def _hint(annotation: ast.expr, module: str) -> Any:
    """The type that an annotation means; any value where the source does not tell."""
    try:
        hint = _value(annotation, module)
        text = hint if isinstance(hint, str) else ""
        return _value(ast.parse(text, mode="eval").body, module) if text else hint
    except Exception:  # whatever code may raise
        return Any


# values -------------------------------------------------------------------------------------------


class _Module:
    """A module that is not imported, or whatever else has names below it."""

    def __init__(self, dotted: str) -> None:
        self.dotted = dotted

    def __getattr__(self, name: str) -> Any:
        return _meaning(f"{self.dotted}.{name}")


class _Meanings(dict[str, Any]):
    """The names that a module knows, each looked up when an expression has it."""

    def __init__(self, module: str) -> None:
        super().__init__()
        self.module = module

    def __missing__(self, name: str) -> Any:
        return _meaning(_full(name, self.module))


def _value(node: ast.expr, module: str) -> Any:
    """The value of a type or a default, of which nothing is run but types, limits and dataclasses:
    all other names are unknown."""
    code = compile(ast.Expression(node), module, "eval")
    return eval(code, {"__builtins__": {}}, _Meanings(module))


def _meaning(dotted: str) -> Any:
    """What a name stands for: a type that everybody has, a dataclass, or what an alias says."""
    above, _, name = dotted.rpartition(".")
    if dotted in LIGHT:
        return importlib.import_module(dotted)
    if above in LIGHT:
        return getattr(importlib.import_module(above), name)
    node, module = _find(dotted)
    if isinstance(node, ast.expr):
        return _value(node, module)
    if isinstance(node, ast.ClassDef) and _is_dataclass(node):
        return _dataclass(node, module)
    if node is None and isinstance(getattr(builtins, dotted, None), type):
        return getattr(builtins, dotted)
    if node is None and _file(dotted) is not None:
        return _Module(dotted)
    raise LookupError(dotted)


@functools.lru_cache(64)
def _dataclass(node: ast.ClassDef, module: str) -> Any:
    """A dataclass with the same fields, and none of the code that would refuse their values."""
    found = _fields(node, module)
    if found is None:
        raise LookupError(node.name)
    read = {name: _argument(*written) for name, written in found.items()}
    fields = [
        (name, hint, dataclasses.field(default_factory=_always(default)))
        for name, (hint, default) in read.items()
    ]
    return dataclasses.make_dataclass(node.name, fields)


def _always(default: Any) -> Callable[[], Any]:
    value = SOMETHING if default is REQUIRED else default
    return lambda: value


# names --------------------------------------------------------------------------------------------


def _dotted(node: ast.expr) -> str:
    """`nn.Module` as text; nothing for anything but names and dots."""
    if isinstance(node, ast.Attribute):
        above = _dotted(node.value)
        return f"{above}.{node.attr}" if above else ""
    return node.id if isinstance(node, ast.Name) else ""


def _last(node: ast.expr) -> str:
    return _dotted(node.func if isinstance(node, ast.Call) else node).rpartition(".")[2]


def _full(name: str, module: str) -> str:
    """The whole dotted name of what a module calls by this one."""
    first, dot, rest = name.partition(".")
    found = _names(module).get(first)
    if isinstance(found, str):
        return f"{found}{dot}{rest}"
    return f"{module}.{name}" if found else name


def _find(dotted: str) -> tuple[ast.stmt | ast.expr | None, str]:
    """The definition that a name stands for, also where modules hand it on, and its module."""
    module, _, name = dotted.rpartition(".")
    found = _names(module).get(name)
    return _find(found) if isinstance(found, str) else (found, module)


def _names(module: str) -> Names:
    file = _file(module)
    return {} if file is None else _parsed(file, module, file.stat().st_mtime_ns)


@functools.lru_cache(64)
def _parsed(file: Path, module: str, changed: int) -> Names:
    """What a module calls by which name: its own classes, functions and values, and the whole names
    of what it imports, also below `if TYPE_CHECKING:`, as packages do that import late."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    body = ast.parse(file.read_bytes()).body
    late = [
        node.body
        for node in body
        if isinstance(node, ast.If) and _last(node.test) == "TYPE_CHECKING"
    ]
    names: Names = {}
    for node in [*(inner for nodes in late for inner in nodes), *body]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names |= {item.asname or item.name: f"{origin}.{item.name}" for item in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            names[node.name] = node
        elif isinstance(node, ast.Assign):
            names |= {_dotted(target): node.value for target in node.targets}
    return names


def _file(module: str) -> Path | None:
    """The file of a module, found without importing its parents."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top) if top else None
    if spec is None or spec.origin is None:
        return None
    files = [] if rest else [Path(spec.origin)]
    for folder in spec.submodule_search_locations or ():
        place = Path(folder, *rest)
        files += [place.with_name(f"{place.name}.py"), place / "__init__.py"]
    return next((file for file in files if file.suffix == ".py" and file.is_file()), None)
