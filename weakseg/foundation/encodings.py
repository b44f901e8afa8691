"""What frozen encoders made of images, on disk: bounded, and shared by all runs and commands."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from weakseg.utils.array_cache import ArrayCache, Arrays
from weakseg.utils.downloads import cache_folder

LIMIT = "WEAKSEG_ENCODINGS_GB"
"""the environment variable that says how many gigabytes they may take; 0 to keep none"""
USUAL_LIMIT = 20.0
LEFT = 0.9  # of the limit, once those that were used last have been deleted


class Encodings:
    """Arrays of images and models, in files of which those that were used last stay.

    Args:
        folder: of the files; None for `encodings` in the cache of the user.
        limit: in bytes; None for what the environment says.
    """

    def __init__(self, folder: Path | None = None, limit: int | None = None) -> None:
        self.folder = cache_folder() / "encodings" if folder is None else folder
        self.limit = _limit() if limit is None else limit
        self._files = ArrayCache(self.folder if self.limit else None, compress=False)
        self._written = self.limit  # looked at before the first file is kept

    def get_or_make(self, key: Any, make: Callable[[], Arrays]) -> Arrays:
        """What is kept under this key, or else what `make` returns, which is kept from now on."""
        found = self.get(key)
        return self.put(key, make()) if found is None else found

    def get(self, key: Any) -> Arrays | None:
        """What is kept under this key; None if there is nothing."""
        found = self._files.get(key)
        if found is not None:
            with suppress(OSError):  # gone by now, or of somebody else: it is here
                os.utime(self._files.file(key))
        return found

    def __contains__(self, key: Any) -> bool:
        return self._files.folder is not None and self._files.file(key).is_file()

    def put(self, key: Any, arrays: Arrays) -> Arrays:
        """Keep arrays under this key, and return them. A full disk is no reason to stop."""
        size = sum(array.nbytes for array in arrays.values())
        if not self.limit or size > self.limit:
            return arrays
        self._written += size
        try:
            if self._written > (1 - LEFT) * self.limit:
                self._prune(size)
                self._written = 0
            self._files.put(key, arrays)
        except OSError as error:
            warnings.warn(
                f"encodings are no longer kept in {self.folder}: {error.strerror or error}",
                stacklevel=2,
            )
            self.limit = 0
            self._files = ArrayCache()
        return arrays

    def _prune(self, coming: int) -> None:
        """Delete those that were not used for longest, so that there is room for more."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files = [(file.stat(), file) for file in self.folder.glob("*.npz")]
        taken = sum(state.st_size for state, _ in files)
        # never more than half of what the disk has for them
        room = min(self.limit, (taken + shutil.disk_usage(self.folder).free) // 2)
        if taken + coming <= room:
            return
        for state, file in sorted(files, key=lambda pair: pair[0].st_mtime):
            if taken + coming <= LEFT * room:
                break
            with suppress(FileNotFoundError):  # another process was faster
                file.unlink()
            taken -= state.st_size


def _limit() -> int:
    given = os.environ.get(LIMIT, "")
    try:
        gigabytes = float(given) if given else USUAL_LIMIT
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < float("inf"):
        raise ValueError(
            f"{LIMIT} should be a number of gigabytes, 0 for none, but it is {given!r}"
        )
    return int(gigabytes * 1e9)
