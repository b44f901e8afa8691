"""A mask for the object in each box: by a dense CRF in which the boxes compete, drawn by a model
that is shown the box, or drawn by a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from weakseg.evidence import Evidence
from weakseg.foundation.sam import SAM, SamEncoder
from weakseg.functional.boxes import Unary, box_unary, pixel_boxes
from weakseg.functional.crf import DEEPLAB_V2, DenseCRF
from weakseg.functional.lost_boxes import KEPT, keep_boxes
from weakseg.functional.object_masks import clip_masks
from weakseg.strategies.base import Context, Wants
from weakseg.strategies.boxes_crf import BoxesCRF
from weakseg.strategies.shared.boxed import need_boxes
from weakseg.strategies.shared.options import CoreShare
from weakseg.utils.limits import limited

Masks = Literal["crf", "sam", "drawn"]


class BoxesInstances(BoxesCRF):
    """A pseudo-mask for each box, for instance segmentation networks such as Mask R-CNN.

    The CRF is that of boxes_crf, but each box is a label of its own, so that two overlapping
    objects of one class are told apart by their colours. Where the CRF leaves a box without a
    single pixel, the whole box is its mask. A semantic segmentation network learns the classes of
    the masks, the smallest on top. A segment anything model (SAM) may draw the masks instead, each
    by itself, as prompted_masks has them.

    Args:
        masks: those of the CRF (crf), of SAM (sam), or those that a person drew (drawn, evidence
            `box_masks`), the upper bound.
        unary, share, crf: as for boxes_crf.
        model, revision: of SAM, as for prompted_masks.
    """

    @limited
    def __init__(
        self,
        masks: Masks = "crf",
        unary: Unary = "wssl_code",
        share: CoreShare = 0.2,
        crf: DenseCRF = DEEPLAB_V2,
        model: str = SAM,
        revision: str | None = None,
    ) -> None:
        super().__init__(unary, share, crf)
        self.masks: Masks = masks
        self.encoder = SamEncoder(model, revision) if masks == "sam" else None
        self.wants = Wants(box_masks=True, encoder=self.encoder)

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Drawn masks have to be there."""
        if self.masks == "drawn":
            evidence.need("box_masks")

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        """A mask for each box, bool [N,H,W]."""
        boxes, _ = need_boxes(evidence)
        if self.masks == "drawn":
            evidence.need("box_masks")
            assert evidence.box_masks is not None
            return evidence.box_masks.clone()
        height, width = evidence.image.shape[1:]
        if self.encoder is not None:
            found = self.encoder.masks_in_boxes(evidence.image, boxes)
            masks = clip_masks(found.masks, boxes)
        else:
            masks = self._by_crf(evidence, boxes)
        rectangles = pixel_boxes(boxes, height, width).tolist()
        for mask, (x1, y1, x2, y2) in zip(masks, rectangles, strict=True):
            if not mask.any():
                mask[y1:y2, x1:x2] = True
        return masks

    def _by_crf(self, evidence: Evidence, boxes: Tensor) -> Tensor:
        height, width = evidence.image.shape[1:]
        count = len(boxes)
        numbers = torch.arange(1, count + 1)
        probs = box_unary(boxes, numbers, count + 1, height, width, self.unary, self.share)
        least = KEPT * self.share
        refined = keep_boxes(evidence.image, probs, boxes, numbers, least, self.crf)
        likeliest = refined.max(0).indices
        return likeliest == numbers[:, None, None]
