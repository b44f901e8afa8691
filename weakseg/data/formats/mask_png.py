"""Masks: one indexed or grey PNG per image, whose values are classes; 255 is not marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from weakseg.data.formats.base import Annotation, FormatError, Place, Shape, mask
from weakseg.data.formats.images import Colour, read_mask
from weakseg.data.formats.runs import pack
from weakseg.evidence import IGNORE


def read(path: Path, names: Sequence[str], image: str, colours: Mapping[Colour, int] | None = None) -> Annotation:
    """A mask for every class that the file shows, the background among them. `names` are the classes in the order of their values."""
    place = Place(str(path), image)
    values = read_mask(path, colours)
    shapes: list[Shape] = []
    for value in torch.unique(values).tolist():
        if value == IGNORE:
            continue
        if value >= len(names):
            hint = f"a class from 0 to {len(names) - 1}, or 255 where nothing is marked"
            raise FormatError(place, "every value", hint, str(value))
        shapes.append(mask(names[value], place, pack((values == value).numpy())))
    height, width = values.shape
    return Annotation(image, shapes, (width, height), place)
