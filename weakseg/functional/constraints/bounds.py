"""Bounds on the share of an image or region that each class covers, after CCNN (Pathak,
Krähenbühl and Darrell, ICCV 2015).

`tag_constraints`, `size_constraints` and `box_constraints` derive bounds from evidence,
`class_constraints` takes those that you know of each class, and `combine` joins them.
`weakseg.functional.constraints.posterior` finds the labels that keep the bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from torch import Tensor

from weakseg.functional.boxes import pixel_boxes
from weakseg.functional.describing import described

SizeSource = Literal["paper", "ccnn_code"]


@dataclass(frozen=True)
class Constraints:
    """R bounds on each of B images: between `lower` and `upper` of a region is of class `label`, on
    average over its pixels.

    Slack says how many logits a class may be raised (or lowered) by to get there; what takes more
    stays unmet. Infinite slack makes a bound hard. A bound from 0 to 1 has no effect, so images
    with fewer bounds than others are filled up with those.
    """

    label: Tensor
    """int64 [B,R]"""
    lower: Tensor
    """float [B,R], and so are the next three"""
    upper: Tensor
    slack_lower: Tensor
    slack_upper: Tensor
    region: Tensor | None = None
    """bool [B,R,H,W] at the resolution of the logits; None: all bounds are about whole images"""
    inverse_temperature: float = 1.0
    """the logits are multiplied by this, so that the labels become almost certain where it is
    large"""

    def __post_init__(self) -> None:
        if self.label.ndim != 2 or self.label.dtype != torch.int64 or self.label.shape[1] == 0:
            raise ValueError(
                "label should be int64 [B,R] with at least one bound per image, but it is "
                f"{described(self.label)}"
            )
        for name in ("lower", "upper", "slack_lower", "slack_upper"):
            value = getattr(self, name)
            if value.shape != self.label.shape or not value.is_floating_point():
                raise ValueError(
                    f"{name} should be float {list(self.label.shape)}, as label is, but it is "
                    f"{described(value)}"
                )
        region = self.region
        if region is not None and (
            region.dtype != torch.bool or region.ndim != 4 or region.shape[:2] != self.label.shape
        ):
            size = ",".join(map(str, self.label.shape))
            raise ValueError(
                f"region should be bool [{size},H,W], a mask per bound, or None, but it is "
                f"{described(region)}"
            )
        if not 0 < self.inverse_temperature < inf:
            raise ValueError(
                "inverse_temperature should be more than 0 and finite (1 leaves the logits as they "
                f"are), but it is {self.inverse_temperature!r}"
            )


def class_constraints(
    lower: Tensor | None = None,
    upper: Tensor | None = None,
    slack_lower: Tensor | float = inf,
    slack_upper: Tensor | float = inf,
    inverse_temperature: float = 1.0,
) -> Constraints:
    """Your own bounds on the share of the image that each class covers: float [B,C] each. What is
    left out bounds nothing.

    >>> from weakseg.functional.constraints.posterior import constrained_posterior
    >>> lower = torch.tensor([[0.0, 0.4, 0.0]])  # class 1 covers at least two fifths of the image
    >>> tags = torch.tensor([[True, True, True]])
    >>> constrained_posterior(torch.zeros(1, 3, 2, 2), tags, class_constraints(lower)).probs.mean(
    ...     (2, 3)
    ... )
    tensor([[0.3000, 0.4000, 0.3000]])
    """
    given = lower if lower is not None else upper
    if given is None or given.ndim != 2 or not given.is_floating_point():
        came = "neither was given" if given is None else f"it is {described(given)}"
        raise ValueError(
            f"lower or upper should be float [B,C], a bound per image and class, but {came}"
        )
    return Constraints(
        label=torch.arange(given.shape[1], device=given.device).expand(given.shape),
        lower=torch.zeros_like(given) if lower is None else lower,
        upper=torch.ones_like(given) if upper is None else upper,
        slack_lower=slack_lower
        if isinstance(slack_lower, Tensor)
        else torch.full_like(given, slack_lower),
        slack_upper=slack_upper
        if isinstance(slack_upper, Tensor)
        else torch.full_like(given, slack_upper),
        inverse_temperature=inverse_temperature,
    )


def tag_constraints(
    tags: Tensor,
    background_lower: float = 0.3,
    background_upper: float = 0.7,
    foreground_lower: float = 0.05,
    foreground_slack: float = 2.0,
    inverse_temperature: float = 1.0,
) -> Constraints:
    """What CCNN makes of tags bool [B,C]: background covers .3 to .7, and each class that is there
    a twentieth, if +2 logits do it.

    Background has no upper bound in an image that shows nothing else.

    >>> bounds = tag_constraints(torch.tensor([[True, True, False], [True, False, False]]))
    >>> bounds.lower
    tensor([[0.3000, 0.0500, 0.0000],
            [0.3000, 0.0000, 0.0000]])
    >>> bounds.upper[:, 0]
    tensor([0.7000, 1.0000])
    """
    _check_tags(tags)
    lower = torch.where(tags, foreground_lower, 0.0)
    slack = torch.full_like(lower, foreground_slack)
    slack[:, 0] = inf
    background = _background(tags, lower, background_lower, background_upper)
    return class_constraints(
        *background, slack_lower=slack, inverse_temperature=inverse_temperature
    )


def size_constraints(
    tags: Tensor,
    large: Tensor,
    source: SizeSource = "paper",
    background_lower: float = 0.2,
    background_upper: float = 0.7,
    large_lower: float = 0.1,
    small_upper: float = 0.01,
    inverse_temperature: float = 1000.0,
) -> Constraints:
    """Tags, and one bit of size: `large` bool [B,C] flags the classes that cover more than a tenth
    of the image.

    `paper`: a large class covers at least a tenth, a small one at most a hundredth. `ccnn_code`, as
        its authors released it: small
    classes are not there at all, so that `small_upper` has no say. Background has no upper bound in
    an image without a large object, where nothing could take the rest.
    """
    _check_tags(tags)
    if large.dtype != torch.bool or large.shape != tags.shape:
        raise ValueError(
            f"large should be bool {list(tags.shape)}, as tags is, but it is {described(large)}"
        )
    if source not in ("paper", "ccnn_code"):
        raise ValueError(f"source should be paper or ccnn_code, but it is {source!r}")
    small = tags & ~large
    small[:, 0] = False  # the bit is about objects
    # background has an upper bound only if there is something large to take the rest
    shown = tags & ~small
    lower, upper = _background(
        shown, torch.where(shown & large, large_lower, 0.0), background_lower, background_upper
    )
    most = small_upper if source == "paper" else 0.0
    return class_constraints(
        lower, torch.where(small, most, upper), inverse_temperature=inverse_temperature
    )


def _background(shown: Tensor, lower: Tensor, least: float, most: float) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds, float [B,C], with those of the background put in."""
    there = shown[:, 0]
    lower, upper = lower.clone(), torch.ones_like(lower)
    lower[:, 0] = torch.where(there, least, 0.0)
    upper[:, 0] = torch.where(there & shown[:, 1:].any(1), most, 1.0)
    return lower, upper


def box_constraints(
    boxes: Sequence[Tensor],
    box_classes: Sequence[Tensor],
    height: int,
    width: int,
    inside: float = 0.2,
    outside: float = 0.0,
    slack_inside: float = inf,
    slack_outside: float = inf,
    inverse_temperature: float = 1.0,
) -> Constraints:
    """At least a share `inside` of each box is of its class, and at most a share `outside` of what
    none of its class's boxes covers.

    Per image `boxes` float [N,4] and `box_classes` int64 [N], as in a `Batch`, but in pixels of the
    logits, which are height x width: a network with stride 8 wants the boxes of the image divided
    by 8.

    >>> bounds = box_constraints(
    ...     [torch.tensor([[0.0, 0, 2, 1]])], [torch.tensor([5])], height=1, width=3
    ... )
    >>> bounds.region.int().tolist()  # the box, and what is not in a box of class 5
    [[[[1, 1, 0]], [[0, 0, 1]]]]
    """
    if len(boxes) != len(box_classes) or not boxes:
        raise ValueError(
            f"boxes and box_classes should list the images of one batch, but have {len(boxes)} "
            f"and {len(box_classes)}"
        )
    most = max(1, *(len(labels) for labels in box_classes))
    regions = boxes[0].new_zeros(len(boxes), 2 * most, height, width, dtype=torch.bool)
    label = torch.zeros_like(regions[:, :, 0, 0], dtype=torch.int64)
    bounded = torch.zeros_like(regions[:, :, 0, 0])
    for image, (corners, labels) in enumerate(zip(boxes, box_classes, strict=True)):
        count = len(labels)
        same = labels[:, None] == labels
        masks = _masks(corners, height, width)
        regions[image, :count] = masks
        regions[image, most : most + count] = ~(masks[None] & same[:, :, None, None]).any(1)
        label[image, :count] = label[image, most : most + count] = labels
        bounded[image, :count] = True
        bounded[image, most : most + count] = ~same.tril(-1).any(1)  # once per class
    ones = torch.ones_like(bounded, dtype=boxes[0].dtype)
    lower = inside * (ones * bounded)
    upper = torch.where(bounded, outside, ones)
    lower[:, most:], upper[:, :most] = 0, 1
    return Constraints(
        label, lower, upper, slack_inside * ones, slack_outside * ones, regions, inverse_temperature
    )


def _masks(boxes: Tensor, height: int, width: int) -> Tensor:
    """The pixels of each box: bool [N,H,W]."""
    x1, y1, x2, y2 = pixel_boxes(boxes, height, width)[:, :, None].unbind(1)
    x = torch.arange(width, device=boxes.device)
    y = torch.arange(height, device=boxes.device)
    return ((y >= y1) & (y < y2))[:, :, None] & ((x >= x1) & (x < x2))[:, None]


def combine(*constraints: Constraints) -> Constraints:
    """All bounds at once, for the same images, in the order given."""
    inverse_temperature = {each.inverse_temperature for each in constraints}
    if len(inverse_temperature) != 1:
        raise ValueError(
            "constraints should have one inverse_temperature to be combined, but they have "
            f"{sorted(inverse_temperature) or 'none'}"
        )
    sizes = {
        (len(each.label), *each.region.shape[2:]) for each in constraints if each.region is not None
    }
    if len({len(each.label) for each in constraints}) > 1 or len(sizes) > 1:
        raise ValueError(
            "constraints should be for the same images, with regions of one size [B,H,W], but "
            f"those are {sorted(sizes)}"
        )
    region = next((each.region for each in constraints if each.region is not None), None)
    if region is not None:
        whole = torch.ones_like(region[:, :1])
        masks = [
            whole.expand(-1, each.label.shape[1], -1, -1) if each.region is None else each.region
            for each in constraints
        ]
        region = torch.cat(masks, 1)
    names = ("label", "lower", "upper", "slack_lower", "slack_upper")
    joined = {name: torch.cat([getattr(each, name) for each in constraints], 1) for name in names}
    return Constraints(**joined, region=region, inverse_temperature=inverse_temperature.pop())


def contradiction(constraints: Constraints, tags: Tensor, image: int = 0) -> str | None:
    """A sentence on why no labels can keep the bounds of an image with tags bool [C], or
    None if nothing speaks against it.

    Bounds with finite slack contradict nothing, as they give way. Looks at every region and the
    classes in it, which finds what is likely to be required by mistake, but not every tangle of
    overlapping regions.

    >>> tags = torch.tensor([True, True, True])
    >>> contradiction(class_constraints(lower=torch.tensor([[0.5, 0.3, 0.3]])), tags)
    'the classes 0, 1, 2 should together cover at least 110 % of the image'
    """
    label = constraints.label[image]
    lower = (
        torch.where(constraints.slack_lower[image] == inf, constraints.lower[image], 0)
        .double()
        .clamp(min=0)
    )
    upper = (
        torch.where(constraints.slack_upper[image] == inf, constraints.upper[image], 1)
        .double()
        .clamp(max=1)
    )
    if not tags.any():
        return None  # no bound on this image
    ones = torch.ones(len(label), 1, dtype=torch.double, device=label.device)
    masks = ones if constraints.region is None else constraints.region[image].flatten(1).double()
    for absent in label[(lower > 0) & ~tags[label] & masks.any(1)].tolist():
        return f"class {absent} is not among the tags, but should cover a part of the image"
    # sorted, so the image comes first
    places: Tensor = torch.unique(torch.cat([torch.ones_like(masks[:1]), masks]), dim=0).flip(0)
    shared = places @ masks.T
    size = masks.sum(1)
    need = lower * size - (size - shared)
    room = upper * size + places.sum(1, keepdim=True) - shared
    for place, least, most in zip(places, need, room, strict=True):
        if problem := _problem(label, tags, least, most, float(place.sum())):
            return (
                f"{problem} of "
                f"{'the image' if place.all() else f'a region of {int(place.sum())} pixels'}"
            )
    return None


def _problem(label: Tensor, tags: Tensor, least: Tensor, most: Tensor, area: float) -> str | None:
    """What is wrong in one place, where each bound [R] asks for at least and at most so many pixels
    of its class."""
    if area == 0:
        return None
    near = 1e-6 * area
    need = torch.zeros(len(tags), dtype=torch.double, device=tags.device).scatter_reduce(
        0, label, least, "amax"
    )
    room = torch.full_like(need, area).scatter_reduce(0, label, most, "amin")
    for number in (tags & (need > room + near)).nonzero().flatten().tolist():
        return (
            f"class {number} should cover at least {_percent(need[number], area)} and at most "
            f"{_percent(room[number], area)}"
        )
    if need[tags].sum() > area + near:
        named = ", ".join(map(str, (tags & (need > 0)).nonzero().flatten().tolist()))
        return (
            f"the classes {named} should together cover at least {_percent(need[tags].sum(), area)}"
        )
    if room[tags].sum() < area - near:
        named = ", ".join(map(str, tags.nonzero().flatten().tolist()))
        return (
            f"no classes but {named} are there, and together they may cover at most "
            f"{_percent(room[tags].sum(), area)}"
        )
    return None


def _percent(pixels: Tensor, area: float) -> str:
    return f"{100 * float(pixels) / area:.3g} %"


def _check_tags(tags: Tensor) -> None:
    if tags.dtype != torch.bool or tags.ndim != 2:
        raise ValueError(
            "tags should be bool [B,C], whether each image shows each class, but it is "
            f"{described(tags)}"
        )
