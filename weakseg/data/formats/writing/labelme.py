"""LabelMe: one JSON file per image, called like it, with a mask per object as a PNG in text.

The files belong beside the images, where LabelMe looks for both. Pixels without a label are a mask
of the label `ignored`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from weakseg.data.formats.writing.json_lists import to_json
from weakseg.data.formats.writing.labels import Bools, LabelledImage, Region, regions_of
from weakseg.utils.files import write_whole

VERSION = "5.5.0"  # of the form of the files; masks are known from 5.3 on


def write(
    images: Iterable[LabelledImage], classes: Sequence[str], out: Path, suffix: str
) -> list[Path]:
    """The folder `labelme`."""
    home = out / "labelme"
    home.mkdir(exist_ok=True)
    for image in images:
        path = home / PurePosixPath(image.name).with_suffix(".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, to_json(_file(image, classes)) + b"\n")
    return [home]


def _file(image: LabelledImage, classes: Sequence[str]) -> dict[str, Any]:
    height, width = image.size
    return {
        "version": VERSION,
        "flags": {},
        "shapes": [_shape(region) for region in regions_of(image, classes)],
        "imagePath": PurePosixPath(image.name).name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def _shape(region: Region) -> dict[str, Any]:
    height, width = region.mask.shape
    last = [region.left + width - 1, region.top + height - 1]
    return {
        "label": region.name,
        "points": [[region.left, region.top], last],
        "group_id": None,
        "description": "",
        "shape_type": "mask",
        "flags": {},
        "mask": _png(region.mask),
    }


def _png(mask: Bools) -> str:
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
