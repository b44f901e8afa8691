"""`write_labels`: labels of images into files of a format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

from weakseg.data.formats.writing import (
    coco,
    cvat,
    cvat_masks,
    datumaro,
    label_studio,
    labelme,
    png,
    voc,
)
from weakseg.data.formats.writing.labels import (
    IGNORED,
    LabelledImage,
    check_classes,
    check_name,
)
from weakseg.data.formats.writing.png import png_of

LabelFormat = Literal[
    "png",
    "coco",
    "coco_polygons",
    "cvat",
    "cvat_masks",
    "datumaro",
    "label_studio",
    "labelme",
    "voc",
]
FORMATS: tuple[str, ...] = get_args(LabelFormat)
Writer = Callable[[Iterable[LabelledImage], Sequence[str], Path, str], list[Path]]
WRITERS: dict[str, Writer] = {
    "png": png.write,
    "coco": coco.write,
    "coco_polygons": coco.write_polygons,
    "cvat": cvat.write,
    "cvat_masks": cvat_masks.write,
    "datumaro": datumaro.write,
    "label_studio": label_studio.write,
    "labelme": labelme.write,
    "voc": voc.write,
}


def write_labels(
    format: str,
    images: Iterable[LabelledImage],
    classes: Sequence[str],
    out: Path,
    *,
    suffix: str = "",
    images_in: Path | None = None,
) -> list[Path]:
    """Write the labels of images into files of a format, whole or not at all; returns them,
    or the folder of files that are one per image.

    Images are taken one by one and not kept. Pixels of class 0, the background, are no objects;
    where a format of objects has to hold pixels without a label (255), they are an object of the
    class `ignored`. Read with `data.whole=true`, every file gives the same labels again.

    Args:
        format: one of `FORMATS`.
        images: their labels; no two images may differ in their endings alone.
        classes: names of the classes, the background first.
        out: the folder, which is made where there is none.
        suffix: what the names of files for many images end with, such as `-3-of-8`.
        images_in: the folder of the images, if they are files: Label Studio's addresses of them
            begin with its name.
    """
    check_format(format, classes)
    out.mkdir(parents=True, exist_ok=True)
    if format == "label_studio":
        folder = "" if images_in is None else f"{images_in.resolve().name}/"
        return label_studio.write(_checked(images), classes, out, suffix, folder)
    return WRITERS[format](_checked(images), classes, out, suffix)


def check_format(format: str, classes: Sequence[str], names: Iterable[str] = ()) -> None:
    """A ValueError if a format cannot hold these classes or images of these names: a command finds
    it out before hours of work, not when it writes the file.

    Args:
        format: one of `FORMATS`.
        classes: names of the classes, the background first.
        names: of the images, as far as they are known.
    """
    if format not in FORMATS:
        raise ValueError(f"format should be one of {', '.join(FORMATS)}, but it is {format!r}")
    check_classes(classes)
    if format == "png":
        return  # a file per image, which may have any name
    if IGNORED in classes:
        raise ValueError(
            f"no class should be called {IGNORED!r}, which is what format={format} calls pixels "
            "without a label; rename the class, or write format=png"
        )
    for name in names:
        check_name(name)


def _checked(images: Iterable[LabelledImage]) -> Iterator[LabelledImage]:
    """The images, each with a right name of its own."""
    known: dict[str, str] = {}
    for image in images:
        check_name(image.name)
        mask = png_of(image.name)
        if mask in known:
            raise ValueError(
                "images should differ in more than their endings, but the labels of "
                f"{known[mask]} and {image.name} would have the same name"
            )
        known[mask] = image.name
        yield image
