"""A small HTTP server on this machine: uvicorn, imported late, and the socket it listens on."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
from typing import Any


def import_server(extra: str) -> Any:
    """uvicorn; an ImportError says how to install what is missing.

    Args:
        extra: of weakseg, which brings uvicorn and Starlette.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise ImportError(
            f"this needs starlette and uvicorn, but {error.name or 'one of them'} is not "
            f"installed; install them with pip install 'weakseg[{extra}]'"
        ) from error
    return uvicorn


def make_server(uvicorn: Any, app: Any, connections: int) -> Any:
    """A server for an ASGI app, which ends a second after it was told so.

    Args:
        uvicorn: the module.
        app: what answers.
        connections: at the same time, at most.
    """
    from weakseg.utils.http_connections import Connection

    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=connections,
        timeout_graceful_shutdown=1,
    )
    # addresses may hold a secret
    logging.getLogger("uvicorn.access").disabled = True
    return uvicorn.Server(config)


def listening(host: str, port: int, connections: int) -> socket.socket:
    """A socket that listens there; a ValueError if that cannot be.

    Args:
        host: an address of this machine.
        port: 0 for a free one.
        connections: that wait, at most.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=connections)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise ValueError(
                f"port: {port} is taken on {host} by another program; write another one, or 0 for "
                "a free one"
            ) from error
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise ValueError(f"host, port: nothing can listen on {host}:{port}: {why}") from error


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach a server that listens there.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def in_url(host: str) -> str:
    """An address as a URL has it.

    >>> in_url("::1")
    '[::1]'
    """
    return f"[{host}]" if ":" in host else host
