"""The images of a data set with the files that speak of them: in memory where there are a few, and
in a file that all processes share where there are many."""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import pickle
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from weakseg.data.formats.base import Annotation, FormatError
from weakseg.utils.remote_path import is_remote, listed_version

Reader = Callable[[list[FormatError] | None], Annotation]
MANY = 5000  # images from which on entries are kept in a file
PROTOCOL = 4  # of pickle, so that the same entry is the same bytes in every version of Python


class Entry(NamedTuple):
    """One image, and the files that speak of it."""

    id: str
    image: Path
    read: Reader | None = None
    """reads what was annotated, noting what is wrong in the list it is given; None if nothing
    was"""
    mask: Path | None = None
    """values by class"""
    annotations: Path | None = None
    """the file that `read` opens; None if what it returns is in memory"""


def in_memory(annotation: Annotation, problems: list[FormatError] | None) -> Annotation:
    """An annotation that is in memory already, as a reader."""
    return annotation


def kept(entries: Iterable[Entry]) -> Sequence[Entry]:
    """The entries, in the form that suits their number."""
    there = list(entries)
    return there if len(there) < MANY else EntryTable(there)


def named(entries: Sequence[Entry], place: int) -> Entry:
    """An entry that may be without its reader, which takes long to load from a file."""
    return entries.named(place) if isinstance(entries, EntryTable) else entries[place]


class EntryTable(Sequence[Entry]):
    """Entries in a temporary file, of which this process and its workers have the same pages of
    memory: 17 bytes each beside the file, where objects would take kilobytes in every process.

    Args:
        entries: in their order.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        with tempfile.NamedTemporaryFile(prefix="weakseg-entries-", delete=False) as file:
            ends = [0]
            unnamed = []
            for entry in entries:
                unnamed.append(_opens_unnamed(entry))
                for part in written(entry):
                    ends.append(ends[-1] + file.write(part))
            file.write(b" ")  # a file of nothing could not be mapped
        self._ends: NDArray[np.int64] = np.array(ends)
        self._unnamed: NDArray[np.bool_] = np.array(unnamed, bool)
        self._open(file.name)
        weakref.finalize(self, _remove, file.name, os.getpid())

    def _open(self, path: str) -> None:
        self._path = path
        with open(path, "rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self._ends) // 2

    def named(self, place: int) -> Entry:
        """An entry without its reader."""
        entry: Entry = pickle.loads(self._part(2 * self._checked(place)))
        return entry

    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Entry]: ...

    def __getitem__(self, place: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        reader = pickle.loads(self._part(2 * self._checked(place) + 1))
        return self.named(place)._replace(read=reader)

    def __iter__(self) -> Iterator[Entry]:
        return (self[place] for place in range(len(self)))

    def written(self, place: int) -> tuple[bytes, bytes]:
        """As `written` made it of the entry."""
        first = 2 * self._checked(place)
        return self._part(first), self._part(first + 1)

    def opens_unnamed(self, place: int) -> bool:
        """Whether the annotation of an entry is read from a file that it does not name."""
        return bool(self._unnamed[self._checked(place)])

    def _checked(self, place: int) -> int:
        if not -len(self) <= place < len(self):
            raise IndexError(f"there is no entry {place} among {len(self)}")
        return place % len(self)

    def _part(self, number: int) -> bytes:
        start, end = self._ends[number : number + 2].tolist()
        return self._bytes[start:end]

    def __getstate__(self) -> dict[str, Any]:  # another process opens the same file
        return {"_path": self._path, "_ends": self._ends, "_unnamed": self._unnamed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._ends = state["_ends"]
        self._unnamed = state["_unnamed"]
        self._open(state["_path"])


def written(entry: Entry) -> tuple[bytes, bytes]:
    """An entry as bytes, and its reader apart."""
    return _dumped(entry._replace(read=None)), _dumped(entry.read)


def _dumped(value: Any) -> bytes:
    """Equal values as equal bytes: pickle would write which of their parts are the same object."""
    data = io.BytesIO()
    pickler = pickle.Pickler(data, PROTOCOL)
    pickler.fast = True
    pickler.dump(value)
    return data.getvalue()


def _remove(path: str, owner: int) -> None:
    """Remove the file when the process that made it needs it no longer; not when one that was
    forked from it ends."""
    if os.getpid() == owner:
        with suppress(OSError):
            os.unlink(path)


def _opens_unnamed(entry: Entry) -> bool:
    """Whether the annotation is read from a file that the entry does not name."""
    read = entry.read
    in_it = read is None or (isinstance(read, partial) and read.func is in_memory)
    return entry.annotations is None and not in_it


def content_key(
    entries: Sequence[Entry], place: int, further: Iterable[Path], rule: str
) -> str | None:
    """A text that changes when a file of an image changes, is moved or is read otherwise: made from
    the sizes of the files and the times of their last change, without opening them. None where that
    cannot be told: the annotation is in a file that the entry does not name, or a file is missing,
    or at a URL whose store tells neither.

    Args:
        entries: of the data set.
        place: of the image among them.
        further: other files that it is made from.
        rule: all that decides how they are read.
    """
    entry = named(entries, place)
    if isinstance(entries, EntryTable):
        opens_unnamed, as_bytes = entries.opens_unnamed(place), entries.written(place)
    else:
        opens_unnamed, as_bytes = _opens_unnamed(entry), written(entry)
    if opens_unnamed:
        return None
    digest = hashlib.blake2b(rule.encode(), digest_size=16)
    for part in as_bytes:
        digest.update(part)
    for path in (entry.image, entry.mask, entry.annotations, *further):
        if path is None:
            continue
        if is_remote(path):
            if not (version := listed_version(path)):
                return None
            digest.update(f"{version};".encode())
            continue
        try:
            found = os.stat(path)
        except OSError:
            return None
        digest.update(f"{found.st_size} {found.st_mtime_ns};".encode())
    return digest.hexdigest()
