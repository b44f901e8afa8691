"""The server around a session: which request is answered by what, and how long a browser may keep
it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weakseg.reviewing.background import Background
from weakseg.reviewing.refusals import (
    ChangedElsewhere,
    NotFound,
    NotSaved,
    Refusal,
    StillWorking,
    StrategyFailed,
    WrongRequest,
)
from weakseg.reviewing.security import HEADERS, Denial, Guard
from weakseg.reviewing.session import LAYERS, ReviewSession

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
MOST_BYTES = 2**20  # of the body of a request
LONGEST_PATH = 1000  # characters of an address, without what follows its question mark
SLOW = ("target", "prediction")
AT_ONCE = 2  # of these that a thread works on, or waits to
PATIENCE = 20.0  # seconds in which a body has to arrive
FOR_EVER = "private, max-age=31536000, immutable"
STATUS: dict[type[Refusal], int] = {
    WrongRequest: 400,
    NotFound: 404,
    ChangedElsewhere: 409,
    StrategyFailed: 422,
    StillWorking: 503,
    NotSaved: 507,
}


def make_app(session: ReviewSession, guard: Guard) -> ASGIApp:
    """The ASGI application of a session.

    Args:
        session: what it is about.
        guard: who may speak to it.
    """
    pages = _Pages(session)
    routes = [
        Route("/", pages.index),
        Route("/static/{name:path}", pages.static),
        Route("/api/session", pages.session),
        Route("/api/queue", pages.queue),
        Route("/api/images/{number:int}", pages.image),
        Route("/api/images/{number:int}/events", pages.add, methods=["POST"]),
        Route("/api/images/{number:int}/seconds", pages.look, methods=["POST"]),
        Route("/api/classes", pages.add_class, methods=["POST"]),
        Route("/images/{number:int}/{layer}", pages.layer),
    ]
    handlers: dict[Any, Callable[..., Any]] = {
        Refusal: _refused,
        HTTPException: _not_served,
        Exception: _failed,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    return _Guarded(app, guard, session.background)


class _Pages:
    """What answers the requests of one session."""

    def __init__(self, session: ReviewSession) -> None:
        self.of = session
        # the threads that are left serve what is fast
        self.estimating = asyncio.Semaphore(AT_ONCE)
        self.files = {
            path.relative_to(STATIC).as_posix(): path
            for path in sorted(STATIC.rglob("*"))
            if path.is_file() and path.suffix in TYPES
        }

    async def index(self, request: Request) -> Response:
        return await self._file("index.html")

    async def static(self, request: Request) -> Response:
        return await self._file(request.path_params["name"])

    async def _file(self, name: str) -> Response:
        # a fixed list: no name of a request becomes a path
        path = self.files.get(name)
        if path is None:
            raise HTTPException(404)
        content = await run_in_threadpool(path.read_bytes)
        headers = {"cache-control": "no-cache"}
        return Response(content, media_type=TYPES[path.suffix], headers=headers)

    async def session(self, request: Request) -> Response:
        return _json(await run_in_threadpool(self.of.described))

    async def queue(self, request: Request) -> Response:
        return _json(await run_in_threadpool(self.of.queue))

    async def image(self, request: Request) -> Response:
        return _json(await run_in_threadpool(self.of.image, request.path_params["number"]))

    async def add(self, request: Request) -> Response:
        body = await _body(request)
        number = request.path_params["number"]
        added = await run_in_threadpool(
            self.of.add, number, body.get("revision"), body.get("event")
        )
        return _json(added)

    async def look(self, request: Request) -> Response:
        body = await _body(request)
        number = request.path_params["number"]
        return _json(await run_in_threadpool(self.of.look, number, body.get("seconds")))

    async def add_class(self, request: Request) -> Response:
        body = await _body(request)
        return _json(await run_in_threadpool(self.of.add_class, body.get("name")))

    async def layer(self, request: Request) -> Response:
        number, layer = request.path_params["number"], request.path_params["layer"]
        if layer not in LAYERS:
            raise HTTPException(404)
        strategy = request.query_params.get("strategy") or None
        async with self.estimating if layer in SLOW else nullcontext():
            if await request.is_disconnected():  # a newer one has taken its place
                return _error(499, "nobody waits for it any more")
            picture = await run_in_threadpool(self.of.picture, number, layer, strategy)
        # what a newer request has overtaken is sent, but not kept
        lasting = request.query_params.get("v", "") == picture.version
        headers = {"cache-control": FOR_EVER if lasting else "no-store"}
        return Response(picture.content, media_type=picture.media_type, headers=headers)


class _Guarded:
    """An application that answers only those that the guard lets in, with headers on every
    answer."""

    def __init__(self, app: ASGIApp, guard: Guard, background: Background) -> None:
        self.app = app
        self.guard = guard
        self.background = background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer = self._denied(request)
        if answer is not None:
            await answer(scope, receive, send_with_headers)
            return
        with self.background.paused():  # a person waits
            await self.app(scope, receive, send_with_headers)

    def _denied(self, request: Request) -> Response | None:
        """The answer to whoever is not let in, and to whoever shows the secret."""
        first = request.scope["path"] == "/"
        denial = self.guard.denies_host(request.headers.get("host", ""))
        if denial is None and first and "secret" in request.query_params:
            if request.method == "GET" and self.guard.admits(request.query_params["secret"]):
                return RedirectResponse("/", 303, {"set-cookie": self.guard.set_cookie()})
            denial = Denial(403, "the secret in the address is not that of this server")
        if denial is None:
            denial = self.guard.denies(request.method, request.headers, first)
        if denial is None and len(request.scope["path"]) > LONGEST_PATH:
            denial = Denial(404, LINES[404])  # Python reads no number of that length
        return None if denial is None else _error(denial.status, denial.reason)


async def _body(request: Request) -> dict[str, Any]:
    """The object that the body of a request holds; larger bodies are not read to their end."""
    try:
        content = await asyncio.wait_for(_read(request), PATIENCE)
    except TimeoutError:
        raise HTTPException(408) from None
    except ClientDisconnect:
        raise HTTPException(400) from None
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise WrongRequest("the body of the request should be JSON") from None
    if not isinstance(body, dict):
        raise WrongRequest("the body of the request should be an object with named fields")
    return body


async def _read(request: Request) -> bytes:
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MOST_BYTES:
        raise HTTPException(413)
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MOST_BYTES:
            raise HTTPException(413)
    return bytes(content)


class _Json(JSONResponse):
    """JSON of any text: the name of a file may be none, which JSON can spell all the same."""

    def render(self, content: Any) -> bytes:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode(errors="backslashreplace")


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return _Json(content, status, {"cache-control": "no-store"})


def _error(status: int, reason: str, **more: Any) -> Response:
    return _json({"error": reason, **more}, status)


async def _refused(request: Request, error: Exception) -> Response:
    status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
    more = {"image": error.image} if isinstance(error, ChangedElsewhere) else {}
    return _error(status, str(error), **more)


LINES = {
    404: "there is nothing at this address",
    405: "this address does not take that",
    408: "the request took too long to arrive",
    413: f"the request has more than {MOST_BYTES} bytes",
}


async def _not_served(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _error(status, LINES.get(status, "the request cannot be answered"))


async def _failed(request: Request, error: Exception) -> Response:
    # the traceback is for the terminal
    return _error(500, "the server made a mistake, which its terminal shows; nothing was lost")
