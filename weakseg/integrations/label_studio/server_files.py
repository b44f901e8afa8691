"""Files downloaded from Label Studio itself: from its own address alone, with its own token."""

from __future__ import annotations

import json
import time
from http.client import HTTPException, HTTPMessage
from typing import IO, Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from weakseg.integrations.label_studio.refusals import Refusal
from weakseg.utils.messages import one_line, quoted

TIMEOUT = 30.0  # seconds without a byte
MOST_BYTES = 2**28  # of an image
MOST_OF_TOKEN = 2**16
FRESH = 120.0  # seconds that an access token is used; Label Studio's live five minutes
PIECE = 2**16
AS_IT_IS = "/%?&=+:@,;~!$'()*-._#[]"  # characters of an address that are not written otherwise


class Origin(NamedTuple):
    """What two addresses of the same server have in common."""

    scheme: str
    host: str
    port: int


def origin_of(address: str) -> Origin:
    """Of an address with http or https; a ValueError for others."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected an address such as http://localhost:8080, but it is {address}")
    return Origin(
        parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]
    )


class ServerFiles:
    """Downloads from one server.

    Args:
        url: its address.
        token: of a person's account: a personal access token, or a legacy one; empty for none.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url.rstrip("/") + "/"
        self.origin = origin_of(url)
        self.token = token
        self._opener = build_opener(_SameOrigin(self.origin))
        self._access = ""
        self._until = 0.0

    def download(self, address: str, file: IO[bytes]) -> None:
        """Write what is at an address of the server into a file; a Refusal if it is an address of
        another one, or if nothing comes.

        Args:
            address: a whole one, or one that begins at the server's root.
            file: which it is written into.
        """
        target = self._own(address)
        headers = {"Authorization": self._authorization()} if self.token else {}
        try:
            with self._opener.open(Request(target, headers=headers), timeout=TIMEOUT) as answer:
                _copy(answer, file, address)
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, Refusal):
                raise
            raise Refusal(
                f"the image {quoted(address)} was not downloaded: {_why(error)}"
            ) from None

    def _own(self, address: str) -> str:
        """The whole address, if it is one of the server."""
        try:
            # not //host, which would lead elsewhere; urljoin takes it for a whole address
            target = urljoin(self.url, quote(address, safe=AS_IT_IS))
            if origin_of(target) == self.origin:
                return target
        except ValueError:
            pass
        raise Refusal(
            f"the image {quoted(address)} is on another server than {self.url}, and is not "
            "downloaded; images in a cloud storage are served by Label Studio itself if the "
            "storage does not use pre-signed URLs"
        )

    def _authorization(self) -> str:
        """A personal access token is exchanged for one that lives a few minutes."""
        if self.token.count(".") != 2:
            return f"Token {self.token}"
        if time.monotonic() > self._until:
            self._access = self._refreshed()
            self._until = time.monotonic() + FRESH
        return f"Bearer {self._access}"

    def _refreshed(self) -> str:
        request = Request(
            urljoin(self.url, "api/token/refresh/"),
            json.dumps({"refresh": self.token}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                return str(json.loads(answer.read(MOST_OF_TOKEN))["access"])
        except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
            raise Refusal(
                f"{self.url} does not take the token in LABEL_STUDIO_API_KEY: {_why(error)}"
            ) from None


class _SameOrigin(HTTPRedirectHandler):
    """Follows the server only to itself: another host would be sent the token, and might be one
    that only this machine reaches."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        try:
            same = origin_of(newurl) == self.origin
        except ValueError:
            same = False
        if not same:
            raise Refusal(
                "the image is on another server, to which Label Studio leads; in the settings of "
                "its storage, turn off pre-signed URLs"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _copy(answer: Any, file: IO[bytes], address: str) -> None:
    size = 0
    while piece := answer.read(PIECE):
        size += len(piece)
        if size > MOST_BYTES:
            raise Refusal(f"the image {quoted(address)} has more than {MOST_BYTES} bytes")
        file.write(piece)


def _why(error: Exception) -> str:
    if isinstance(error, HTTPError):
        login = (
            "; set LABEL_STUDIO_API_KEY to a token of Label Studio"
            if error.code in (401, 403)
            else ""
        )
        return f"the server answered {error.code} {error.reason}{login}"
    return one_line(error.reason if isinstance(error, URLError) else error) or type(error).__name__
