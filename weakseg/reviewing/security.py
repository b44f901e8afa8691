"""Who may speak to the server: whoever knows its secret, from its own page alone."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Mapping
from threading import Lock
from typing import NamedTuple

from weakseg.utils.serving import in_url, is_loopback

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
KEPT = 7 * 24 * 3600  # seconds that a browser knows the secret
USUAL = 80  # the port of http
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Denial(NamedTuple):
    """Why a request is not answered."""

    status: int
    reason: str


class Guard:
    """Knows the secret of one server, and the names that it goes by.

    Args:
        host: the address that it listens on.
        port: its port.
        secret: None for a new one.
    """

    def __init__(self, host: str, port: int, secret: str | None = None) -> None:
        self.secret = secrets.token_urlsafe(32) if secret is None else secret
        self.ticket = secrets.token_urlsafe(32)
        """good once, for the command line of the browser, which everybody here may read"""
        self._lock = Lock()
        # other servers on this machine share the cookies of the browser, whatever their port
        self.cookie = f"weakseg-{port}"
        self.port = port
        self.is_local = is_loopback(host)
        self.names = {*LOOPBACK, in_url(host), *([] if self.is_local else [_own_name()])}

    def admits(self, given: str) -> bool:
        """Whether whoever shows that is given the cookie: the secret, or the ticket, once."""
        if self.is_secret(given):
            return True
        with self._lock:
            right = bool(self.ticket) and hmac.compare_digest(
                given.encode("utf-8", "replace"), self.ticket.encode()
            )
            self.ticket = "" if right else self.ticket
        return right

    def is_secret(self, given: str) -> bool:
        """Whether that is the secret; takes equally long whatever it is."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.secret.encode())

    def set_cookie(self) -> str:
        """The header that hands the secret to the browser."""
        kept = f"Max-Age={KEPT}"  # without an end, those of hundreds of servers would pile up
        return f"{self.cookie}={self.secret}; HttpOnly; SameSite=Strict; Path=/; {kept}"

    def denies_host(self, host: str) -> Denial | None:
        """Refuses names that are not ours: a page of somebody else may have its own name point to
        this machine."""
        # browsers leave the usual port out
        whole = f"{host}:{USUAL}" if self.port == USUAL and not host.endswith(f":{USUAL}") else host
        name, _, port = whole.rpartition(":")
        if port == str(self.port) and (name in self.names or self._is_address(name)):
            return None
        return Denial(403, "the Host of the request is not that of this server")

    def denies(self, method: str, headers: Mapping[str, str], navigates: bool) -> Denial | None:
        """Refuses requests without the cookie, and those that another site has caused.

        Args:
            method: of the request.
            headers: with names in small letters.
            navigates: whether the address is one that a person may type.
        """
        if not self._has_cookie(headers.get("cookie", "")):
            return Denial(
                403,
                "open the address that the command has printed: it holds the secret of the page",
            )
        site = headers.get("sec-fetch-site", "same-origin")
        if site not in ("same-origin", "none") and not navigates:
            return Denial(403, "the request comes from another site")
        if method in ("GET", "HEAD"):
            return None
        if headers.get("origin") != f"http://{headers.get('host', '')}":
            return Denial(403, "the Origin of the request is not that of this server")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return Denial(415, "expected Content-Type: application/json")
        return None

    def _has_cookie(self, header: str) -> bool:
        # all servers of this machine share their cookies, and one of theirs may have any form: to
        # Python's own parser, one that is wrong ends the header
        pairs = (part.strip().partition("=") for part in header.split(";"))
        return any(name == self.cookie and self.is_secret(value) for name, _, value in pairs)

    def _is_address(self, name: str) -> bool:
        """Whether a server that others may reach was called by a number: no name can have been
        made to point to it."""
        if self.is_local:
            return False
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def _own_name() -> str:
    return socket.gethostname().lower()
