"""Boxes that a dense CRF shrinks onto the objects in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from weakseg.evidence import Evidence
from weakseg.functional.boxes import Unary, box_unary
from weakseg.functional.crf import DEEPLAB_V2, DenseCRF, dense_crf
from weakseg.strategies.base import Context, Strategy
from weakseg.strategies.shared.boxed import need_boxes
from weakseg.strategies.shared.options import CoreShare
from weakseg.utils.limits import limited


class BoxesCRF(Strategy):
    """Pseudo-labels by a dense CRF whose unaries are the boxes: the middle of each box is
    foreground, everything outside all boxes background, and the CRF finds the outline in between.

    Bbox-Seg of WSSL (Papandreou, Chen, Murphy and Yuille, "Weakly- and Semi-Supervised Learning of
    a Deep Convolutional Network for Semantic Image Segmentation", ICCV 2015). An image without
    boxes is all background. Estimates once, needs no network.

    Args:
        unary: the unaries. In the released code of the paper (wssl_code) the class of a box is only
            more probable in its middle; in the paper (wssl_paper) it is certain.
        share: how much of a box's area is its middle.
        crf: weights and standard deviations of the CRF; the paper tuned them on a few full masks,
            the defaults here are fixed and need none.
    """

    needs: ClassVar[tuple[str, ...]] = ("boxes", "box_classes")
    tunable: ClassVar[Mapping[str, Sequence[Any]]] = {
        "crf.bilateral_xy": ("7%", "13%", "26%"),
        "crf.bilateral_rgb": (3, 4, 5),
        "share": (0.2, 0.35),
    }

    @limited
    def __init__(
        self,
        unary: Unary = "wssl_code",
        share: CoreShare = 0.2,
        crf: DenseCRF = DEEPLAB_V2,
    ) -> None:
        super().__init__()
        self.unary: Unary = unary
        self.share = share
        self.crf = crf

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        """The likeliest class of every pixel, background and the classes of the image's boxes
        considered."""
        boxes, box_classes = need_boxes(evidence)
        height, width = evidence.image.shape[1:]
        # only these can win, and a CRF over few labels is fast
        labels: Tensor = torch.unique(torch.cat([box_classes.new_zeros(1), box_classes]))
        classes = torch.searchsorted(labels, box_classes)
        probs = box_unary(boxes, classes, len(labels), height, width, self.unary, self.share)
        # argmax takes thirty times as long
        likeliest = dense_crf(evidence.image, probs, self.crf).max(0).indices
        return labels.to(torch.uint8)[likeliest]
