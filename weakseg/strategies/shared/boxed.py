"""What the strategies share that estimate pseudo-labels from boxes."""

from __future__ import annotations

from torch import Tensor

from weakseg.evidence import Evidence


def need_boxes(evidence: Evidence) -> tuple[Tensor, Tensor]:
    """The boxes float [N,4] of an image and their classes int64 [N]; a ValueError that names the
    image if it has none."""
    evidence.need("boxes", "box_classes")
    assert evidence.boxes is not None
    assert evidence.box_classes is not None
    return evidence.boxes, evidence.box_classes
