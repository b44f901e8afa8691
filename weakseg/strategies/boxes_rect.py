"""Boxes as they are: every pixel of a box has its class."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from weakseg.evidence import Evidence
from weakseg.functional.boxes import fill_boxes
from weakseg.strategies.base import Context, Strategy
from weakseg.strategies.shared.boxed import need_boxes


class BoxesRect(Strategy):
    """Filled boxes as pseudo-labels, the rest is background; where boxes overlap, the smallest
    wins.

    Bbox-Rect of WSSL (Papandreou, Chen, Murphy and Yuille, "Weakly- and Semi-Supervised Learning of
    a Deep Convolutional Network for Semantic Image Segmentation", ICCV 2015). The corners of the
    boxes are labelled wrongly, but the network averages much of that away: the baseline for
    everything done with boxes. Estimates once, needs no network.
    """

    needs: ClassVar[tuple[str, ...]] = ("boxes", "box_classes")

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        """The boxes of the image, filled."""
        return fill_boxes(*need_boxes(evidence), *evidence.image.shape[1:])
