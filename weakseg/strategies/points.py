"""Clicks: the superpixel of each is its pseudo-label, and the loss adds what the tags leave out and
a dense CRF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Batch, Evidence
from weakseg.functional.losses import absent_loss
from weakseg.functional.painting import grow_marks
from weakseg.functional.regions.region_graph import Superpixels
from weakseg.functional.regions.superpixels import spread_marks
from weakseg.strategies.base import Context, Strategy, target_loss
from weakseg.strategies.common_keys import COMMON_KEYS
from weakseg.strategies.shared.marked import (
    LARGE_PIECES,
    crf_loss,
    need_marked_pixel,
)
from weakseg.strategies.shared.options import LengthOfReach, LossWeight, Reach
from weakseg.utils.lengths import Share, in_pixels
from weakseg.utils.limits import Count, NotNegative, limited


class Points(Strategy):
    """The superpixel of each click as its pseudo-label, a loss for classes that the tags leave out,
    and a dense CRF loss on all pixels.

    A click is a tiny scribble, so this is `ScribblesCRF` (the dense CRF loss of Tang and others,
    ECCV 2018) with two things that clicks need: more than one pixel, and, where an image has tags,
    a loss for probability that is given to classes they leave out ("What's the Point", Bearman and
    others, ECCV 2016, has it in another form). Background is known from clicks on it; where there
    are none, from the tags and from other images. Estimates once, needs no network.

    Args:
        radius: of a disc around each click, in pixels or as a share of the image's long side, which
            is one pixel at least; where two meet, the nearer click wins. 0 for the clicks alone.
        superpixels: how the image is cut; a piece with clicks of one class alone is of that class,
            whatever discs reach into it. null for the discs alone.
        weight: of the dense CRF loss, which goes from 0 to 1.
        xy, rgb: standard deviations within which two pixels should agree, in pixels of the image or
            as a share of its long side (of a crop, of the crop's), and in steps of colour.
        shrink: probabilities and image are compared this many times smaller in each direction.
        absent: weight of the loss for classes that the tags leave out; 0 to ignore tags. On the toy
            set, where every image has clicks on background, it makes no difference at 0.1 and hurts
            at 1.
    """

    needs: ClassVar[tuple[str, ...]] = ("marks",)
    tunable: ClassVar[Mapping[str, Sequence[Any]]] = {
        "superpixels.scale": ("15%", "30%", "60%"),
        "radius": ("0.5%", "1%", "2%"),
    }
    # they change the loss, and no target
    takes: ClassVar[tuple[str, ...]] = COMMON_KEYS
    not_in_key: ClassVar[tuple[str, ...]] = ("weight", "xy", "rgb", "shrink", "absent")

    @limited
    def __init__(
        self,
        radius: NotNegative | Share = Share(0.01),
        superpixels: Superpixels | None = LARGE_PIECES,
        weight: LossWeight = 1.0,
        xy: LengthOfReach = Share(0.2),
        rgb: Reach = 15.0,
        shrink: Count = 2,
        absent: LossWeight = 0.1,
    ) -> None:
        super().__init__()
        self.superpixels = superpixels
        self.radius = radius
        self.weight = weight
        self.xy = xy
        self.rgb = rgb
        self.shrink = shrink
        self.absent = absent

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Every image must have a click, and tags, if there are any, must name what was clicked
        on."""
        marks = need_marked_pixel(evidence)
        if evidence.tags is None or not self.absent or not evidence.tags.any():
            return
        named = torch.cat([evidence.tags, torch.ones(256 - len(evidence.tags), dtype=torch.bool)])
        if wrong := torch.unique(marks[~named[marks.long()]]).tolist():
            names = ", ".join(classes[label] for label in wrong)
            raise ValueError(
                f"image {evidence.id} has clicks on {names}, which its tags leave out; add it to "
                "the tags, or set strategy.absent=0"
            )

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        """The superpixels and discs of the clicks; all other pixels are ignored."""
        marks = need_marked_pixel(evidence)
        height, width = marks.shape
        discs = grow_marks(marks, in_pixels(self.radius, height, width, least=1))
        if self.superpixels is None:
            return discs
        clicked = spread_marks(marks, self.superpixels(evidence.image))
        return torch.where(clicked == IGNORE, discs, clicked)

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The cross-entropy of the target, the loss of absent classes and the dense CRF loss."""
        terms = target_loss(logits, batch, self)
        if self.absent and batch.tags is not None:
            terms["absent"] = self.absent * absent_loss(logits, batch.tags, batch.valid)
        if self.weight:
            terms["crf"] = self.weight * crf_loss(logits, batch, self.xy, self.rgb, self.shrink)
        return terms
