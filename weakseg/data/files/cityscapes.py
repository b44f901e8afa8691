"""Cityscapes: `leftImg8bit` and `gtFine`, with the 19 classes that are measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from weakseg.data.class_names import Naming, with_background
from weakseg.data.files.downsampling import downsample_labels
from weakseg.data.files.entries import Entry
from weakseg.data.files.layout import expect_folder
from weakseg.data.files.listing import Pictures
from weakseg.data.files.photos import Photos
from weakseg.data.formats.base import FormatError, Place
from weakseg.data.formats.images import image_size, source_of
from weakseg.data.names import spelling_hint
from weakseg.data.simulate.annotator import AnnotationKind
from weakseg.data.simulate.derive import objects_of
from weakseg.evidence import IGNORE
from weakseg.utils.limits import limited
from weakseg.utils.remote_path import as_path

# the number in the masks (labelIds) of each of the 19 classes
LABELS = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
VALUES = 34  # numbers in the masks, of which those without a class are void
COUNTED = 1000  # in instanceIds, single objects have a thousand times their class and a number
NAMES = {number: name for name, number in LABELS.items()}


class Cityscapes(Photos):
    """Cityscapes. Its evidence is made from the masks, as a person would have given it; boxes go
    around countable objects.

    No pixel is background when all 19 classes are used, and what is not measured (void) is 255.
    With classes such as [person,car] and others=background, it is all that is neither.

    Args:
        root: the folder with leftImg8bit and gtFine.
        evidence: masks, boxes (with tags and large), points (with tags), scribbles (with tags), or
            tags (with large).
        train: the part that is trained on: train, or one or more cities of it as train/ulm.
        val: the part that is only measured on; null for none.
        classes_used: names of the classes; null for all 19. Of other classes, see `others`.
    """

    @limited
    def __init__(
        self,
        root: Path,
        evidence: AnnotationKind = "masks",
        train: str = "train",
        val: str | None = "val",
        classes_used: list[str] | None = None,
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        used = list(LABELS) if classes_used is None else classes_used
        if wrong := [name for name in used if name not in LABELS]:
            raise ValueError(
                f"classes_used should name classes of Cityscapes, but {wrong[0]!r} is none; "
                f"{spelling_hint(wrong[0], list(LABELS))}"
            )
        self.root = expect_folder("root", as_path(root))
        self.evidence = evidence
        self.simulated = True
        self.mask_names = [NAMES.get(number) for number in range(VALUES)]
        parts = [[] if name is None else self._entries(name) for name in (train, val)]
        self.take(Naming(with_background(used), self.others), *parts)

    def _entries(self, part: str) -> list[Entry]:
        pictures = Pictures(self.root / "leftImg8bit" / part)
        entries = []
        for name, path in pictures.names.items():
            id = f"{part}/{name}".removesuffix("_leftImg8bit.png")
            entries.append(
                Entry(id, path, None, self.root / "gtFine" / f"{id}_gtFine_labelIds.png")
            )
        return entries

    def further_files(self, entry: Entry) -> Sequence[Path]:
        """The numbers of objects."""
        assert entry.mask is not None
        return [entry.mask.with_name(entry.mask.name.replace("_labelIds", "_instanceIds"))]

    def objects(self, entry: Entry, truth: Tensor) -> tuple[Tensor | None, Sequence[int]]:
        """Countable objects by their numbers in instanceIds; for points, also every region of a
        class that is not counted."""
        (path,) = self.further_files(entry)
        numbers = downsample_labels(_read_numbers(path), (truth.shape[0], truth.shape[1]))
        objects = torch.zeros(truth.shape, dtype=torch.int32)
        labels = list[int]()
        for number in torch.unique(numbers[numbers >= COUNTED]).tolist():
            shown = truth[numbers == number]
            if len(shown) and 0 < (label := int(shown[0])) < IGNORE:
                labels.append(label)
                objects[numbers == number] = len(labels)
        if self.evidence == "points":
            regions, more = objects_of(truth.masked_fill(objects > 0, 0))
            objects = torch.where(regions > 0, regions.int() + len(labels), objects)
            labels += more
        return objects, labels


def _read_numbers(path: Path) -> Tensor:
    """An image of 16 bits as it is."""
    image_size(path)  # refuses what is missing, too large or no image
    try:
        with Image.open(source_of(path), formats=["PNG"]) as image:
            return torch.from_numpy(np.array(image).astype(np.int32))
    except Exception as error:  # a decoder may fail on foreign bytes in any way
        raise FormatError(
            Place(str(path)), "the image", "whole", f"damaged or cut off: {error}"
        ) from None
