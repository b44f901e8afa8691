"""What all writers are given: the labels of an image, and the regions that they consist of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weakseg.data.formats.runs import Runs, pack
from weakseg.evidence import IGNORE

Bools = NDArray[np.bool_]
Labels = NDArray[np.uint8]

# The class of pixels without a label, in formats of objects, where no object means background.
# Datumaro calls the rim of objects in PASCAL VOC so, and our readers take it for 255.
IGNORED = "ignored"


class Objects(NamedTuple):
    """The objects of one image, one by one, as an instance network finds them."""

    masks: tuple[Runs, ...]
    classes: tuple[int, ...]
    scores: tuple[float, ...]
    """from 0 to 1"""


class LabelledImage(NamedTuple):
    """The labels of one image, as a writer takes them."""

    name: str
    """of the image file, relative to the folder of images, with `/`: sub/a.jpg"""
    labels: Labels
    """uint8 [H,W]: the class of each pixel, 255 for no label"""
    score: float | None = None
    """how sure the labels are, from 0 to 1"""
    objects: Objects | None = None
    """what formats of objects hold instead of one mask per class"""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.labels.shape
        return height, width


class Region(NamedTuple):
    """Pixels of one class in one image: an object, or all of the class."""

    name: str
    """of the class; `IGNORED` for pixels without a label"""
    label: int
    left: int
    top: int
    mask: Bools
    """[h,w] within the smallest box around the pixels"""
    layer: int
    """regions of a higher layer cover those of a lower one"""
    score: float | None
    """of an object"""

    @property
    def runs(self) -> Runs:
        """Along the rows of the box."""
        return pack(self.mask, self.left, self.top)

    def on(self, height: int, width: int) -> Bools:
        """The same pixels in the whole image, [height,width]."""
        whole = np.zeros((height, width), bool)
        box = self.mask.shape
        whole[self.top : self.top + box[0], self.left : self.left + box[1]] = self.mask
        return whole


def regions_of(image: LabelledImage, classes: Sequence[str]) -> Iterator[Region]:
    """The regions of an image from the lowest layer up: pixels without a label, if there are any,
    then one region per class, or per object where objects are known. The background is none."""
    present = present_labels(image, classes)
    if IGNORE in present:
        yield _region(image.labels == IGNORE, IGNORED, IGNORE, 0)
    if image.objects is not None:
        yield from _objects(image.objects, image.size, classes)
        return
    for label in present:
        if label not in (0, IGNORE):
            yield _region(image.labels == label, classes[label], label, 1)


def _objects(objects: Objects, size: tuple[int, int], classes: Sequence[str]) -> Iterator[Region]:
    """The surest on top."""
    order = sorted(range(len(objects.scores)), key=objects.scores.__getitem__)
    for layer, number in enumerate(order, 1):
        runs = objects.masks[number]
        label = objects.classes[number]
        whole = np.zeros(size, bool)
        whole[runs.top : runs.top + runs.height, runs.left : runs.left + runs.width] = runs.unpack()
        if whole.any():
            region = _region(whole, classes[label], label, layer)
            yield region._replace(score=objects.scores[number])


def _region(whole: Bools, name: str, label: int, layer: int) -> Region:
    rows = np.flatnonzero(whole.any(1))
    columns = np.flatnonzero(whole.any(0))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    return Region(name, label, left, top, whole[top:bottom, left:right], layer, None)


def present_labels(image: LabelledImage, classes: Sequence[str]) -> list[int]:
    """The labels that an image shows, in order; a ValueError if one is no class."""
    labels = image.labels
    if labels.dtype != np.uint8 or labels.ndim != 2 or not labels.size:
        came = f"{labels.dtype} {list(labels.shape)}"
        raise ValueError(f"image {image.name}: labels should be uint8 [H,W], but they are {came}")
    present: list[int] = np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).tolist()
    wrong = [label for label in present if label >= len(classes) and label != IGNORE]
    if wrong:
        raise ValueError(
            f"image {image.name}: labels should be from 0 to {len(classes) - 1}, or 255 for none, "
            f"but one is {wrong[0]}"
        )
    return present


def check_name(name: str) -> None:
    """A ValueError if files cannot hold the name of an image, or if it leads out of the folder.

    >>> check_name("../a.jpg")
    Traceback (most recent call last):
    ValueError: the name of an image should be relative, inside of the folder of images, but it is
    '../a.jpg'
    """
    path = PurePosixPath(name)
    if not path.name or path.is_absolute() or ".." in path.parts:
        raise ValueError(
            "the name of an image should be relative, inside of the folder of images, but it is "
            f"{name!r}"
        )
    if not _is_text(name):
        raise ValueError(
            "the name of an image should be text without control characters, but it is "
            f"{name!r}; rename the file"
        )


def check_classes(classes: Sequence[str]) -> None:
    """A ValueError if files of objects cannot hold these classes."""
    if not 1 <= len(classes) <= IGNORE or len(set(classes)) < len(classes):
        raise ValueError(
            f"classes should be 1 to {IGNORE} different names, the background first, but they are "
            f"{list(classes)}"
        )
    for name in classes:
        if not name or not _is_text(name):
            raise ValueError(
                f"the name of a class should be text without control characters, but it is {name!r}"
            )


def _is_text(name: str) -> bool:
    """Whether XML can hold it, and UTF-8: not half a character, as undecodable file names have."""
    return all(
        character >= " "
        and not "\ud800" <= character <= "\udfff"
        and character not in "\ufffe\uffff"
        for character in name
    )


class Ids:
    """Numbers that depend on what they are for alone, so that they stay the same in another order,
    with other images, and in parts that are joined later."""

    def __init__(self) -> None:
        self._given: set[int] = set()

    def of(self, *what: object) -> int:
        """A number that nothing else has: one of 52 bits, which JSON's readers keep exactly."""
        digest = hashlib.blake2b(repr(what).encode(), digest_size=8).digest()
        number = int.from_bytes(digest, "big") >> 12
        while number in self._given:
            number += 1
        self._given.add(number)
        return number
