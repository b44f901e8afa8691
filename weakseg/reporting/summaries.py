"""What every summary.json says of how it came about: the command, without its secrets, and the
versions."""

from __future__ import annotations

import inspect
import platform
import shlex
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from weakseg.config.values import plain, written
from weakseg.utils.secrets import scrub_words

PACKAGES = ("weakseg", "torch", "torchvision", "numpy", "pillow")


def command_line(verb: str, function: Callable[..., Any], given: Mapping[str, Any]) -> str:
    """The command that does what a function was called for, with every secret masked.

    Args:
        verb: the name of the command.
        function: what the command calls; arguments with their default are left out.
        given: the arguments, such as `locals()` at its first line; sections are mappings.

    >>> def stack(run, parts=1, part=1, predict=None):
    ...     return command_line("stack", stack, locals())
    >>> stack("a b", 8, predict={"crf.iterations": "5"})
    "python -m weakseg.stack 'run=a b' parts=8 predict.crf.iterations=5"
    """
    defaults = inspect.signature(function).parameters
    told = {name: value for name, value in given.items() if value != defaults[name].default}
    words = [f"{key}={_text(value)}" for key, value in _flat(told)]
    return shlex.join(["python", "-m", f"weakseg.{verb}", *scrub_words(words)])


def _flat(given: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else written(plain(value))


def versions() -> dict[str, str]:
    """Of weakseg and what its figures depend on most."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a bare checkout
        return "from a checkout"
