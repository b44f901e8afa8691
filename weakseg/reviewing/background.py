"""Work of a session that nobody waits for: one piece after the other, while no request is under
way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUIET = 0.2  # seconds without any request, after which work goes on
Work = Callable[[], None]


class Background:
    """Does work in a thread of its own, and rests while a person waits for something else."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, Iterator[str]]] = []
        self._wake = threading.Condition()
        self._ended = False
        self._requests = 0
        self._last = 0.0
        self._thread: threading.Thread | None = None
        self.doing = ""
        """what is under way, as one line; empty for nothing"""

    def add(self, name: str, steps: Iterator[str]) -> None:
        """Do some work; nothing is done if work of that name waits already.

        Args:
            name: of the work.
            steps: small steps, each of which yields what is under way as one line.
        """
        with self._wake:
            if any(other == name for other, _ in self._waiting) or self._ended:
                return
            self._waiting.append((name, steps))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, daemon=True, name="weakseg-review-background"
                )
                self._thread.start()
            self._wake.notify_all()

    @property
    def waiting(self) -> list[str]:
        """The names of all work that is not done."""
        with self._wake:
            return [name for name, _ in self._waiting]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No further step begins meanwhile, nor shortly after it."""
        with self._wake:
            self._requests += 1
        try:
            yield
        finally:
            with self._wake:
                self._requests -= 1
                self._last = time.monotonic()

    def end(self) -> None:
        """Begin no further step; returns when the one that is under way is done, or soon."""
        with self._wake:
            self._ended = True
            self._wake.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1.0)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            for line in work:
                self.doing = line
                if not self._may_go_on():
                    return
            with self._wake:
                self._waiting.pop(0)
                self.doing = ""

    def _next(self) -> Iterator[str] | None:
        with self._wake:
            self._wake.wait_for(lambda: self._ended or self._waiting)
            return None if self._ended else self._waiting[0][1]

    def _may_go_on(self) -> bool:
        """Wait until nobody else does; False if the session has ended."""
        with self._wake:
            while not self._ended and (self._requests or time.monotonic() - self._last < QUIET):
                self._wake.wait(QUIET)
            return not self._ended
