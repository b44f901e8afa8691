"""JSON that is written entry by entry, so that a file may be larger than memory."""

from __future__ import annotations

import json
from typing import IO


class JsonList:
    """A list in a file: `[` when the block begins, an entry a line, `]` when it ends.

    >>> import io
    >>> file = io.BytesIO()
    >>> with JsonList(file) as entries:
    ...     entries.add(1)
    ...     entries.add("ä")
    >>> json.loads(file.getvalue())
    [1, 'ä']
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.empty = True

    def __enter__(self) -> JsonList:
        self.file.write(b"[")
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:  # else the disk may be full, and the file is not kept
            self.file.write(b"\n]")

    def add(self, entry: object) -> None:
        """Write one more entry."""
        self.file.write(b"\n" if self.empty else b",\n")
        self.file.write(to_json(entry))
        self.empty = False


def to_json(value: object) -> bytes:
    """One line of UTF-8."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
