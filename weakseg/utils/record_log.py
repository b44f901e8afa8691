"""RecordLog: small facts on disk under content keys, found out once and looked up ever after."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weakseg.utils.files import write_whole

KEY = 32  # hexadecimal digits, as `fingerprint` makes them
SECONDS = 20.0  # between two files that are written while records come: what a kill loses at most
MANY_FILES = 16  # from which on they are joined to one
MOST_BYTES = 2**29  # of all files, from which on records that are not looked up are dropped
AT_ONCE = 10_000  # records that are in memory at the same time
ENDING = ".records"
Keys = NDArray[np.bytes_]


class RecordLog:
    """Records in a folder, each a JSON value under a content key.

    A file holds many of them, one per line, and is called like the digest of what is in it: it is
    written whole, never changed, and a damaged one is passed over. So several processes may read
    and write at the same time, and a record that is lost is only found out again.

    Args:
        folder: of the files, which may be deleted at any time; None to keep nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._pending: list[bytes] = []
        self._written = time.monotonic()

    def put(self, key: str, record: Any) -> None:
        """Keep a record from now on; it is on disk after the next `flush`."""
        if self.folder is None:
            return
        self._pending.append(f"{key}\t{json.dumps(record, separators=(',', ':'))}\n".encode())
        if time.monotonic() - self._written > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is not on disk yet; where that cannot be, it is found out again next time."""
        self._written = time.monotonic()
        if self._pending:
            with suppress(OSError):
                self._write(b"".join(self._pending))
        self._pending = []

    def find(self, keys: Sequence[str]) -> Iterator[tuple[int, Any]]:
        """The records of these keys: the place of each key among them, and its record. Of several
        under one key, the last that was found is as good as the others.

        >>> list(RecordLog(None).find(("0" * 32,)))
        []
        """
        wanted: Keys = np.array(keys, f"S{KEY}")
        order = np.argsort(wanted, kind="stable")
        ordered = wanted[order]
        files = self._files()
        for lines in _blocks(files):
            for line, place in _places(lines, ordered):
                yield int(order[place]), json.loads(lines[line][KEY + 1 :])
        if len(files) > MANY_FILES:
            # several data sets may have their records here
            with suppress(OSError):
                self._join(files, ordered if _bytes_of(files) > MOST_BYTES else None)

    def _files(self) -> list[Path]:
        if self.folder is None or not self.folder.is_dir():
            return []
        return sorted(self.folder.glob(f"*{ENDING}"))

    def _write(self, data: bytes) -> Path:
        assert self.folder is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self.folder / f"{_hash(data).hexdigest()}{ENDING}"
        write_whole(place, data)
        return place

    def _join(self, files: Sequence[Path], only: Keys | None) -> None:
        """One file in place of many, with the records of some keys alone if these are given."""
        kept: dict[bytes, None] = {}
        for lines in _blocks(files):
            chosen = lines if only is None else [lines[line] for line, _ in _places(lines, only)]
            kept |= dict.fromkeys(chosen)
        joined = self._write(b"".join(kept))
        for file in files:
            if file != joined:  # which another process may have joined, too
                file.unlink(missing_ok=True)


def _blocks(files: Iterable[Path]) -> Iterator[list[bytes]]:
    """The records of files, some at a time: of all at once a million images would take a gigabyte.
    A file is passed over if it is damaged, or has just been joined with others."""
    for path in files:
        with suppress(OSError), path.open("rb") as file:
            if hashlib.file_digest(file, _hash).hexdigest() != path.stem:
                continue
            file.seek(0)
            while lines := list(itertools.islice(file, AT_ONCE)):
                yield lines


def _bytes_of(files: Iterable[Path]) -> int:
    size = 0
    for file in files:
        with suppress(OSError):
            size += file.stat().st_size
    return size


def _places(lines: Sequence[bytes], ordered: Keys) -> list[tuple[int, int]]:
    """Which line has a key that is wanted, and the place of that key."""
    if not len(lines) or not len(ordered):
        return []
    own: Keys = np.array([line[:KEY] for line in lines], f"S{KEY}")
    places = np.searchsorted(ordered, own).clip(max=len(ordered) - 1)
    found = np.flatnonzero(ordered[places] == own)
    return list(zip(found.tolist(), places[found].tolist(), strict=True))


def _hash(data: bytes = b"") -> Any:
    return hashlib.blake2b(data, digest_size=16)
