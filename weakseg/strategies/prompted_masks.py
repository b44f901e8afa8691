"""Boxes, clicks and scribbles as prompts: a model that has seen very many objects draws the masks
of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le, doc
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.foundation.sam import SAM, SamEncoder
from weakseg.functional.crf import DenseCRF, dense_crf
from weakseg.functional.object_masks import MARGIN, box_masks, clip_masks, labels_of_masks
from weakseg.functional.prompts import mark_prompts
from weakseg.functional.spreading import spread
from weakseg.strategies.base import Context, Estimate, Strategy, Wants
from weakseg.strategies.shared.boxed import need_boxes
from weakseg.strategies.shared.common_features import possible_places
from weakseg.utils.limits import NotNegative, limited

_SURE = 0.9  # probability of a pixel's class, as a unary of the CRF
Score = Annotated[float, Ge(0), Le(1), doc("an IoU that the model expects of its mask")]
Largest = Annotated[float, Gt(0), Le(1), doc("the part of an image that an object can cover")]


class PromptedMasks(Strategy):
    """Pseudo-labels from the masks that a segment anything model (SAM) draws when boxes, clicks or
    scribbles show it the objects.

    SAM (Kirillov and others, "Segment Anything", ICCV 2023) and SAM 2 (Ravi and others, "SAM 2:
    Segment Anything in Images and Videos", 2024) draw the mask of whatever is shown to them,
    without knowing what it is; the class is that of the box or the marks. Estimates once, needs no
    network. Each image is encoded once, and its encoding is kept on disk: other prompts, as while a
    person corrects, take a moment.

    - An image with a mask keeps it.
    - With boxes: the mask in each box, which ends where the box does. Marks are written over it.
    - With marks alone: the mask at each connected mark of a class that is not the background, shown
      by a click, or by points along the middle of a scribble. The nearest marks of other classes,
      the background among them, are shown to the model as what the object is not. Of the three
      masks that SAM then has, the best by its own score.

    Where objects overlap, the smallest is on top. Pixels are ignored where the model is not sure of
    its mask, or where two objects of different classes and of the same size overlap. The rest is
    background.

    Args:
        model: a folder, or an id of the Hugging Face hub, from where it is fetched once. SAM, SAM 2
            and the tracker of SAM 3 are known.
        revision: a commit, tag or branch of the hub; null for the newest.
        least: of a mask with a lower score of the model's own the pixels are ignored; of a box, all
            of its pixels.
        largest: the part of an image that the object of a mark can cover; SAM may take a click for
            one on all of the image.
        margin: how far an object may reach beyond its box, as a part of its sides.
        outside: what pixels are that no object covers: background, or, where not every object has a
            mark, ignored. Boxes must be complete, so beside them it is always background.
        crf: a dense CRF that refines the labels; null for none.
    """

    tunable: ClassVar[Mapping[str, Sequence[Any]]] = {"least": (0.5, 0.7, 0.85)}

    @limited
    def __init__(
        self,
        model: str = SAM,
        revision: str | None = None,
        least: Score = 0.7,
        largest: Largest = 0.6,
        margin: NotNegative = MARGIN,
        outside: Literal["background", "ignored"] = "background",
        crf: DenseCRF | None = None,
    ) -> None:
        super().__init__()
        self.encoder = SamEncoder(model, revision)
        self.least = least
        self.largest = largest
        self.margin = margin
        self.outside = outside
        self.crf = crf

    @property
    def wants(self) -> Wants:  # type: ignore[override]
        """The model sees each image before it is estimated."""
        return Wants(encoder=self.encoder)

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Every image must have boxes, be it an empty list, or a marked pixel."""
        if not {"masks", "boxes", "marks"} & set(evidence.annotations):
            raise ValueError(
                f"image {evidence.id} has no list of boxes and no marked pixel, so there is "
                "nothing to show the model; annotate it or leave it out"
            )

    def estimate(self, evidence: Evidence, context: Context) -> Estimate:
        """The labels, and how many objects there are and how many of them the model is not sure
        of."""
        self.check(evidence, ())
        marks = evidence.marks
        if marks is not None and "masks" in evidence.annotations:
            return Estimate(marks.clone(), {"objects": 0, "unsure": 0})
        found, places, outside = (
            self._in_boxes(evidence) if evidence.boxes is not None else self._at_marks(evidence)
        )
        labels = labels_of_masks(*found, self.least, places, outside)
        if self.crf is not None:
            labels = _refined(labels, evidence, self.crf)
        # before the marks, which hold the strokes, hide where the masks contradict these
        labels = spread(labels, evidence.strokes, evidence.painted, evidence.image)
        labels = labels if marks is None else labels.where(marks == IGNORE, marks)
        masks, scores, _ = found
        unsure = (scores < self.least) | ~masks.flatten(1).any(1)
        return Estimate(labels, {"objects": len(masks), "unsure": unsure.sum()})

    def _in_boxes(
        self, evidence: Evidence
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor | None, int]:
        """Masks, scores and classes of the objects, where they can be, and what is elsewhere."""
        boxes, classes = need_boxes(evidence)
        masks, scores = self.encoder.masks_in_boxes(evidence.image, boxes)
        places = box_masks(boxes, *masks.shape[1:])
        return (clip_masks(masks, boxes, self.margin), scores, classes), places, 0

    def _at_marks(
        self, evidence: Evidence
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor | None, int]:
        assert evidence.marks is not None
        points, says, classes = mark_prompts(evidence.marks)
        found = self.encoder.masks_at_points(evidence.image, points, says, self.largest)
        outside = 0 if self.outside == "background" else IGNORE
        return (found.masks, found.scores, classes), None, outside


def _refined(labels: Tensor, evidence: Evidence, crf: DenseCRF) -> Tensor:
    """Labels uint8 [H,W] after a dense CRF. Ignored pixels stay ignored, and no class leaves its
    boxes."""
    known = labels != IGNORE
    # the background first, which may be anywhere
    classes: Tensor = torch.unique(torch.cat([labels.new_zeros(1), labels[known]])).long()
    if len(classes) < 2:
        return labels
    rest = (1 - _SURE) / (len(classes) - 1)
    certain = torch.where(labels == classes[:, None, None], _SURE, rest)
    probs = certain.where(known, 1 / len(classes))
    refined = dense_crf(evidence.image, probs, crf)
    if evidence.boxes is not None:
        refined = refined.masked_fill(~possible_places(evidence, classes), -1)
    found: Tensor = classes.to(torch.uint8)[refined.max(0).indices]
    return found.where(known, labels)
