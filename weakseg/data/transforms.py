"""Joint augmentation: image, target, boxes and marks go through the same scale, crop and flip;
colours change in the image alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import torch
import torch.nn.functional as F
from annotated_types import Ge, Lt, doc
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import (
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
    resize,
)

from weakseg.evidence import IGNORE, Batch, Evidence
from weakseg.utils.limits import check_limits

# a box of which a crop shows less than this share is dropped: its object may be outside of the crop
VISIBLE = 0.1


class Item(NamedTuple):
    """One training image on its way into a batch."""

    evidence: Evidence
    target: Tensor | None
    valid: Tensor | None = None
    """bool [H,W]: False in the padding; None where there is none"""


Side = Annotated[int, doc("a number of pixels"), Ge(1), doc("or null for whole images")]
Colour = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True)
class Augmentation:
    """What is drawn anew each time an image is used."""

    crop: Side | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = True
    colour: Colour = 0.0

    def __post_init__(self) -> None:
        check_limits(self)
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(
                f"scale should be two factors, smallest first, both above 0, but it is {self.scale}"
            )

    def __call__(
        self, evidence: Evidence, target: Tensor | None, generator: torch.Generator
    ) -> Item:
        """The image, its target and its evidence as one draw of the generator changes them."""
        draw = torch.rand(4, generator=generator).tolist()
        low, high = self.scale
        item = Item(evidence, target)
        if self.colour:
            item = Item(
                evidence._replace(image=_recolour(evidence.image, self.colour, generator)), target
            )
        if (factor := low + (high - low) * draw[0]) != 1:
            item = _scale(item, factor)
        if self.crop is not None:
            item = _pad(item, self.crop, self.crop)
            height, width = item.evidence.image.shape[-2:]
            top = int(draw[1] * (height - self.crop + 1))
            left = int(draw[2] * (width - self.crop + 1))
            item = _crop(item, top, left, self.crop)
        if self.flip and draw[3] < 0.5:
            item = _flip(item)
        return item


def _recolour(image: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Other light and other colours. Hue stays: to change it takes longer than everything else here
    together."""
    factors = (1 + strength * (2 * torch.rand(3, generator=generator) - 1)).tolist()
    for adjust, factor in zip(
        (adjust_brightness, adjust_contrast, adjust_saturation), factors, strict=True
    ):
        image = adjust(image, factor)
    return image


def _scale(item: Item, factor: float) -> Item:
    evidence = item.evidence
    target = item.target
    height, width = evidence.image.shape[-2:]
    size = [max(1, round(height * factor)), max(1, round(width * factor))]
    boxes = evidence.boxes
    if boxes is not None:
        boxes = boxes * boxes.new_tensor([size[1] / width, size[0] / height] * 2)
    image = resize(evidence.image, size, antialias=True)
    masks = evidence.box_masks
    if masks is not None:
        masks = _resize_labels(masks.byte(), size).bool()
    marks = None if evidence.marks is None else _resize_labels(evidence.marks, size)
    if target is not None:
        target = (
            _resize_labels(target, size)
            if target.ndim == 2
            else resize(target, size, antialias=True)
        )
    evidence = evidence._replace(image=image, marks=marks, boxes=boxes, box_masks=masks)
    return Item(_without_vanished(evidence), target)


def _without_vanished(evidence: Evidence) -> Evidence:
    """Without boxes of whose object not a single pixel is left."""
    boxes = evidence.boxes
    labels = evidence.box_classes
    masks = evidence.box_masks
    if boxes is None or labels is None or masks is None:
        return evidence
    seen = masks.flatten(1).any(1)
    return evidence._replace(boxes=boxes[seen], box_classes=labels[seen], box_masks=masks[seen])


def _resize_labels(labels: Tensor, size: list[int]) -> Tensor:
    resized: Tensor = resize(labels[None], size, interpolation=InterpolationMode.NEAREST_EXACT)
    return resized[0]


def _pad(item: Item, height: int, width: int) -> Item:
    """Black pixels without label on the right and below, up to a size."""
    evidence, target, valid = item
    sides = (
        0,
        max(0, width - evidence.image.shape[-1]),
        0,
        max(0, height - evidence.image.shape[-2]),
    )
    if not any(sides):
        return item
    marks = None if evidence.marks is None else F.pad(evidence.marks, sides, value=IGNORE)
    if target is not None:
        target = F.pad(target, sides, value=IGNORE if target.ndim == 2 else 0)
    valid = F.pad(
        torch.ones(evidence.image.shape[-2:], dtype=torch.bool) if valid is None else valid, sides
    )
    masks = None if evidence.box_masks is None else F.pad(evidence.box_masks, sides)
    return Item(
        evidence._replace(image=F.pad(evidence.image, sides), marks=marks, box_masks=masks),
        target,
        valid,
    )


def _crop(item: Item, top: int, left: int, size: int) -> Item:
    evidence, target, valid = item
    window = (..., slice(top, top + size), slice(left, left + size))
    evidence = _crop_evidence(evidence, window, [left, top] * 2, size)
    return Item(
        evidence,
        None if target is None else target[window],
        None if valid is None else valid[window],
    )


def _crop_evidence(
    evidence: Evidence, window: tuple[Any, ...], corner: list[int], size: int
) -> Evidence:
    """What is true of a part of an image. What its tags name may not be there any more, unless
    boxes say that it is."""
    marks = None if evidence.marks is None else evidence.marks[window]
    whole = evidence.image.shape[-2:] == (size, size)
    part = evidence._replace(image=evidence.image[window], marks=marks)
    if evidence.boxes is None or evidence.box_classes is None:
        return part if whole else part._replace(tags=None, large=None)
    boxes = evidence.boxes - evidence.boxes.new_tensor(corner)
    cut = boxes.clamp(0, size)
    keep = _areas(cut) > VISIBLE * _areas(boxes)
    masks = None if evidence.box_masks is None else evidence.box_masks[window][keep]
    part = _without_vanished(
        part._replace(boxes=cut[keep], box_classes=evidence.box_classes[keep], box_masks=masks)
    )
    if whole or evidence.tags is None:
        return part
    tags = torch.zeros_like(evidence.tags)
    tags[evidence.box_classes[keep]] = True
    tags[0] = evidence.tags[0]
    return part._replace(tags=tags, large=None)


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _flip(item: Item) -> Item:
    evidence, target, valid = item
    width = evidence.image.shape[-1]
    boxes = evidence.boxes
    if boxes is not None:
        boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
    marks = None if evidence.marks is None else evidence.marks.flip(-1)
    masks = None if evidence.box_masks is None else evidence.box_masks.flip(-1)
    evidence = evidence._replace(
        image=evidence.image.flip(-1), marks=marks, boxes=boxes, box_masks=masks
    )
    return Item(
        evidence,
        None if target is None else target.flip(-1),
        None if valid is None else valid.flip(-1),
    )


def collate(items: Sequence[Item], classes: int) -> Batch:
    """A batch of augmented images; smaller ones are padded with black pixels without label."""
    height = max(item.evidence.image.shape[-2] for item in items)
    width = max(item.evidence.image.shape[-1] for item in items)
    padded = [_pad(item, height, width) for item in items]
    many = [item.evidence for item in padded]
    targets = [item.target for item in padded if item.target is not None]
    some_boxes = any(evidence.boxes is not None for evidence in many)
    return Batch(
        ids=[evidence.id for evidence in many],
        image=torch.stack([evidence.image for evidence in many]),
        target=_stack_targets(targets, classes) if len(targets) == len(padded) else None,
        tags=_stack([evidence.tags for evidence in many], torch.zeros(classes, dtype=torch.bool)),
        marks=_stack(
            [evidence.marks for evidence in many], torch.full((height, width), IGNORE), torch.int64
        ),
        boxes=[
            evidence.boxes if evidence.boxes is not None else torch.zeros(0, 4) for evidence in many
        ]
        if some_boxes
        else None,
        box_classes=[_or_none_boxed(evidence.box_classes) for evidence in many]
        if some_boxes
        else None,
        large=_stack([evidence.large for evidence in many], torch.zeros(classes, dtype=torch.bool)),
        valid=_stack([item.valid for item in padded], torch.ones(height, width, dtype=torch.bool)),
        box_masks=_box_masks(many, height, width),
    )


def _or_none_boxed(box_classes: Tensor | None) -> Tensor:
    return torch.zeros(0, dtype=torch.int64) if box_classes is None else box_classes


def _box_masks(many: list[Evidence], height: int, width: int) -> list[Tensor] | None:
    """Masks of all boxes, none for an image without boxes; None if some boxes have no masks."""
    if not any(evidence.box_masks is not None for evidence in many) or any(
        _unmasked(evidence) for evidence in many
    ):
        return None
    none = torch.zeros(0, height, width, dtype=torch.bool)
    return [none if evidence.box_masks is None else evidence.box_masks for evidence in many]


def _unmasked(evidence: Evidence) -> bool:
    return evidence.box_masks is None and evidence.boxes is not None and len(evidence.boxes) > 0


def _stack(
    values: list[Tensor | None], missing: Tensor, dtype: torch.dtype | None = None
) -> Tensor | None:
    if all(value is None for value in values):
        return None
    return torch.stack(
        [(missing if value is None else value).to(dtype or missing.dtype) for value in values]
    )


def _stack_targets(targets: list[Tensor], classes: int) -> Tensor:
    if all(target.ndim == 2 for target in targets):
        return torch.stack(targets).long()
    return torch.stack(
        [target if target.ndim == 3 else one_hot(target, classes) for target in targets]
    )


def one_hot(target: Tensor, classes: int) -> Tensor:
    """A hard target as a soft one: weight 1 for its class, 0 for all where it is ignored."""
    return (
        F.one_hot(target.long().clamp(max=classes), classes + 1)[..., :classes]
        .permute(2, 0, 1)
        .float()
    )
