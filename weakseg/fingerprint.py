"""One short text for any plain value: equal values give equal text, and a change of value or of type changes it."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn


def fingerprint(*values: Any) -> str:
    """32 hexadecimal digits for plain values, tensors, arrays, dataclasses and containers of them.

    >>> fingerprint(1) == fingerprint(1), fingerprint(1) == fingerprint(1.0), fingerprint("ab", "c") == fingerprint("a", "bc")
    (True, False, False)
    """
    digest = hashlib.blake2b(digest_size=16)
    for piece in _pieces(values):
        digest.update(len(piece).to_bytes(8, "little"))  # lengths keep neighbours apart
        digest.update(piece)
    return digest.hexdigest()


def module_fingerprint(module: nn.Module, version: int = 1) -> str:
    """What a module computes: class, version, the source of classes outside weakseg; public attributes, weights and children.

    Attributes and buffers whose names begin with an underscore are caches and counters, and do not count. Weights and children do.
    """
    public = {name: value for name, value in vars(module).items() if not name.startswith("_") and name != "training"}
    children = [(name, module_fingerprint(child)) for name, child in module.named_children()]
    private = {name for name, _ in module.named_buffers(recurse=False) if name.startswith("_")}
    own = {name: value for name, value in module.state_dict().items() if "." not in name and name not in private}
    cls = type(module)
    return fingerprint(cls.__module__, cls.__qualname__, version, _sources(cls), public, own, children)


def _sources(cls: type) -> list[str]:
    """The text of the modules that define a class and its bases, as far as users write them: editing it changes the fingerprint."""
    homes = [base.__module__ for base in cls.__mro__ if base.__module__.split(".")[0] not in ("weakseg", "torch", "builtins", "abc")]
    texts = []
    for home in dict.fromkeys(homes):
        try:
            texts.append(inspect.getsource(sys.modules[home]))
        except (OSError, TypeError, KeyError):  # typed at a prompt: no source to read
            texts.append("")
    return texts


def _pieces(value: Any) -> Iterator[bytes]:
    kind = type(value)
    if value is None or kind in (bool, int, float, complex, str):
        yield f"{kind.__name__}:{value!r}".encode()
    elif isinstance(value, torch.Tensor):
        flat = torch.empty(value.numel(), dtype=value.dtype).copy_(value.detach().reshape(-1))  # without the strides of a slice
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
    if dataclasses.is_dataclass(value):
        yield f"dataclass:{type(value).__qualname__}".encode()
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        value = sorted(((fingerprint(key), item) for key, item in value.items()), key=lambda pair: pair[0])
    elif isinstance(value, (set, frozenset)):
        value = sorted(fingerprint(item) for item in value)
    elif not isinstance(value, (list, tuple)):
        raise TypeError(
            f"{type(value).__module__}.{type(value).__qualname__} cannot be part of a fingerprint: keep plain values, tensors, "
            "arrays and dataclasses in public attributes, and anything else in attributes whose names begin with an underscore"
        )
    yield f"{type(value).__name__}:{len(value)}".encode()
    for item in value:
        yield from _pieces(item)
