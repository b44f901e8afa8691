"""A client of the review page's server that sends what it is told to, however odd it is."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable
from http.client import HTTPMessage
from typing import Any, NamedTuple

from weakseg.reviewing.serving import Address


class Answer(NamedTuple):
    """Of the server."""

    status: int
    headers: HTTPMessage
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


class Client:
    """Somebody who knows where the server is, and perhaps its secret."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.cookie = ""

    def enter(self) -> Client:
        """Open the address that the command has printed."""
        answer = self.get(f"/?secret={self.address.secret}")
        assert answer.status == 303
        self.cookie = str(answer.headers["set-cookie"]).partition(";")[0]
        return self

    def request(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, **headers: str
    ) -> Answer:
        """The answer to a request, by a connection of its own. Names of headers have _ for -."""
        connection = http.client.HTTPConnection(self.address.host, self.address.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            named = {"cookie": self.cookie, **named}
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, **headers)

    def post(self, path: str, content: Any, **headers: str) -> Answer:
        """Post what is no bytes as JSON, as the page does."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        usual = {"origin": self.address.origin, "content_type": "application/json"}
        return self.request("POST", path, body, **{**usual, **headers})
