"""The requests that Label Studio makes of a machine learning backend."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Callable
from time import perf_counter
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from weakseg.integrations.label_studio.backend import Backend
from weakseg.integrations.label_studio.refusals import Refusal
from weakseg.utils.messages import counted, one_line, printable

# with a few hundred tasks at once, each with what people have painted on it
MOST_BYTES = 2**27
PATIENCE = 60.0  # seconds in which a body has to arrive
LINES = {
    404: "there is nothing at this address; Label Studio asks for /health, /setup, /predict",
    405: "this address does not take that",
    408: "the request took too long to arrive",
    413: f"the request has more than {MOST_BYTES} bytes",
}
WEBHOOK = "/webhook"
Log = Callable[[str], None]


class Guard:
    """Who may speak to the backend.

    Args:
        names: under which the machine may be called, without the port; None for any. A page of
            somebody else may have its own name point to this machine.
        user: of basic authentication, which Label Studio asks for when a model is connected; empty
            for none.
        password: of that user.
    """

    def __init__(
        self, names: frozenset[str] | None = None, user: str = "", password: str = ""
    ) -> None:
        self.names = names
        self._expected = base64.b64encode(f"{user}:{password}".encode()) if user else b""

    def denial(self, request: Request) -> JSONResponse | None:
        """The answer to whoever may not; None for all others."""
        if self.names is not None and _name(request.headers.get("host", "")) not in self.names:
            return _error(403, "the Host of the request is not that of this server")
        # Label Studio sends no password with webhooks, which do nothing here
        secured = self._expected and request.url.path != WEBHOOK
        if secured and not self._knows(request.headers.get("authorization", "")):
            answer = _error(401, "user and password are those of BASIC_AUTH_USER, BASIC_AUTH_PASS")
            answer.headers["www-authenticate"] = 'Basic realm="weakseg"'
            return answer
        return None

    def _knows(self, header: str) -> bool:
        scheme, _, given = header.partition(" ")
        right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._expected)
        return right and scheme.lower() == "basic"


def _name(host: str) -> str:
    """A Host without its port.

    >>> _name("localhost:9090"), _name("[::1]:9090"), _name("localhost")
    ('localhost', '[::1]', 'localhost')
    """
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdigit() else host.lower()


def make_app(backend: Backend, guard: Guard, log: Log) -> ASGIApp:
    """The ASGI application of a backend.

    Args:
        backend: what answers.
        guard: who may speak to it.
        log: is given a line for each request that was worked on, or refused.
    """
    of = _Answers(backend, log)
    routes = [
        Route("/", of.health),
        Route("/health", of.health),
        Route("/setup", of.setup, methods=["POST"]),
        Route("/predict", of.predict, methods=["POST"]),
        Route("/versions", of.versions),
        Route(WEBHOOK, of.untrained, methods=["POST"]),
        Route("/train", of.untrained, methods=["POST"]),
    ]
    handlers: dict[Any, Any] = {
        Refusal: of.refused,
        HTTPException: _not_served,
        Exception: _failed,
    }
    return _Guarded(Starlette(routes=routes, exception_handlers=handlers), guard)


class _Guarded:
    """An application that answers only those that the guard lets in."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self.app = app
        self.guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        denial = self.guard.denial(Request(scope))
        await (denial or self.app)(scope, receive, send)


class _Answers:
    def __init__(self, backend: Backend, log: Log) -> None:
        self.backend = backend
        self.log = log

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "UP", "model_class": "weakseg"})

    async def setup(self, request: Request) -> Response:
        body = await _body(request)
        await run_in_threadpool(self.backend.check, body)
        return JSONResponse({"model_version": self.backend.version})

    async def versions(self, request: Request) -> Response:
        return JSONResponse({"versions": [self.backend.version]})

    async def untrained(self, request: Request) -> Response:
        """Label Studio tells of each annotation, and may ask for training; the body is not
        read."""
        return JSONResponse({"status": "weakseg learns with python -m weakseg.fit, not here"})

    async def predict(self, request: Request) -> Response:
        body = await _body(request)
        start = perf_counter()
        answers, reasons = await run_in_threadpool(self.backend.predict, body)
        for reason in reasons:
            self.log(printable(f"not predicted: {reason}"))
        done = counted(len(answers) - len(reasons), "image")
        self.log(f"predicted: {done} in {perf_counter() - start:.2f} seconds")
        return JSONResponse({"results": answers})

    async def refused(self, request: Request, error: Exception) -> Response:
        reason = printable(one_line(error))
        self.log(f"refused: {request.url.path}: {reason}")
        return _error(getattr(error, "status", 422), reason)


async def _body(request: Request) -> dict[str, Any]:
    """The object that the body of a request holds; larger bodies are not read to their end."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # a page of another site cannot send it unasked
        raise Refusal("expected Content-Type: application/json", 415)
    try:
        body = json.loads(await asyncio.wait_for(_read(request), PATIENCE))
    except TimeoutError:
        raise HTTPException(408) from None
    except (ValueError, RecursionError):
        raise Refusal("the body of the request should be JSON", 400) from None
    if not isinstance(body, dict):
        raise Refusal("the body of the request should be an object with named fields", 400)
    return body


async def _read(request: Request) -> bytes:
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MOST_BYTES:
        raise HTTPException(413)
    content = bytearray()
    try:
        async for piece in request.stream():
            content += piece
            if len(content) > MOST_BYTES:
                raise HTTPException(413)
    except ClientDisconnect:
        raise HTTPException(400) from None
    return bytes(content)


def _error(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"error": reason}, status)


async def _not_served(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _error(status, LINES.get(status, "the request cannot be answered"))


async def _failed(request: Request, error: Exception) -> Response:
    # the traceback is for the terminal
    return _error(500, "the backend made a mistake, which its terminal shows")
