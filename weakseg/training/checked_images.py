"""What rounds keep of the evidence of each image that was checked: in a few arrays, as there may be
a million of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.training.target_keys import Fingerprints, Places
from weakseg.utils.fingerprint import fingerprint


class CheckedImage(NamedTuple):
    """What rounds keep of an image's evidence."""

    id: str
    fingerprint: str
    size: tuple[int, int]
    """of the image, height and width"""
    boxes: int
    """how many"""
    truth: str = ""
    """fingerprint of its truth; "" if it has none"""
    shows: bool = True
    """False where an image was searched for boxes and has none, and no pixel is marked: that is
    background, whatever its tags name"""
    boxed: bool = False
    """whether it has a list of boxes, even an empty one"""


def checked_image(evidence: Evidence, truth: Tensor | None, classes: int) -> CheckedImage:
    """What rounds keep of an image; a ValueError if evidence or truth cannot be what they claim to
    be."""
    evidence.check(classes)
    evidence.check_truth(truth, classes)
    height, width = evidence.image.shape[-2:]
    return CheckedImage(
        evidence.id,
        fingerprint(*evidence),
        (height, width),
        0 if evidence.boxes is None else len(evidence.boxes),
        "" if truth is None else fingerprint(truth),
        _shows_objects(evidence),
        evidence.boxes is not None,
    )


def _shows_objects(evidence: Evidence) -> bool:
    marks = evidence.marks
    marked = marks is not None and bool(((marks > 0) & (marks != IGNORE)).any())
    return evidence.boxes is None or len(evidence.boxes) > 0 or marked


class CheckedImages(Mapping[int, CheckedImage]):
    """Checked images by their index, about 150 bytes each.

    Args:
        indices: of all images that may come.

    >>> images = CheckedImages([3, 5])
    >>> images.add(5, CheckedImage("b", "ff" * 16, (2, 3), 1))
    >>> images[5].size, list(images), 3 in images
    ((2, 3), [5], False)
    """

    def __init__(self, indices: Iterable[int]) -> None:
        self._places = Places(sorted(indices))
        count = len(self._places.numbers)
        self._ids: list[str | None] = [None] * count
        self._fingerprints = Fingerprints(count)
        self._truths = Fingerprints(count)
        # height, width, number of boxes
        self._sizes = np.zeros((count, 3), np.int32)
        self._shows = np.zeros(count, bool)
        self._boxed = np.zeros(count, bool)

    def add(self, index: int, image: CheckedImage) -> None:
        """Keep an image."""
        place = self._places.of(index)
        self._ids[place] = image.id
        self._fingerprints[place] = image.fingerprint
        self._truths[place] = image.truth
        self._sizes[place] = (*image.size, image.boxes)
        self._shows[place] = image.shows
        self._boxed[place] = image.boxed

    def __getitem__(self, index: int) -> CheckedImage:
        place = self._places.of(index)
        id = self._ids[place]
        if id is None:
            raise KeyError(index)
        height, width, boxes = self._sizes[place].tolist()
        return CheckedImage(
            id,
            self._fingerprints[place],
            (height, width),
            boxes,
            self._truths[place],
            bool(self._shows[place]),
            bool(self._boxed[place]),
        )

    def __iter__(self) -> Iterator[int]:
        known = np.array([id is not None for id in self._ids], bool)
        return iter(self._places.numbers[known].tolist())

    def __len__(self) -> int:
        return sum(id is not None for id in self._ids)

    def __contains__(self, index: object) -> bool:
        try:
            return isinstance(index, int) and self._ids[self._places.of(index)] is not None
        except KeyError:
            return False
