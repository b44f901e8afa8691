"""What annotation costs: published seconds per image and kind of evidence, the one place of these
numbers; and what weakseg.review has measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import mean
from typing import Any, NamedTuple

from weakseg.data.corrections.history import History

SECONDS = {"masks": 239.7, "boxes": 39.6, "scribbles": 34.9, "points": 22.1, "tags": 20.0}
SOURCES = """\
Seconds are published means per image of PASCAL VOC, not measured here: tags 20.0, points 22.1,
scribbles 34.9 and masks 239.7 from Bearman and others ("What's the Point", ECCV 2016); boxes are
the tags and 7 s for each of an image's 2.8 objects (Papadopoulos and others, "Extreme clicking",
ICCV 2017)."""
KIND_OF = {
    "add_box": "boxes",
    "remove_box": "boxes",
    "scribble": "scribbles",
    "click": "points",
    "paint": "masks",
    "fill": "masks",
    "add_tag": "tags",
    "remove_tag": "tags",
}
MEASURED = """\
Hours of corrections are not published means: weakseg.review has measured them, as the time in which
the page was visible and somebody worked."""


class AnnotationCost(NamedTuple):
    """What the annotation of a run's training images costs."""

    seconds: float | None
    """per image; None where the recipe does not say what is annotated"""
    images: int | None
    """that it was trained on; None where that is not known"""
    corrections: float | None = None
    """seconds that a person has corrected them, as measured; None for no corrections"""

    @property
    def hours(self) -> float | None:
        """Of all training images, with their corrections.

        >>> AnnotationCost(36.0, 500).hours, AnnotationCost(36.0, None).hours
        (5.0, None)
        >>> AnnotationCost(36.0, 500, 1800.0).hours, AnnotationCost(None, 500, 1800.0).hours
        (5.5, None)
        """
        if self.seconds is None or self.images is None:
            return None
        return (self.seconds * self.images + (self.corrections or 0)) / 3600

    @property
    def correction_hours(self) -> float | None:
        """Of the corrections alone."""
        return None if self.corrections is None else self.corrections / 3600


def seconds_per_image(data: Mapping[str, Any]) -> float | None:
    """The mean seconds of annotation per training image, from the section `data` of a recipe with
    its defaults; None where that does not name one kind of evidence.

    >>> seconds_per_image({"evidence": "boxes"}), seconds_per_image({"evidence": None})
    (39.6, None)

    Images without annotation files have nothing but corrections:

    >>> seconds_per_image({"name": "folder", "format": None, "evidence": "boxes"})
    0.0
    >>> round(seconds_per_image({"evidence": "boxes", "mask_share": 0.1}), 1)
    59.6
    """
    evidence = data.get("evidence")
    without_files = data.get("name") == "folder" and data.get("format", "") is None
    if without_files and not data.get("simulated") and not data.get("mask_share"):
        return 0.0
    if evidence not in SECONDS:
        return None
    masks = float(data.get("mask_share") or 0)
    return masks * SECONDS["masks"] + (1 - masks) * SECONDS[str(evidence)]


class MeasuredSeconds(NamedTuple):
    """What the annotation of an image with one kind of evidence has taken a person."""

    seconds: float
    """the mean per image"""
    images: int
    """of so many images"""


def measured_seconds(histories: Iterable[History]) -> dict[str, MeasuredSeconds]:
    """What a person has needed per image, by the kind of evidence, according to the corrections of
    images that had no annotation before and were given one of a single kind.

    Args:
        histories: of the corrections of images.
    """
    found: dict[str, list[float]] = {}
    for history in histories:
        kinds = {KIND_OF[event.action] for event in history.edits if event.action in KIND_OF}
        if not history.before and len(kinds) == 1:
            found.setdefault(kinds.pop(), []).append(history.seconds)
    return {kind: MeasuredSeconds(mean(each), len(each)) for kind, each in found.items()}
