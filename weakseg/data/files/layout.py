"""Where the images and annotation files of a data set are, and how it is split, in the layouts that
tools write."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

# unlike Path's, these answer for names that no file can have
from os.path import abspath, exists, isdir
from pathlib import Path
from typing import NamedTuple

from weakseg.data.files.listing import Pictures, part_of_path
from weakseg.data.formats.base import PICTURES, FormatError, Part
from weakseg.data.formats.opening import inside, read_text
from weakseg.data.names import spelling_hint
from weakseg.utils.remote_path import RemotePath, forget_listings, named_in, remember

IMAGES = ("images", "JPEGImages")
ANNOTATIONS = ("annotations", "Annotations", "labels")
MASKS = ("annotations", "SegmentationClass", "masks", "labels")
LISTS = ("", "ImageSets/Segmentation", "ImageSets/Main")
LIST_NAMES: tuple[tuple[str, Part], ...] = (
    ("train.txt", "train"),
    ("val.txt", "val"),
    ("valid.txt", "val"),
    ("test.txt", "test"),
)
Parts = dict[Part, list[str]]


class Split(NamedTuple):
    """Which images a data set itself means to be trained on, measured on, and left alone."""

    origin: str
    """where that stands, for messages"""
    parts: Mapping[Part, Collection[str]]

    def of(self, part: Part) -> set[str]:
        """The names of the images of a part."""
        return set(self.parts.get(part, ()))


def expect_folder(key: str, path: Path) -> Path:
    """The path that a key names, if there is a folder; else a ValueError with the place that was
    searched, and the most similar name there.

    Args:
        key: of the data set.
        path: what the key names.
    """
    if key == "root":
        forget_listings()  # here a data set begins
    if isinstance(path, RemotePath):
        return _expect_remote_folder(key, path)
    if isdir(path):
        return path
    there = f"{abspath(path)} is a file" if exists(path) else f"there is none at {abspath(path)}"
    beside = [other.name for other in Path(abspath(path)).parent.glob("*") if isdir(other)]
    near = spelling_hint(path.name[:100], beside) if beside and path.name not in beside else ""
    raise ValueError(
        f"{key} should be a folder, but {there}{f'; {near}' if near.startswith('did you') else ''}"
    )


def _expect_remote_folder(key: str, path: RemotePath) -> Path:
    """The same of a folder at a URL, which is listed here once with all that is below it."""
    try:
        remember(path)
        if path.is_dir():
            return path
        there = f"{path} is a file" if path.is_file() else f"there is nothing below {path}"
    except OSError as error:
        there = f"of {path}, {error.strerror}"
    web = "; a web server has to show its folders as pages of links" if path.is_web else ""
    raise ValueError(f"{key} should be a folder, but {there}{web}")


def find_pictures(root: Path, named: str | None) -> Pictures:
    """The images in the folder that the user named, or wherever tools put them; a ValueError if
    there are none of these."""
    if named is not None:
        return Pictures(named_in(root, named))
    for name in IMAGES:
        if (root / name).is_dir():
            return Pictures(root / name)
    below = sorted(
        path for path in root.glob("*") if path.is_dir() and part_of_path(f"{path.name}/")
    )
    below = [path / "images" if (path / "images").is_dir() else path for path in below]
    if below := [path for path in below if _holds(path, PICTURES)]:
        return Pictures(root, below)
    if any(path.suffix.lower() in PICTURES for path in root.iterdir()):
        return Pictures(root)
    where = f"in {', '.join(IMAGES)}, in folders for train and val, or in it itself"
    raise ValueError(
        f"there should be images in {root}, {where}, but there are none; name their folder with "
        "data.images"
    )


def find_annotations(
    root: Path, pictures: Pictures, named: str | None, ending: str, many: bool
) -> Path:
    """The file or folder of annotations that the user named, or wherever tools put it; a ValueError
    if there is none of these.

    Args:
        root: of the data set.
        pictures: its images.
        named: what the user named, from the root on.
        ending: of annotation files.
        many: whether a file is about many images.
    """
    found = _usual(root, pictures, ending, many) if named is None else named_in(root, named)
    remember(found)
    if not found.exists() and named is None:
        usual = ", ".join(_usual_names(ending))
        raise ValueError(
            f"there should be {ending} files of annotations in {root}, in one of {usual}, or "
            "beside the images, but there are none; name their folder with data.annotations"
        )
    if not found.exists():
        what = "a file or folder" if many else "a folder"
        raise ValueError(f"there should be annotations at {found}, {what}, but there are none")
    if found.is_file() and not many:
        raise ValueError(
            f"annotations should be a folder, with a {ending} file for each image, but {found} is "
            "a file"
        )
    return found


def _usual(root: Path, pictures: Pictures, ending: str, many: bool) -> Path:
    """In a folder for them, in the root, or beside the images; masks only in a folder for them,
    since images have the same endings."""
    usual = [root / name for name in _usual_names(ending)]
    there = next((path for path in usual if path.is_dir()), usual[0])
    if found := [path for path in usual if _holds(path, [ending])]:
        return found[0]
    if ending == ".png":
        return there
    above = [path for path in root.glob(f"*{ending}") if path.is_file()]
    if many and len(above) == 1:
        return above[0]
    if above or (pictures.folder == root and _holds(root, [ending])):
        return root
    return pictures.folder if _holds(pictures.folder, [ending]) else there


def _usual_names(ending: str) -> tuple[str, ...]:
    return MASKS if ending == ".png" else ANNOTATIONS


def annotation_files(place: Path, ending: str) -> list[Path]:
    """The annotation files at a place, in the order of their names."""
    return (
        [place]
        if place.is_file()
        else sorted(path for path in place.rglob(f"*{ending}") if path.is_file())
    )


def _holds(folder: Path, endings: Collection[str]) -> bool:
    return folder.is_dir() and any(path.suffix.lower() in endings for path in folder.rglob("*"))


def stems_of(name: str) -> Iterable[str]:
    """What the annotation file of an image may be called, without its ending: like the image, there
    or in the folder beside `images`.

    >>> list(stems_of("train/images/a.jpg"))
    ['train/images/a', 'train/labels/a', 'train/annotations/a']
    """
    stem = name.rpartition(".")[0]
    yield stem
    head, found, tail = f"/{stem}".rpartition("/images/")
    if found:
        yield from (
            f"{head}/{other}/{tail}".removeprefix("/") for other in ("labels", "annotations")
        )


def own_split(
    root: Path, pictures: Pictures, header: Mapping[Part, list[str]], declared: Mapping[str, Part]
) -> Split | None:
    """The split of the data set itself, of the first of these that has images to train on and
    others: header, lists, files, folders.

    Args:
        root: of the data set.
        pictures: its images.
        header: paths of folders or lists, as a data.yaml has them.
        declared: the parts that annotation files name for images.
    """
    by_header: Parts = {
        part: [name for path in paths for name in _listed(root, path, pictures)]
        for part, paths in header.items()
    }
    by_files: Parts = {}
    if set(declared.values()) - {"train"}:  # images without a named part are trained on
        by_files = _parted({name: declared.get(name, "train") for name in pictures.names})
    folders = {name: part for name in pictures.names if (part := part_of_path(name))}
    # one may be called train after what it shows
    by_folders = _parted(folders) if len(folders) == len(pictures.names) else {}
    candidates = [
        ("data.yaml", by_header),
        *_lists(root, pictures),
        ("annotation files", by_files),
        ("folders of images", by_folders),
    ]
    return next(
        (split for origin, parts in candidates if _splits(split := Split(origin, parts))), None
    )


def _parted(parts: Mapping[str, Part]) -> Parts:
    found: Parts = {}
    for name, part in parts.items():
        found.setdefault(part, []).append(name)
    return found


def _splits(split: Split) -> bool:
    """Whether there are images to train on, and others apart from them."""
    others = split.of("val") | split.of("test")
    return bool(split.of("train") and others) and not split.of("train") & others


def _lists(root: Path, pictures: Pictures) -> list[tuple[str, Parts]]:
    found = []
    for folder in LISTS:
        parts: Parts = {}
        for name, part in LIST_NAMES:
            if (path := root / folder / name).is_file():
                parts[part] = _read_list(path, pictures)
        found.append((f"lists in {root / folder}", parts))
    return found


def _listed(root: Path, path: str, pictures: Pictures) -> list[str]:
    """The images of one entry of a data.yaml, a folder or a list; none of a list that is not there,
    which is often so for the test part."""
    if not path.endswith(".txt"):
        return pictures.matching(path)
    try:
        places = [inside(root, path), inside(root, Path(path).name)]
    except FormatError:
        return []
    return next((_read_list(place, pictures) for place in places if place.is_file()), [])


def _read_list(path: Path, pictures: Pictures) -> list[str]:
    """The images of a list; lines that mean none are left out."""
    return [name for line in read_text(path).splitlines() for name in pictures.listed(line)]
