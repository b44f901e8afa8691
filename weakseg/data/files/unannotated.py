"""Folders of images without any annotation file: it must not be that a format was forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from weakseg.data.files.layout import ANNOTATIONS, MASKS
from weakseg.data.files.listing import Pictures

FORMATS = {
    ".xml": "voc_xml or cvat",
    ".json": "coco, labelme, datumaro or label_studio",
    ".txt": "yolo",
    ".csv": "csv",
    ".png": "mask_png",
}
BEGINNING = 2**16  # bytes of a file in the root in which such a word stands if it annotates images
WORDS = (b"annotation", b"label", b"class")


def expect_no_annotations(
    root: Path, pictures: Pictures, annotations: str | None, masks: Path | None
) -> None:
    """A ValueError that proposes formats if there are annotation files, although no format is
    named.

    Args:
        root: of the data set.
        pictures: its images.
        annotations: what the user named.
        masks: the folder of the truth, which is no annotation.
    """
    if annotations is not None:
        raise ValueError(
            f"annotations is {annotations}, but no format is named; expected format=voc_xml, coco "
            "or another one"
        )
    found = annotation_file(root, pictures, masks)
    if found is not None:
        raise ValueError(
            f"format should be that of the annotation files, such as {found}: "
            f"{FORMATS[found.suffix.lower()]}; leave it out only for images without any, in a "
            "folder of their own"
        )


def annotation_file(root: Path, pictures: Pictures, masks: Path | None) -> Path | None:
    """A file that probably annotates the images; None if there is none."""
    return next(_annotation_files(root, pictures, masks), None)


def _annotation_files(root: Path, pictures: Pictures, masks: Path | None) -> Iterator[Path]:
    """Files that probably annotate the images: in a folder for them, called like an image, or with
    certain words in them."""
    for name in dict.fromkeys([*ANNOTATIONS, *MASKS]):
        folder = root / name
        if folder.is_dir() and folder not in (masks, pictures.folder):
            yield from (path for path in sorted(folder.rglob("*")) if _is_one(path))
    for picture in pictures.names.values():
        beside = (picture.with_suffix(ending) for ending in FORMATS if ending != ".png")
        yield from (path for path in beside if path.is_file())
    yield from (path for path in sorted(root.iterdir()) if _speaks_of_images(path))


def _is_one(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in FORMATS


def _speaks_of_images(path: Path) -> bool:
    if not path.is_file() or path.suffix.lower() not in (".xml", ".json", ".csv"):
        return False
    with path.open("rb") as file:
        beginning = file.read(BEGINNING).lower()
    return any(word in beginning for word in WORDS)
