"""The folder of corrections: a small JSON file for each image, written whole at each event."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote, unquote

from weakseg.data.corrections.events import Event
from weakseg.data.corrections.history import History, read_history, written_history
from weakseg.utils.files import only_user, write_whole

IMAGES = "images"  # the folder of the files, one per image
CLASSES = "classes.json"  # names that a person has added
PATIENCE = 5.0  # seconds that a writer waits for another one
MOST_BYTES = 64 * 2**20  # of one file
LOCK = ".corrections.lock"
THREADS = Lock()


class DamagedCorrection(ValueError):
    """A file of corrections cannot be read; it is left as it is."""


class Conflict(ValueError):
    """Somebody else has changed the corrections of the image meanwhile."""

    def __init__(self, history: History) -> None:
        super().__init__(
            f"the corrections of {history.image} were changed elsewhere meanwhile: they are at "
            f"revision {history.revision}"
        )
        self.history = history


class CorrectionsFolder:
    """Corrections of the images of one data set.

    Args:
        path: the folder; it is made at the first event.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def file(self, image: str) -> Path:
        """Where the corrections of an image are: its id, in the letters of a URL."""
        parts = [_safe(part) for part in image.split("/")]
        return self.path.joinpath(IMAGES, *parts[:-1], f"{parts[-1]}.json")

    def images(self) -> list[str]:
        """The ids of the images that have corrections, by the names of their files."""
        root = self.path / IMAGES
        files = (file.relative_to(root).as_posix() for file in root.rglob("*.json"))
        return sorted(unquote(name.removesuffix(".json")) for name in files)

    def read(self, image: str) -> History | None:
        """The corrections of an image; None if there are none. DamagedCorrection if there are, but
        they cannot be read."""
        file = self.file(image)
        try:
            if file.stat().st_size > MOST_BYTES:
                raise ValueError(f"it has more than {MOST_BYTES} bytes")
            history = read_history(json.loads(file.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, OSError, RecursionError) as error:
            raise DamagedCorrection(f"{file} cannot be read: {error}") from error
        if history.image != image:
            raise DamagedCorrection(f"{file} belongs to image {history.image!r}, by what is in it")
        return history

    def read_all(self) -> dict[str, History]:
        """The corrections of all images that have any, by their id."""
        found = ((image, self.read(image)) for image in self.images())
        return {image: history for image, history in found if history is not None}

    def add(
        self,
        image: str,
        event: Event,
        revision: int,
        size: tuple[int, int],
        before: Mapping[str, Any],
    ) -> History:
        """Add an event to the corrections of an image, and write the file; returns what is in it
        now. Conflict if others have added something since.

        Args:
            image: its id.
            event: what was done.
            revision: of the corrections that were seen; 0 if there were none.
            size: width and height of the image's file.
            before: the evidence without any correction, for the first event.
        """
        with self._alone():
            history = self.read(image) or History(image, size, before)
            if history.revision != revision:
                raise Conflict(history)
            history = history.after(event)
            self._write(self.file(image), written_history(history))
        return history

    @property
    def classes(self) -> list[str]:
        """The names of the classes that a person has added to a data set that has none itself."""
        file = self.path / CLASSES
        try:
            names = json.loads(file.read_bytes())["classes"]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DamagedCorrection(f"{file} cannot be read: {error}") from error
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DamagedCorrection(f"{file}: classes should be a list of names")
        return names

    def add_class(self, name: str) -> list[str]:
        """Add a class at the end; returns the names of all."""
        with self._alone():
            names = self.classes
            if name in names:
                raise ValueError(f"there is a class {name!r} already")
            names.append(name)
            self._write(self.path / CLASSES, {"classes": names})
        return names

    def _write(self, file: Path, content: Mapping[str, Any]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, readable(content).encode())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder, so that two writers do not take turns amid one event."""
        self.path.mkdir(parents=True, exist_ok=True)
        advice = "corrections are kept there"
        # threads of one process share its hold on a file
        with THREADS, only_user(self.path, LOCK, advice, patience=PATIENCE):
            yield


def readable(content: Mapping[str, Any]) -> str:
    """JSON with a line for each field, and one for each element of a list of objects.

    >>> print(readable({"size": [4, 3], "events": [{"action": "accept"}, {"action": "undo"}]}))
    {
     "size": [4, 3],
     "events": [
      {"action": "accept"},
      {"action": "undo"}
     ]
    }
    """
    fields = [f" {json.dumps(name)}: {_value(value)}" for name, value in content.items()]
    return "{\n" + ",\n".join(fields) + "\n}"


def _value(value: Any) -> str:
    objects = isinstance(value, list) and any(isinstance(element, dict) for element in value)
    if not objects:
        return json.dumps(value, ensure_ascii=False)
    lines = ",\n".join(f"  {json.dumps(element, ensure_ascii=False)}" for element in value)
    return f"[\n{lines}\n ]"


def _safe(part: str) -> str:
    """A part of an id as the name of a file or folder.

    >>> _safe("a b"), _safe(".."), _safe("")
    ('a%20b', '%2E%2E', '%')
    """
    if not part.strip("."):  # nothing, the folder itself, or the one above it
        return part.replace(".", "%2E") or "%"
    return quote(part, safe="")
