"""Arrays on disk that take long to make and can be made again: kept from round to round and shared by processes."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weakseg.files import write_whole

Arrays = dict[str, NDArray[Any]]


def remembered(folder: Path | None, key: str, make: Callable[[], Arrays]) -> Arrays:
    """What `make` made for this key before, or what it makes now; without a folder always the latter.

    The key is a fingerprint of everything that the arrays depend on. A file that is damaged or missing is made again.
    """
    found = recalled(folder, key)
    return keep(folder, key, make()) if found is None else found


def recalled(folder: Path | None, key: str) -> Arrays | None:
    """What was kept for this key; None if there is nothing, or only a damaged file."""
    if folder is None:
        return None
    try:
        with np.load(folder / f"{key}.npz", allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile):
        return None


def keep(folder: Path | None, key: str, arrays: Arrays) -> Arrays:
    """Keep arrays for `recalled`, if there is a folder, and return them."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        file = io.BytesIO()
        named: dict[str, Any] = {**arrays}
        np.savez_compressed(file, **named)  # NumPy 2.0 would keep allow_pickle= as one more array; `recalled` refuses what was pickled
        write_whole(folder / f"{key}.npz", file.getvalue())
    return arrays
