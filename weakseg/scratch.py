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
    if folder is None:
        return make()
    path = folder / f"{key}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile):
        pass  # not there, or damaged
    arrays = make()
    folder.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    write_whole(path, file.getvalue())
    return arrays
