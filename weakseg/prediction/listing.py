"""The images that a command is given: a folder, a file, a list or a glob."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from weakseg.config.values import RecipeError
from weakseg.data.formats.base import PICTURES
from weakseg.utils.engine import check_engine
from weakseg.utils.messages import did_you_mean, one_line
from weakseg.utils.output_folder import OutputFolder, check_names
from weakseg.utils.remote_path import RemotePath, as_path, is_url, list_once
from weakseg.utils.secrets import scrub_message

LISTS = (".txt", ".lst")  # endings of files with the path of an image on each line


class Images(NamedTuple):
    """The images, by their names relative to the folder that holds all of them, with `/`."""

    files: dict[str, Path]
    inputs: list[Path]
    """where they come from: the folder, or the files"""

    @property
    def folder(self) -> Path:
        """The folder that the names are relative to."""
        name, file = next(iter(self.files.items()))
        return file.parents[len(PurePosixPath(name).parts) - 1]


def check_words(
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    overwrite: bool = False,
    parts: int = 1,
    part: int = 1,
    engine: str = "local",
    actors: int | None = None,
) -> tuple[Images, OutputFolder]:
    """The images and the folder of results that the words mean; a RecipeError if they cannot be
    right. Needs no torch."""
    try:
        check_engine(engine, actors)
        listed = find_images(images)
        return listed, OutputFolder(
            out, inputs=listed.inputs, parts=parts, part=part, overwrite=overwrite
        )
    except (ValueError, OSError) as error:
        raise RecipeError(one_line(error)) from None


def find_images(images: str | Path | Sequence[str | Path]) -> Images:
    """The images that are meant, in the order of their names; a ValueError if there are none, or if
    two of them would have a result of the same name.

    Args:
        images: a folder, with all folders below it; an image; a text file with the path of an image
            on each line; a glob such as photos/*.jpg; or a list of these.
    """
    if isinstance(images, str | Path):
        found = _found(str(images))
    else:
        found = _together([_found(str(each)) for each in images])
    if not found.files:
        raise ValueError(f"images: {_none_of(images)}")
    check_names(found.files)
    return found


def _found(given: str) -> Images:
    path = as_path(given)
    if isinstance(path, RemotePath):
        return _found_remotely(given, path)
    if path.is_dir():
        files = {file.relative_to(path).as_posix(): file for file in sorted(_walk(path))}
        return Images(files, [path])
    if path.is_file() and path.suffix.lower() in LISTS:
        return _by_common_folder(_listed(path))
    if path.is_file():
        return Images({path.name: path}, [path])
    if glob.has_magic(given):
        return _matching(given)
    if path.exists() or path.is_symlink():
        raise ValueError(
            f"images: expected a folder, a file or a glob, but {given} is none of them"
        )
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    raise ValueError(f"images: there is no {given}{did_you_mean(path.name, beside)}")


def _found_remotely(given: str, path: RemotePath) -> Images:
    """The same of a URL, whose folder is listed once."""
    if path.suffix.lower() in LISTS:
        return _by_common_folder(_listed(path))
    if is_picture(path.name) and not _has_wildcard(path):
        return Images({path.name: path}, [path])
    start = path
    while _has_wildcard(start):
        start = start.parent
    list_once(start)
    pattern = path.relative_to(start).as_posix()
    below = start.rglob("*") if start == path else start.glob(pattern)
    pictures = [
        file
        for file in sorted(below)
        if is_picture(file.name) and _is_shown(file.relative_to(start).parts) and file.is_file()
    ]
    files: dict[str, Path] = {file.relative_to(start).as_posix(): file for file in pictures}
    return Images(files, [start] if start == path else list(pictures))


def _has_wildcard(path: RemotePath) -> bool:
    """Whether a URL is a glob by any of its parts; ? is no wildcard in it, but may be in names."""
    return any(letter in part for part in path.parts for letter in "*[")


def _is_shown(parts: Sequence[str]) -> bool:
    return not any(part.startswith(".") for part in parts)


def _walk(folder: Path) -> Iterator[Path]:
    """The images in a folder and those below it, but for what is hidden. Links to folders are
    followed, none of them twice."""
    known = set()
    for here, below, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in known:
            below.clear()
            continue
        known.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in names:
            file = Path(here, name)
            # a broken link is an image that cannot be read, and is named as such
            if is_picture(name) and not name.startswith(".") and not file.is_dir():
                yield file


def is_picture(name: str) -> bool:
    """Whether a file is an image by its ending."""
    return os.path.splitext(name)[1].lower() in PICTURES


def _matching(pattern: str) -> Images:
    """The files that a glob means, by their names below its part without wildcards."""
    parts = Path(pattern).parts
    magic = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:magic])
    files = sorted(_once(map(Path, glob.glob(pattern, recursive=True))), key=str)
    pictures = [file for file in files if is_picture(file.name) and not file.is_dir()]
    return Images({file.relative_to(base).as_posix(): file for file in pictures}, pictures)


def _once(files: Iterable[Path]) -> Iterator[Path]:
    """The files, but for those that are met again through a link to a folder: ** goes round a loop
    of them forty times."""
    real = cache(os.path.realpath)
    known = set()
    for file in sorted(files, key=lambda file: (len(file.parts), file)):
        place = (real(file.parent), file.name)
        if place not in known:
            known.add(place)
            yield file


def _listed(path: Path) -> list[Path]:
    """The lines of a list: paths from here, or from the folder of the list."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"images: {path} should be a text file in UTF-8 with the path of an image on each "
            f"line, but it is none: {error}"
        ) from None
    lines = [line.strip() for line in text.splitlines()]
    return [_named(line, path.parent) for line in lines if line]


def _named(line: str, beside: Path) -> Path:
    """The image of a line of a list in this folder."""
    if is_url(line):
        return as_path(line)
    if isinstance(beside, RemotePath):
        return beside / line
    return (
        Path(line) if os.path.lexists(line) or not os.path.lexists(beside / line) else beside / line
    )


def _by_common_folder(files: Sequence[Path]) -> Images:
    """Files by their names below the folder that they have in common."""
    if not files:
        return Images({}, [])
    if any(isinstance(file, RemotePath) for file in files):
        return _by_common_start(files)
    absolute = [Path(os.path.abspath(file)) for file in files]
    base = os.path.commonpath([file.parent for file in absolute])
    names = {file.relative_to(base).as_posix(): file for file in absolute}
    return Images(dict(sorted(names.items())), list(names.values()))


def _by_common_start(files: Sequence[Path]) -> Images:
    """The same where some of the files, or all, are at URLs."""
    parts = [file.absolute().parent.parts for file in files]
    length = 0
    while all(len(each) > length and each[length] == parts[0][length] for each in parts):
        length += 1
    if not length:
        raise ValueError(
            "images: expected all of them on this machine, or at URLs that begin with the same "
            f"protocol, but they are as different as {files[0]} and {files[-1]}"
        )
    names = {"/".join(file.absolute().parts[length:]): file.absolute() for file in files}
    return Images(dict(sorted(names.items())), list(names.values()))


def _together(many: Sequence[Images]) -> Images:
    """What several inputs mean; one that is alone keeps its names."""
    if len(many) == 1:
        return many[0]
    files = _by_common_folder([file for each in many for file in each.files.values()]).files
    return Images(files, [place for each in many for place in each.inputs])


def _none_of(images: str | Path | Sequence[str | Path]) -> str:
    if not isinstance(images, str | Path):
        return f"there is no image in {', '.join(map(str, images)) or 'an empty list'}"
    if is_url(str(images)):
        return (
            f"there is no image at {scrub_message(str(images))}, that is, no file below it that "
            f"ends in one of {', '.join(sorted(PICTURES))}; a web server has to show its folders "
            "as pages of links"
        )
    if glob.has_magic(str(images)) and not Path(images).exists():
        return f"there is no image that matches {images}"
    endings = ", ".join(sorted(PICTURES))
    return f"there is no image in {images}, that is, no file that ends in one of {endings}"
