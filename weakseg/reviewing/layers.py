"""The layers of an image as files that a browser shows: the photograph, and labels as PNGs with a
palette in which what is under them shines through."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.reviewing.colours import palette

QUALITY = 92  # of the JPEG of a photograph
SMALL = 256 * 256  # images with no more pixels are sent as they are
FAST = 1  # of zlib: labels compress well at any level, and a person waits
GREY = (128, 128, 128)
TRANSLUCENT = 110  # of 255
THUMBNAIL = 160  # pixels of the longer side
THUMBNAIL_QUALITY = 82


class Picture(NamedTuple):
    """A file for a browser."""

    content: bytes
    media_type: str
    version: str = ""
    """of the corrections that it shows"""


def photograph(image: Tensor) -> Picture:
    """An image, uint8 [3,H,W]: lossless if it is small."""
    pixels = Image.fromarray(_rows(image))
    if image.shape[-1] * image.shape[-2] <= SMALL:
        return Picture(_written(pixels, "PNG", compress_level=FAST), "image/png")
    return Picture(_written(pixels, "JPEG", quality=QUALITY, subsampling=0), "image/jpeg")


def thumbnail(image: Tensor) -> Picture:
    """A small version of an image, uint8 [3,H,W]."""
    small = Image.fromarray(_rows(image))
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return Picture(_written(small, "JPEG", quality=THUMBNAIL_QUALITY), "image/jpeg")


def label_layer(labels: Tensor) -> Picture:
    """Labels, uint8 [H,W], in the colours of their classes; background is transparent, and where
    there is no label (255) a translucent grey."""
    return _palette_png(labels, {0: 0, IGNORE: TRANSLUCENT})


def mark_layer(marks: Tensor) -> Picture:
    """Marks, uint8 [H,W], in the colours of their classes, that of the background, too; transparent
    where nothing is marked."""
    return _palette_png(marks, {IGNORE: 0})


def _palette_png(labels: Tensor, opacity: dict[int, int]) -> Picture:
    colours = palette()
    colours[IGNORE] = list(GREY)
    image = Image.fromarray(np.ascontiguousarray(labels.numpy()), "L")
    image.putpalette([value for colour in colours for value in colour])
    alpha = bytes(opacity.get(label, 255) for label in range(256))
    content = _written(image, "PNG", compress_level=FAST, transparency=alpha)
    return Picture(content, "image/png")


def _rows(image: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def _written(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()
