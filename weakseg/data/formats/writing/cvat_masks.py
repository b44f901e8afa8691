"""CVAT: a zip file, "Segmentation mask 1.1", with masks in colours and the classes' colours in
`labelmap.txt`.

Pixels without a label have the colour of the label `ignored`; where there are none, there is no
such label, and a task needs none.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from weakseg.data.formats.writing.labelmap import check_labelmap, labelmap
from weakseg.data.formats.writing.labels import LabelledImage, Labels, present_labels
from weakseg.data.formats.writing.png import png_of
from weakseg.evidence import IGNORE
from weakseg.utils.files import voc_palette, writing_whole

COLOURS = np.array(voc_palette(), np.uint8)
# of every entry, so that the same labels make the same bytes
DATE = (1980, 1, 1, 0, 0, 0)


def write(
    images: Iterable[LabelledImage], classes: Sequence[str], out: Path, suffix: str
) -> list[Path]:
    """`cvat_masks.zip`."""
    check_labelmap(classes, "cvat_masks")
    path = out / f"cvat_masks{suffix}.zip"
    stems = []
    ignored = False
    with writing_whole(path) as file, zipfile.ZipFile(file, "w") as archive:
        for image in images:
            ignored |= IGNORE in present_labels(image, classes)
            name = png_of(image.name)
            _add(archive, f"SegmentationClass/{name}", _coloured(image.labels))
            stems.append(name.removesuffix(".png"))
        _add(
            archive,
            "ImageSets/Segmentation/default.txt",
            "".join(f"{stem}\n" for stem in stems).encode(),
        )
        _add(archive, "labelmap.txt", labelmap(classes, ignored))
    return [path]


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, DATE), data)


def _coloured(labels: Labels) -> bytes:
    """In true colours, which no reader takes for numbers of classes."""
    buffer = io.BytesIO()
    Image.fromarray(COLOURS[labels]).save(buffer, "PNG")
    return buffer.getvalue()
