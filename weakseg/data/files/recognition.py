"""Which of the formats the annotation files of a folder have, by their beginnings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weakseg.data.files.layout import expect_folder, find_pictures
from weakseg.data.files.unannotated import BEGINNING, annotation_file
from weakseg.utils.remote_path import as_path, named_in

MEANT = "write data.format=<one of voc_xml, coco, yolo, labelme, cvat, datumaro, label_studio>"


def recognise(values: Mapping[str, Any]) -> tuple[str | None, str]:
    """The format of the annotation files of a folder, None if there are none, and how that is
    known; a ValueError if there are files of no format that can be told.

    Args:
        values: arguments of `Folder`.
    """
    root = expect_folder("root", as_path(values["root"]))
    pictures = find_pictures(root, values.get("images"))
    masks = values.get("masks")
    named = values.get("annotations")
    if named is not None:
        place = named_in(root, named)
        file = place if place.is_file() else next(_files(place), None)
    else:
        file = annotation_file(root, pictures, None if masks is None else named_in(root, masks))
    if file is None:
        return None, "there are no annotation files"
    found = format_of(file)
    if not found:
        raise ValueError(f"format should be that of {file}, which cannot be told from it; {MEANT}")
    return found, f"as {file.name} begins"


def _files(place: Path) -> Any:
    return (path for path in sorted(place.rglob("*")) if path.is_file())


def format_of(file: Path) -> str:
    """The format of an annotation file; nothing where that cannot be told."""
    ending = file.suffix.lower()
    if ending in (".txt", ".csv", ".png"):
        return {".txt": "yolo", ".csv": "csv", ".png": "mask_png"}[ending]
    with file.open("rb") as stream:
        beginning = stream.read(BEGINNING).decode("utf-8", "replace")
    if ending == ".xml":
        return "cvat" if "<annotations" in beginning else "voc_xml" * ("<annotation" in beginning)
    return _of_json(file, beginning) if ending == ".json" else ""


def _of_json(file: Path, beginning: str) -> str:
    if beginning.lstrip().startswith("["):
        return "label_studio"
    keys = _keys(file, beginning)
    if "shapes" in keys:
        return "labelme"
    if "items" in keys:
        return "datumaro"
    return "coco" if "images" in keys else ""


def _keys(file: Path, beginning: str) -> set[str]:
    """The names at the top of a file of JSON; of a long one those in its beginning, too."""
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return {name for name in ("shapes", "images", "annotations") if f'"{name}"' in beginning}
    return set(content) if isinstance(content, dict) else set()
