"""Boxes as constraints: the posterior nearest to the network's probabilities in which every box
holds enough of its class."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, inf
from typing import ClassVar

import torch
from torch import Tensor

from weakseg.evidence import Batch, Evidence
from weakseg.functional.constraints.bounds import Constraints, box_constraints, contradiction
from weakseg.strategies.base import Loss, Resolution, Strategy, Wants
from weakseg.strategies.shared.options import InverseTemperature, ShareOfPixels, Slack
from weakseg.strategies.shared.per_step import (
    boxes_of,
    check_bounds,
    known_on_cpu,
    posterior_loss,
    valid_of,
)
from weakseg.utils.devices import host_copy, keep_host_copies, on_cpu
from weakseg.utils.limits import limited

_SMALL = 64  # pixels of the longer side


class BoxesCCNN(Strategy):
    """In every step the posterior that is nearest to the network's probabilities and keeps the
    constraints of the boxes; the network learns it.

    CCNN (Pathak, Krähenbühl and Darrell, "Constrained Convolutional Neural Networks for Weakly
    Supervised Segmentation", ICCV 2015), with bounds in places instead of in the whole image: at
    least a part of each box is of its class, and outside of all boxes of a class there is none of
    it. A class without a box gets nothing, so an image without boxes is background.

    Args:
        inside: the least part of each box that is of its class.
        outside: the largest part of what no box of a class covers that may be of it nevertheless;
            above 0 for boxes that are drawn too small.
        slack: by how many logits a class is raised at most to fill its boxes; inf for as many as it
            takes.
        inverse_temperature: the logits are multiplied by this; far above 1 the probabilities are
            next to 0 and 1.
        resolution: of the posterior. image: of logits that are enlarged to the image first; scores:
            at the network's own stride, and boxes shrink with it. That takes less time by the
            square of the stride, and resolves borders less finely.
    """

    needs: ClassVar[tuple[str, ...]] = ("boxes", "box_classes")
    takes: ClassVar[tuple[str, ...]] = ("terms.projection",)

    @limited
    def __init__(
        self,
        inside: ShareOfPixels = 0.2,
        outside: ShareOfPixels = 0.0,
        slack: Slack = inf,
        inverse_temperature: InverseTemperature = 1.0,
        resolution: Resolution = "image",
    ) -> None:
        super().__init__()
        self.inside = inside
        self.outside = outside
        self.slack = slack
        self.inverse_temperature = inverse_temperature
        self.wants = Wants(resolution=resolution)

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """The constraints of the boxes can be met in all places."""
        if evidence.boxes is None or evidence.box_classes is None or self.slack < inf:
            return
        height, width = evidence.image.shape[-2:]
        tags = _tags([evidence.box_classes], len(classes))[0]
        # of a small picture first, as pixels take long; a contradiction there may be due to how
        # boxes are rounded
        for scale in (min(1.0, _SMALL / max(height, width)), 1.0):
            size = ceil(height * scale), ceil(width * scale)
            bounds = self._constraints([evidence.boxes * scale], [evidence.box_classes], *size)
            if contradiction(bounds, tags) is None:
                return
        check_bounds(bounds, tags, classes, "lower strategy.inside, or make strategy.slack finite")

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """KL divergence of the network's probabilities from those that keep the bounds."""
        boxes, box_classes = boxes_of(batch, logits, self)
        constraints = self._constraints(boxes, box_classes, *logits.shape[-2:])
        tags = _tags(box_classes, logits.shape[1])
        if not on_cpu(tags):
            known = [host_copy(labels) for labels in box_classes]
            corners = [host_copy(of_image) for of_image in batch.boxes or []]
            # how many bounds there are depends on no pixel
            constraints = known_on_cpu(constraints, self._constraints(corners, known, 1, 1))
            keep_host_copies([_tags(known, logits.shape[1])], [tags])
        return posterior_loss(logits, tags, constraints, valid_of(batch, logits))

    def _constraints(
        self, boxes: list[Tensor], box_classes: list[Tensor], height: int, width: int
    ) -> Constraints:
        return box_constraints(
            boxes,
            box_classes,
            height,
            width,
            self.inside,
            self.outside,
            self.slack,
            inverse_temperature=self.inverse_temperature,
        )


def _tags(box_classes: list[Tensor], classes: int) -> Tensor:
    """Background and the classes of each image's boxes: bool [B,C]."""
    tags = torch.zeros(len(box_classes), classes, dtype=torch.bool, device=box_classes[0].device)
    tags[:, 0] = True
    for row, labels in zip(tags, box_classes, strict=True):
        row.index_fill_(0, labels, True)
    return tags
