"""Simulated annotations from full masks: how careful the annotator is, and how much is drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, doc
from torch import Tensor

from weakseg.data.formats.painting import LEAST_WIDTH
from weakseg.data.simulate.derive import (
    boxes_of,
    instances_of,
    large_of,
    loosen_boxes,
    objects_of,
    points_of,
    scribbles_of,
    tags_of,
)
from weakseg.data.simulate.faults import moved_boxes, moved_masks, swapped_classes
from weakseg.data.simulate.strokes import USUAL
from weakseg.evidence import IGNORE
from weakseg.utils.lengths import AreaShare, Share, area_in_pixels, in_pixels
from weakseg.utils.limits import Count, CountFromZero, ZeroToOne, check_limits

LEAST_REGION = 50  # pixels

AnnotationKind = Literal["masks", "boxes", "points", "scribbles", "tags"]
DrawnAnnotationKind = Literal["masks", "boxes", "points", "scribbles", "tags", "instances"]
"""of pictures whose instances are known"""


MaskShare = Annotated[float, Ge(0), Le(1), doc("a part of the training images")]
Probability = Annotated[float, doc("a probability"), Ge(0), Le(1)]


@dataclass(frozen=True)
class Annotator:
    """A simulated annotator. The defaults are a careful one.

    More of a fault changes what less of it gave: a box that is missing at 0.1 is missing at 0.2
    too, edges are off to the same side, and a short scribble is a part of the long one. So results
    along a fault differ by the fault alone.

    >>> Annotator(scribble_length=0.3).scribble_width
    Share(of=0.006)
    """

    scribble_length: Annotated[float, doc("a share of the region's long way"), Gt(0), Le(1)] = USUAL
    """mean length of a scribble, as a share of its region's long way; more than 0, at most 1"""
    scribble_width: Count | Share = Share(0.006)
    """in pixels, or as a share of the image's long side, which is three pixels at least"""
    scribble_jitter: ZeroToOne = 0.0
    """how wavy: the share of the free width of the region over which a scribble swings, from 0 to
    1"""
    scribble_background: bool = True
    """whether the background gets scribbles too"""
    smallest: Count | AreaShare = AreaShare(0.0003)
    """in pixels, or as a share of those of the image, which is 50 at least: a smaller region of one
    class gets no scribble, and is no object where instances are not known"""
    point_count: Count = 1
    """clicks per object"""
    point_background: CountFromZero = 4
    """clicks on the background of an image"""
    point_spread: ZeroToOne = 0.5
    """where clicks fall: 0 in the very middle of an object, 1 anywhere inside it"""
    box_loose: Annotated[float, doc("a share of the box's side"), Ge(0), Le(1)] = 0.0
    """how far the edges of a box are off, each for itself, in or out: the standard deviation as a
    share of the box's side. Normally distributed, and never off by more than three times that"""
    box_missing: Probability = 0.0
    """probability that an object has no box"""
    tag_missing: Probability = 0.0
    """probability that a class which is there is not named; for evidence of tags alone. The
    background is always named"""
    tag_wrong: Probability = 0.0
    """probability that a class which is not there is named; for evidence of tags alone"""
    box_moved: Probability = 0.0
    """probability that a box is somewhere else in the image, as large as it should be"""
    class_swapped: Probability = 0.0
    """probability that a class is taken for one that the image does not show, on all its boxes,
    clicks or scribbles"""
    tag_swapped: Probability = 0.0
    """probability that a class which is named is taken for one that the image does not show; for
    evidence of tags alone"""

    def __post_init__(self) -> None:
        check_limits(self, "{} of the annotator")
        if not isinstance(self.scribble_background, bool):
            raise ValueError(
                "scribble_background of the annotator should be true or false, but it is "
                f"{self.scribble_background!r}"
            )

    def annotate(
        self,
        kind: DrawnAnnotationKind,
        truth: Tensor,
        instances: Tensor | None,
        classes_of_instance: Sequence[int],
        classes: int,
        rng: np.random.Generator,
    ) -> dict[str, Tensor]:
        """The fields of `Evidence` for one kind of annotation and no other.

        Args:
            kind: masks (marks on every pixel), boxes (boxes, tags, large), instances (as boxes, and
                the mask of the object in each), points (marks and tags), scribbles (marks and tags)
                or tags (tags, large).
            truth: uint8 [H,W], 255 = unknown.
            instances: [H,W], 1 for the first object, 2 for the second, ..., 0 and 255 for none.
                None if instances are not known: then every connected region of a class is one.
            classes_of_instance: the class of each object; not used without instances.
            classes: how many there are, background included.
            rng: a stream of its own for each image.
        """
        match kind:
            case "masks":
                return {"marks": truth.clone()}
            case "scribbles":
                return self._marked(truth, self._scribbles(truth, rng), classes, rng)
            case "tags":
                return self._tags(truth, classes, rng)
        if kind not in get_args(DrawnAnnotationKind):
            kinds = ", ".join(get_args(DrawnAnnotationKind))
            raise ValueError(f"the kind of annotation should be one of {kinds}, but it is {kind!r}")
        if instances is None:
            instances, classes_of_instance = objects_of(truth, self._smallest(truth))
        if kind in ("boxes", "instances"):
            return self._boxes(
                truth, instances, classes_of_instance, classes, rng, kind == "instances"
            )
        marks = points_of(
            truth, instances, rng, self.point_background, self.point_count, self.point_spread
        )
        return self._marked(truth, marks, classes, rng)

    def _marked(
        self, truth: Tensor, marks: Tensor, classes: int, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """Marks and the tags beside them, with the classes that the annotator sees."""
        (swaps,) = rng.spawn(1)
        tags = tags_of(truth, classes)
        table = swapped_classes(tags, self.class_swapped, swaps)
        return {"tags": _renamed(tags, table), "marks": _relabelled(marks, table)}

    def _scribbles(self, truth: Tensor, rng: np.random.Generator) -> Tensor:
        height, breadth = truth.shape
        width = round(in_pixels(self.scribble_width, height, breadth, LEAST_WIDTH))
        length = self.scribble_length
        jitter = self.scribble_jitter
        return scribbles_of(
            truth, rng, width, self._smallest(truth), length, jitter, self.scribble_background
        )

    def _smallest(self, truth: Tensor) -> int:
        """In pixels of a truth [H,W]."""
        height, width = truth.shape
        return round(area_in_pixels(self.smallest, height, width, LEAST_REGION))

    def _tags(self, truth: Tensor, classes: int, rng: np.random.Generator) -> dict[str, Tensor]:
        there = tags_of(truth, classes)
        chance = torch.from_numpy(rng.random(classes))
        tags = torch.where(there, chance >= self.tag_missing, chance < self.tag_wrong)
        tags[0] = True
        large = large_of(truth, classes) & tags
        (swaps,) = rng.spawn(1)
        # not for a class that is named wrongly either
        table = swapped_classes(there | tags, self.tag_swapped, swaps)
        return {"tags": _renamed(tags, table), "large": _renamed(large, table)}

    def _boxes(
        self,
        truth: Tensor,
        instances: Tensor,
        classes_of_instance: Sequence[int],
        classes: int,
        rng: np.random.Generator,
        masks: bool,
    ) -> dict[str, Tensor]:
        """The boxes and their tags: a class whose boxes are all missing is not named either."""
        edges, missing, places, swaps = rng.spawn(4)
        tight, labels = boxes_of(instances, classes_of_instance)
        height, width = truth.shape
        moved = moved_boxes(tight, height, width, self.box_moved, places)
        boxes = loosen_boxes(moved, height, width, self.box_loose, edges)
        drawn = torch.from_numpy(missing.random(len(boxes)) >= self.box_missing)
        forgotten = torch.zeros(classes, dtype=torch.bool)
        forgotten[labels] = True
        forgotten[labels[drawn]] = False
        there = tags_of(truth, classes)
        table = swapped_classes(there, self.class_swapped, swaps)
        found = {
            "tags": _renamed(there & ~forgotten, table),
            "boxes": boxes[drawn],
            "box_classes": table[labels[drawn]],
            "large": _renamed(large_of(truth, classes) & ~forgotten, table),
        }
        if masks:
            drawn_masks = instances_of(instances, classes_of_instance).masks
            found["box_masks"] = moved_masks(drawn_masks, tight, moved)[drawn]
        return found


def _renamed(named: Tensor, table: Tensor) -> Tensor:
    """Classes that are named, bool [C], by the names that the annotator gives them."""
    renamed = torch.zeros_like(named)
    renamed[table[named]] = True
    return renamed


def _relabelled(marks: Tensor, table: Tensor) -> Tensor:
    """Marks [H,W] with the classes that the annotator sees."""
    known = marks != IGNORE
    return torch.where(known, table[marks.where(known, 0).long()].to(marks.dtype), marks)


CAREFUL = Annotator()
"""a careful one, the default of data sets whose evidence is made from masks"""


def stream_of(id: str, seed: int) -> np.random.Generator:
    """A random stream seeded by an image's name and a number, so that other images do not change
    it."""
    return np.random.default_rng([seed, *hashlib.sha256(id.encode()).digest()[:8]])
