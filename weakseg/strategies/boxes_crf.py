"""Boxes that a dense CRF shrinks onto the objects in them."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from weakseg.evidence import Evidence
from weakseg.functional.boxes import Unary, box_unary
from weakseg.functional.crf import DEEPLAB_V2, DenseCRF, dense_crf
from weakseg.strategies.base import ClassWeights, Context, Strategy, expect_class_weights


class BoxesCRF(Strategy):
    """Believe the middle of each box and the outside of all boxes, and let a dense CRF find the
    object's outline between the two.

    Called Bbox-Seg in WSSL (Papandreou, Chen, Murphy and Yuille, "Weakly- and Semi-Supervised
    Learning of a Deep Convolutional Network for Semantic Image Segmentation", ICCV 2015). An image
    without boxes is all background. Estimates once, needs no network.

    unary: what is believed before the CRF looks at the colours. The released code of the paper
        (wssl_code) only prefers the class in the middle of its box; the paper (wssl_paper) is sure
        of it.
    share: how much of a box's area is its middle.
    crf: strengths and reaches of the CRF; the paper tuned them on a few full masks, the defaults
        here are fixed and need none.
    class_weights: as for full.
    """

    needs: ClassVar[tuple[str, ...]] = ("boxes", "box_classes")

    def __init__(
        self,
        unary: Unary = "wssl_code",
        share: float = 0.2,
        crf: DenseCRF = DEEPLAB_V2,
        class_weights: ClassWeights = None,
    ) -> None:
        super().__init__()
        self.class_weights = expect_class_weights(class_weights)
        if unary not in ("wssl_code", "wssl_paper"):
            raise ValueError(f"unary should be wssl_code or wssl_paper, but it is {unary!r}")
        if not 0 < share <= 1:
            raise ValueError(
                "share should be more than 0 and at most 1, the part of a box that is its "
                f"middle, but it is {share}"
            )
        self.unary: Unary = unary
        self.share = share
        self.crf = crf

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        """The likeliest class of every pixel, background and the classes of the image's boxes
        considered."""
        evidence.need(*self.needs)
        assert evidence.boxes is not None  # need() has seen to it
        assert evidence.box_classes is not None
        height, width = evidence.image.shape[1:]
        # only these can win, and a CRF over few labels is fast
        labels: Tensor = torch.unique(
            torch.cat([evidence.box_classes.new_zeros(1), evidence.box_classes])
        )
        classes = torch.searchsorted(labels, evidence.box_classes)
        probs = box_unary(
            evidence.boxes, classes, len(labels), height, width, self.unary, self.share
        )
        # argmax takes thirty times as long
        likeliest = dense_crf(evidence.image, probs, self.crf).max(0).indices
        return labels.to(torch.uint8)[likeliest]
