"""Files that are written whole or not at all, folders that one process holds, and the colours of indexed images."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where a folder is then not held
    fcntl = None  # type: ignore[assignment]


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a kill at any moment, sees all of it or what was there before."""
    part = path.with_name(f".{path.name[-100:]}.{uuid.uuid4().hex[:8]}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def voc_palette() -> list[list[int]]:
    """The 256 colours that PASCAL VOC gives to indices: the bits of the index, spread over red, green and blue.

    >>> voc_palette()[:3]
    [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    """
    bits = [(bit, channel) for bit in range(3) for channel in range(3) if 3 * bit + channel < 8]
    colours = [[0, 0, 0] for _ in range(256)]
    for index, colour in enumerate(colours):
        for bit, channel in bits:
            colour[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return colours


@contextmanager
def only_user(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; a ValueError if another process holds it. A kill lets go of it."""
    with (folder / ".lock").open("w") as file:
        if fcntl is not None:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock: forked loader processes would hold on to that
            except OSError:
                raise ValueError(f"another process is working in {folder}; wait for it or stop it") from None
        yield
