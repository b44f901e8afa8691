"""What a person has just drawn in Label Studio with a smart tool, as a prompt: clicks, rectangles
and strokes of the brush."""

from __future__ import annotations

from typing import Any

import numpy as np

from weakseg.data.formats.base import Place, numbers, wholes
from weakseg.data.formats.bitmask import unpack_bitmask
from weakseg.data.formats.brush import unpack_brush
from weakseg.data.formats.writing.labels import Bools
from weakseg.integrations.label_studio.interface import Interface
from weakseg.integrations.label_studio.refusals import Refusal
from weakseg.integrations.prompts import Prompt
from weakseg.utils.messages import one_line

MOST = 1000  # regions of one request
PLACE = Place("context")
KINDS = ("keypointlabels", "rectanglelabels", "brushlabels", "bitmasklabels")


def prompt_of(regions: object, interface: Interface, size: tuple[int, int]) -> Prompt:
    """The prompt that the regions of a request are; a Refusal if they cannot be one.

    The object has the class of the last region; clicks of another class, of the background, or with
    the switch for what is not the object, are beside it.

    Args:
        regions: `result` of the context.
        interface: of the project.
        size: height and width of the image.
    """
    if not isinstance(regions, list) or not 0 < len(regions) <= MOST:
        raise Refusal("context: expected the regions that a person has drawn", 400)
    try:
        drawn = [_Drawn(region, interface, size) for region in regions]
    except Refusal:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        why = one_line(error)
        raise Refusal(f"context: a region is not as Label Studio has them: {why}", 400) from None
    return _joined(drawn)


class _Drawn:
    """One region."""

    def __init__(self, region: dict[str, Any], interface: Interface, size: tuple[int, int]) -> None:
        self.kind = str(region["type"])
        if self.kind not in KINDS:
            raise Refusal(
                f"regions of the type {self.kind} are no prompt; draw one of {', '.join(KINDS)}"
            )
        value = region["value"]
        self.label = interface.class_of(str(value[self.kind][0]), str(region["from_name"]))
        self.is_object = region.get("is_positive", True) is not False and self.label != 0
        height, width = size
        self.mask: Bools | None = None
        self.place: tuple[float, ...] = ()
        if self.kind == "bitmasklabels":
            self.mask = unpack_bitmask(value["imageDataURL"], width, height).unpack()
            return
        if self.kind == "brushlabels":
            stream = bytes(wholes(value["rle"], PLACE, "rle").tolist())
            runs = unpack_brush(np.frombuffer(stream, np.uint8), width, height)
            self.mask = runs.unpack()
            return
        keys = ("x", "y", "width", "height") if self.kind == "rectanglelabels" else ("x", "y")
        share = numbers([value.get(key) for key in keys], PLACE, ", ".join(keys)) / 100
        place = share * ([width, height] * (len(keys) // 2))
        self.place = tuple(float(number) for number in place)


def _joined(drawn: list[_Drawn]) -> Prompt:
    objects = [one for one in drawn if one.is_object]
    if not objects:
        raise Refusal("draw something on the object; there is only what is not the object")
    label = objects[-1].label
    own = [one for one in objects if one.label == label]
    others = [one for one in drawn if one not in own]
    return Prompt(
        boxes=tuple(
            (x, y, x + width, y + height)
            for x, y, width, height in (one.place for one in own if len(one.place) == 4)
        ),
        inside=tuple((one.place[0], one.place[1]) for one in own if len(one.place) == 2),
        outside=tuple((one.place[0], one.place[1]) for one in others if len(one.place) == 2),
        painted=_union([one.mask for one in own]),
        erased=_union([one.mask for one in others]),
        label=label,
    )


def _union(masks: list[Bools | None]) -> Bools | None:
    there = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(there) if there else None
