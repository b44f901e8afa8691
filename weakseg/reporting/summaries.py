"""What a summary.json says of how it came about."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from weakseg.config.values import plain, written
from weakseg.utils.secrets import scrub_words


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
