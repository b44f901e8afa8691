"""Arrays on disk that take long to compute and can be computed again: kept from round to round and
shared by processes."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weakseg.utils.files import write_whole
from weakseg.utils.fingerprint import fingerprint

DIGEST = "weakseg-digest"  # the name of one more array in each file
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class ArrayCache:
    """Named arrays in a folder, one file for each key.

    A key is everything that the arrays depend on, as one value that has a `fingerprint`: a tuple of
    a word, an image and options, say.

    Args:
        folder: of the files, which may be deleted at any time; None to keep nothing.
        compress: whether files are compressed, which takes longer than to read and write them.
    """

    folder: Path | None = None
    compress: bool = True

    def get_or_make(self, key: Any, make: Callable[[], Arrays]) -> Arrays:
        """What is kept under this key, or else what `make` returns, which is kept from now on.

        >>> ArrayCache().get_or_make(("squares", 3), lambda: {"squares": np.arange(3) ** 2})
        {'squares': array([0, 1, 4])}
        """
        found = self.get(key)
        return self.put(key, make()) if found is None else found

    def get(self, key: Any) -> Arrays | None:
        """What is kept under this key; None if there is nothing, or only a damaged file or that of
        another key."""
        if self.folder is None:
            return None
        file = self.file(key)
        try:
            with file.open("rb") as content, np.load(content, allow_pickle=False) as stored:
                arrays = dict(stored)
        except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile):
            return None
        digest = arrays.pop(DIGEST, None)
        return arrays if digest is not None and str(digest) == _digest(file, arrays) else None

    def put(self, key: Any, arrays: Arrays) -> Arrays:
        """Keep arrays under this key, if there is a folder, and return them."""
        if self.folder is not None:
            file = self.file(key)
            self.folder.mkdir(parents=True, exist_ok=True)
            data = io.BytesIO()
            named: dict[str, Any] = {**arrays, DIGEST: np.array(_digest(file, arrays))}
            # NumPy 2.0 would keep allow_pickle= as one more array; `get` refuses what was pickled
            (np.savez_compressed if self.compress else np.savez)(data, **named)
            # what is lost with the power is made again
            write_whole(file, data.getvalue(), durable=False)
        return arrays

    def file(self, key: Any) -> Path:
        """Where arrays are kept under this key."""
        assert self.folder is not None
        return self.folder / f"{fingerprint(key)}.npz"


def _digest(file: Path, arrays: Arrays) -> str:
    """Binds the arrays to their key, which names the file: a file in the place of another one would
    make wrong targets under right keys."""
    return fingerprint(
        file.stem, {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    )
