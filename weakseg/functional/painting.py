"""Evidence as a label map, without any estimation: filled boxes, and marks."""

from __future__ import annotations

import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.boxes import fill_boxes


def paint_evidence(evidence: Evidence, classes: int) -> Tensor | None:
    """The label map of the evidence alone: uint8 [H,W], 255 where it has no label; None if it has
    neither boxes nor marks.

    Boxes are filled, the smallest on top, with background outside of them, and marks are written
    over them. An image whose list of boxes is empty is all background.
    """
    evidence.check(classes)
    if evidence.boxes is None or evidence.box_classes is None:
        return None if evidence.marks is None else evidence.marks.clone()
    height, width = evidence.image.shape[1:]
    labels = fill_boxes(evidence.boxes, evidence.box_classes, height, width)
    return (
        labels if evidence.marks is None else labels.where(evidence.marks == IGNORE, evidence.marks)
    )


def grow_marks(marks: Tensor, radius: float) -> Tensor:
    """Marks uint8 [H,W] with a disc of this radius around each marked pixel: uint8 [H,W], 255
    elsewhere.

    A pixel takes the class of the nearest mark, and of equally near ones any.

    >>> grow_marks(torch.tensor([[255, 2, 255, 255, 255, 1]], dtype=torch.uint8), radius=1)
    tensor([[  2,   2,   2, 255,   1,   1]], dtype=torch.uint8)
    """
    free = marks == IGNORE
    if bool(free.all()):
        return marks.clone()
    distance, nearest = distance_transform_edt(free.numpy(), return_indices=True)
    rows, columns = torch.from_numpy(nearest)
    return marks[rows.long(), columns.long()].masked_fill(
        torch.from_numpy(distance) > radius, IGNORE
    )
