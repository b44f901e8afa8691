"""Label Studio: tasks with predictions, one JSON file for many images, with a mask per object as
its brush paints it; and the labelling interface that they fit.

The score of a prediction is how sure the labels are, so that tasks in the order of this score begin
with the worst. Pixels without a label are painted with the label `ignored`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from weakseg.data.formats.writing.brush import pack_brush
from weakseg.data.formats.writing.json_lists import JsonList
from weakseg.data.formats.writing.labels import IGNORED, Ids, LabelledImage, Region, regions_of
from weakseg.evidence import IGNORE
from weakseg.utils.files import voc_palette, write_whole, writing_whole

# of the interface; a project with other names needs them here, too
FROM_NAME = "tag"
TO_NAME = "image"
# how Label Studio addresses files of a local storage, from its document root on
ADDRESS = "/data/local-files/?d="
MODEL_VERSION = "weakseg"


def write(
    images: Iterable[LabelledImage],
    classes: Sequence[str],
    out: Path,
    suffix: str,
    folder: str = "",
) -> list[Path]:
    """`label_studio.json`, and the interface `label_studio.xml`. `folder` is what the addresses of
    images begin with: the document root of Label Studio has to be above them."""
    path = out / f"label_studio{suffix}.json"
    interface = out / "label_studio.xml"
    write_whole(interface, interface_of(classes).encode())
    ids = Ids()
    with writing_whole(path) as file:
        with JsonList(file) as tasks:
            for image in images:
                tasks.add(_task(image, classes, ids, folder))
        file.write(b"\n")
    return [path, interface]


def _task(image: LabelledImage, classes: Sequence[str], ids: Ids, folder: str) -> dict[str, Any]:
    results = [
        brush_result(region, image.size, f"{ids.of(image.name, place):013x}", FROM_NAME, TO_NAME)
        for place, region in enumerate(regions_of(image, classes))
    ]
    score = {} if image.score is None else {"score": round(image.score, 6)}
    return {
        "data": {TO_NAME: ADDRESS + quote(f"{folder}{image.name}")},
        "predictions": [{"model_version": MODEL_VERSION, **score, "result": results}],
    }


def brush_result(
    region: Region, size: tuple[int, int], number: str, from_name: str, to_name: str
) -> dict[str, Any]:
    """A region as the brush paints it.

    Args:
        region: its pixels.
        size: height and width of the image.
        number: an id that no other region has.
        from_name: the tag with the labels.
        to_name: the tag that shows the image.
    """
    value = {"format": "rle", "rle": pack_brush(region.on(*size)), "brushlabels": [region.name]}
    return {**result_head("brushlabels", region, size, number, from_name, to_name), "value": value}


def result_head(
    kind: str, region: Region, size: tuple[int, int], number: str, from_name: str, to_name: str
) -> dict[str, Any]:
    """What a region of any kind has beside its value."""
    height, width = size
    score = {} if region.score is None else {"score": round(region.score, 6)}
    return {
        "id": number,
        "type": kind,
        "from_name": from_name,
        "to_name": to_name,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        **score,
    }


def interface_of(classes: Sequence[str]) -> str:
    """The labelling configuration, with the colours of PASCAL VOC."""
    palette = voc_palette()
    labels = "".join(
        f'    <Label value={quoteattr(name)} background="rgba({red}, {green}, {blue}, 0.7)"/>\n'
        for label, name in [*list(enumerate(classes))[1:], (IGNORE, IGNORED)]
        for red, green, blue in [palette[label]]
    )
    return f"""<View>
  <Image name="{TO_NAME}" value="${TO_NAME}" zoom="true"/>
  <BrushLabels name="{FROM_NAME}" toName="{TO_NAME}">
{labels}  </BrushLabels>
</View>
"""
