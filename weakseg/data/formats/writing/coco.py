"""COCO: one JSON file for many images, with a mask per object, as compressed runs or as polygons.

Pixels without a label are a crowd (`iscrowd`) of the category `ignored`: training code of the field
passes over crowds. Where no pixel is so, there is no such category. Crowds are always runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from weakseg.data.formats.runs import pack, to_coco_string
from weakseg.data.formats.writing.json_lists import JsonList, to_json
from weakseg.data.formats.writing.labels import IGNORED, Ids, LabelledImage, Region, regions_of
from weakseg.data.formats.writing.polygons import polygons_of
from weakseg.evidence import IGNORE
from weakseg.utils.files import writing_whole
from weakseg.utils.remote_path import is_remote

Area = Callable[[Region, tuple[int, int]], object]  # what stands for the pixels of an object


def write(
    images: Iterable[LabelledImage], classes: Sequence[str], out: Path, suffix: str
) -> list[Path]:
    """`coco.json`, with compressed runs."""
    return _write(images, classes, out / f"coco{suffix}.json", _runs)


def write_polygons(
    images: Iterable[LabelledImage], classes: Sequence[str], out: Path, suffix: str
) -> list[Path]:
    """`coco_polygons.json`, for programs that read no runs."""
    return _write(images, classes, out / f"coco_polygons{suffix}.json", _polygons)


def _write(
    images: Iterable[LabelledImage], classes: Sequence[str], path: Path, area: Area
) -> list[Path]:
    # of what comes later in the file, one object at a time is in memory
    beside = None if is_remote(path) else path.parent
    with writing_whole(path) as file, TemporaryFile(dir=beside) as later:
        ignored = _write_images(images, classes, area, file, later)
        file.write(b',\n"annotations": ')
        later.seek(0)
        shutil.copyfileobj(later, file)
        file.write(b',\n"categories": ' + to_json(_categories(classes, ignored)) + b"}\n")
    return [path]


def _write_images(
    images: Iterable[LabelledImage],
    classes: Sequence[str],
    area: Area,
    file: IO[bytes],
    later: IO[bytes],
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
                objects.add(about | _object(region, image.size, area))
    return ignored


def _object(region: Region, size: tuple[int, int], area: Area) -> dict[str, Any]:
    height, width = region.mask.shape
    crowd = region.name == IGNORED
    score = {} if region.score is None else {"score": round(region.score, 6)}
    return {
        "category_id": region.label,
        "iscrowd": int(crowd),
        "area": int(region.mask.sum()),
        "bbox": [region.left, region.top, width, height],
        "segmentation": _runs(region, size) if crowd else area(region, size),
        **score,
    }


def _runs(region: Region, size: tuple[int, int]) -> dict[str, Any]:
    runs = pack(region.on(*size), by_columns=True)
    return {"size": list(size), "counts": to_coco_string(runs.counts)}


def _polygons(region: Region, size: tuple[int, int]) -> list[list[int]]:
    return [ring.ravel().tolist() for ring in polygons_of(region.mask, region.left, region.top)]


def _categories(classes: Sequence[str], ignored: bool) -> list[dict[str, Any]]:
    return [
        {"id": number, "name": name, "supercategory": ""}
        for number, name in _numbered(classes, ignored)
    ]


def _numbered(classes: Sequence[str], ignored: bool) -> Iterator[tuple[int, str]]:
    yield from list(enumerate(classes))[1:]
    if ignored:
        yield IGNORE, IGNORED
