"""Paths that are URLs, such as s3://bucket/photos, beside those of this machine: the same methods,
answered by fsspec."""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterator
from fnmatch import translate
from pathlib import Path, PosixPath, PurePath, PurePosixPath
from typing import IO, Any, cast
from urllib.parse import quote, unquote
from urllib.request import url2pathname

from weakseg.utils import object_store
from weakseg.utils.object_store import Info, Listing
from weakseg.utils.secrets import scrub_message

# a letter alone would be a drive of Windows. Path makes one slash of two, so one is enough
_URL = re.compile(r"((?:\w+::)*)([a-z][a-z0-9+.-]+):(\?[^/]*)?(//?)(?=[^/]|/[^/]|$)", re.IGNORECASE)
_CACHES = ("simplecache", "filecache", "blockcache")
_WEB = ("http:", "https:")
# what may stand in a part of a web address as it is
_PLAIN = "!$&'()*+,;=:@~"

LISTED: dict[tuple[str, ...], Listing] = {}
"""the folders that this process has listed, by the parts of their paths"""


def as_path(given: str | Path) -> Path:
    """The path that a word means: of this machine, or a RemotePath for a URL.

    >>> as_path("photos/a.jpg"), str(as_path("memory://photos") / "a.jpg")
    (PosixPath('photos/a.jpg'), 'memory://photos/a.jpg')
    """
    text = str(given)
    if isinstance(given, RemotePath) or not is_url(text):
        return given if isinstance(given, Path) else Path(given)
    return _parsed(text)


def is_url(text: str) -> bool:
    """Whether a word is a URL, and not a path of this machine.

    >>> is_url("hf://datasets/me/photos"), is_url("a:b"), is_url("photos")
    (True, False, False)
    """
    found = _URL.match(text)
    # a folder may be called like that; what a Path has made of a URL has one slash
    return found is not None and (found[4] == "//" or object_store.knows(found[2]))


def named_in(folder: Path, name: str) -> Path:
    """What a name means within a folder; a URL or a whole path means itself."""
    return as_path(name) if is_url(name) else folder / name


def is_remote(path: Path) -> bool:
    """Whether a path is a URL."""
    return isinstance(path, RemotePath)


def _parsed(text: str) -> Path:
    found = _URL.match(text)
    assert found is not None
    caches, protocol, rest = found[1], found[2].lower(), text[found.end() :].lstrip("/")
    if wrong := [name for name in caches.split("::")[:-1] if name not in _CACHES]:
        raise ValueError(
            f"{scrub_message(text)}: expected one of {', '.join(_CACHES)} before ::, but it is "
            f"{wrong[0]}; archives are unpacked first"
        )
    if protocol in ("file", "local"):
        return Path(url2pathname(f"/{rest}"))
    object_store.expect_protocol(protocol, scrub_message(text))
    head = f"{caches}{protocol}:"
    if protocol not in ("http", "https"):
        return RemotePath(head, rest)
    if found[3]:  # what Path has made of a RemotePath, whose names are decoded already
        return RemotePath(f"{head}{found[3]}", rest)
    # a question mark begins what the server wants to know beside the path, such as a token; it goes
    # with every path below, and stands in front, without what would be taken for parts of the path
    place, mark, query = rest.partition("?")
    asked = mark + quote(query, safe="=&") if mark else ""
    host, _, names = place.partition("/")
    return RemotePath(head + asked, host, unquote(names, errors="surrogatepass"))


class RemotePath(PosixPath):
    """A file or folder at a URL. Files are read and written as a whole; names are as they would be
    on this machine, so those in a web address are decoded.

    What is known of a folder that `list_once` has listed is answered without the network.
    """

    __slots__ = ()

    def __str__(self) -> str:
        """The URL, with the user or token that is in it."""
        if not self.parts:
            return "."
        first, *rest = self.parts
        head, mark, query = first.partition("?")
        if not head.endswith(_WEB) or not rest:
            return f"{head}//{'/'.join(rest)}"
        names = [quote(name, safe=_PLAIN, errors="surrogatepass") for name in rest[1:]]
        return f"{head}//{'/'.join([rest[0], *names])}{mark}{unquote(query)}"

    def __format__(self, spec: str) -> str:
        """As in messages: without user or token."""
        return format(scrub_message(str(self)), spec)

    def __repr__(self) -> str:
        return f"RemotePath({f'{self}'!r})"

    def __fspath__(self) -> str:
        raise TypeError(
            f"{self} is not on this machine, and what is done here needs a file that is; copy it "
            "here first"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __lt__(self, other: PurePath) -> bool:
        """The order of the names, part by part, as on this machine."""
        return self.parts < other.parts

    def __truediv__(self, name: str | os.PathLike[str]) -> RemotePath:
        """A file or folder below; of a whole path of this machine, that one."""
        text = name if isinstance(name, str) else str(name)
        if text.startswith("/"):
            return cast(RemotePath, Path(text))
        return RemotePath(*self.parts, text)

    def joinpath(self, *names: str | os.PathLike[str]) -> RemotePath:
        """The same, one name after the other."""
        found = self
        for name in names:
            found = found / name
        return found

    @property
    def parent(self) -> RemotePath:
        """The folder that it is in; of a server or bucket, itself."""
        return self if len(self.parts) <= 2 else super().parent

    @property
    def is_listed(self) -> bool:
        """Whether this process has listed it, by itself or with what it is in."""
        return self._listing() is not None

    @property
    def is_web(self) -> bool:
        """Whether a web server has it, which can only list folders as pages of links."""
        return self.parts[0].partition("?")[0].endswith(_WEB)

    def as_posix(self) -> str:
        """The URL."""
        return str(self)

    def relative_to(self, *other: Any, **options: Any) -> RemotePath:
        """The names from a folder on, which are no URL any more."""
        start = RemotePath(*other).parts
        if self.parts[: len(start)] != start:
            raise ValueError(f"{self} is not below {RemotePath(*other)}")
        return cast(RemotePath, PurePosixPath(*self.parts[len(start) :]))

    def is_relative_to(self, *other: Any) -> bool:
        """Whether it is this folder or below it."""
        start = RemotePath(*other).parts
        return self.parts[: len(start)] == start

    def absolute(self) -> RemotePath:
        """The same: a URL begins at its server."""
        return self

    def resolve(self, strict: bool = False) -> RemotePath:
        """The same without `..`; there are no links."""
        kept: list[str] = []
        for part in self.parts:
            if part == "..":
                del kept[-1:]
            else:
                kept.append(part)
        return RemotePath(*kept)

    def is_symlink(self) -> bool:
        """There are no links."""
        return False

    def _info(self) -> Info | None:
        if (listing := self._listing()) is not None:
            names, name = listing
            return names.info(name)
        return object_store.info(str(self))

    def _listing(self) -> tuple[Listing, str] | None:
        """A listing that covers this path, and its name there."""
        parts = self.parts
        for folder, listing in LISTED.items():
            if parts[: len(folder)] == folder:
                return listing, "/".join(parts[len(folder) :]) or "."
        return None

    def exists(self, **options: Any) -> bool:
        """Whether there is a file or folder."""
        return self._info() is not None

    def is_file(self, **options: Any) -> bool:
        """Whether there is a file."""
        info = self._info()
        return info is not None and not info.folder

    def is_dir(self, **options: Any) -> bool:
        """Whether there is a folder, which on most stores means: anything below it."""
        info = self._info()
        return info is not None and info.folder

    def stat(self, **options: Any) -> os.stat_result:
        """Size and time of the last change, as far as the store tells them."""
        info = self._info()
        if info is None:
            raise FileNotFoundError(2, "there is none", f"{self}")
        kind = stat.S_IFDIR if info.folder else stat.S_IFREG
        time = int(info.changed)
        return os.stat_result((kind, 0, 0, 1, 0, 0, info.size or 0, time, time, time))

    def iterdir(self) -> Iterator[RemotePath]:  # type: ignore[override]
        """What is in a folder, not what is below that."""
        return (self / name for name in self._below().children())

    def rglob(self, pattern: str, **options: Any) -> Iterator[RemotePath]:  # type: ignore[override]
        """The files and folders below whose own name matches."""
        fits = re.compile(translate(pattern)).match
        below = self._below()
        names = (*below.folders, *below.files)
        return (self / name for name in names if fits(name.rpartition("/")[2]))

    def glob(self, pattern: str, **options: Any) -> Iterator[RemotePath]:  # type: ignore[override]
        """What is below whose names match, part by part; ** is any number of folders."""
        fits = re.compile(object_store.as_regex(pattern)).fullmatch
        below = self._below()
        names = (*below.folders, *below.files)
        return (self / name for name in names if fits(name))

    def _below(self) -> Listing:
        """What is in this folder and below it."""
        if (found := self._listing()) is not None:
            listing, name = found
            return listing.below(name)
        return object_store.list_below(str(self))

    def read_bytes(self) -> bytes:
        """All of the file."""
        return object_store.read(str(self))

    def read_text(self, encoding: str | None = None, *_: Any, **__: Any) -> str:
        """The file as text."""
        return self.read_bytes().decode(encoding or "utf-8")

    def write_bytes(self, data: Any) -> int:
        """The file with other content: whole, or not at all."""
        object_store.write(str(self), bytes(data))
        self._note(len(data))
        return len(data)

    def write_from(self, file: Path) -> None:
        """The same with the content of a file of this machine, however large it is."""
        object_store.send(file, str(self))
        self._note(file.stat().st_size)

    def _note(self, size: int) -> None:
        """Have listings know a file that has been written."""
        if (found := self._listing()) is not None:
            listing, name = found
            listing.add(name, size)

    def write_text(self, data: str, encoding: str | None = None, *_: Any, **__: Any) -> int:
        """The file with a text in it."""
        return self.write_bytes(data.encode(encoding or "utf-8"))

    def open(self, mode: str = "r", *_: Any, encoding: str | None = None, **__: Any) -> IO[Any]:  # type: ignore[override]
        """The file, to read. `write_whole` and `writing_whole` write."""
        if mode not in ("r", "rb", "rt"):
            raise OSError(f"{self} can only be read, or written as a whole, not opened as {mode}")
        content = io.BytesIO(self.read_bytes())
        return content if "b" in mode else io.TextIOWrapper(content, encoding=encoding or "utf-8")

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the file."""
        try:
            object_store.remove(str(self))
        except FileNotFoundError:
            if not missing_ok:
                raise
        if (found := self._listing()) is not None:
            listing, name = found
            listing.files.pop(name, None)

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: a folder of a store is there as soon as anything is in it."""


def forget_listings() -> None:
    """Ask anew for all folders: what begins now has to see what is there now."""
    LISTED.clear()


def list_once(folder: Path, new: bool = False) -> None:
    """Ask a store once for all that is in a folder and below it, so that questions about single
    files need no network. Nothing for folders of this machine.

    Args:
        folder: at a URL.
        new: whether one that is empty is a folder, too: one that will be written to.
    """
    if isinstance(folder, RemotePath):
        listing = object_store.list_below(str(folder))
        for known in list(LISTED):  # what was known of the folder, or of one in it
            if known[: len(folder.parts)] == folder.parts:
                del LISTED[known]
        if listing.files or new:
            LISTED[folder.parts] = listing


def remember(folder: Path) -> None:
    """The same, unless it has been listed already, by itself or with what it is in."""
    if isinstance(folder, RemotePath) and not folder.is_listed:
        list_once(folder)


def version_of(path: RemotePath) -> str:
    """What changes when a file at a URL does: its digest, its size and the time of its last change,
    as the store tells them; nothing where it does not."""
    info = path._info()
    return "" if info is None else info.version


def listed_version(path: Path) -> str:
    """The same as far as a listing tells it, without the network; nothing where there is none."""
    return version_of(path) if isinstance(path, RemotePath) and path.is_listed else ""


def expect_writable(key: str, path: Path) -> None:
    """A ValueError if a place is one that nothing can be written to.

    Args:
        key: the word that names it.
        path: the place.
    """
    if isinstance(path, RemotePath) and path.is_web:
        raise ValueError(
            f"{key}: web servers are only read from, but it is {path}; name a folder, or one on a "
            "store such as s3://bucket/results"
        )


def expect_local(key: str, path: Path | str | None) -> None:
    """A ValueError if a place is not on this machine.

    Args:
        key: the word that names it.
        path: the place.
    """
    if is_url(str(path)):
        raise ValueError(
            f"{key}: expected a folder of this machine, in which files grow line by line, but it "
            f"is {scrub_message(str(path))}; copy it there when the run has ended"
        )


def path_from(path: Path, folder: Path) -> str:
    """What a path is called in a file that lies in a folder: relative to it where both are on this
    machine, else whole, but without users and tokens."""
    if is_remote(path) or is_remote(folder):
        return f"{path.absolute()}"
    return os.path.relpath(path, folder)
