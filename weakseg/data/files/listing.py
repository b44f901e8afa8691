"""Which images there are, which file belongs to which, and which of them are only measured on."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from weakseg.data.formats.base import PARTS, PICTURES, FormatError, Part, Place, excerpt
from weakseg.data.formats.opening import inside, read_text
from weakseg.data.names import spelling_hint
from weakseg.utils.remote_path import is_remote, remember

# what Label Studio puts before the name of a file that comes through the browser
UPLOADED = re.compile(r"[0-9a-f]{8}-")


class NamedFiles(Mapping[str, Path]):
    """Files of a folder and those below it by their names from there, in their order. Paths are
    made when they are asked for: a million of them would take half a gigabyte.

    >>> files = NamedFiles(Path("photos"), ["a.png", "more/b.png"])
    >>> files["more/b.png"].parts, "c.png" in files, list(files)
    (('photos', 'more', 'b.png'), False, ['a.png', 'more/b.png'])
    """

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self.folder = folder
        self._names = dict.fromkeys(names)

    def __getitem__(self, name: str) -> Path:
        if name not in self._names:
            raise KeyError(name)
        return self.folder / name

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Pictures:
    """The images of a folder and those below it, found by the names that annotation files give
    them.

    Args:
        folder: what the names of the images begin from.
        below: folders in it, if images in others are not meant.
    """

    def __init__(self, folder: Path, below: Sequence[Path] = ()) -> None:
        for place in below or [folder]:
            remember(place)
            if not place.is_dir():
                raise ValueError(
                    f"there should be a folder of images at {place}, but there is none"
                )
        self.folder = folder
        names = sorted(
            (name for place in below or [folder] for name in _names_below(folder, place)),
            key=lambda name: name.split("/"),
        )
        self.names: Mapping[str, Path] = NamedFiles(
            folder, (name for name in names if _suffix(name) in PICTURES)
        )
        self._unread = {
            _last(name): PurePosixPath(name).suffix
            for name in names
            if _suffix(name) not in PICTURES
        }

    def find(self, name: str, place: Place, part: Part | None = None) -> str:
        """The image that a file means: of this path in the folder, or of this bare name if only one
        image, or one of the part, has it.

        Names that Label Studio gave to files which came through the browser, such as
        `00000000-cat.jpg`, mean the files as they were.
        """
        inside(self.folder, name)
        # names may begin above the folder, as Label Studio's addresses do
        for own in (name, name.removeprefix(f"{self.folder.name}/")):
            if own in self.names:
                return own
        same = self._called(_last(name))
        if len(same) > 1:
            same = _nearest_path(same, name, part)
        if len(same) == 1:
            return same[0]
        if same:
            raise FormatError(
                place,
                "the image",
                "one of a name that only one image has",
                f"{_last(name)}, which {len(same)} have",
            )
        raise FormatError(place, "the image", f"in {self.folder}", self._missing(_last(name)))

    def matching(self, path: str) -> list[str]:
        """The images that a line of a list means, which may begin elsewhere: that of this path or
        name, or all of a folder."""
        parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        ends = ["/".join(parts[start:]) for start in range(len(parts))]
        for end in ends:
            if end in self.names:
                return [end]
        same = self._called(parts[-1]) if parts else []
        if len(same) > 1:
            same = _nearest_path(same, path, None)
        if same:
            return same if len(same) == 1 else []
        if ends and not self._is_picture(ends[-1]):
            return next((found for end in ends if (found := self._within(end))), [])
        return []

    def listed(self, line: str) -> list[str]:
        """The same for a line as lists have them: behind a name there may be a number, and around
        it quotation marks."""
        line = line.strip().strip('"')
        return (self.matching(line) or self.matching(line.split()[0])) if line else []

    def near(self, name: str) -> str:
        """The end of a message about an image that is missing: the most similar name that there is,
        or nothing."""
        near = (
            spelling_hint(_last(name)[:100], list(self._bare))
            if self._bare and len(self._bare) < 100_000
            else ""
        )
        return f"; {near}" if near.startswith("did you") else ""

    # most sets need none of these tables, which take a second for a hundred thousand images
    @cached_property
    def _bare(self) -> dict[str, list[str]]:
        return _by(self.names, _last)

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        return _by(self.names, lambda name: _composed(_last(name)).rpartition(".")[0])

    @cached_property
    def _composed(self) -> dict[str, list[str]]:
        return _by(self.names, lambda name: _composed(_last(name)))

    @cached_property
    def _uploaded(self) -> dict[str, list[str]]:
        return _by(self.names, lambda name: _as_uploaded(_last(name)))

    @cached_property
    def _uploaded_stems(self) -> dict[str, list[str]]:
        return _by(self.names, lambda name: _as_uploaded(_last(name)).rpartition(".")[0])

    def _called(self, bare: str) -> list[str]:
        """The images of this bare name, with or without its suffix, whatever folder they are in and
        however accents are written."""
        same = self._bare.get(bare) or self._composed.get(_composed(bare))
        if same is None and not self._is_picture(bare):
            same = self._stems.get(_composed(bare))
        return self.uploaded(bare) if same is None else same

    def uploaded(self, name: str) -> list[str]:
        """The images that Label Studio calls so, with or without their suffix: eight digits and a
        dash before what they were called."""
        bare = _last(name)
        if not UPLOADED.match(bare):
            return []
        own = _composed(UPLOADED.sub("", bare, count=1))
        return self._uploaded.get(own) or self._uploaded_stems.get(own) or []

    def _within(self, folder: str) -> list[str]:
        if folder == self.folder.name:
            return list(self.names)
        return [name for name in self.names if f"/{folder}/" in f"/{name}"]

    def _is_picture(self, name: str) -> bool:
        return Path(name).suffix.lower() in PICTURES

    def _missing(self, bare: str) -> str:
        if bare in self._unread:
            return (
                f"a file of a kind that is not read ({self._unread[bare]}); save it as PNG or JPEG"
            )
        return f"missing{self.near(bare)}"


def _names_below(folder: Path, place: Path) -> Iterator[str]:
    """The files in a place in a folder, or below it, by their names from the folder on: as
    `Path.rglob` finds them, which makes objects of all of them."""
    if is_remote(folder):
        for path in place.rglob("*"):
            if path.is_file():
                yield path.relative_to(folder).as_posix()
        return
    start = "" if place == folder else f"{place.relative_to(folder).as_posix()}/"
    waiting = [(str(place), start)]
    while waiting:
        within, before = waiting.pop()
        try:
            found = list(os.scandir(within))
        except (
            OSError
        ):  # as Path.rglob, which makes an object of each file and takes thrice as long
            continue
        for entry in found:
            if _is_file(entry):
                yield f"{before}{entry.name}"
            elif entry.is_dir(follow_symlinks=False):
                waiting.append((entry.path, f"{before}{entry.name}/"))


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # links in a circle
        return False


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _by(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    table: dict[str, list[str]] = defaultdict(list)
    for name in names:
        table[key(name)].append(name)
    return dict(table)


def _last(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _composed(bare: str) -> str:
    return unicodedata.normalize("NFC", bare)


def _as_uploaded(bare: str) -> str:
    """A file name as Label Studio keeps it: without spaces, nothing but letters, digits, dots and
    -_."""
    return re.sub(r"[^-\w.]", "", _composed(bare).strip().replace(" ", "_"))


def _nearest_path(same: list[str], name: str, part: Part | None) -> list[str]:
    """Of images of one bare name, those whose folders end as those of the name do; or else those of
    a part of the data set."""
    wanted = name.replace("\\", "/").split("/")
    shared = [_shared_end(known.split("/"), wanted) for known in same]
    if shared.count(max(shared)) < len(same):
        return [known for known, length in zip(same, shared, strict=True) if length == max(shared)]
    return [known for known in same if part is not None and part_of_path(known) == part] or same


def _shared_end(one: Sequence[str], other: Sequence[str]) -> int:
    length = 0
    while length < min(len(one), len(other)) and one[-1 - length] == other[-1 - length]:
        length += 1
    return length


def part_of_path(name: str) -> Part | None:
    """The part of a data set that an image belongs to by the names of its folders.

    >>> (
    ...     part_of_path("val/a.jpg"),
    ...     part_of_path("train2017/b/a.jpg"),
    ...     part_of_path("obj_train_data/a.jpg"),
    ...     part_of_path("trains/a.jpg"),
    ... )
    ('val', 'train', 'train', None)
    """
    found = [
        _part(re.fullmatch(r"(?:obj_)?([a-z]+?)(?:_data|\d*)", folder.lower()))
        for folder in name.split("/")[:-1]
    ]
    return next((part for part in reversed(found) if part), None)


def part_of_stem(stem: str) -> Part | None:
    """The part of a data set that an annotation file is about by its name.

    >>> (
    ...     part_of_stem("instances_train2017"),
    ...     part_of_stem("val"),
    ...     part_of_stem("default"),
    ...     part_of_stem("retrain"),
    ... )
    ('train', 'val', None, None)
    """
    return _part(re.fullmatch(r"(?:.*[^a-z])?([a-z]+)\d*", stem.lower()))


def _part(match: re.Match[str] | None) -> Part | None:
    return PARTS.get(match[1]) if match else None


def read_names(path: Path) -> list[str]:
    """The lines of a list of images, without white space around them; some may be empty."""
    if not path.is_file():
        near = (
            sorted(other.name for other in path.parent.glob("*.txt"))
            if path.parent.is_dir()
            else []
        )
        hint = spelling_hint(path.name, near) if near else f"there is no list in {path.parent}"
        raise ValueError(f"there is no list {path}; {hint.replace('the classes are', 'there are')}")
    return [line.strip() for line in read_text(path).splitlines()]


def share_of(ids: Iterable[str], share: float) -> set[str]:
    """A part of the images, always the same one: chosen by their names, so that further images
    hardly change it.

    >>> sorted(share_of(["a", "b", "c", "d"], 0.5))
    ['c', 'd']
    """
    ordered = sorted(ids, key=lambda id: hashlib.sha256(id.encode(errors="surrogatepass")).digest())
    return set(ordered[: round(share * len(ordered))])


def positions(
    wanted: Sequence[str], pictures: Pictures, where: str, problems: list[FormatError]
) -> list[str]:
    """The images that the lines of a list name, in its order; what is missing, or comes twice, is
    noted."""
    kept = dict[str, None]()
    for number, line in enumerate(wanted, 1):
        place = Place(where, None, number)
        found = pictures.listed(line)
        if not line:
            continue
        if not found:
            problems.append(
                FormatError(
                    place,
                    "every line",
                    "the name of an image that is there",
                    f"{excerpt(line)}{pictures.near(line)}",
                )
            )
        elif again := [name for name in found if name in kept]:
            problems.append(place.wrong("every line", "another image", f"{again[0]} again"))
        kept.update(dict.fromkeys(found))
    return list(kept)
