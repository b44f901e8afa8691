"""PASCAL VOC: an indexed PNG per image in `SegmentationClass`, a list of the images, and the
classes' colours in `labelmap.txt`. Pixels without a label are 255, as the rims in VOC's own masks.

The images belong into `JPEGImages`, beside these folders.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from weakseg.data.formats.writing.labelmap import check_labelmap, labelmap
from weakseg.data.formats.writing.labels import LabelledImage
from weakseg.data.formats.writing.png import png_of, write_png
from weakseg.utils.files import write_whole, writing_whole


def write(
    images: Iterable[LabelledImage], classes: Sequence[str], out: Path, suffix: str
) -> list[Path]:
    """The folder `voc`; a part has a list of its own."""
    check_labelmap(classes, "voc")
    home = out / "voc"
    listed = home / "ImageSets" / "Segmentation" / f"default{suffix}.txt"
    listed.parent.mkdir(parents=True, exist_ok=True)
    write_whole(home / "labelmap.txt", labelmap(classes, ignored=True))
    with writing_whole(listed) as lines:
        for image in images:
            name = png_of(image.name)
            write_png(home / "SegmentationClass" / name, image.labels, classes)
            lines.write(f"{name.removesuffix('.png')}\n".encode())
    return [home]
