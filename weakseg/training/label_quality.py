"""How good are targets and predictions? Pixels counted over the images of all ranks: against the
truth, or against weak labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.agreement import accuracy, count_extents, count_shown, f1, overlap
from weakseg.functional.confusion import confusion_matrix, iou, mean_iou
from weakseg.functional.instances import paint_masks
from weakseg.functional.painting import paint_evidence
from weakseg.utils.processes import gather

Counts = list[tuple[int, int]]
"""places and the numbers there, without those that are 0"""


class ImageQuality(NamedTuple):
    """What is counted of one image, in plain numbers."""

    pixels: tuple[int, ...]
    """all, labelled, painted by the evidence, comparable with the round before, changed since"""
    labels: Counts
    """pixels of each class in the target"""
    label: Counts
    """confusion of the target with the truth, row by row"""
    evidence: Counts
    """confusion of the painted evidence with the truth"""


def quality_of_image(
    target: Tensor, before: Tensor | None, evidence: Evidence, truth: Tensor | None, classes: int
) -> ImageQuality:
    """Count one image: its target, the one of the round before, its evidence and its truth, if
    there are any."""
    hard = harden(target, evidence.box_classes)
    painted = paint_evidence(evidence, classes)
    changed = 0 if before is None else int((hard != harden(before, evidence.box_classes)).sum())
    covered = 0 if painted is None else int((painted != IGNORE).sum())
    labels = torch.bincount(hard[hard != IGNORE].long(), minlength=classes)
    comparable = 0 if before is None else hard.numel()
    pixels = (hard.numel(), int(labels.sum()), covered, comparable, changed)
    found = [
        [] if truth is None or each is None else _counts(confusion_matrix(each, truth, classes))
        for each in (hard, painted)
    ]
    return ImageQuality(pixels, _counts(labels), *found)


def _counts(numbers: Tensor) -> Counts:
    flat = numbers.flatten()
    places = flat.nonzero().flatten()
    return list(zip(places.tolist(), flat[places].tolist(), strict=True))


class LabelQuality:
    """Counts image by image, and the figures of them all: label/* of the targets, evidence/* of the
    evidence alone."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes
        size = len(classes)
        self.confusions = {
            name: torch.zeros(size, size, dtype=torch.int64) for name in ("label", "evidence")
        }
        # as in ImageQuality
        self.pixels = torch.zeros(5, dtype=torch.int64)
        self.labels = torch.zeros(size, dtype=torch.int64)

    def add(
        self, target: Tensor, before: Tensor | None, evidence: Evidence, truth: Tensor | None
    ) -> None:
        """Count one image: its target, the one of the round before, its evidence and its truth, if
        there are any."""
        self.count(quality_of_image(target, before, evidence, truth, len(self.classes)))

    def count(self, image: ImageQuality) -> None:
        """The same for an image that has been counted by itself."""
        self.pixels += torch.tensor(image.pixels)
        _add(self.labels, image.labels)
        _add(self.confusions["label"], image.label)
        _add(self.confusions["evidence"], image.evidence)

    def figures(self) -> dict[str, float]:
        """The figures over all ranks. All ranks must call it."""
        parts = gather((self.confusions, self.pixels, self.labels))
        count, labelled, covered, comparable, changed = (
            torch.stack([pixels for _, pixels, _ in parts]).sum(0).tolist()
        )
        figures = {
            "label/coverage": labelled / max(1, count),
            "evidence/coverage": covered / max(1, count),
        }
        labels = torch.stack([labels for _, _, labels in parts]).sum(0).tolist()
        figures |= {
            f"label/share/{name}": own / max(1, labelled)
            for name, own in zip(self.classes, labels, strict=True)
        }
        if comparable:
            figures["label/churn"] = changed / comparable
        for name in self.confusions:
            confusion = torch.stack([confusions[name] for confusions, _, _ in parts]).sum(0)
            if confusion.any():
                figures[f"{name}/miou"] = mean_iou(confusion)
                figures |= {
                    f"{name}/iou/{label}": float(value)
                    for label, value in zip(self.classes, iou(confusion), strict=True)
                }
        return figures


def _add(sums: Tensor, counts: Counts) -> None:
    flat = sums.view(-1).numpy()  # of the same memory; torch takes twenty times as long for one
    for place, number in counts:
        flat[place] += number


class Agreement:
    """Counts image by image how well predictions agree with boxes, marks and tags, for images that
    have no truth to measure with."""

    figure_of: ClassVar[dict[str, Callable[[Tensor], Tensor]]] = {
        "box_extent_iou": overlap,
        "marks_accuracy": accuracy,
        "tags_f1": f1,
    }
    """the figures, the most telling first, and how each comes from its counts: float64 [C]"""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes
        # over all images, of the figures for which there was evidence
        self.counts: dict[str, Tensor] = {}
        # of single images, by their numbers
        self.scores: dict[str, dict[int, float]] = {name: {} for name in self.figure_of}

    def add(self, number: int, labels: Tensor, evidence: Evidence) -> None:
        """Count one image: its number in the data set, what is predicted for its pixels, integers
        [H,W], and its evidence."""
        for name, counts in self._count(labels, evidence).items():
            self.counts[name] = self.counts[name] + counts if name in self.counts else counts
            self.scores[name][number] = float(self.figure_of[name](counts).nanmean())

    def figures(self) -> dict[str, float]:
        """Each figure as the mean over its classes, and of each class, such as tags_f1/cat. Over
        all ranks, which all must call it."""
        self.counts, self.scores = self._everywhere()
        figures: dict[str, float] = {}
        for name, counts in self.counts.items():
            values = self.figure_of[name](counts)
            figures[name] = float(values.nanmean())
            named = zip(self.classes, values.tolist(), strict=True)
            figures |= {
                f"{name}/{label}": value
                for place, (label, value) in enumerate(named)
                if place or name == "marks_accuracy"
            }
        return figures

    def _count(self, labels: Tensor, evidence: Evidence) -> dict[str, Tensor]:
        classes = len(self.classes)
        found = {}
        if evidence.boxes is not None and evidence.box_classes is not None:
            found["box_extent_iou"] = count_extents(
                labels, evidence.boxes, evidence.box_classes, classes
            )
        if evidence.marks is not None and bool((evidence.marks != IGNORE).any()):
            found["marks_accuracy"] = confusion_matrix(labels, evidence.marks, classes)
        if evidence.tags is not None and bool(evidence.tags.any()):
            found["tags_f1"] = count_shown(labels, evidence.tags)
        return found

    def _everywhere(self) -> tuple[dict[str, Tensor], dict[str, dict[int, float]]]:
        parts = gather((self.counts, self.scores))
        counts: dict[str, Tensor] = {}
        scores: dict[str, dict[int, float]] = {}
        for name in self.figure_of:
            own = [part[name] for part, _ in parts if name in part]
            if own:
                counts[name] = torch.stack(own).sum(0)
            scores[name] = {
                number: score for _, part in parts for number, score in part[name].items()
            }
        return counts, scores


def harden(target: Tensor, box_classes: Tensor | None = None) -> Tensor:
    """The hard form of a target: the likeliest class where there is any trust, 255 elsewhere; of
    masks of boxes, the smallest on top."""
    if target.dtype == torch.bool:
        return paint_masks(
            target, torch.zeros(0, dtype=torch.int64) if box_classes is None else box_classes
        )
    if target.ndim == 2:
        return target
    return torch.where(target.sum(0) > 0, target.max(0).indices, IGNORE).to(torch.uint8)
