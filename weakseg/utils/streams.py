"""Standard streams that cost no run: one that is closed, or full, loses what is printed and nothing
else."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, TextIO


class Forgiving:
    """A text stream that goes silent when it cannot be written to any more. All else is the
    stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or lose the text."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError):  # full, without a reader, closed
            self._silence()
            return len(text)

    def flush(self) -> None:
        """Flush, or lose what was not yet written."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._silence()

    def _silence(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # one that is closed has no number
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self._stream.fileno())
            os.close(nothing)


def forgive() -> None:
    """Make the standard streams of this process forgiving, and open those that were closed at its
    start.

    A number from 0 to 2 that is free would be given to the next file that is opened, and then what
    is meant for people lands in it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # the lowest free number
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
    for name in ("stdout", "stderr"):
        # open for as long as the process
        stream = getattr(sys, name) or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        setattr(sys, name, Forgiving(stream))
