"""Joint augmentation: image, target, boxes and marks go through the same scale, crop and flip;
colours change in the image alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

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

from weakseg.evidence import IGNORE, Batch, Evidence, PseudoBatch
from weakseg.utils.limits import check_limits

# a box of which a crop shows less than this share is dropped: its object may be outside of the crop
VISIBLE = 0.1


class Item(NamedTuple):
    """One training image on its way into a batch."""

    evidence: Evidence
    target: Tensor | None
    valid: Tensor | None = None
    """bool [H,W]: False in the padding; None where there is none"""


class Draw(NamedTuple):
    """What was drawn for one image: numbers that decide what augmentation does to it."""

    factor: float
    """of its size"""
    down: float
    """where the crop lies, from 0, at the top, to 1"""
    right: float
    """the same from the left"""
    mirrored: bool
    colours: tuple[float, ...] = ()
    """factors of brightness, contrast and saturation; none if they stay"""


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
        return self.apply(Item(evidence, target), self.draw(generator))

    def draw(self, generator: torch.Generator) -> Draw:
        """The numbers for one image."""
        factor, down, right, side = torch.rand(4, generator=generator).tolist()
        low, high = self.scale
        colours: tuple[float, ...] = ()
        if self.colour:
            chance = torch.rand(3, generator=generator)
            colours = tuple((1 + self.colour * (2 * chance - 1)).tolist())
        mirrored = self.flip and side < 0.5
        return Draw(low + (high - low) * factor, down, right, mirrored, colours)

    def apply(self, item: Item, draw: Draw) -> Item:
        """An item as these numbers change it, on the device that it is on."""
        if draw.colours:
            image = _recolour(item.evidence.image, draw.colours)
            item = item._replace(evidence=item.evidence._replace(image=image))
        if draw.factor != 1:
            item = _scale(item, draw.factor)
        if self.crop is not None:
            item = pad(item, self.crop, self.crop)
            height, width = item.evidence.image.shape[-2:]
            top = int(draw.down * (height - self.crop + 1))
            left = int(draw.right * (width - self.crop + 1))
            item = _crop(item, top, left, self.crop)
        return _flip(item) if draw.mirrored else item


def _recolour(image: Tensor, factors: Sequence[float]) -> Tensor:
    """Other light and other colours. Hue stays: to change it takes longer than everything else here
    together."""
    for adjust, factor in zip(
        (adjust_brightness, adjust_contrast, adjust_saturation), factors, strict=True
    ):
        image = adjust(image, factor)
    return image


def _moved(
    item: Item,
    image: Callable[[Tensor], Tensor],
    labels: Callable[[Tensor, int], Tensor],
    boxes: Callable[[Tensor], Tensor] = lambda boxes: boxes,
) -> Item:
    """An item after one change of place of all that lies on its pixels.

    Args:
        item: with the image, its evidence and its target.
        image: the change of values [C,H,W], those of the image and of a soft target.
        labels: the change of labels [H,W] and masks [N,H,W], with the label of pixels from outside.
        boxes: the change of boxes [N,4].
    """
    evidence, target, valid = item
    if target is not None:
        target = labels(target, IGNORE) if target.ndim == 2 else image(target)
    moved = evidence._replace(
        image=image(evidence.image),
        marks=None if evidence.marks is None else labels(evidence.marks, IGNORE),
        strokes=None if evidence.strokes is None else labels(evidence.strokes, IGNORE),
        painted=None if evidence.painted is None else labels(evidence.painted, IGNORE),
        boxes=None if evidence.boxes is None else boxes(evidence.boxes),
        box_masks=None if evidence.box_masks is None else labels(evidence.box_masks, False),
    )
    return Item(moved, target, None if valid is None else labels(valid, False))


def _scale(item: Item, factor: float) -> Item:
    height, width = item.evidence.image.shape[-2:]
    size = [max(1, round(height * factor)), max(1, round(width * factor))]
    scaled = _moved(
        item,
        lambda values: resize(values, size, antialias=True),
        lambda labels, outside: _resize_labels(labels, size),
        lambda boxes: boxes * boxes.new_tensor([size[1] / width, size[0] / height] * 2),
    )
    return scaled._replace(evidence=_without_vanished(scaled.evidence))


def _without_vanished(evidence: Evidence) -> Evidence:
    """Without boxes of whose object not a single pixel is left."""
    if evidence.box_masks is None:
        return evidence
    return _with_boxes(evidence, evidence.box_masks.flatten(1).any(1))


def _with_boxes(evidence: Evidence, keep: Tensor) -> Evidence:
    """With some of its boxes alone."""
    fields = {name: getattr(evidence, name) for name in ("boxes", "box_classes", "box_masks")}
    return evidence._replace(
        **{name: value[keep] for name, value in fields.items() if value is not None}
    )


def _resize_labels(labels: Tensor, size: list[int]) -> Tensor:
    """Labels of another size: each pixel takes the one in its middle."""
    numbers = labels.byte() if labels.dtype == torch.bool else labels
    resized: Tensor = resize(numbers[None], size, interpolation=InterpolationMode.NEAREST_EXACT)
    return resized[0].to(labels.dtype)


def pad(item: Item, height: int, width: int) -> Item:
    """Black pixels without label on the right and below, up to a size."""
    rows, columns = item.evidence.image.shape[-2:]
    sides = (0, max(0, width - columns), 0, max(0, height - rows))
    if not any(sides):
        return item
    if item.valid is None:
        device = item.evidence.image.device
        item = item._replace(valid=torch.ones(rows, columns, dtype=torch.bool, device=device))
    return _moved(
        item,
        lambda values: F.pad(values, sides),
        lambda labels, outside: F.pad(labels, sides, value=outside),
    )


def _crop(item: Item, top: int, left: int, size: int) -> Item:
    """A square part. What the tags of the image name may not be in it, unless boxes are."""
    window = (..., slice(top, top + size), slice(left, left + size))
    part = _moved(
        item,
        lambda values: values[window],
        lambda labels, outside: labels[window],
        lambda boxes: boxes - boxes.new_tensor([left, top] * 2),
    )
    whole = item.evidence.image.shape[-2:] == (size, size)
    return part._replace(evidence=_cut(part.evidence, size, whole))


def _cut(evidence: Evidence, size: int, whole: bool) -> Evidence:
    """Boxes cut at the rim, and tags by what is left of them where the crop is not the whole
    image."""
    tags = evidence.tags
    if evidence.boxes is None or evidence.box_classes is None:
        return evidence if whole else evidence._replace(tags=None, large=None)
    boxes = evidence.boxes.clamp(0, size)
    keep = _areas(boxes) > VISIBLE * _areas(evidence.boxes)
    cut = _with_boxes(evidence._replace(boxes=boxes), keep)
    if not whole and tags is not None:
        there = torch.zeros_like(tags)
        there[evidence.box_classes[keep]] = True
        there[0] = tags[0]
        cut = cut._replace(tags=there, large=None)
    return _without_vanished(cut)


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _flip(item: Item) -> Item:
    width = item.evidence.image.shape[-1]

    def mirrored(boxes: Tensor) -> Tensor:
        left, top, right, bottom = boxes.unbind(1)
        return torch.stack([width - right, top, width - left, bottom], 1)

    return _moved(
        item, lambda values: values.flip(-1), lambda labels, outside: labels.flip(-1), mirrored
    )


def collate(
    items: Sequence[Item],
    classes: int,
    pseudo: int = 0,
    weight: float = 1.0,
    corrected: bool = False,
) -> Batch:
    """A batch of augmented images; smaller ones are padded with black pixels without label.

    Args:
        items: the images.
        classes: how many.
        pseudo: of the images, so many at the end are pseudo-labelled.
        weight: of the loss on these.
        corrected: whether a person has drawn on any image of the training, so that every batch says
            where.
    """
    height = max(item.evidence.image.shape[-2] for item in items)
    width = max(item.evidence.image.shape[-1] for item in items)
    padded = [pad(item, height, width) for item in items]
    own = len(padded) - pseudo
    batch = _collate(padded[:own], classes, height, width, corrected)
    return batch._replace(pseudo=_pseudo(padded[own:], classes, weight)) if pseudo else batch


def _pseudo(items: Sequence[Item], classes: int, weight: float) -> PseudoBatch:
    targets = [item.target for item in items if item.target is not None]
    return PseudoBatch(
        ids=[item.evidence.id for item in items],
        image=torch.stack([item.evidence.image for item in items]),
        target=stack_targets(targets, classes),
        weight=weight,
    )


def _collate(
    padded: Sequence[Item], classes: int, height: int, width: int, corrected: bool
) -> Batch:
    many = [item.evidence for item in padded]
    targets = [item.target for item in padded if item.target is not None]
    some_boxes = any(evidence.boxes is not None for evidence in many)
    return Batch(
        ids=[evidence.id for evidence in many],
        image=torch.stack([evidence.image for evidence in many]),
        target=stack_targets(targets, classes) if len(targets) == len(padded) else None,
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
        drawn=_drawn(many, height, width, corrected),
    )


def _drawn(many: list[Evidence], height: int, width: int, corrected: bool) -> Tensor | None:
    """What a person has drawn, the paint over the strokes."""
    nothing = torch.full((height, width), IGNORE, dtype=torch.uint8)
    each = []
    for evidence in many:
        corrected |= evidence.strokes is not None or evidence.painted is not None
        strokes = nothing if evidence.strokes is None else evidence.strokes
        painted = nothing if evidence.painted is None else evidence.painted
        each.append(painted.where(painted != IGNORE, strokes))
    return torch.stack(each).long() if corrected else None


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


def stack_targets(targets: list[Tensor], classes: int) -> Tensor:
    if all(target.ndim == 2 for target in targets):
        return torch.stack(targets).long()
    return torch.stack(
        [target if target.ndim == 3 else one_hot(target, classes) for target in targets]
    )


def one_hot(target: Tensor, classes: int) -> Tensor:
    """A hard target as a soft one: weight 1 for its class, 0 for all where it is ignored."""
    # F.one_hot would look at the numbers, which is to wait for a device
    numbers = torch.arange(classes, device=target.device)
    return (target[None] == numbers[:, None, None]).float()
