"""Boxes, and labels from the network's own scores, raised by a bias in each box."""

from __future__ import annotations

from typing import Annotated, ClassVar

from annotated_types import Ge, doc
from torch import Tensor

from weakseg.evidence import IGNORE, Batch
from weakseg.functional.tags import em_fixed_boxes
from weakseg.strategies.base import Loss, Resolution, Strategy, Wants
from weakseg.strategies.label_loss import label_loss
from weakseg.strategies.shared.options import Bias
from weakseg.strategies.shared.per_step import (
    filled_boxes,
    valid_of,
)
from weakseg.strategies.shared.warmup import WarmUp
from weakseg.utils.limits import limited


class BoxesEM(Strategy):
    """In every step a bias is added to the scores, to background everywhere and in a box, a little
    more, to its class; the best class of each pixel is its pseudo-label.

    Bbox-EM-Fixed of WSSL (Papandreou, Chen, Murphy and Yuille, "Weakly- and Semi-Supervised
    Learning of a Deep Convolutional Network for Semantic Image Segmentation", ICCV 2015), with the
    numbers of its released code. A pixel in a box is background where the network prefers that by
    more than foreground - background; where boxes overlap the smallest one counts. The network
    learns from its scores as they are, without the bias. An image without boxes is background.

    Args:
        foreground: the bias of a box's class inside the box.
        background: the bias of background, inside of boxes too.
        warmup: how many batches learn the filled boxes first. An untrained network makes random
            labels and may lose its classes one by one; weights from an earlier training need none.
        resolution: of the labels. image: scores are enlarged to the image and every pixel has a
            label. scores: each of the network's scores has a label, as in the original, which
            learns at an eighth of the image; boxes shrink with it. That takes less time by the
            square of the stride, and resolves borders less finely.
    """

    needs: ClassVar[tuple[str, ...]] = ("boxes", "box_classes")
    takes: ClassVar[tuple[str, ...]] = ("class_weights", "terms")

    @limited
    def __init__(
        self,
        foreground: Bias = 6.0,
        background: Bias = 5.0,
        warmup: Annotated[int, Ge(0), doc("how many batches learn filled boxes")] = 0,
        resolution: Resolution = "image",
    ) -> None:
        super().__init__()
        self.foreground = foreground
        self.background = background
        self.wants = Wants(resolution=resolution)
        self.warmup = WarmUp(warmup)

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """Cross-entropy of the scores as they are with the labels of the raised ones, or with
        filled boxes during the warm-up."""
        filled = filled_boxes(batch, logits, self)
        valid = valid_of(batch, logits)
        if self.warmup.is_over():
            labels = em_fixed_boxes(
                logits.detach(), filled, self.foreground, self.background, valid
            )
        else:
            labels = filled if valid is None else filled.masked_fill(~valid, IGNORE)
        return Loss(label_loss(logits, labels.long(), self.terms, batch.class_weights), labels)
