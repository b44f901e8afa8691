"""CVAT: one XML file, "CVAT for images 1.1", for many images, with a mask per object as runs along
the rows of its box.

Pixels without a label are a mask of the label `ignored`, in the lowest layer, so that what is drawn
later covers it. A task needs the same labels: those of `cvat_labels.json`, which CVAT takes where a
task's labels can be written as text ("Raw").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from weakseg.data.formats.writing.json_lists import to_json
from weakseg.data.formats.writing.labels import IGNORED, Ids, LabelledImage, Region, regions_of
from weakseg.evidence import IGNORE
from weakseg.utils.files import voc_palette, write_whole, writing_whole

HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'


def write(
    images: Iterable[LabelledImage], classes: Sequence[str], out: Path, suffix: str
) -> list[Path]:
    """`cvat.xml`, and the labels that a task needs, `cvat_labels.json`."""
    path = out / f"cvat{suffix}.xml"
    labels = out / "cvat_labels.json"
    write_whole(labels, to_json(_labels(classes)) + b"\n")
    ids = Ids()
    with writing_whole(path) as file:
        file.write((HEAD + _meta(classes)).encode())
        for image in images:
            file.write(_image(image, ids.of(image.name), classes).encode())
        file.write(b"</annotations>\n")
    return [path, labels]


def _image(image: LabelledImage, number: int, classes: Sequence[str]) -> str:
    height, width = image.size
    masks = "".join(_mask(region) for region in regions_of(image, classes))
    return (
        f'<image id="{number}" name={quoteattr(image.name)} width="{width}" height="{height}">\n'
        f"{masks}</image>\n"
    )


def _mask(region: Region) -> str:
    runs = region.runs
    counts = ", ".join(map(str, runs.counts.tolist()))
    return (
        f'<mask label={quoteattr(region.name)} source="auto" occluded="0" rle="{counts}" '
        f'left="{runs.left}" top="{runs.top}" width="{runs.width}" height="{runs.height}" '
        f'z_order="{region.layer}"/>\n'
    )


def _meta(classes: Sequence[str]) -> str:
    """The labels, from which readers other than CVAT take their classes."""
    labels = "".join(
        f"<label><name>{escape(label['name'])}</name><color>{label['color']}</color>"
        "<type>mask</type><attributes></attributes></label>\n"
        for label in _labels(classes)
    )
    return f"<meta><task><labels>\n{labels}</labels></task></meta>\n"


def _labels(classes: Sequence[str]) -> list[dict[str, Any]]:
    palette = voc_palette()
    named = [*list(enumerate(classes))[1:], (IGNORE, IGNORED)]
    return [
        {
            "name": name,
            "color": "#{:02x}{:02x}{:02x}".format(*palette[label]),
            "type": "mask",
            "attributes": [],
        }
        for label, name in named
    ]
