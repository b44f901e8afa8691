"""The folder that a command such as `predict` writes one result per image into: whole files, a
record by which a later call goes on, and one process per part of the work."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, TypeVar

from weakseg.utils.files import only_user, remove_leftovers, write_whole
from weakseg.utils.remote_path import RemotePath, as_path, expect_writable, list_once
from weakseg.utils.result_record import is_record_of, record_in

T = TypeVar("T")
Entry = dict[str, Any]

# a name of its own: it also tells that the results beside it are ours, not those of a run
LOCK = ".results.lock"
RESULTS = (".png", ".npz", ".json", ".xml")  # endings of what is never overwritten unknown


class OutputFolder:
    """The folder of the results of images. A result is known by the line that `note` has written
    of it, so a file that a kill has left without one is written anew.

    Use it as a context: from then on this process holds its part of the folder.

    Args:
        path: of the folder, which is made if there is none.
        inputs: the folders and files that the images come from; results may not lie among them.
        parts: into how many parts the images are split, for as many processes.
        part: which of them this process does, from 1 on.
        overwrite: whether results that exist are made anew.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        inputs: Iterable[Path | str] = (),
        parts: int = 1,
        part: int = 1,
        overwrite: bool = False,
    ) -> None:
        self.path = as_path(path)
        self.parts = parts
        self.part = part
        self.overwrite = overwrite
        self.suffix = "" if parts == 1 else f"-{part}-of-{parts}"
        """behind the names of files that each part has one of"""
        self.summary = self.path / f"summary{self.suffix}.json"
        check_part(parts, part)
        _check_apart(self.path, inputs)
        self._record = record_in(self.path, self.suffix)
        self._maker: Entry = {}
        self._known: dict[str, str] = {}  # as text, which takes a fraction of the memory
        self._own: dict[str, None] = {}  # names of those that stand in the summary of this part
        self._open = ExitStack()
        self._writing = threading.Lock()

    def __enter__(self) -> OutputFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"the folder {self.path} cannot be made: {error.strerror}; name another with out="
            ) from None
        list_once(self.path, new=True)
        self._refuse_foreign()
        with self._open:
            # one that does all of the work is alone; parts are beside each other
            for lock in dict.fromkeys([LOCK, f"{LOCK}{self.suffix}"]):
                shared = bool(self.suffix) and lock == LOCK
                self._open.enter_context(only_user(self.path, lock, "name another", shared))
            remove_leftovers(self.path)
            self._open = self._open.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._record.close()
        finally:
            self._open.close()

    def begin(self, maker: Mapping[str, Any]) -> None:
        """Read what earlier calls have written here; a ValueError if that was made in another way,
        unless it is to be overwritten.

        Args:
            maker: what the results depend on beside the images, such as the digest of a model.
        """
        self._maker = json.loads(json.dumps(maker))
        self._take_known()
        self._record.begin(_line({"made_by": self._maker}))

    def look_again(self) -> None:
        """Read what has been written here until now: other parts may have ended."""
        list_once(self.path, new=True)
        self._take_known()

    def _take_known(self) -> None:
        for file in self._recorded():
            made_by, entries = _read(file)
            if made_by == self._maker:
                found = {entry["name"]: _line(entry) for entry in entries}
                self._known |= found
                if file == self.summary or is_record_of(file, self.suffix):
                    self._own |= dict.fromkeys(found)
            elif entries and not self.overwrite:
                raise ValueError(_conflict(file, made_by, self._maker))

    def mine(self, items: Sequence[T]) -> Sequence[T]:
        """The items that this part does: every `parts`-th, so that all parts take about as
        long."""
        return items[self.part - 1 :: self.parts]

    def place(self, name: str, ending: str = ".png", folder: str = "") -> Path:
        """The file of the result of an image: its relative name with another ending.

        >>> OutputFolder("masks").place("sub/a.jpg").as_posix()
        'masks/sub/a.png'
        """
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise ValueError(f"the name of an image should be a path within its folder, not {name}")
        return self.path / folder / relative.with_suffix(ending)

    def has(self, name: str, places: Iterable[Path]) -> bool:
        """Whether all results of an image are there, made in the same way, and shall stay."""
        known = not self.overwrite and name in self._known
        return known and all(place.is_file() for place in places)

    def write(self, place: Path, data: bytes) -> None:
        """Write a result, whole or not at all."""
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, data)

    def note(self, entry: Mapping[str, Any]) -> None:
        """Note that all results of an image are written. Any thread may call it.

        Args:
            entry: the line of the image in the summary; `name` is its relative name.
        """
        line = _line(entry)
        with self._writing:
            self._record.append(line)
            self._known[entry["name"]] = line
            self._own[entry["name"]] = None

    def entry(self, name: str) -> Entry | None:
        """What is noted of an image."""
        line = self._known.get(name)
        return None if line is None else json.loads(line)

    def finish(self, head: Mapping[str, Any], images: Iterable[str]) -> Path:
        """Write the summary of this part, and forget the record, which then stands in it. Images of
        earlier calls that wrote here stay in it.

        Args:
            head: what stands in it above the images.
            images: names of the images of this part, in the order in which they are listed.
        """
        listed = dict.fromkeys(images) | self._own
        lines = [self._known[name] for name in listed if name in self._known]
        text = _line({**head, "made_by": self._maker}, indent=2)
        body = ",\n".join(f"    {line}" for line in lines)
        write_whole(self.summary, f'{text[:-2]},\n  "images": [\n{body}\n  ]\n}}\n'.encode())
        self._record.remove()
        self._forget_replaced()
        return self.summary

    def _recorded(self) -> list[Path]:
        """Summaries and records of all parts, those that were written last behind the others."""
        found = [*self.path.glob("summary*.json"), *self.path.glob(".record*.jsonl")]
        return sorted(found, key=lambda file: (file.stat().st_mtime, file.name))

    def _refuse_foreign(self) -> None:
        """Refuse a folder with files that may be anything: one of them could have the name of a
        result, and be lost."""
        foreign = next((file for file in self.path.rglob("*") if file.suffix in RESULTS), None)
        # in this order: another part may begin at the same time, and it makes its lock first
        if foreign is not None and not any(self.path.glob(f"{LOCK}*")):
            raise ValueError(
                f"out: the folder {self.path} holds files that no earlier call has written, such "
                f"as {foreign.name}; name a new or an empty folder"
            )

    def _forget_replaced(self) -> None:
        """Delete the summaries of results all of which have been overwritten since, in other
        parts."""
        for file in self._recorded() if self.overwrite else ():
            made_by, entries = _read(file)
            if made_by != self._maker and all(entry["name"] in self._known for entry in entries):
                file.unlink(missing_ok=True)


def check_names(images: Iterable[str]) -> None:
    """A ValueError if the results of two images would have the same name.

    >>> check_names(["a.jpg", "sub/a.png", "a.png"])
    Traceback (most recent call last):
    ValueError: the results of a.jpg and a.png would have the same name; give only one of them, \
such as all images of one ending: images='photos/**/*.jpg'
    """
    first: dict[str, str] = {}
    for name in images:
        stem = name.rpartition(".")[0] if "." in PurePosixPath(name).name[1:] else name
        if stem in first:
            raise ValueError(
                f"the results of {first[stem]} and {name} would have the same name; give only one "
                "of them, such as all images of one ending: images='photos/**/*.jpg'"
            )
        first[stem] = name


def check_part(parts: int, part: int) -> None:
    """A ValueError for a part that there is not."""
    if not 1 <= part <= parts:
        raise ValueError(
            f"part should lie from 1 to {parts}, the number of parts, but it is {part}"
        )


def _check_apart(out: Path, inputs: Iterable[Path | str]) -> None:
    """A ValueError if results would lie among the inputs, where the next call would find them as
    images."""
    if isinstance(out, RemotePath):
        _check_apart_remotely(out, [as_path(given) for given in inputs])
        return
    there = os.path.realpath(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"out should be a folder, but {out} is a file")
    for given in inputs:
        if isinstance(as_path(given), RemotePath):
            continue
        here = os.path.realpath(given)
        if os.path.isdir(here) and _within(there, here):
            raise ValueError(
                f"out: {out} lies inside of {given}, where the images are; name a folder beside it"
            )
        if _within(here, there):
            raise ValueError(
                f"out: the image{'s' if os.path.isdir(here) else ''} {given} would lie inside of "
                f"{out}, among the results; name another folder"
            )


def _check_apart_remotely(out: RemotePath, inputs: Iterable[Path]) -> None:
    """The same for results at a URL."""
    expect_writable("out", out)
    for given in inputs:
        if out.is_relative_to(given):
            raise ValueError(
                f"out: {out} lies inside of {given}, where the images are; name a folder beside it"
            )
        if isinstance(given, RemotePath) and given.is_relative_to(out):
            raise ValueError(
                f"out: the images {given} would lie inside of {out}, among the results; name "
                "another folder"
            )


def _within(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


def _line(entry: Mapping[str, Any], indent: int | None = None) -> str:
    text = json.dumps(entry, indent=indent, ensure_ascii=False)
    # names of files may be bytes that are no text, which Python shows as halves of characters
    return text if text.isascii() or _is_text(text) else json.dumps(entry, indent=indent)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(file: Path) -> tuple[Entry, list[Entry]]:
    """Who has made the results, and their entries, of a summary or a record; nothing of a file that
    is neither."""
    try:
        if file.suffix == ".json":
            content = json.loads(file.read_bytes())
            return content["made_by"], list(content["images"])
        return _read_record(file)
    # another part may just have finished and deleted its record
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}, []


def _read_record(file: Path) -> tuple[Entry, list[Entry]]:
    """Of a record, what the last call has noted that began it; calls that made the same go on with
    each other."""
    made_by: Entry = {}
    entries: dict[str, Entry] = {}
    for line in _whole_lines(file):
        if "made_by" in line:
            entries = entries if line["made_by"] == made_by else {}
            made_by = line["made_by"]
        else:
            entries[line["name"]] = line
    return made_by, list(entries.values())


def _whole_lines(file: Path) -> Iterator[Entry]:
    """The lines of a record but for one that a kill has cut."""
    with file.open("rb") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                continue


def _conflict(file: Path, there: Entry, now: Entry) -> str:
    old = dict(_flat(there))
    new = dict(_flat(now))
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    differing = ", ".join(
        f"{key} is {_short(old.get(key))} there and {_short(new.get(key))} now" for key in keys
    )
    return (
        f"out: {file.parent} holds results that were made in another way, says {file.name}: "
        f"{differing}; overwrite=true makes them anew, or name another folder"
    )


def _flat(values: Entry, above: str = "") -> Iterator[tuple[str, Any]]:
    """Values by their keys, with dots for deeper ones."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."
