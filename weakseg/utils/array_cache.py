"""Arrays on disk that take long to make and can be made again: kept from round to round and shared
by processes."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weakseg.utils.files import write_whole
from weakseg.utils.fingerprint import fingerprint

DIGEST = "weakseg-digest"  # the name of one more array in each file
Arrays = dict[str, NDArray[Any]]


def remembered(folder: Path | None, key: str, make: Callable[[], Arrays]) -> Arrays:
    """What `make` made for this key before, or what it makes now; without a folder always the
    latter.

    The key is a fingerprint of everything that the arrays depend on. A file that is damaged or
    missing is made again.
    """
    found = recalled(folder, key)
    return keep(folder, key, make()) if found is None else found


def recalled(folder: Path | None, key: str) -> Arrays | None:
    """What was kept for this key; None if there is nothing, or only a damaged file or that of
    another key."""
    if folder is None:
        return None
    try:
        with np.load(folder / f"{key}.npz", allow_pickle=False) as stored:
            arrays = dict(stored)
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile):
        return None
    digest = arrays.pop(DIGEST, None)
    return arrays if digest is not None and str(digest) == _digest(key, arrays) else None


def keep(folder: Path | None, key: str, arrays: Arrays) -> Arrays:
    """Keep arrays for `recalled`, if there is a folder, and return them."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        file = io.BytesIO()
        named: dict[str, Any] = {**arrays, DIGEST: np.array(_digest(key, arrays))}
        # NumPy 2.0 would keep allow_pickle= as one more array; `recalled` refuses what was pickled
        np.savez_compressed(file, **named)
        write_whole(folder / f"{key}.npz", file.getvalue())
    return arrays


def _digest(key: str, arrays: Arrays) -> str:
    """Binds the arrays to their key: a file in the place of another one would make wrong targets
    under right keys."""
    return fingerprint(key, {name: np.ascontiguousarray(array) for name, array in arrays.items()})
