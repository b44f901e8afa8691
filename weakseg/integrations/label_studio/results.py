"""Regions as Label Studio's results: masks of a brush, bitmasks, polygons or rectangles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from weakseg.data.formats.writing.bitmask import pack_bitmask
from weakseg.data.formats.writing.label_studio import brush_result, result_head
from weakseg.data.formats.writing.labels import LabelledImage, Region, regions_of
from weakseg.data.formats.writing.polygons import polygons_of
from weakseg.evidence import IGNORE
from weakseg.integrations.label_studio.interface import Control, Interface

Size = tuple[int, int]
PAINTED = ("brushlabels", "bitmasklabels")


def results_of(
    image: LabelledImage, classes: tuple[str, ...], interface: Interface
) -> list[dict[str, Any]]:
    """The results of all regions whose class the interface has a label for."""
    control = interface.output
    return [
        result
        for region in regions_of(image, classes)
        if region.label in control.labels and _is_drawn(region, control)
        for result in results_of_region(region, image.size, interface)
    ]


def _is_drawn(region: Region, control: Control) -> bool:
    """Pixels without a label are a mask; polygons and boxes around them would mean nothing."""
    return region.label != IGNORE or control.kind in PAINTED


def results_of_region(region: Region, size: Size, interface: Interface) -> Iterator[dict[str, Any]]:
    """A region as the interface draws them.

    Args:
        region: the pixels.
        size: height and width of the image.
        interface: of the project, with a label for the class.
    """
    control = interface.output
    named = region._replace(name=control.labels[region.label])
    names = (control.name, interface.image)
    if control.kind == "brushlabels":
        yield brush_result(named, size, _number(), *names)
        return
    for value in _values(region, size, control.kind):
        head = result_head(control.kind, named, size, _number(), *names)
        yield {**head, "value": {**value, control.kind: [named.name]}}


def _values(region: Region, size: Size, kind: str) -> Iterator[dict[str, Any]]:
    """The pixels as a control of another kind than the brush holds them."""
    match kind:
        case "bitmasklabels":
            yield {"imageDataURL": pack_bitmask(region.on(*size))}
        case "polygonlabels":
            yield from _polygons(region, size)
        case _:
            yield _box(region, size)


def _polygons(region: Region, size: Size) -> Iterator[dict[str, Any]]:
    height, width = size
    for ring in polygons_of(region.mask, region.left, region.top):
        points = [[100 * x / width, 100 * y / height] for x, y in ring.tolist()]
        yield {"points": points, "closed": True}


def _box(region: Region, size: Size) -> dict[str, Any]:
    height, width = size
    rows, columns = region.mask.shape
    return {
        "x": 100 * region.left / width,
        "y": 100 * region.top / height,
        "width": 100 * columns / width,
        "height": 100 * rows / height,
        "rotation": 0,
    }


def _number() -> str:
    """An id of its own for each region, also of the same image tomorrow."""
    return uuid4().hex[:13]
