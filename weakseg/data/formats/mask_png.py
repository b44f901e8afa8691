"""Masks: one indexed or grey PNG per image, whose values are classes; 255 is not marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from weakseg.data.formats.base import Annotation, FormatError, Place, Shape, mask
from weakseg.data.formats.images import Colour, read_mask
from weakseg.data.formats.runs import pack
from weakseg.evidence import IGNORE


def read(
    path: Path, names: Sequence[str | None], image: str, colours: Mapping[Colour, int] | None = None
) -> Annotation:
    """A mask for every class that the file shows, the background among them.

    Args:
        path: of the file.
        names: the classes in the order of their values; None for one that is not marked, as 255.
        image: what the image is called.
        colours: which colour is which value, for masks in colours.
    """
    place = Place(str(path), image)
    values = read_mask(path, colours)
    shapes: list[Shape] = []
    for value in torch.unique(values).tolist():
        if value == IGNORE:
            continue
        if value >= len(names):
            hint = f"a class from 0 to {len(names) - 1}, or 255 where nothing is marked"
            raise FormatError(place, "every value", hint, str(value))
        if (name := names[value]) is not None:
            shapes.append(mask(name, place, pack((values == value).numpy())))
    height, width = values.shape
    return Annotation(image, shapes, (width, height), place)
