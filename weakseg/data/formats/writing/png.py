"""Masks: one indexed PNG per image in the colours of PASCAL VOC, called like the image. All other
formats are made from a folder of these."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from weakseg.data.formats.images import read_mask
from weakseg.data.formats.writing.labels import LabelledImage, Labels, present_labels
from weakseg.utils.files import voc_palette, write_whole

PALETTE = bytes(value for colour in voc_palette() for value in colour)


def png_of(name: str) -> str:
    """What the mask of an image is called.

    >>> png_of("sub/a.b.jpg")
    'sub/a.b.png'
    """
    return PurePosixPath(name).with_suffix(".png").as_posix()


def write_png(path: Path, labels: Labels, classes: Sequence[str]) -> None:
    """Write the labels of an image, uint8 [H,W], as an indexed PNG, whole or not at all.

    Args:
        path: of the file; its folder is made where there is none.
        labels: the class of each pixel, 255 for no label.
        classes: the names of the classes; a label that is none of them is a ValueError.
    """
    present_labels(LabelledImage(path.name, labels), classes)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, encode(labels))


def encode(labels: Labels) -> bytes:
    """Labels as the bytes of an indexed PNG."""
    image = Image.fromarray(labels)
    image.putpalette(PALETTE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def labels_of(
    folder: Path, names: Iterable[str], scores: Mapping[str, float] | None = None
) -> Iterator[LabelledImage]:
    """The labels that `write_png` has left in a folder, one image at a time.

    Args:
        folder: of the masks.
        names: of the images, relative; a mask that is missing or damaged is a FormatError.
        scores: how sure the labels of an image are, by its name.
    """
    for name in names:
        labels = np.asarray(read_mask(folder / png_of(name)))
        yield LabelledImage(name, labels, (scores or {}).get(name))


def write(
    images: Iterable[LabelledImage], classes: Sequence[str], out: Path, suffix: str
) -> list[Path]:
    """A mask per image, in the folder itself."""
    for image in images:
        write_png(out / png_of(image.name), image.labels, classes)
    return [out]
