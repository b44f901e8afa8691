"""Boxes that a dense CRF shrinks onto the objects in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.boxes import Unary, box_unary, fill_boxes
from weakseg.functional.colour_models import colour_odds
from weakseg.functional.crf import DEEPLAB_V2, DenseCRF
from weakseg.functional.lost_boxes import KEPT, keep_boxes
from weakseg.strategies.base import (
    Context,
    JointStrategy,
    Wants,
)
from weakseg.strategies.shared.boxed import need_boxes
from weakseg.strategies.shared.common_features import (
    classify,
    describe_cells,
    fit_classifier,
    possible_places,
)
from weakseg.strategies.shared.options import CoreShare, Influence, LongSide
from weakseg.strategies.shared.with_prediction import NETWORK, has_learned, with_prediction
from weakseg.utils.limits import Count, limited

COLOURS = 0.3
CLASSIFIER = 0.5
"""how much log odds of colours and of the classifier count with together=true: neighbours in an
image are no independent observations. Chosen on photographs, see docs/strategies/boxes_crf.md"""
_GROWN = 0.25  # of a box, on each side: the background that an object has to be told from
_LEAST = 1e-3  # probability that is left to every class in its boxes


class BoxesCRF(JointStrategy):
    """Pseudo-labels by a dense CRF whose unaries are the boxes: the middle of each box is
    foreground, everything outside all boxes background, and the CRF finds the outline in between.

    Bbox-Seg of WSSL (Papandreou, Chen, Murphy and Yuille, "Weakly- and Semi-Supervised Learning of
    a Deep Convolutional Network for Semantic Image Segmentation", ICCV 2015). An image without
            found = self._likeliest(evidence, labels, probs / probs.sum(0), inside)
        prediction = context.prediction
        if self.network and prediction is not None and has_learned(prediction):
            inside = possible_places(evidence, labels)
            joint = with_prediction(
                probs, found, evidence, prediction, labels, inside, self.network
            )
            found = self._likeliest(evidence, labels, joint, inside)
        return labels.to(torch.uint8)[found]

    def _box_probs(self, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """The classes that the image can have, int64 [K], and their probabilities by the boxes
        alone, float [K,H,W]."""
        boxes, box_classes = need_boxes(evidence)
        height, width = evidence.image.shape[1:]
        # only these can win, and a CRF over few labels is fast
        labels: Tensor = torch.unique(torch.cat([box_classes.new_zeros(1), box_classes]))
        classes = torch.searchsorted(labels, box_classes)
        probs = box_unary(boxes, classes, len(labels), height, width, self.unary, self.share)
        return labels, probs

    def _likeliest(
        self, evidence: Evidence, labels: Tensor, probs: Tensor, inside: Tensor | None = None
    ) -> Tensor:
        """The number of the class, int64 [H,W], that is likeliest by the CRF."""
        boxes, box_classes = need_boxes(evidence)
        classes = torch.searchsorted(labels, box_classes)
        least = KEPT * self.share
        refined = keep_boxes(evidence.image, probs, boxes, classes, least, self.crf)
        if inside is not None:
            refined = refined.masked_fill(~inside, -1)
        # argmax takes thirty times as long
        return refined.max(0).indices


def _near_boxes(evidence: Evidence) -> Tensor:
    """The boxes and what surrounds them, bool [H,W]: what an object has to be told from."""
    boxes, _ = need_boxes(evidence)
    margin = _GROWN * (boxes[:, 2:] - boxes[:, :2])
    grown = torch.cat([boxes[:, :2] - margin, boxes[:, 2:] + margin], 1)
    height, width = evidence.image.shape[1:]
    return fill_boxes(grown, torch.ones(len(boxes), dtype=torch.int64), height, width) == 1
