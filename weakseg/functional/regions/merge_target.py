"""Targets of every form that follow superpixels, within what the evidence of the image is certain
of."""

from __future__ import annotations

import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.boxes import fill_boxes, pixel_boxes
from weakseg.functional.regions.merging import Merging, merge_labels, merge_mask


def merge_target(target: Tensor, evidence: Evidence, merging: Merging) -> Tensor:
    """A target whose labels take whole superpixels, as `Merging` says.

    Marked pixels keep what they are, and a class does not grow out of its boxes. An image with a
    mask (marks on three quarters of its pixels) keeps its target as it is.

    Of a soft target the likeliest classes are merged. A pixel that gets another class is sure of
    it, with the weight that it had; one without any weight gets none. All others stay as they are.
    Of the masks of boxes each is merged by itself, within its box.

    Args:
        target: uint8 [H,W], float [C,H,W] or, for the boxes of the evidence, bool [N,H,W].
        evidence: of the image.
    """
    if "masks" in evidence.annotations:
        return target
    segments = merging.superpixels(evidence.image)
    if target.dtype == torch.bool:
        return _merged_masks(target, evidence, segments, merging)
    if target.is_floating_point():
        return _merged_soft(target, evidence, segments, merging)
    return _within_evidence(merge_labels(target, segments, merging), target, evidence)


def _merged_soft(target: Tensor, evidence: Evidence, segments: Tensor, merging: Merging) -> Tensor:
    weight, likeliest = target.sum(0), target.max(0).indices
    before = likeliest.masked_fill(weight == 0, IGNORE).to(torch.uint8)
    after = _within_evidence(merge_labels(before, segments, merging), before, evidence)
    changed = (after != before) & (before != IGNORE)
    classes = torch.arange(len(target))[:, None, None]
    sure = weight * (after == classes)
    return sure.to(target.dtype).where(changed, target)


def _merged_masks(masks: Tensor, evidence: Evidence, segments: Tensor, merging: Merging) -> Tensor:
    if evidence.boxes is None:
        return masks
    found = torch.zeros_like(masks)
    places = pixel_boxes(evidence.boxes, *masks.shape[1:]).tolist()
    for own, mask, (left, top, right, bottom) in zip(found, masks, places, strict=True):
        window = (slice(top, bottom), slice(left, right))
        own[window] = merge_mask(mask, segments, merging)[window]
    return found


def _within_evidence(merged: Tensor, before: Tensor, evidence: Evidence) -> Tensor:
    """Merged labels, but for pixels that would get a class outside of its boxes, and for those that
    a person has marked."""
    boxes, classes = evidence.boxes, evidence.box_classes
    if boxes is not None and classes is not None:
        beyond = (merged != 0) & (merged != IGNORE)
        for label in torch.unique(classes):
            own = classes == label
            inside = fill_boxes(boxes[own], classes[own], *merged.shape) == label
            beyond &= ~((merged == label) & inside)
        merged = before.where(beyond, merged)
    return merged if evidence.marks is None else before.where(evidence.marks != IGNORE, merged)
