"""Work in the background makes way for whoever waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.reviewing.sessions import session
from weakseg.reviewing.app import make_app
from weakseg.reviewing.background import Background
from weakseg.reviewing.security import Guard


def test_no_step_begins_while_somebody_waits() -> None:
    background = Background()
    done: list[int] = []

    def steps() -> Iterator[str]:
        for number in range(1_000_000):
            done.append(number)
            yield "counting"

    try:
        with background.paused():
            background.add("count", steps())
            time.sleep(0.5)
            waited = len(done)
        end = time.monotonic() + 20
        while len(done) < 3 and time.monotonic() < end:
            time.sleep(0.05)
    finally:
        background.end()
    assert waited <= 1  # the first one may have begun
    assert len(done) >= 3


class Recording(Background):
    """Counts the requests that it made way for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.count += 1
        with super().paused():
            yield


def test_a_request_makes_it_wait(tmp_path: Path) -> None:
    reviewed = session(tmp_path)
    reviewed.background = Recording()
    guard = Guard("127.0.0.1", 8123)
    sent: list[Any] = []
    headers = [(b"host", b"127.0.0.1:8123"), (b"cookie", guard.set_cookie().encode())]
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/queue",
        "query_string": b"",
        "headers": headers,
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(make_app(reviewed, guard)(scope, receive, send))
    assert sent[0]["status"] == 200
    assert reviewed.background.count == 1
