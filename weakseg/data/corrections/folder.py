"""The folder of corrections: a small JSON file for each image, written whole at each event."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from weakseg.data.corrections.counts import CorrectionCounts, count_corrections
from weakseg.data.corrections.events import LONGEST_NAME, Event, read_event, written_event
from weakseg.data.corrections.history import History, read_history, written_history
from weakseg.utils.files import only_user, write_whole
from weakseg.utils.remote_path import expect_local

BESIDE = "corrections"  # what a folder of corrections is called in that of a run or of photographs
IMAGES = "images"  # the folder of the files, one per image
CLASSES = "classes.json"  # names that a person has added
PATIENCE = 5.0  # seconds that a writer waits for another one
MOST_BYTES = 16 * 2**20  # of one file: a million points, which take forty times that in memory
MOST_CLASSES = 255  # with the background
LOCK = ".corrections.lock"
EMPTY = "%"  # the part of an id between two slashes that has no letter
SHORTENED = "%~"  # before the digest in a name that was too long; stands in no other name
LONGEST_PART = 200  # letters of a file's name, of which most file systems take 255
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


class Corrections(NamedTuple):
    """What a folder holds."""

    sound: dict[str, History]
    """by the ids of the images"""
    damaged: dict[str, DamagedCorrection]
    """what is wrong, by the ids that the names of the files stand for"""


class CorrectionsFolder:
    """Corrections of the images of one data set.

    Args:
        path: the folder; it is made at the first event.
    """

    def __init__(self, path: Path | str) -> None:
        expect_local("corrections", path)
        self.path = Path(path)

    def file(self, image: str) -> Path:
        """Where the corrections of an image are: its id, in the letters of a URL. Whatever the id
        is, that is inside of the folder."""
        *folders, last = (_safe(part) for part in image.split("/"))
        # the folder of a.json/b must not be the file of a
        folders = [re.sub(r"\.json$", "%2Ejson", part) for part in folders]
        return self.path.joinpath(IMAGES, *folders, f"{last}.json")

    def counts(self) -> CorrectionCounts:
        """How much a person has corrected."""
        return count_corrections(self.read_all().values())

    def files(self) -> list[Path]:
        """The files of all images that have corrections."""
        return sorted(path for path in (self.path / IMAGES).rglob("*.json") if path.is_file())

    def images(self) -> list[str]:
        """The ids of the images that have corrections, as far as their files can be read."""
        return sorted(self.read_all())

    def read(self, image: str) -> History | None:
        """The corrections of an image; None if there are none. DamagedCorrection if there are, but
        they cannot be read."""
        file = self.file(image)
        history = _read(file)
        if history is not None and history.image != image:
            raise DamagedCorrection(f"{file} belongs to image {history.image!r}, by what is in it")
        return history

    def read_all(self) -> dict[str, History]:
        """The corrections of all images whose files can be read, by their ids."""
        return self.read_each().sound

    def read_each(self) -> Corrections:
        """The corrections of all images, and which of their files are damaged."""
        found = Corrections({}, {})
        for file in self.files():
            try:
                history = _read(file)
                if history is not None and file != self.file(history.image):
                    found.damaged[self._named(file)] = DamagedCorrection(
                        f"{file} belongs to image {history.image!r}, by what is in it"
                    )
                elif history is not None:
                    found.sound[history.image] = history
            except DamagedCorrection as error:
                found.damaged[self._named(file)] = error
        return found

    def _named(self, file: Path) -> str:
        """The id that the name of a file stands for; of a shortened name, what is left of it."""
        name = file.relative_to(self.path / IMAGES).as_posix().removesuffix(".json")
        parts = ("" if part == EMPTY else unquote(part) for part in name.split("/"))
        return "/".join(parts)

    def add(
        self,
        image: str,
        event: Event,
        revision: int,
        size: tuple[int, int],
        before: Mapping[str, Any],
    ) -> History:
        """Add an event to the corrections of an image, and write the file; returns what is in it
        now. Conflict if others have added something since; an OSError if it cannot be saved.

        Args:
            image: its id.
            event: what was done.
            revision: of the corrections that were seen; 0 if there were none.
            size: width and height of the image's file.
            before: the evidence without any correction, for the first event.
        """
        return self.add_all(image, [event], revision, size, before)

    def add_all(
        self,
        image: str,
        events: Sequence[Event],
        revision: int,
        size: tuple[int, int],
        before: Mapping[str, Any],
    ) -> History:
        """Add several events at once, as `add` does."""
        with self._alone():
            history = self.read(image) or History(image, size, before)
            changes = any(event.action != "look" for event in events)
            if history.revision != revision and changes:
                raise Conflict(history)
            for event in events:
                # as it will be read again, with rounded numbers
                history = history.after(read_event(written_event(event)))
            self._write(self.file(image), written_history(history))
        return history

    @property
    def classes(self) -> list[str]:
        """The names of the classes that a person has added to a data set that has none itself."""
        file = self.path / CLASSES
        try:
            names = json.loads(_content(file))["classes"]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
            raise DamagedCorrection(f"{file} cannot be read: {error}") from error
        if not isinstance(names, list) or not all(is_class_name(name) for name in names):
            raise DamagedCorrection(f"{file}: classes should be a list of names")
        if len(set(names)) < len(names) or len(names) >= MOST_CLASSES:
            raise DamagedCorrection(
                f"{file}: classes should be fewer than {MOST_CLASSES} names, each of them once"
            )
        return names

    def add_class(self, name: str) -> list[str]:
        """Add a class at the end; returns the names of all."""
        if not is_class_name(name):
            raise ValueError(f"name should be that of a class, but it is {name!r:.60}")
        with self._alone():
            names = self.classes
            if name in names:
                raise ValueError(f"there is a class {name!r} already")
            names.append(name)
            self._write(self.path / CLASSES, {"classes": names})
        return names

    def _write(self, file: Path, content: Mapping[str, Any]) -> None:
        text = readable(content).encode()
        if len(text) > MOST_BYTES:  # it could not be read again
            raise ValueError(f"{file} would have more than {MOST_BYTES} bytes")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, text)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder, so that two writers do not take turns amid one event."""
        self.path.mkdir(parents=True, exist_ok=True)
        # threads of one process share its hold on a file
        with THREADS, ExitStack() as stack:
            try:
                stack.enter_context(only_user(self.path, LOCK, patience=PATIENCE))
            except ValueError as error:
                cause = error.__cause__
                file = str(self.path / LOCK)
                raise (
                    cause
                    if isinstance(cause, OSError)
                    else OSError(errno.EBUSY, "another process holds the corrections", file)
                ) from None
            yield


def beside(folder: Path) -> Path | None:
    """The corrections in the folder of a run, where a person has made some; else None."""
    path = folder / BESIDE
    return path if (path / IMAGES).is_dir() else None


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
        return _json(value)
    lines = ",\n".join(f"  {_json(element)}" for element in value)
    return f"[\n{lines}\n ]"


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # the name of a file that is no text, in Python's way
        return json.dumps(value)
    return text


def _read(file: Path) -> History | None:
    """The corrections in a file; None if there is no such file."""
    try:
        return read_history(json.loads(_content(file)))
    except FileNotFoundError:
        return None
    except (ValueError, OSError, RecursionError) as error:
        raise DamagedCorrection(f"the corrections in {file} cannot be read: {error}") from error


def _content(file: Path) -> bytes:
    """What is in a file, which may be anybody's: of a device or a pipe there is no end."""
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no ordinary file")
    if found.st_size > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    return file.read_bytes()


def is_class_name(name: Any) -> bool:
    """Whether it is text that can be the name of a class: short, in one line, without characters
    that nobody sees.

    >>> is_class_name("zebra crossing"), is_class_name("a\\nb"), is_class_name(" ")
    (True, False, False)
    """
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or name != name.strip():
        return False
    # Persian and many others join letters, or keep them apart, with these two
    return name.replace("\u200c", "").replace("\u200d", "").isprintable()


def _safe(part: str) -> str:
    """A part of an id as the name of a file or folder, different for different parts. Of a long one
    the end is a digest.

    >>> _safe("a b"), _safe(".."), _safe("a."), _safe("")
    ('a%20b', '.%2E', 'a%2E', '%')
    """
    if not part:
        return EMPTY
    name = quote(part, safe="", errors="surrogatepass")
    if name.endswith("."):  # the folder itself and the one above it; and Windows drops the last dot
        name = f"{name[:-1]}%2E"
    if len(name) <= LONGEST_PART:
        return name
    digest = hashlib.sha256(part.encode(errors="surrogatepass")).hexdigest()
    return f"{name[: LONGEST_PART - 64]}{SHORTENED}{digest[:32]}"
