"""One short text for any plain value: equal values give equal text, and a change of value or of
type changes it."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn


def fingerprint(*values: Any) -> str:
    """32 hexadecimal digits for plain values, tensors, arrays, dataclasses and containers of them;
    other objects say in a method `__fingerprint__` what is to count.

    >>> (
    ...     fingerprint(1) == fingerprint(1),
    ...     fingerprint(1) == fingerprint(1.0),
    ...     fingerprint("ab", "c") == fingerprint("a", "bc"),
    ... )
    (True, False, False)
    """
    digest = hashlib.blake2b(digest_size=16)
    for piece in _pieces(values):
        digest.update(len(piece).to_bytes(8, "little"))  # lengths keep neighbours apart
        digest.update(piece)
    return digest.hexdigest()


def module_fingerprint(module: nn.Module, *code: str) -> str:
    """What a module computes: class and source code; attributes, weights, buffers and children.

    Caches and counters do not count where a class names them in `not_in_key`, a tuple of names;
    those in a child as `child.name`.

    Args:
        code: modules by their names whose code is used, too.
    """
    below = homes(*dict.fromkeys(map(type, module.modules())))
    sources = code_fingerprint(*homes(type(module)), *filter(is_own, below), *code)
    return fingerprint(sources, _parts(module, frozenset()))


def _parts(module: nn.Module, left_out: frozenset[str]) -> list[Any]:
    """All that a module holds, without what is left out."""
    cls = type(module)
    left_out = left_out.union(*(vars(base).get("not_in_key", ()) for base in cls.__mro__))
    attributes = {name: value for name, value in vars(module).items() if name not in _TORCHS}
    tensors = dict([*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)])
    contents = {
        name: value for name, value in {**attributes, **tensors}.items() if name not in left_out
    }
    children = [
        (name, _parts(child, _below(name, left_out)))
        for name, child in module.named_children()
        if name not in left_out
    ]
    try:
        return [cls.__module__, cls.__qualname__, fingerprint(contents), children]
    except TypeError as error:
        raise TypeError(
            f"{cls.__module__}.{cls.__qualname__} has an attribute that cannot be part of a "
            f"fingerprint: {error}"
        ) from None


# what every module has or may have
_TORCHS = frozenset({*vars(nn.Module()), "_compiled_call_impl"})


def _below(name: str, left_out: frozenset[str]) -> frozenset[str]:
    return frozenset(
        path.removeprefix(f"{name}.") for path in left_out if path.startswith(f"{name}.")
    )


def homes(*classes: type) -> list[str]:
    """The modules that define classes and their bases, without torch and Python."""
    bases = [base for cls in classes for base in cls.__mro__]
    return [
        home
        for home in dict.fromkeys(base.__module__ for base in bases)
        if home.split(".")[0] not in _NOT_OURS
    ]


_NOT_OURS = ("torch", "builtins", "abc", "typing", "pytorch_lightning")


def is_own(home: str) -> bool:
    """Whether a module belongs to weakseg or to the user, not to an installed package."""
    return _is_weakseg(home) or not _installed(_loaded(home))


def code_fingerprint(*modules: str) -> str:
    """The text of modules, given by their names, and of all that they import from weakseg and from
    the user's own folder.

    So an edit of any function that they may call changes it. A file is read once, until its module
    is loaded again: what runs is the code as it was then.
    """
    return fingerprint(
        sorted((name, source.text) for name, (_, source) in _reached(modules).items())
    )


def edited_code(*modules: str) -> list[str]:
    """The modules, among these and those that they import, whose files have changed since: a new
    process would run other code."""
    reached = _reached(modules).items()
    return sorted(
        name
        for name, (file, source) in reached
        if file and (not file.is_file() or file.read_bytes() != source.text)
    )


def _reached(modules: Sequence[str]) -> dict[str, tuple[Path | None, Source]]:
    reached: dict[str, tuple[Path | None, Source]] = {}
    waiting = [(name, _loaded(name)) for name in modules]
    while waiting:
        name, file = waiting.pop()
        if name not in reached:
            reached[name] = (file, _source(name, file))
            waiting += reached[name][1].imports
    return reached


class Source(NamedTuple):
    """The text of a module, and what it imports from weakseg and from the user's own folder."""

    text: bytes
    imports: list[tuple[str, Path | None]]


_SOURCES: dict[tuple[str, Path | None], tuple[object, Source]] = {}


def _source(name: str, file: Path | None) -> Source:
    # another one after each time that a module is loaded
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if (name, file) not in _SOURCES or _SOURCES[name, file][0] is not loaded:
        _SOURCES[name, file] = (loaded, _read(name, file))
    return _SOURCES[name, file][1]


def _read(name: str, file: Path | None) -> Source:
    # typed in a notebook, whose classes have a source, or at a prompt, where nothing has
    if file is None:
        return Source(
            "".join(map(_class_text, vars(sys.modules.get(name, object)).values())).encode(), []
        )
    text = file.read_bytes()
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    root = file.parents[name.count(".") + (file.name == "__init__.py")]
    named = dict.fromkeys(_imported(text.decode(errors="replace"), package))
    found = ((each, _near(each, root, name, file)) for each in named)
    return Source(text, [(each, place) for each, place in found if place is not None])


def _class_text(value: Any) -> str:
    try:
        return (
            inspect.getsource(value)
            if isinstance(value, type) and value.__module__ == "__main__"
            else ""
        )
    except (OSError, TypeError):
        return ""


_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n;#]*)|import[ \t]+([\w., \t]+))",
    re.MULTILINE,
)


# what is imported for types alone is never run; packages that import late would otherwise stand for
# all that they offer
_FOR_TYPES = re.compile(
    r"^if (?:typing\.)?TYPE_CHECKING:\n(?:[ \t]+[^\n]*\n|[ \t]*\n)+", re.MULTILINE
)


def _imported(text: str, package: str) -> Iterator[str]:
    """What may be names of modules in the import statements of a text that are run, wherever they
    stand."""
    for source, names, plain in _IMPORT.findall(_FOR_TYPES.sub("", text)):
        yield from (each.split()[0] for each in plain.split(",") if each.split())
        base = _absolute(source, package)
        for each in names.strip("()").split(","):
            if base and each.split():
                yield from (base, f"{base}.{each.split()[0]}")
                yield from _lazy_home(base, each.split()[0])


def _absolute(source: str, package: str) -> str:
    """The name of a module that a module of a package calls so, perhaps with leading dots."""
    stem = source.lstrip(".")
    up = len(source) - len(stem)
    parts = package.split(".")
    above = parts[: len(parts) - up + 1] if up else []
    return ".".join([*above, *([stem] if stem else [])])


def _lazy_home(base: str, name: str) -> Iterator[str]:
    """The module of a class or function that a package of weakseg offers, as `from weakseg import
    Strategy` does."""
    if _is_weakseg(base) and base in sys.modules and hasattr(sys.modules[base], "__path__"):
        home = getattr(
            vars(sys.modules[base]).get(name) or getattr(sys.modules[base], name, None),
            "__module__",
            None,
        )
        yield from [home] if isinstance(home, str) else []


def _near(name: str, root: Path, importer: str, file: Path) -> Path | None:
    """The file of a module of weakseg, of the importer's package or beside it in the user's folder;
    None for anything else."""
    if _is_weakseg(name):
        return _found(_WEAKSEG, name)
    if name.partition(".")[0] == importer.partition(".")[0] or not _installed(file):
        return _found(root, name)
    return None


@cache
def _found(root: Path, name: str) -> Path | None:
    path = root.joinpath(*name.split("."))
    return next(
        (
            place
            for place in (path.with_name(f"{path.name}.py"), path / "__init__.py")
            if place.is_file()
        ),
        None,
    )


def _loaded(name: str) -> Path | None:
    """The source file of a module of weakseg, or of one that has been imported; None if it has
    none."""
    if _is_weakseg(name):
        return _found(_WEAKSEG, name)
    place = getattr(sys.modules.get(name), "__file__", None)
    return (
        Path(place)
        if place is not None and place.endswith(".py") and Path(place).is_file()
        else None
    )


def _is_weakseg(name: str) -> bool:
    return name == "weakseg" or name.startswith("weakseg.")


def _installed(file: Path | None) -> bool:
    return (
        file is None
        or bool({"site-packages", "dist-packages"} & set(file.parts))
        or _STANDARD in file.parents
    )


_STANDARD = Path(inspect.__file__).parent
_WEAKSEG = Path(__file__).parents[2]


def _pieces(value: Any) -> Iterator[bytes]:
    kind = type(value)
    if value is None or kind in (bool, int, float, complex, str):
        yield f"{kind.__name__}:{value!r}".encode()
    elif isinstance(value, torch.Tensor):
        # without the strides of a slice
        flat = torch.empty(value.numel(), dtype=value.dtype).copy_(value.detach().reshape(-1))
        yield f"tensor:{value.dtype}:{tuple(value.shape)}".encode()
        yield flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        yield f"array:{value.dtype.str}:{value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, np.generic):
        yield from _pieces(np.asarray(value))
    elif isinstance(value, (bytes, bytearray)):
        yield b"bytes"
        yield bytes(value)
    elif isinstance(value, Path):
        yield f"path:{value}".encode()
    elif isinstance(value, enum.Enum):
        yield f"enum:{kind.__qualname__}.{value.name}".encode()
    elif isinstance(value, type):
        yield f"type:{value.__module__}.{value.__qualname__}".encode()
    else:
        yield from _container_pieces(value)


def _container_pieces(value: Any) -> Iterator[bytes]:
    if hasattr(value, "__fingerprint__"):
        value = [type(value).__qualname__, value.__fingerprint__()]
    elif dataclasses.is_dataclass(value):
        yield f"dataclass:{type(value).__qualname__}".encode()
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        value = sorted(
            ((fingerprint(key), item) for key, item in value.items()), key=lambda pair: pair[0]
        )
    elif isinstance(value, (set, frozenset)):
        value = sorted(fingerprint(item) for item in value)
    elif not isinstance(value, (list, tuple)):
        raise TypeError(
            f"{type(value).__module__}.{type(value).__qualname__} cannot be part of a "
            "fingerprint: keep plain values, tensors, arrays and dataclasses in attributes, and "
            "name caches that hold anything else in `not_in_key` of their class"
        )
    yield f"{type(value).__name__}:{len(value)}".encode()
    for item in value:
        yield from _pieces(item)
