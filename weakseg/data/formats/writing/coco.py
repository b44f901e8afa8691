"""COCO: one JSON file for many images, with a mask per object as compressed runs.

Pixels without a label are a crowd (`iscrowd`) of the category `ignored`: training code of the field
passes over crowds. Where no pixel is so, there is no such category.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from weakseg.data.formats.runs import pack, to_coco_string
from weakseg.data.formats.writing.json_lists import JsonList, to_json
from weakseg.data.formats.writing.labels import IGNORED, Ids, LabelledImage, Region, regions_of
from weakseg.evidence import IGNORE
from weakseg.utils.files import writing_whole


def write(
    images: Iterable[LabelledImage], classes: Sequence[str], out: Path, suffix: str
) -> list[Path]:
    """`coco.json`."""
    path = out / f"coco{suffix}.json"
    # of what comes later in the file, one object at a time is in memory
    with writing_whole(path) as file, TemporaryFile(dir=out) as later:
        ignored = _write_images(images, classes, file, later)
        file.write(b',\n"annotations": ')
        later.seek(0)
        shutil.copyfileobj(later, file)
        file.write(b',\n"categories": ' + to_json(_categories(classes, ignored)) + b"}\n")
    return [path]


def _write_images(
    images: Iterable[LabelledImage], classes: Sequence[str], file: IO[bytes], later: IO[bytes]
) -> bool:
    """Write images and objects; whether any pixel has no label."""
    ids = Ids()
    ignored = False
    file.write(b'{"info": {"description": "labels from weakseg"}, "licenses": [],\n"images": ')
    with JsonList(file) as entries, JsonList(later) as objects:
        for image in images:
            height, width = image.size
            number = ids.of(image.name)
            entries.add({"id": number, "file_name": image.name, "width": width, "height": height})
            for place, region in enumerate(regions_of(image, classes)):
                ignored |= region.name == IGNORED
                about = {"id": ids.of(image.name, place), "image_id": number}
                objects.add(about | _object(region, image.size))
    return ignored


def _object(region: Region, size: tuple[int, int]) -> dict[str, Any]:
    height, width = region.mask.shape
    runs = pack(region.on(*size), by_columns=True)
    score = {} if region.score is None else {"score": round(region.score, 6)}
    return {
        "category_id": region.label,
        "iscrowd": int(region.name == IGNORED),
        "area": int(region.mask.sum()),
        "bbox": [region.left, region.top, width, height],
        "segmentation": {"size": list(size), "counts": to_coco_string(runs.counts)},
        **score,
    }


def _categories(classes: Sequence[str], ignored: bool) -> list[dict[str, Any]]:
    return [
        {"id": number, "name": name, "supercategory": ""}
        for number, name in _numbered(classes, ignored)
    ]


def _numbered(classes: Sequence[str], ignored: bool) -> Iterator[tuple[int, str]]:
    yield from list(enumerate(classes))[1:]
    if ignored:
        yield IGNORE, IGNORED
