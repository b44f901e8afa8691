"""Which images there are, which file belongs to which, and which of them are only measured on."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from weakseg.data.formats.base import FormatError, Place
from weakseg.data.formats.opening import inside, read_text
from weakseg.data.names import nearest

PICTURES = frozenset([".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm"])


class Pictures:
    """The images of a folder and those below it, found by the names that annotation files give them."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ValueError(f"there should be a folder of images at {folder}, but there is none")
        self.folder = folder
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
        self.names = {path.relative_to(folder).as_posix(): path for path in files}
        self._bare: dict[str, list[str]] = defaultdict(list)
        for name in self.names:
            self._bare[name.rpartition("/")[2]].append(name)

    def find(self, name: str, place: Place) -> str:
        """The image that a file means: of this path in the folder, or of this bare name if only one is called so."""
        inside(self.folder, name)
        if name in self.names:
            return name
        bare = name.replace("\\", "/").rpartition("/")[2]
        if len(same := self._bare.get(bare, [])) == 1:
            return same[0]
        if same:
            raise FormatError(place, "the image", "one of a name that only one image has", f"{bare}, which {len(same)} have")
        near = nearest(bare[:100], list(self._bare)) if self._bare and len(self._bare) < 100_000 else ""
        hint = f"; {near}" if near.startswith("did you") else ""
        raise FormatError(place, "the image", f"in {self.folder}", f"missing{hint}")


def read_names(path: Path) -> list[str]:
    """The lines of a list of images, without empty ones."""
    if not path.is_file():
        near = sorted(other.name for other in path.parent.glob("*.txt")) if path.parent.is_dir() else []
        hint = nearest(path.name, near) if near else f"there is no list in {path.parent}"
        raise ValueError(f"there is no list {path}; {hint.replace('the classes are', 'there are')}")
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def share_of(ids: Iterable[str], share: float) -> set[str]:
    """A part of the images, always the same one: chosen by their names, so that further images hardly change it.

    >>> sorted(share_of(["a", "b", "c", "d"], 0.5))
    ['c', 'd']
    """
    ordered = sorted(ids, key=lambda id: hashlib.sha256(id.encode()).digest())
    return set(ordered[: round(share * len(ordered))])


def positions(wanted: Sequence[str], known: Sequence[str], where: str, problems: list[FormatError]) -> list[str]:
    """Those of a list's names that there are; what is missing, or comes twice, is noted."""
    there, kept = set(known), dict[str, None]()
    for line, name in enumerate(wanted, 1):
        place = Place(where, None, line)
        if name not in there:
            problems.append(place.wrong("every line", "the name of an image that is there", name))
        elif name in kept:
            problems.append(place.wrong("every line", "another image", f"{name} again"))
        kept[name] = None
    return [name for name in kept if name in there]
