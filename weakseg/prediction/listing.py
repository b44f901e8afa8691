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
from weakseg.utils.messages import did_you_mean, one_line
from weakseg.utils.output_folder import OutputFolder, check_names

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
) -> tuple[Images, OutputFolder]:
    """The images and the folder of results that the words mean; a RecipeError if they cannot be
    right. Needs no torch."""
    try:
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
    path = Path(given)
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
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"images: {path} should be a text file in UTF-8 with the path of an image on each "
            f"line, but it is none: {error}"
        ) from None
    beside = path.parent
    return [
        Path(line) if os.path.lexists(line) or not os.path.lexists(beside / line) else beside / line
        for line in lines
        if line
    ]


def _by_common_folder(files: Sequence[Path]) -> Images:
    """Files by their names below the folder that they have in common."""
    if not files:
        return Images({}, [])
    absolute = [Path(os.path.abspath(file)) for file in files]
    base = os.path.commonpath([file.parent for file in absolute])
    names = {file.relative_to(base).as_posix(): file for file in absolute}
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
    if glob.has_magic(str(images)) and not Path(images).exists():
        return f"there is no image that matches {images}"
    endings = ", ".join(sorted(PICTURES))
    return f"there is no image in {images}, that is, no file that ends in one of {endings}"
