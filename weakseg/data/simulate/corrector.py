"""A simulated person on the review page: she sees an image with its labels, knows the truth, and
mends what is most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from weakseg.data.corrections.events import Event
from weakseg.data.formats.painting import LEAST_WIDTH
from weakseg.data.simulate.correction_events import (
    Region,
    Tool,
    View,
    erased_marks,
    mark,
    mended_boxes,
    outline,
    was_drawn_on,
    wrong_tags,
)
from weakseg.data.simulate.strokes import AROUND
from weakseg.evidence import IGNORE
from weakseg.utils.lengths import AreaShare, Share, area_in_pixels, in_pixels
from weakseg.utils.limits import Count, check_limits

SEEN = 20  # pixels: nobody looks for less
LOOK = 3.0
SECONDS = {
    "click": 2.4,
    "scribble": 10.9,
    "fill": 79.0,
    "erase": 2.4,
    "add_box": 7.0,
    "remove_box": 2.4,
    "add_tag": 1.0,
    "remove_tag": 1.0,
}
SOURCES = f"""\
Seconds of corrections are published ones, not measured here: 2.4 for a click, 10.9 for a scribble
and 1.0 for a tag from Bearman and others ("What's the Point", ECCV 2016), 7.0 for a box from
Papadopoulos and others ("Extreme clicking", ICCV 2017), 79 for an outline from Lin and others
("Microsoft COCO", ECCV 2014). Rubbing out a mark or a box counts as a
click. To look at an image until it is clear what is most wrong takes {LOOK:.0f}, which is assumed:
about twice the 1.6 for which people looked at one box to accept it (Papadopoulos and others, "We
don't need no bounding-boxes", CVPR 2016)."""

WHO = "simulated"


@dataclass(frozen=True)
class Corrector:
    """A simulated person who corrects.

    >>> Corrector(tool="click").width
    Share(of=0.006)
    """

    tool: Tool = "scribble"
    """what she mends a region with: a stroke along its middle, or one click"""
    width: Count | Share = Share(0.006)
    """of a stroke, in pixels, or as a share of the image's long side, which is three pixels at
    least; less where the region is narrow"""
    outline: bool = True
    """whether she outlines a region that a stroke of hers has not mended, which takes long"""
    smallest: Count | AreaShare = AreaShare(0.0003)
    """in pixels, or as a share of those of the image, which is 20 at least: a smaller mistake is
    not seen. Parts that are narrower than a stroke or less than three pixels wide, such as the rim
    of an object, do not count"""

    def __post_init__(self) -> None:
        check_limits(self, "{} of the corrector")
        if self.tool not in get_args(Tool):
            raise ValueError(
                f"tool of the corrector should be scribble or click, but it is {self.tool!r}"
            )

    def correct(self, view: View, rng: np.random.Generator) -> tuple[Event, ...]:
        """What the person does about the largest mistake: one event, or a few that belong together,
        such as to rub out a click and to draw a stroke; with the seconds that they take. Nothing
        if no mistake is seen.

        Args:
            view: what is on the page, and the truth.
            rng: for the way of a stroke.
        """
        height, breadth = view.truth.shape
        width = round(in_pixels(self.width, height, breadth, LEAST_WIDTH))
        smallest = round(area_in_pixels(self.smallest, height, breadth, SEEN))
        region = largest_mistake(view, smallest, width)
        tags = wrong_tags(view)
        if region is None or (tags and view.evidence.marks is None):
            return timed(tags)
        if view.evidence.boxes is not None and (events := mended_boxes(view, region)):
            return timed(events)
        erased = erased_marks(view, region)
        if self.outline and was_drawn_on(view, region):
            drawn = outline(view, region)
        else:
            drawn = mark(view, region, self.tool, width, rng)
        return timed([*erased, *wrong_tags(view, erased), drawn])


CAREFUL = Corrector()


def largest_mistake(view: View, smallest: int, thin: int = LEAST_WIDTH) -> Region | None:
    """The largest connected region, parts narrower than `thin` not counted, that should have one
    class and has others; if there is none, the largest that has no label. None if they are all
    small."""
    shown = view.shown.numpy()
    truth = view.truth.numpy()
    known = truth != IGNORE
    wrong = _largest(known & (shown != IGNORE) & (shown != truth), truth, smallest, thin)
    return wrong or _largest(known & (shown == IGNORE), truth, smallest, thin)


def _largest(
    wrong: NDArray[np.bool_], truth: NDArray[np.uint8], smallest: int, thin: int
) -> Region | None:
    best = None
    most = smallest - 1
    for label in np.unique(truth[wrong]).tolist():
        regions, count = ndimage.label(wrong & (truth == label), AROUND)
        wide = ndimage.binary_opening(regions > 0, AROUND, max(1, thin // 2))
        areas = np.bincount(regions[wide], minlength=count + 1)
        number = int(areas.argmax())
        if areas[number] > most:
            best = Region(label, regions == number)
            most = int(areas[number])
    return best


def timed(events: Sequence[Event]) -> tuple[Event, ...]:
    """The events with the seconds that they take; the first one's are those of the look, too."""
    return tuple(
        event._replace(seconds=SECONDS[event.action] + (0 if place else LOOK), who=WHO)
        for place, event in enumerate(events)
    )
