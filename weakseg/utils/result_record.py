"""The record of results while they are made: one line for each, by which a later call goes on after
a kill."""

from __future__ import annotations

import time
from pathlib import Path
from typing import IO, Protocol

from weakseg.utils.files import names
from weakseg.utils.remote_path import RemotePath

LINES = 500  # of a piece of a record on a store, at most
SECONDS = 10.0  # after which a piece is written, at most


class Record(Protocol):
    """Lines that are kept one after the other."""

    def begin(self, line: str) -> None:
        """Open the record with a line that says what follows."""

    def append(self, line: str) -> None:
        """Keep a line."""

    def close(self) -> None:
        """Keep what is not kept yet; no line follows."""

    def remove(self) -> None:
        """Delete the record."""


def record_in(folder: Path, suffix: str) -> Record:
    """The record of a part of the results in a folder.

    Args:
        folder: of this machine, or at a URL.
        suffix: what tells the part from others.
    """
    if isinstance(folder, RemotePath):
        return ObjectRecord(folder, suffix)
    return FileRecord(folder / f".record{suffix}.jsonl")


def is_record_of(file: Path, suffix: str) -> bool:
    """Whether a file is the record of a part of the results, or a piece of it.

    >>> is_record_of(Path("out/.record-1-of-8.000002.jsonl"), "-1-of-8")
    True
    """
    return file.name.startswith(f".record{suffix}.") and file.suffix == ".jsonl"


class FileRecord:
    """A file to which every line is added at once: a kill loses none.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def begin(self, line: str) -> None:
        """Open the file; a line that a kill has cut is ended."""
        torn = self.path.exists() and not self.path.read_bytes().endswith(b"\n")
        self._file = self.path.open("ab", buffering=0)
        self.append(("\n" if torn else "") + line)

    def append(self, line: str) -> None:
        """Write a line."""
        assert self._file is not None, "begin first"
        with names(self.path):
            self._file.write(f"{line}\n".encode())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Delete the file."""
        self.close()
        self.path.unlink(missing_ok=True)


class ObjectRecord:
    """Pieces on a store, which cannot add to a file: each is a file of its own with some hundred
    lines, or with those of some seconds. A kill loses those that are in no piece yet.

    Args:
        folder: at a URL.
        suffix: what tells the part from others.
    """

    def __init__(self, folder: RemotePath, suffix: str) -> None:
        self.folder = folder
        self.suffix = suffix
        self._head = ""
        self._lines: list[str] = []
        self._number = 0
        self._written = time.monotonic()

    def begin(self, line: str) -> None:
        """Go on behind the pieces that are there; each has this line at its top."""
        found = [int(piece.name.split(".")[-2]) for piece in self._pieces()]
        self._number = max(found, default=0)
        self._head = line
        self._written = time.monotonic()

    def append(self, line: str) -> None:
        """Keep a line, and write a piece if it is time."""
        assert self._head, "begin first"
        self._lines.append(line)
        if len(self._lines) >= LINES or time.monotonic() - self._written >= SECONDS:
            self._write()

    def close(self) -> None:
        """Write the last piece."""
        if self._lines:
            self._write()

    def remove(self) -> None:
        """Delete the pieces."""
        self._lines = []
        for piece in self._pieces():
            piece.unlink(missing_ok=True)

    def _write(self) -> None:
        self._number += 1
        piece = self.folder / f".record{self.suffix}.{self._number:06}.jsonl"
        piece.write_text("\n".join([self._head, *self._lines, ""]))
        self._lines = []
        self._written = time.monotonic()

    def _pieces(self) -> list[RemotePath]:
        pattern = f".record{self.suffix}.*.jsonl"
        return [piece for piece in self.folder.glob(pattern) if piece.name.count(".") >= 3]
