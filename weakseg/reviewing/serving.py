"""A session served to a browser on this machine, for as long as a block of code runs."""

from __future__ import annotations

import errno
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from weakseg.reviewing.security import Guard, is_loopback
from weakseg.reviewing.session import ReviewSession

INSTALL = (
    "the review page needs starlette and uvicorn, but {name} is not installed; install them with "
    "pip install 'weakseg[review]'"
)
STARTS_WITHIN = 20.0  # seconds
ENDS_WITHIN = 2.0
CONNECTIONS = 256  # at the same time; a browser opens six


class Address(NamedTuple):
    """Where a session is served."""

    host: str
    port: int
    secret: str

    @property
    def url(self) -> str:
        """What a browser opens first: with the secret, which becomes a cookie."""
        return f"{self.origin}/?secret={self.secret}"

    @property
    def origin(self) -> str:
        """The address without the secret."""
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}"


@contextmanager
def serving(session: ReviewSession, host: str = "127.0.0.1", port: int = 0) -> Iterator[Address]:
    """Serve a session in a thread of its own, until the block ends.

    Args:
        session: what is served.
        host: the address to listen on; others than that of this machine itself let other machines
            in.
        port: 0 for a free one.
    """
    uvicorn = import_server()
    from weakseg.reviewing.app import make_app

    with listening(host, port) as listener:
        number = int(listener.getsockname()[1])
        guard = Guard(host, number)
        config = uvicorn.Config(
            make_app(session, guard),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
        # the first address holds the secret
        logging.getLogger("uvicorn.access").disabled = True
        server = uvicorn.Server(config)
        thread = threading.Thread(
            target=server.run, args=([listener],), daemon=True, name="weakseg-review"
        )
        thread.start()
        try:
            _wait_for(server, thread)
            session.begin()
            yield Address(host, number, guard.secret)
        finally:
            session.end()
            server.should_exit = True
            thread.join(ENDS_WITHIN)


def import_server() -> Any:
    """uvicorn; an ImportError says how to install what is missing."""
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise ImportError(INSTALL.format(name=error.name or "one of them")) from error
    return uvicorn


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; a ValueError if that cannot be."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=CONNECTIONS)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise ValueError(
                f"port: {port} is taken on {host} by another program; write another one, or leave "
                "it out for a free one"
            ) from error
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(f"host, port: nothing can listen on {host}:{port}: {why}") from error


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
