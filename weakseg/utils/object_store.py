"""Files at URLs, through fsspec: listed, read and written as a whole, with errors in one line."""

from __future__ import annotations

import errno
import functools
import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from weakseg.utils.messages import one_line
from weakseg.utils.secrets import scrub_message
from weakseg.utils.store_errors import attempt
from weakseg.utils.web_folders import links

T = TypeVar("T")

# the package that opens a protocol, where fsspec does not do it alone
PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "hf": "huggingface_hub",
    "http": "aiohttp",
    "https": "aiohttp",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
}
# what stores call the digest of a file's content, or else the time of its last change
DIGESTS = ("ETag", "etag", "md5Hash", "blob_id", "oid", "content_md5", "Last-Modified")
TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")
DEEPEST = 50  # folders in folders that a web server may list; more is a circle


class Info(NamedTuple):
    """What a store tells of a file or folder."""

    folder: bool
    size: int | None = None
    changed: float = 0.0
    """seconds since 1970; 0 where the store does not tell"""
    version: str = ""
    """changes when the content does; empty where the store does not tell"""


@dataclass
class Listing:
    """The files of a folder and all below it, by their names from there on, in order."""

    files: dict[str, Info] = field(default_factory=dict)

    @property
    def folders(self) -> list[str]:
        """The folders that these files are in."""
        return list(dict.fromkeys(above for name in self.files for above in _above(name)))

    def info(self, name: str) -> Info | None:
        """Of a file or folder; None if there is none."""
        if name in self.files:
            return self.files[name]
        if name == ".":
            return Info(folder=True) if self.files else None
        return Info(folder=True) if name in self._known_folders() else None

    def _known_folders(self) -> set[str]:
        if self._folders is None:
            self._folders = set(self.folders)
        return self._folders

    def below(self, name: str) -> Listing:
        """What is in one of the folders."""
        if name == ".":
            return self
        start = f"{name}/"
        return Listing(
            {
                file.removeprefix(start): info
                for file, info in self.files.items()
                if file.startswith(start)
            }
        )

    def children(self) -> list[str]:
        """The names of what is in the folder itself."""
        return list(dict.fromkeys(name.partition("/")[0] for name in self.files))

    def add(self, name: str, size: int) -> None:
        """Note a file that has been written."""
        self.files[name] = Info(folder=False, size=size, changed=time.time())
        self._folders = None

    _folders: set[str] | None = None


def _above(name: str) -> Iterator[str]:
    parts = name.split("/")[:-1]
    return ("/".join(parts[: end + 1]) for end in range(len(parts)))


# which files ----------------------------------------------------------------------------------


@functools.cache
def knows(protocol: str) -> bool:
    """Whether fsspec knows a protocol."""
    from fsspec import available_protocols

    return protocol.lower() in available_protocols()


def expect_protocol(protocol: str, given: str) -> None:
    """A ValueError for a protocol that fsspec does not know, or whose package is missing.

    Args:
        protocol: such as s3.
        given: what was written, for the message.
    """
    from fsspec import get_filesystem_class

    if not knows(protocol):
        raise ValueError(
            f"{given}: expected a protocol that fsspec knows, such as s3, gs, https or hf, but it "
            f"is {protocol}"
        )
    try:
        get_filesystem_class(protocol)
    except ImportError as error:
        package = PACKAGES.get(protocol)
        what = one_line(error) if package is None else f"needs the package {package}"
        how = "" if package is None else f": pip install {package}, or pip install weakseg[remote]"
        raise ValueError(f"{given}: {protocol}:// {what}{how}") from None


def as_regex(pattern: str) -> str:
    """A glob as a regular expression: * within a name, ** over any folders."""
    from fsspec.utils import glob_translate

    return str(glob_translate(pattern))


def list_below(url: str) -> Listing:
    """All files below a folder, in order; none if there is no such folder."""
    url = _beyond_cache(url)
    names = _links_below if _is_web(url) else _found_below
    found = attempt(url, "listed", lambda: dict(names(url)))
    return Listing(dict(sorted(found.items())))


def _found_below(url: str) -> Iterator[tuple[str, Info]]:
    store, key = _open(url)
    store.invalidate_cache()  # it may be another list by now
    try:
        found: Mapping[str, Any] = store.find(key, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return
    start = store._strip_protocol(key).rstrip("/")
    for name, details in found.items():
        relative = name.removeprefix(start).strip("/")
        # the object of a file itself, and marks of folders that some browsers of stores leave
        if relative and details.get("type") != "directory" and not name.endswith("/"):
            yield relative, _details(details)


def _links_below(url: str, depth: int = 0) -> Iterator[tuple[str, Info]]:
    """The same of a web server that shows a folder as a page of links."""
    place, mark, query = url.partition("?")
    place = place.rstrip("/") + "/"
    store, key = _open(f"{place}{mark}{query}")
    try:
        page = store.cat_file(key)
    except FileNotFoundError:
        return
    for link in links(page, place):
        name = unquote(link, errors="surrogatepass").rstrip("/")
        if not link.endswith("/"):
            yield name, Info(folder=False)
        elif depth < DEEPEST:
            for further, info in _links_below(f"{place}{link}{mark}{query}", depth + 1):
                yield f"{name}/{further}", info


def _beyond_cache(url: str) -> str:
    """The URL of what a cache would keep: which files there are is not kept."""
    return url.rpartition("::")[2]


def info(url: str) -> Info | None:
    """What a store tells of a file or folder; None if there is none."""

    url = _beyond_cache(url)
    # of a web server, a page of links is a folder, and a page all the same
    if _is_web(url) and list_below(url).files:
        return Info(folder=True)

    def ask() -> Info | None:
        store, key = _open(url)
        try:
            return _details(store.info(key))
        except (FileNotFoundError, NotADirectoryError):
            return None

    return attempt(url, "looked for", ask)


def _details(told: Mapping[str, Any]) -> Info:
    size = told.get("size")
    changed = _seconds(next((told[name] for name in TIMES if told.get(name)), 0))
    digest = next((str(told[name]) for name in DIGESTS if told.get(name)), "")
    version = f"{digest}-{size}-{changed!r}" if digest or changed else ""
    return Info(told.get("type") == "directory", size, changed, version)


def _seconds(when: Any) -> float:
    """A time as stores write it, in seconds since 1970."""
    if isinstance(when, datetime):
        return when.timestamp()
    if isinstance(when, str):
        try:
            return datetime.fromisoformat(when).timestamp()
        except ValueError:
            return 0.0
    return float(when) if isinstance(when, int | float) else 0.0


# what is in them ------------------------------------------------------------------------------


def read(url: str) -> bytes:
    """All of a file."""

    def fetch() -> bytes:
        store, key = _open(url)
        if "::" in url:  # a cache keeps what is opened
            with store.open(key, "rb") as file:
                return bytes(file.read())
        return bytes(store.cat_file(key, **_in_one_piece(store)))

    return attempt(url, "read", fetch)


def _in_one_piece(store: Any) -> dict[str, int]:
    """What keeps a store from asking for the size of a file first, to fetch large ones in pieces:
    for images, it would be a second request for each."""
    read = getattr(store, "_cat_file", None)
    asked = () if read is None else inspect.signature(read).parameters
    return {"max_concurrency": 1} if "max_concurrency" in asked else {}


def fetch(url: str, file: Path) -> None:
    """Copy a file to one of this machine, however large it is."""

    def copy() -> None:
        store, key = _open(url)
        store.get_file(key, str(file))

    attempt(url, "read", copy)


def write(url: str, data: bytes) -> None:
    """Write a file. A store shows all of it once it has all of it, and until then what was there
    before."""
    _write(url, lambda store, key: store.pipe_file(key, data))


def send(file: Path, url: str) -> None:
    """The same with the content of a file of this machine, however large it is."""
    _write(url, lambda store, key: store.put_file(str(file), key))


def _write(url: str, action: Callable[[Any, str], None]) -> None:
    if _is_web(url):
        raise OSError(errno.EROFS, "web servers are only read from", scrub_message(url))
    attempt(url, "written", lambda: action(*_open(_beyond_cache(url))))


def remove(url: str) -> None:
    """Delete a file."""

    def delete() -> None:
        store, key = _open(_beyond_cache(url))
        store.rm_file(key)

    attempt(url, "deleted", delete)


def _open(url: str) -> tuple[Any, str]:
    """The file system of a URL in this process, and what it calls the file. It is not kept: a
    forked process needs its own, which fsspec knows."""
    from fsspec.core import url_to_fs

    options: dict[str, Any] = {}
    if _is_web(url):
        # names are encoded already, and a second time would be other names
        protocol = urlsplit(_beyond_cache(url)).scheme
        options = {protocol: {"encoded": True}} if "::" in url else {"encoded": True}
    store, key = url_to_fs(url, **options)
    return store, key


def _is_web(url: str) -> bool:
    return _beyond_cache(url).startswith(("http://", "https://"))
