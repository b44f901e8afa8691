"""Foreign files, opened with care: never outside of a folder, never larger than agreed, never more
than data."""

from __future__ import annotations

import json
import os
import re
import stat
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import yaml
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from weakseg.data.formats.base import FormatError, Place, excerpt
from weakseg.utils.remote_path import RemotePath

# the largest file of COCO 2017 has 0.45 GB; a parsed file takes several times its size in memory
MOST_BYTES = 2**30
MOST_YAML = 2**18  # a thousand names of classes are a tenth of that, and the parser is slow
DEEPEST_YAML = 10  # lists in lists
MOMENT = 2.0  # seconds for which a file at a URL is not read again
MOST_KEPT = 2**26  # bytes of such a file
_LAST = threading.local()
# JSON may spell such a one alone, which no file name and no screen can show
HALF_A_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")


def inside(root: Path, name: str) -> Path:
    """The file of this name in a folder or below it; a FormatError if the name leads out, through
    `..`, as a whole path or by a link.

    >>> inside(Path("photos"), "../secret.txt")
    Traceback (most recent call last):
    weakseg.data.formats.base.FormatError: photos, image '../secret.txt': the name should be that of
    a file inside of the folder, ...
    """
    place = Place(str(root), name)
    try:
        home = _resolved(os.getcwd(), root)
        if _is_plain(home, name):
            return home / name
        path = (home / name).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        # a NUL, a name too long, links in a circle
        raise FormatError(place, "the name", "that of a file", f"not: {error}") from None
    if not path.is_relative_to(home):
        raise FormatError(
            place, "the name", "that of a file inside of the folder", f"one of {path}, outside"
        )
    return path


@lru_cache(maxsize=8)
def _resolved(working: str, root: Path) -> Path:
    """A folder without links on the way to it, from a working folder on: the same one for a
    hundred thousand names."""
    return root.resolve()


def _is_plain(home: Path, name: str) -> bool:
    """Whether a name leads down from a folder to something that is there, over no link: then
    nothing has to be resolved, which takes ten times as long."""
    if os.name != "posix" or isinstance(home, RemotePath):
        return False
    place = str(home)
    for part in name.split("/"):
        if part in ("", ".", "..") or "\0" in part:
            return False
        place = f"{place}/{part}"
        try:
            if stat.S_ISLNK(os.lstat(place).st_mode):
                return False
        except OSError:
            return False
    return True


def read_bytes(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """All of a file, unless it is larger than `most_bytes`, which is checked before anything is
    read."""
    if isinstance(path, RemotePath):
        return read_remote(path, "the file", most_bytes)
    place = Place(str(path))
    try:
        if not path.is_file():  # nor a device or pipe, which have no end
            raise FormatError(
                place, "the file", "there", "missing" if not path.exists() else "no ordinary file"
            )
        size = path.stat().st_size
        if size > most_bytes:
            raise FormatError(
                place, "the file", f"at most {most_bytes} bytes long", f"{size} bytes long"
            )
        return path.read_bytes()
    except OSError as error:
        raise FormatError(place, "the file", "readable", f"not: {error.strerror}") from None


def read_remote(path: RemotePath, what: str, most_bytes: int = MOST_BYTES) -> bytes:
    """All of a file at a URL; a FormatError says why it cannot be read.

    Args:
        path: of the file.
        what: it is, for the message.
        most_bytes: what is larger is refused.
    """
    place = Place(f"{path}")
    try:
        data = _last_read(path)
    except FileNotFoundError:
        raise FormatError(place, what, "there", "missing") from None
    except OSError as error:
        raise FormatError(place, what, "readable", f"not: {error.strerror}") from None
    if len(data) > most_bytes:
        raise FormatError(
            place, what, f"at most {most_bytes} bytes long", f"{len(data)} bytes long"
        )
    return data


def _last_read(path: RemotePath) -> bytes:
    """The content of a file, without the network if it is the one that this thread has read last,
    a moment ago: a mask may be annotation and truth, and the size of an image is asked for by
    itself."""
    known, when, data = getattr(_LAST, "file", (None, 0.0, b""))
    if known == path and time.monotonic() - when < MOMENT:
        return bytes(data)
    data = path.read_bytes()
    _LAST.file = (path, time.monotonic(), data) if len(data) < MOST_KEPT else (None, 0.0, b"")
    return data


def read_text(path: Path, most_bytes: int = MOST_BYTES) -> str:
    """A text file in UTF-8, with or without a byte order mark."""
    try:
        return read_bytes(path, most_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(
            Place(str(path)), "the text", "in UTF-8", f"not, from byte {error.start} on"
        ) from None


def read_json(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """The content of a JSON file. It may hold NaN and Infinity, which JSON does not have: `numbers`
    refuses them with the object's place."""
    place = Place(str(path))
    text = read_text(path, most_bytes)
    try:
        content = json.loads(text)
        if HALF_A_CHARACTER.search(text):
            json.dumps(content, ensure_ascii=False).encode()
    except RecursionError:
        raise FormatError(place, "the file", "JSON", "lists in lists without end") from None
    except UnicodeEncodeError:
        raise FormatError(place, "the file", "JSON", "one with half of a character") from None
    except ValueError as error:
        raise FormatError(place, "the file", "JSON", f"not: {error}") from None
    return content


def read_yaml(path: Path, most_bytes: int = MOST_YAML) -> Any:
    """The content of a YAML file, every value as the text that stands there: `on`, `no` and `1` may
    be names. Anchors are refused unread."""
    place = Place(str(path))
    text = read_text(path, most_bytes)
    try:
        _check_yaml(text, place)
        return yaml.load(text, yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise FormatError(
            place, "the file", "YAML", f"not: {' '.join(str(error).split())}"
        ) from None


def _check_yaml(text: str, place: Place) -> None:
    """Anchors could repeat each other until memory is full, and deep lists overflow the stack, once
    the file is loaded."""
    depth = 0
    for event in yaml.parse(text, yaml.BaseLoader):
        if anchor := getattr(event, "anchor", None):
            raise FormatError(
                place,
                "the file",
                "YAML without anchors (&name, *name)",
                f"one with {excerpt(anchor)}",
            )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(
            event, yaml.CollectionEndEvent
        )
        if depth > DEEPEST_YAML:
            raise FormatError(
                place, "the file", f"YAML of lists in lists, at most {DEEPEST_YAML} deep", "deeper"
            )


def read_xml(path: Path, tag: str, most_bytes: int = MOST_BYTES) -> Element:
    """The root of an XML file, which must have this tag. A file that defines entities or a document
    type is refused."""
    place = Place(str(path))
    data = read_bytes(path, most_bytes)
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise FormatError(
            place,
            "the file",
            "XML without entities or a document type",
            f"one with them ({type(error).__name__})",
        ) from None
    except (ParseError, ValueError, LookupError) as error:
        # LookupError: an unknown encoding
        raise FormatError(place, "the file", "XML", f"not: {error}") from None
    if root.tag != tag:
        raise place.wrong("the outermost element", f"<{tag}>", root.tag)
    return root
