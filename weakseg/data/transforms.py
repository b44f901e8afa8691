"""Joint augmentation: image, target, boxes and marks go through the same scale, crop and flip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from weakseg.evidence import IGNORE, Batch, Evidence

VISIBLE = 0.1  # a box of which a crop shows less than this share is dropped: its object may not be seen at all


@dataclass(frozen=True)
class Augmentation:
    """What is drawn anew each time an image is used."""

    crop: int | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = True

    def __post_init__(self) -> None:
        if self.crop is not None and self.crop < 1:
            raise ValueError(f"crop should be a number of pixels, at least 1, or null for whole images, but it is {self.crop}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale should be two factors, smallest first, both above 0, but it is {self.scale}")

    def __call__(self, evidence: Evidence, target: Tensor | None, generator: torch.Generator) -> tuple[Evidence, Tensor | None]:
        """The image, its target and its evidence as one draw of the generator changes them."""
        draw = torch.rand(4, generator=generator).tolist()
        low, high = self.scale
        if (factor := low + (high - low) * draw[0]) != 1:
            evidence, target = _scale(evidence, target, factor)
        if self.crop is not None:
            evidence, target = _pad(evidence, target, self.crop, self.crop)
            height, width = evidence.image.shape[-2:]
            top, left = int(draw[1] * (height - self.crop + 1)), int(draw[2] * (width - self.crop + 1))
            evidence, target = _crop(evidence, target, top, left, self.crop)
        if self.flip and draw[3] < 0.5:
            evidence, target = _flip(evidence, target)
        return evidence, target


def _scale(evidence: Evidence, target: Tensor | None, factor: float) -> tuple[Evidence, Tensor | None]:
    height, width = evidence.image.shape[-2:]
    size = [max(1, round(height * factor)), max(1, round(width * factor))]
    boxes = evidence.boxes
    if boxes is not None:
        boxes = boxes * boxes.new_tensor([size[1] / width, size[0] / height] * 2)
    image = resize(evidence.image, size, antialias=True)
    marks = None if evidence.marks is None else _resize_labels(evidence.marks, size)
    if target is not None:
        target = _resize_labels(target, size) if target.ndim == 2 else resize(target, size, antialias=True)
    return evidence._replace(image=image, marks=marks, boxes=boxes), target


def _resize_labels(labels: Tensor, size: list[int]) -> Tensor:
    resized: Tensor = resize(labels[None], size, interpolation=InterpolationMode.NEAREST_EXACT)
    return resized[0]


def _pad(evidence: Evidence, target: Tensor | None, height: int, width: int) -> tuple[Evidence, Tensor | None]:
    """Black pixels without opinion on the right and below, up to a size."""
    sides = (0, max(0, width - evidence.image.shape[-1]), 0, max(0, height - evidence.image.shape[-2]))
    if not any(sides):
        return evidence, target
    marks = None if evidence.marks is None else F.pad(evidence.marks, sides, value=IGNORE)
    if target is not None:
        target = F.pad(target, sides, value=IGNORE if target.ndim == 2 else 0)
    return evidence._replace(image=F.pad(evidence.image, sides), marks=marks), target


def _crop(evidence: Evidence, target: Tensor | None, top: int, left: int, size: int) -> tuple[Evidence, Tensor | None]:
    window = (..., slice(top, top + size), slice(left, left + size))
    marks = None if evidence.marks is None else evidence.marks[window]
    target = None if target is None else target[window]
    evidence = evidence._replace(image=evidence.image[window], marks=marks)
    if evidence.boxes is not None and evidence.box_classes is not None:
        boxes = evidence.boxes - evidence.boxes.new_tensor([left, top] * 2)
        cut = boxes.clamp(0, size)
        keep = _areas(cut) > VISIBLE * _areas(boxes)
        evidence = evidence._replace(boxes=cut[keep], box_classes=evidence.box_classes[keep])
    return evidence, target


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _flip(evidence: Evidence, target: Tensor | None) -> tuple[Evidence, Tensor | None]:
    width = evidence.image.shape[-1]
    boxes = evidence.boxes
    if boxes is not None:
        boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
    marks = None if evidence.marks is None else evidence.marks.flip(-1)
    target = None if target is None else target.flip(-1)
    return evidence._replace(image=evidence.image.flip(-1), marks=marks, boxes=boxes), target


def collate(items: list[tuple[Evidence, Tensor | None]], classes: int) -> Batch:
    """A batch of augmented images; smaller ones are padded with black pixels that have no opinion."""
    height = max(evidence.image.shape[-2] for evidence, _ in items)
    width = max(evidence.image.shape[-1] for evidence, _ in items)
    padded = [_pad(evidence, target, height, width) for evidence, target in items]
    many = [evidence for evidence, _ in padded]
    targets = [target for _, target in padded if target is not None]
    some_boxes = any(evidence.boxes is not None for evidence in many)
    return Batch(
        ids=[evidence.id for evidence in many],
        image=torch.stack([evidence.image for evidence in many]),
        target=_stack_targets(targets, classes) if len(targets) == len(padded) else None,
        tags=_stack([evidence.tags for evidence in many], torch.zeros(classes, dtype=torch.bool)),
        marks=_stack([evidence.marks for evidence in many], torch.full((height, width), IGNORE), torch.int64),
        boxes=[evidence.boxes if evidence.boxes is not None else torch.zeros(0, 4) for evidence in many] if some_boxes else None,
        box_classes=[_or_none_boxed(evidence.box_classes) for evidence in many] if some_boxes else None,
        large=_stack([evidence.large for evidence in many], torch.zeros(classes, dtype=torch.bool)),
    )


def _or_none_boxed(box_classes: Tensor | None) -> Tensor:
    return torch.zeros(0, dtype=torch.int64) if box_classes is None else box_classes


def _stack(values: list[Tensor | None], missing: Tensor, dtype: torch.dtype | None = None) -> Tensor | None:
    if all(value is None for value in values):
        return None
    return torch.stack([(missing if value is None else value).to(dtype or missing.dtype) for value in values])


def _stack_targets(targets: list[Tensor], classes: int) -> Tensor:
    if all(target.ndim == 2 for target in targets):
        return torch.stack(targets).long()
    return torch.stack([target if target.ndim == 3 else one_hot(target, classes) for target in targets])


def one_hot(target: Tensor, classes: int) -> Tensor:
    """A hard target as a soft one: full trust in its class, none where it has no opinion."""
    return F.one_hot(target.long().clamp(max=classes), classes + 1)[..., :classes].permute(2, 0, 1).float()
