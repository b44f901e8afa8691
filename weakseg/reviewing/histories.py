"""The corrections of a session: read again whenever another process, or another page, has changed
a file of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from threading import RLock
from typing import Any

from weakseg.data.corrections.events import Event
from weakseg.data.corrections.folder import CorrectionsFolder, DamagedCorrection
from weakseg.data.corrections.history import History
from weakseg.reviewing.refusals import NotSaved
from weakseg.utils.files import remove_leftovers

Stamp = tuple[int, int, int] | None


class Histories:
    """The corrections of images, by their ids.

    Args:
        folder: of their files.
    """

    def __init__(self, folder: CorrectionsFolder) -> None:
        self.folder = folder
        self._known: dict[str, tuple[Stamp, History | None, str]] = {}
        self._lock = RLock()
        remove_leftovers(folder.path)  # of processes that were killed

    def read(self, image: str) -> tuple[History | None, str]:
        """The corrections of an image, None if there are none; and why its file cannot be read,
        empty if it can."""
        stamp = stamp_of(self.folder.file(image))
        with self._lock:
            if image in self._known and self._known[image][0] == stamp:
                return self._known[image][1:]
            history, problem = None, ""
            try:
                # a file that is not there needs no look
                history = None if stamp is None else self.folder.read(image)
            except DamagedCorrection as error:
                problem = str(error)
            self._known[image] = (stamp, history, problem)
            return history, problem

    def add(
        self,
        image: str,
        event: Event,
        revision: int,
        size: tuple[int, int],
        before: Mapping[str, Any],
    ) -> History:
        """Add an event and write the file; NotSaved if that is impossible, and Conflict if somebody
        else has added one since that revision."""
        try:
            return self.folder.add(image, event, revision, size, before)
        except DamagedCorrection as error:
            raise NotSaved(f"nothing was saved, as {error}; repair or remove the file") from error
        except OSError as error:
            raise NotSaved(_unsaved(error)) from error

    def add_class(self, name: str) -> list[str]:
        """Add a class to those of the folder; returns the names of all that were added."""
        try:
            return self.folder.add_class(name)
        except OSError as error:
            raise NotSaved(_unsaved(error)) from error


def _unsaved(error: OSError) -> str:
    why = os.strerror(error.errno) if error.errno else str(error)
    return f"nothing was saved: {why}: {error.filename or 'the folder of corrections'}"


def stamp_of(file: Path) -> Stamp:
    """Changes with each change of a file; None if there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
