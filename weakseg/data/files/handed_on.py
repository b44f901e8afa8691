"""What a data set has just found in its files, for the next data set of this process: a plan looks
at the data before the run builds it, and large files and folders take long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from weakseg.data.files.layout import find_pictures
from weakseg.data.files.listing import Pictures
from weakseg.data.formats.base import Annotation, FormatError
from weakseg.utils.remote_path import is_remote, listed_version

ManyReader = Callable[[Path, list[FormatError] | None], list[Annotation]]
_Parsed = tuple[list[Annotation], list[FormatError]]
_kept: dict[tuple[object, ...], _Parsed] = {}
_listed: dict[tuple[object, ...], Pictures] = {}
_keeping = False


@contextmanager
def keep_parsed() -> Iterator[None]:
    """What is parsed within is kept for the next one who asks for it."""
    global _keeping
    _keeping = True
    _kept.clear()
    _listed.clear()
    try:
        yield
    finally:
        _keeping = False


def parsed(read: ManyReader, path: Path, problems: list[FormatError]) -> list[Annotation]:
    """What a reader makes of a file with many images; what is wrong in it is noted. What was kept
    is given away: nobody may change it in two places.

    Args:
        read: the reader.
        path: of the file.
        problems: what is wrong is added here.
    """
    key = _key(read, path)
    found = _kept.pop(key, None) if key is not None else None
    if found is None:
        noted: list[FormatError] = []
        found = read(path, noted), noted
        if _keeping and key is not None:
            _kept[key] = ([_copied(annotation) for annotation in found[0]], noted)
    problems += found[1]
    return found[0]


def is_for_another() -> bool:
    """Whether the data set that is being built is only looked at, before another one is."""
    return _keeping


def pictures_of(root: Path, named: str | None) -> Pictures:
    """The images of a data set, as `find_pictures` finds them; those that were found a moment ago
    are given away."""
    key = (str(root.absolute()), named)
    found = _listed.pop(key, None)
    if found is None:
        found = find_pictures(root, named)
        if _keeping:
            _listed[key] = found
    return found


def _key(read: ManyReader, path: Path) -> tuple[object, ...] | None:
    """What changes with the file; None where that cannot be told."""
    if is_remote(path):
        version = listed_version(path)
        return (read, str(path), version) if version else None
    try:
        found = path.stat()
    except OSError:
        return None
    return read, str(path.absolute()), found.st_size, found.st_mtime_ns


def _copied(annotation: Annotation) -> Annotation:
    """The same with a list of shapes of its own."""
    return annotation._replace(shapes=list(annotation.shapes))
