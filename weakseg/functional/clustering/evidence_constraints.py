"""Weak labels of any kind as constraints on the classes of superpixels, for `assign_groups` and
`cluster`.

The constraints of Xu, Schwing and Urtasun (Learning to segment under various forms of weak
supervision, CVPR 2015): they are the only part of the method that depends on the kind of evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.boxes import pixel_boxes
from weakseg.functional.clustering.assignment import Group, assign_groups
from weakseg.functional.regions.superpixels import region_counts, region_sums

_MOSTLY = 0.5  # a superpixel lies in a box if this part of its pixels does


class LabelConstraints(NamedTuple):
    """Constraints on the classes of N superpixels, which can all be met."""

    allowed: Tensor
    """bool [N,C]: which classes each may have, at least one"""
    groups: list[Group]
    """sets of superpixels of which at least so many have a class"""


def label_constraints(
    evidence: Evidence, segments: Tensor, classes: int, cover: float = 0.3
) -> LabelConstraints:
    """The constraints that the evidence of an image sets on its superpixels, int64 [H,W].

    - Boxes: a class can only be in its boxes, and in each of them at least the part `cover` of the
      superpixels has it, one at least. Outside of all boxes there is background. A superpixel lies
      in a box if half of its pixels do, or as the only one that touches it.
    - Tags, without boxes: only classes of the tags can be there. With or without boxes, at least
      one superpixel has each of them.
    - Marks: a superpixel has the class that most of its marked pixels have, of equal ones the
      lower. Where there are marks alone, other superpixels have a class that is marked, or are
      background.

    Of constraints that contradict each other, as tags of five classes do with four superpixels, the
    later ones are dropped: boxes are before tags, and both in the order of the image.

    >>> tagged = Evidence(
    ...     "a", torch.zeros(3, 1, 2, dtype=torch.uint8), tags=torch.tensor([True, False, True])
    ... )
    >>> label_constraints(tagged, torch.tensor([[0, 1]]), classes=3).allowed
    tensor([[ True, False,  True],
            [ True, False,  True]])
    """
    count = int(segments.max()) + 1
    boxed = _inside(evidence, segments)
    allowed = _allowed(evidence, boxed, count, classes)
    if evidence.marks is not None:
        marked = region_counts(evidence.marks, segments, classes)
        own = torch.arange(classes) == marked.max(1, keepdim=True).indices
        allowed = allowed.where((marked.sum(1) == 0)[:, None], own)
    groups = []
    if evidence.box_classes is not None:
        for inside, label in zip(boxed, evidence.box_classes.tolist(), strict=True):
            members = (inside & allowed[:, label]).nonzero().flatten()
            groups.append(Group(label, members, max(1, ceil(cover * len(members)))))
    known = {group.label for group in groups}
    if evidence.tags is not None:
        groups += [
            Group(label, allowed[:, label].nonzero().flatten())
            for label in _numbers(evidence.tags)
            if label not in known
        ]
    return LabelConstraints(allowed, compatible_groups(allowed, groups))


def class_count(evidence: Evidence) -> int:
    """The number of classes as far as the evidence tells: one more than its highest class. Tags
    have an entry for every class."""
    named = [0]
    if evidence.tags is not None:
        named.append(len(evidence.tags) - 1)
    if evidence.box_classes is not None:
        named += evidence.box_classes.tolist()
    if evidence.marks is not None:
        named += torch.unique(evidence.marks[evidence.marks != IGNORE]).tolist()
    return max(named) + 1


def compatible_groups(allowed: Tensor, groups: Sequence[Group]) -> list[Group]:
    """Groups that can be met at the same time: all if possible, otherwise each that can be met
    beside those before it, in full or with one member."""
    if _possible(allowed, groups):
        return list(groups)
    kept: list[Group] = []
    for group in groups:
        ways = [group, group._replace(least=1)]
        kept += next(([way] for way in ways if _possible(allowed, [*kept, way])), [])
    return kept


def subsample(constraints: LabelConstraints, most: int) -> tuple[Tensor, LabelConstraints]:
    """About `most` superpixels as a sample of all, int64 [M] in order, and their constraints.

    Half of them at most are such as can have one class only, if there are enough others. From
    either, they are taken at even distances, and one of every group is there. Groups ask for the
    same part of what is left of them.
    """
    certain = constraints.allowed.sum(1) == 1
    sure = certain.nonzero().flatten()
    free = (~certain).nonzero().flatten()
    # class by class, so that none is skipped
    sure = sure[constraints.allowed[sure].int().argmax(1).argsort(stable=True)]
    seats = min(len(free), max(most - len(sure), most // 2))
    chosen = torch.cat([_evenly(sure, most - seats), _evenly(free, seats)])
    lost = [
        group.members[len(group.members) // 2]
        for group in constraints.groups
        if not torch.isin(group.members, chosen).any()
    ]
    chosen = torch.unique(torch.cat([chosen, torch.stack(lost)]) if lost else chosen)
    groups = []
    for label, members, least in constraints.groups:
        left = torch.searchsorted(chosen, members[torch.isin(members, chosen)])
        groups.append(Group(label, left, ceil(least * len(left) / len(members))))
    allowed = constraints.allowed[chosen]
    return chosen, LabelConstraints(allowed, compatible_groups(allowed, groups))


def _inside(evidence: Evidence, segments: Tensor) -> Tensor:
    """Which superpixels lie in each box, bool [K,N]."""
    if evidence.boxes is None:
        return torch.zeros(0, int(segments.max()) + 1, dtype=torch.bool)
    height, width = segments.shape
    pixels = torch.zeros(len(evidence.boxes) + 1, height, width)
    pixels[-1] = 1
    for row, (x1, y1, x2, y2) in zip(
        pixels, pixel_boxes(evidence.boxes, height, width).tolist(), strict=False
    ):
        row[y1:y2, x1:x2] = 1
    *parts, sizes = region_sums(pixels, segments).T
    shares = torch.stack([part / sizes for part in parts]) if parts else torch.zeros(0, len(sizes))
    most = shares.amax(1, keepdim=True)
    return (shares >= _MOSTLY) | ((most < _MOSTLY) & (shares == most) & (most > 0))


def _allowed(evidence: Evidence, boxed: Tensor, count: int, classes: int) -> Tensor:
    """Classes of each superpixel, bool [N,C], marks aside."""
    allowed = torch.zeros(count, classes, dtype=torch.bool)
    if evidence.box_classes is not None:
        allowed[:, 0] = True
        for inside, label in zip(boxed, evidence.box_classes.tolist(), strict=True):
            allowed[inside, label] = True
    elif evidence.tags is not None and bool(evidence.tags.any()):
        allowed[:, _numbers(evidence.tags)] = True
    else:
        allowed[:, 0] = True
        if evidence.marks is not None:
            allowed[:, torch.unique(evidence.marks[evidence.marks != IGNORE]).long()] = True
    return allowed


def _possible(allowed: Tensor, groups: Sequence[Group]) -> bool:
    try:
        assign_groups(torch.zeros(allowed.shape), allowed, groups)
    except ValueError:
        return False
    return True


def _numbers(flags: Tensor) -> list[int]:
    numbers: list[int] = flags.nonzero().flatten().tolist()
    return numbers


def _evenly(numbers: Tensor, most: int) -> Tensor:
    """At most so many of them, at even distances."""
    if len(numbers) <= most:
        return numbers
    return numbers[torch.arange(most) * len(numbers) // max(most, 1)]
