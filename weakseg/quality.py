"""How good are the targets? Pixels of target, evidence and truth counted over the images of all ranks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.confusion import confusion_matrix, iou, mean_iou
from weakseg.functional.instances import paint_masks
from weakseg.functional.painting import paint_evidence
from weakseg.ranks import gather


class LabelQuality:
    """Counts image by image, and the figures of them all: label/* of the targets, evidence/* of the evidence alone."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes
        size = len(classes)
        self.confusions = {name: torch.zeros(size, size, dtype=torch.int64) for name in ("label", "evidence")}
        self.pixels = torch.zeros(5, dtype=torch.int64)  # all, with opinion, painted, comparable with the round before, changed

    def add(self, target: Tensor, before: Tensor | None, evidence: Evidence, truth: Tensor | None) -> None:
        """Count one image: its target, the one of the round before, its evidence and its truth, if there are any."""
        hard = harden(target, evidence.box_classes)
        painted = paint_evidence(evidence, len(self.classes))
        changed = 0 if before is None else int((hard != harden(before, evidence.box_classes)).sum())
        covered = 0 if painted is None else int((painted != IGNORE).sum())
        opinions = int((hard != IGNORE).sum())
        self.pixels += torch.tensor([hard.numel(), opinions, covered, 0 if before is None else hard.numel(), changed])
        if truth is not None:
            for name, labels in (("label", hard), ("evidence", painted)):
                if labels is not None:
                    self.confusions[name] += confusion_matrix(labels, truth, len(self.classes))

    def figures(self) -> dict[str, float]:
        """The figures over all ranks. All ranks must call it."""
        parts = gather((self.confusions, self.pixels))
        count, opinions, covered, comparable, changed = torch.stack([pixels for _, pixels in parts]).sum(0).tolist()
        figures = {"label/coverage": opinions / max(1, count), "evidence/coverage": covered / max(1, count)}
        if comparable:
            figures["label/churn"] = changed / comparable
        for name in self.confusions:
            confusion = torch.stack([confusions[name] for confusions, _ in parts]).sum(0)
            if confusion.any():
                figures[f"{name}/miou"] = mean_iou(confusion)
                figures |= {f"{name}/iou/{label}": float(value) for label, value in zip(self.classes, iou(confusion), strict=True)}
        return figures


def harden(target: Tensor, box_classes: Tensor | None = None) -> Tensor:
    """The hard form of a target: the likeliest class where there is any trust, 255 elsewhere; of masks of boxes, the smallest on top."""
    if target.dtype == torch.bool:
        return paint_masks(target, torch.zeros(0, dtype=torch.int64) if box_classes is None else box_classes)
    if target.ndim == 2:
        return target
    return torch.where(target.sum(0) > 0, target.max(0).indices, IGNORE).to(torch.uint8)
