"""The target of one image: what its strategy estimates, made to follow superpixels where
`Strategy.regions` says so, with the corrections of a person laid into it. Rounds, `weakseg.label`
and the page of `weakseg.review` have it from here."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.boxes import pixel_boxes
from weakseg.functional.instances import paint_masks
from weakseg.functional.regions.merge_target import merge_target
from weakseg.functional.spreading import spread
from weakseg.strategies.base import Context, Strategy
from weakseg.training.outputs import read_estimate


class Target(NamedTuple):
    """What an image is trained on."""

    labels: Tensor
    """uint8 [H,W], float [C,H,W] or, for a strategy with `Wants.box_masks`, bool [N,H,W]"""
    figures: dict[str, float]
    """that the strategy returns"""


def target_of(strategy: Strategy, evidence: Evidence, context: Context, classes: int) -> Target:
    """The target of an image, merged with its superpixels if the strategy has `regions`, with the
    corrections that its evidence holds; and the figures that the strategy returns.

    Args:
        strategy: which estimates.
        evidence: of the image, with the corrections of a person laid over it.
        context: what the strategy is given beside it.
        classes: how many there are.
    """
    with torch.no_grad():
        labels, figures = read_estimate(strategy.estimate(evidence, context))
    target = checked_target(labels, evidence, classes, strategy.wants.box_masks)
    if strategy.regions is not None:
        target = merge_target(target, evidence, strategy.regions)
    return Target(correct_target(target, evidence), figures)


def correct_target(target: Tensor, evidence: Evidence) -> Tensor:
    """A target, or a prediction, with the strokes and painted pixels of a correction.

    Where it agrees with them it stays as it is. Where it does not, they win, and strokes carry on
    to the pixels around that belong to them, as `spread` says.

    Args:
        target: uint8 [H,W], float [C,H,W] or, for the boxes of the evidence, bool [N,H,W].
        evidence: of the image.
    """
    if evidence.strokes is None and evidence.painted is None:
        return target
    if target.dtype == torch.bool:
        return _corrected_masks(target, evidence)
    if target.is_floating_point():
        return _corrected_soft(target, evidence)
    return spread(target, evidence.strokes, evidence.painted, evidence.image)


def _corrected_soft(target: Tensor, evidence: Evidence) -> Tensor:
    """Changed and drawn pixels are sure of their class, with the weight that they had, or 1 where
    they had none."""
    weight, likeliest = target.sum(0), target.max(0).indices
    before = likeliest.masked_fill(weight == 0, IGNORE).to(torch.uint8)
    labels = spread(before, evidence.strokes, evidence.painted, evidence.image)
    sure = labels != before
    for drawn in (evidence.strokes, evidence.painted):
        if drawn is not None:
            sure = sure | (drawn != IGNORE)
    classes = torch.arange(len(target))[:, None, None]
    certain = torch.where(weight > 0, weight, 1) * (labels == classes)
    return certain.to(target.dtype).where(sure, target)


def _corrected_masks(masks: Tensor, evidence: Evidence) -> Tensor:
    """A pixel that is of another class now leaves the masks of all other classes, and joins that of
    the smallest box of its class around it."""
    boxes, classes = evidence.boxes, evidence.box_classes
    if boxes is None or classes is None:
        return masks
    before = paint_masks(masks, classes)
    labels = spread(before, evidence.strokes, evidence.painted, evidence.image)
    changed = labels != before
    found = masks & ~(changed & (labels != classes[:, None, None]))
    rectangles = pixel_boxes(boxes, *labels.shape).tolist()
    areas = [(bottom - top) * (right - left) for left, top, right, bottom in rectangles]
    for place in sorted(range(len(boxes)), key=areas.__getitem__):
        left, top, right, bottom = rectangles[place]
        window = (slice(top, bottom), slice(left, right))
        own = changed[window] & (labels[window] == classes[place])
        found[place][window] |= own
        changed[window] &= ~own
    return found


def checked_target(target: Tensor, evidence: Evidence, classes: int, masks: bool = False) -> Tensor:
    """The target if it is what `Strategy.estimate` promises; a ValueError otherwise."""
    height, width = evidence.image.shape[-2:]
    return fitting_target(
        target,
        (height, width),
        0 if evidence.boxes is None else len(evidence.boxes),
        classes,
        masks,
    )


def fitting_target(
    target: Tensor, size: tuple[int, int], boxes: int, classes: int, masks: bool
) -> Tensor:
    """The target if it is one of an image of that size with so many boxes; a ValueError
    otherwise."""
    height, width = size
    expected = (
        f"bool [{boxes},{height},{width}]"
        if masks
        else f"uint8 [{height},{width}] or float [{classes},{height},{width}]"
    )
    if not isinstance(target, Tensor):
        raise TypeError(
            f"estimate should return {expected}, but it returned {type(target).__name__}"
        )
    if masks and target.dtype == torch.bool and target.shape == (boxes, height, width):
        return target
    hard = target.dtype == torch.uint8 and target.shape == (height, width)
    soft = target.is_floating_point() and target.shape == (classes, height, width)
    if masks or not (hard or soft):
        raise ValueError(
            f"estimate should return {expected}, but it returned {str(target.dtype)[6:]} "
            f"{list(target.shape)}"
        )
    if hard and bool(((target >= classes) & (target != IGNORE)).any()):
        wrong = sorted(set(target[(target >= classes) & (target != IGNORE)].tolist()))
        raise ValueError(
            f"estimate returned class {', '.join(map(str, wrong))}, but there are {classes} "
            f"classes, 0 to {classes - 1}"
        )
    if soft and not bool((target.isfinite() & (target >= 0)).all()):
        raise ValueError("estimate returned a soft target with negative or non-finite values")
    return target
