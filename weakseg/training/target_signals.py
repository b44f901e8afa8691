"""What speaks against the target of an image, without any truth and without a network: that it
contradicts its evidence, and that its classes run over edges of colour."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.agreement import SHOWN, count_extents, overlap
from weakseg.functional.label_confidence import colour_agreement
from weakseg.training.label_quality import Agreement

OF_TARGETS = ("boxes", "marks", "absent", "extra", "colours", "unlabelled")
WITH_CLASS = ("boxes", "absent", "extra")  # of these, those that are about a class
PIXELS = 40_000  # of which colours are compared: a regular grid of them, as all would take long


def evidence_agreement(labels: Tensor, evidence: Evidence, classes: Sequence[str]) -> float:
    """How well the labels agree with the evidence that they were made from: the lowest of the
    extents against the boxes, the labels of marked pixels, and the classes that are named. 1 where
    there is nothing to compare."""
    agreement = Agreement(classes)
    agreement.add(0, labels, evidence)
    found = [scores[0] for scores in agreement.scores.values() if 0 in scores]
    return min((figure for figure in found if not math.isnan(figure)), default=1.0)


def target_signals(labels: Tensor, evidence: Evidence, classes: Sequence[str]) -> dict[str, float]:
    """What speaks against a target, each from 0 to 1, 1 being the most suspicious. What cannot be
    compared is left out.

    boxes/<class>: 1 - IoU of the extents of the target with the boxes, mean of the classes; the
    class is the worst one. marks: the share of the marked pixels that have another label, mean of
    the classes. absent/<class>: the share of the named classes that no pixel has. extra/<class>:
    the share of the classes of the target that are not named. colours: 1 - how well classes follow
    from colours. unlabelled: 1 where no pixel has a label, otherwise 0.

    Args:
        labels: uint8 [H,W], 255 = no label.
        evidence: of the same image.
        classes: names, the background first.
    """
    if not bool((labels != IGNORE).any()):
        return {"unlabelled": 1.0}
    found = {
        **_boxes(labels, evidence, classes),
        **_marks(labels, evidence, len(classes)),
        **_names(labels, evidence, classes),
        "colours": 1 - _colours(labels, evidence.image),
        "unlabelled": 0.0,
    }
    return {name: value for name, value in found.items() if not math.isnan(value)}


def _boxes(labels: Tensor, evidence: Evidence, classes: Sequence[str]) -> dict[str, float]:
    if evidence.boxes is None or evidence.box_classes is None:
        return {}
    counts = count_extents(labels, evidence.boxes, evidence.box_classes, len(classes))
    shares = overlap(counts)
    worst = int(shares.nan_to_num(math.inf).argmin())
    return {f"boxes/{classes[worst]}": 1 - float(shares.nanmean())}


def _marks(labels: Tensor, evidence: Evidence, classes: int) -> dict[str, float]:
    if evidence.marks is None:
        return {}
    marked = evidence.marks != IGNORE
    marks = evidence.marks[marked].long()
    right = (labels[marked] == marks).double()
    counts = torch.bincount(marks, minlength=classes)
    shares = torch.bincount(marks, right, classes) / counts
    return {"marks": 1 - float(shares.nanmean())}


def _names(labels: Tensor, evidence: Evidence, classes: Sequence[str]) -> dict[str, float]:
    """Classes that are named and not there, and those that are there and not named."""
    counts = torch.bincount(labels.flatten().long(), minlength=IGNORE + 1)[: len(classes)]
    named = torch.zeros(len(classes), dtype=torch.bool)
    if evidence.tags is not None:
        named |= evidence.tags
    if evidence.box_classes is not None:
        named[evidence.box_classes] = True
    named[0] = False
    if not bool(named.any()):
        return {}
    found = {}
    if len(absent := (named & (counts == 0)).nonzero()):
        found[f"absent/{classes[int(absent[0])]}"] = len(absent) / int(named.sum())
    if evidence.tags is None:
        return found
    # single pixels do not show a class
    shown = counts >= max(1, SHOWN * labels.numel())
    shown[0] = False
    if len(extra := (shown & ~named).nonzero()):
        found[f"extra/{classes[int(extra[0])]}"] = len(extra) / int(shown.sum())
    return found


def _colours(labels: Tensor, image: Tensor) -> float:
    step = max(1, math.ceil(math.sqrt(labels.numel() / PIXELS)))
    return colour_agreement(labels[::step, ::step], image[:, ::step, ::step])
