"""What the strategies share that estimate pseudo-labels from boxes."""

from __future__ import annotations

import torch
from torch import Tensor

from weakseg.evidence import Evidence
from weakseg.functional.boxes import fill_boxes

_GROWN = 0.25  # of a box, on each side: the background that an object has to be told from


def need_boxes(evidence: Evidence) -> tuple[Tensor, Tensor]:
    """The boxes float [N,4] of an image and their classes int64 [N]; a ValueError that names the
    image if it has none."""
    evidence.need("boxes", "box_classes")
    assert evidence.boxes is not None
    assert evidence.box_classes is not None
    return evidence.boxes, evidence.box_classes


def near_boxes(evidence: Evidence) -> Tensor:
    """The boxes and what surrounds them, bool [H,W]: what an object has to be told from."""
    boxes, _ = need_boxes(evidence)
    margin = _GROWN * (boxes[:, 2:] - boxes[:, :2])
    grown = torch.cat([boxes[:, :2] - margin, boxes[:, 2:] + margin], 1)
    height, width = evidence.image.shape[1:]
    return fill_boxes(grown, torch.ones(len(boxes), dtype=torch.int64), height, width) == 1
