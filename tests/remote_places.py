"""Folders of a test where another machine would have them: in fsspec's memory, and behind a web
server of this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar


def to_memory(folder: Path, url: str) -> str:
    """Copy a folder to a URL such as memory://photos; returns that."""
    import fsspec

    store, key = fsspec.core.url_to_fs(url)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            store.pipe_file(f"{key}/{file.relative_to(folder).as_posix()}", file.read_bytes())
    return url


def from_memory(url: str) -> dict[str, bytes]:
    """The files below a URL, by their names from there on."""
    import fsspec

    store, key = fsspec.core.url_to_fs(url)
    return {name.removeprefix(f"{key}/"): store.cat_file(name) for name in store.find(key)}


def files_of(folder: Path) -> dict[str, bytes]:
    """The files below a folder, by their names from there on."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


class _Handler(SimpleHTTPRequestHandler):
    """Shows folders as pages of links, as many web servers do; answers some requests otherwise."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        answer = self.server.answers.get(self.path)  # type: ignore[attr-defined]
        if answer is None:
            super().do_GET()
        else:
            answer(self)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def web_server(folder: Path) -> Iterator[Any]:
    """A web server for a folder: `url` is its address, `asked` has the paths of all requests so
    far, and `answers` functions that answer those to certain paths."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    server.asked = []
    server.answers = {}
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def as_stores(*protocols: str) -> Iterator[None]:
    """Have URLs of these protocols lead into memory, whether or not their packages are there."""
    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem

    class Store(MemoryFileSystem):  # type: ignore[misc]
        """Memory under other names."""

        store: ClassVar[dict[str, Any]] = {}
        pseudo_dirs: ClassVar[list[str]] = [""]
        protocol = protocols

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            bare = path.partition("://")[2] if "://" in path else path
            return str(super()._strip_protocol(f"memory://{bare.lstrip('/')}"))

    table = import_module("fsspec.registry")._registry
    before = dict(table)
    for protocol in protocols:
        fsspec.register_implementation(protocol, Store, clobber=True)
    try:
        yield
    finally:
        table.clear()
        table.update(before)
