"""Datumaro: one JSON file for many images, with a mask per object as COCO's runs.

Pixels without a label are a mask of the label `ignored`, in the lowest layer; where no pixel is so,
there is no such label.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from weakseg.data.formats.runs import pack, to_coco_string
from weakseg.data.formats.writing.json_lists import JsonList, to_json
from weakseg.data.formats.writing.labels import IGNORED, Ids, LabelledImage, Region, regions_of
from weakseg.utils.files import writing_whole


def write(
    images: Iterable[LabelledImage], classes: Sequence[str], out: Path, suffix: str
) -> list[Path]:
    """`datumaro/annotations/default.json`: the folder is a data set of Datumaro, the file one of
    its subsets."""
    path = out / "datumaro" / "annotations" / f"default{suffix}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = Ids()
    ignored = False
    with writing_whole(path) as file:
        file.write(b'{"dm_format_version": "1.0", "media_type": 2, "info": {},\n"items": ')
        with JsonList(file) as items:
            for image in images:
                regions = list(regions_of(image, classes))
                ignored |= any(region.name == IGNORED for region in regions)
                items.add(_item(image, regions, classes, ids))
        file.write(b',\n"categories": ' + to_json(_categories(classes, ignored)) + b"}\n")
    return [path]


def _item(
    image: LabelledImage, regions: list[Region], classes: Sequence[str], ids: Ids
) -> dict[str, Any]:
    masks = [
        _mask(region, image, ids.of(image.name, place), classes)
        for place, region in enumerate(regions)
    ]
    return {
        "id": PurePosixPath(image.name).with_suffix("").as_posix(),
        "annotations": masks,
        "image": {"path": image.name, "size": list(image.size)},
    }


def _mask(
    region: Region, image: LabelledImage, number: int, classes: Sequence[str]
) -> dict[str, Any]:
    runs = pack(region.on(*image.size), by_columns=True)
    return {
        "id": number,
        "type": "mask",
        "attributes": {} if region.score is None else {"score": round(region.score, 6)},
        "group": 0,
        "label_id": len(classes) if region.name == IGNORED else region.label,
        "rle": {"counts": to_coco_string(runs.counts), "size": list(image.size)},
        "z_order": region.layer,
    }


def _categories(classes: Sequence[str], ignored: bool) -> dict[str, Any]:
    names = [*classes, *[IGNORED] * ignored]
    return {
        "label": {
            "labels": [{"name": name, "parent": "", "attributes": []} for name in names],
            "attributes": [],
        },
        "points": {"items": []},
    }
