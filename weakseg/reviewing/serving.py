"""A session served to a browser on this machine, for as long as a block of code runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from weakseg.reviewing.security import Guard
from weakseg.reviewing.session import ReviewSession
from weakseg.utils.serving import import_server, in_url, is_loopback, listening, make_server

EXTRA = "review"
STARTS_WITHIN = 20.0  # seconds
ENDS_WITHIN = 2.0
CONNECTIONS = 256  # at the same time; a browser opens six


class Address(NamedTuple):
    """Where a session is served."""

    host: str
    port: int
    secret: str
    ticket: str = ""
    """admits one browser, once"""

    @property
    def url(self) -> str:
        """What a person opens first: with the secret, which becomes a cookie."""
        return f"{self.origin}/?secret={self.secret}"

    @property
    def url_once(self) -> str:
        """What a browser is started with: other users of the machine can read its command line, so
        the address is worth nothing when it has been opened."""
        return f"{self.origin}/?secret={self.ticket}"

    @property
    def origin(self) -> str:
        """The address without the secret."""
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{in_url(shown)}:{self.port}"


@contextmanager
def serving(session: ReviewSession, host: str = "127.0.0.1", port: int = 0) -> Iterator[Address]:
    """Serve a session in a thread of its own, until the block ends.

    Args:
        session: what is served.
        host: the address to listen on; others than that of this machine itself let other machines
            in.
        port: 0 for a free one.
    """
    uvicorn = import_server(EXTRA)
    from weakseg.reviewing.app import make_app

    with listening(host, port, CONNECTIONS) as listener:
        number = int(listener.getsockname()[1])
        guard = Guard(host, number)
        server = make_server(uvicorn, make_app(session, guard), CONNECTIONS)
        thread = threading.Thread(
            target=server.run, args=([listener],), daemon=True, name="weakseg-review"
        )
        thread.start()
        try:
            _wait_for(server, thread)
            session.begin()
            yield Address(host, number, guard.secret, guard.ticket)
        finally:
            session.end()
            server.should_exit = True
            thread.join(ENDS_WITHIN)


def warning_of(host: str) -> str:
    """What to tell a person whose server others can reach; empty for one that only this machine
    reaches."""
    if is_loopback(host):
        return ""
    return (
        f"host: {host} lets other machines reach this page, without encryption: whoever reads the "
        "network can read the secret, see the images and change the corrections"
    )


def _wait_for(server: Any, thread: threading.Thread) -> None:
    end = time.monotonic() + STARTS_WITHIN
    while not server.started:
        if not thread.is_alive() or time.monotonic() > end:
            raise RuntimeError("the server of the review page did not start")
        time.sleep(0.01)
