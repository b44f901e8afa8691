"""Boxes as they are: every pixel of a box is its class."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from weakseg.evidence import Evidence
from weakseg.functional.boxes import fill_boxes
from weakseg.strategies.base import ClassWeights, Context, Strategy, expect_class_weights


class BoxesRect(Strategy):
    """Fill every box with its class and call the rest background; where boxes overlap the smallest
    one wins.

    Called Bbox-Rect in WSSL (Papandreou, Chen, Murphy and Yuille, "Weakly- and Semi-Supervised
    Learning of a Deep Convolutional Network for Semantic Image Segmentation", ICCV 2015). The
    corners of the boxes are labelled wrongly, but the network averages much of that away: the
    baseline for everything done with boxes. An image without boxes is all background. Estimates
    once, needs no network.

    class_weights: as for full.
    """

    needs: ClassVar[tuple[str, ...]] = ("boxes", "box_classes")

    def __init__(self, class_weights: ClassWeights = None) -> None:
        super().__init__()
        self.class_weights = expect_class_weights(class_weights)

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        """The boxes of the image, filled."""
        evidence.need(*self.needs)
        assert evidence.boxes is not None  # need() has seen to it
        assert evidence.box_classes is not None
        height, width = evidence.image.shape[1:]
        return fill_boxes(evidence.boxes, evidence.box_classes, height, width)
