"""Python's search for objects that hold each other, paused where a great many are made that do
not."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def many_objects() -> Iterator[None]:
    """No search within: with a million objects it takes longer than making them, and finds nothing
    among those that a file is parsed into."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
