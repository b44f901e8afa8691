"""Batches whose images are augmented on the device that they are copied to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from weakseg.data.transforms import Augmentation, Draw, Item, collate, pad, stack_targets
from weakseg.evidence import Batch, Evidence
from weakseg.utils.devices import keep_host_copies

ALIGNED = 16  # bytes: where each tensor begins in a buffer, so that it may hold any numbers


class Drawn(NamedTuple):
    """One training image as it was read, and what its augmentation is to do."""

    item: Item
    draw: Draw


class Unaugmented:
    """A batch of which the images, and soft targets, are still as they were read. All that has one
    number or less for each pixel is augmented already: it takes little time, and losses ask for
    some of it on the CPU.

    It is no tuple and no dataclass, so that nobody changes its tensors before they are augmented,
    as trainers of half precision would.

    Args:
        batch: with images, and soft targets, that have no channels: they are of the right size.
        draws: of each image, the pseudo-labelled ones behind the others.
        pixels: the images in the same order, as they were read.
        targets: those of the images of the data set, if they are to be soft, or nothing.
        pseudo_targets: the same of the pseudo-labelled images.
    """

    def __init__(
        self,
        batch: Batch,
        draws: Sequence[Draw],
        pixels: Packed,
        targets: Packed,
        pseudo_targets: Packed,
    ) -> None:
        self.batch = batch
        self.draws = draws
        self.pixels = pixels
        self.targets = targets
        self.pseudo_targets = pseudo_targets

    def pin_memory(self) -> Unaugmented:
        """The same in memory from which a GPU copies while the CPU goes on: torch's loaders call
        this."""
        parts = (self.batch, self.draws, self.pixels, self.targets, self.pseudo_targets)
        return Unaugmented(*_pinned(parts))

    def augmented(
        self,
        augmentation: Augmentation,
        classes: int,
        move: Callable[[Any], Any],
        convert: Callable[[Any], Any],
    ) -> Batch:
        """The batch on a device; all of it that was augmented on the CPU stays at hand there.

        Args:
            augmentation: that has drawn.
            classes: how many.
            move: copies tensors, in tuples and lists, to the device.
            convert: does what a trainer does with the batches of its loaders.
        """
        # first, as the device has most to do for them
        pixels = self.pixels.unpacked(move(self.pixels.buffer))
        targets = self.targets.unpacked(move(self.targets.buffer))
        pseudo_targets = self.pseudo_targets.unpacked(move(self.pseudo_targets.buffer))
        batch: Batch = convert(self.batch)
        moved: Batch = move(batch)
        keep_host_copies(batch, moved)
        own = len(batch.ids)
        height, width = batch.image.shape[-2:]
        whole = partial(_stacked, augmentation, classes, height, width)
        image, target = whole(pixels[:own], targets, self.draws[:own])
        if target is not None:
            moved = moved._replace(target=convert(target))
        moved = moved._replace(image=image)
        if moved.pseudo is None:
            return moved
        image, target = whole(pixels[own:], pseudo_targets, self.draws[own:])
        pseudo = moved.pseudo._replace(image=image)
        if target is not None:
            pseudo = pseudo._replace(target=convert(target))
        return moved._replace(pseudo=pseudo)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"a batch of data.augment_on=device has no {name} yet: a trainer augments it where it "
            "copies it to its device, and so does WeakData.transfer_batch_to_device; or set "
            "data.augment_on=host"
        )


def _stacked(
    augmentation: Augmentation,
    classes: int,
    height: int,
    width: int,
    images: Sequence[Tensor],
    targets: Sequence[Tensor],
    draws: Sequence[Draw],
) -> tuple[Tensor, Tensor | None]:
    """Augmented images of one size, and their soft targets if there are any."""
    items = []
    for place, (image, draw) in enumerate(zip(images, draws, strict=True)):
        item = Item(Evidence("", image), targets[place] if targets else None)
        items.append(pad(augmentation.apply(item, draw), height, width))
    soft = [item.target for item in items if item.target is not None]
    stacked = torch.stack([item.evidence.image for item in items])
    return stacked, stack_targets(soft, classes) if soft else None


def _pinned(value: Any) -> Any:
    """Tensors, in tuples and lists, in pinned memory."""
    if isinstance(value, Tensor):
        return value.pin_memory()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_pinned, value))
    return type(value)(map(_pinned, value)) if isinstance(value, tuple | list) else value


def unaugmented(
    drawn: Sequence[Drawn], augmentation: Augmentation, pseudo: int, **settings: Any
) -> Unaugmented:
    """A batch that is augmented later; all but the images, and soft targets, is augmented now.

    Args:
        drawn: the images.
        augmentation: that has drawn.
        pseudo: of the images, so many at the end are pseudo-labelled.
        settings: further ones of `collate`.
    """
    draws = [each.draw for each in drawn]
    own = len(drawn) - pseudo
    items = [each.item for each in drawn]
    targets = _soft(items[:own])
    pseudo_targets = _soft(items[own:])
    later = [bool(targets)] * own + [bool(pseudo_targets)] * pseudo
    now = [
        augmentation.apply(_without_pixels(item, soft), draw._replace(colours=()))
        for item, soft, draw in zip(items, later, draws, strict=True)
    ]
    return Unaugmented(
        collate(now, pseudo=pseudo, **settings),
        draws,
        packed([item.evidence.image for item in items]),
        packed(targets),
        packed(pseudo_targets),
    )


def _soft(items: Sequence[Item]) -> list[Tensor]:
    """The targets of images that all have one, if any of them is soft: then all become so."""
    targets = [item.target for item in items if item.target is not None]
    if len(targets) < len(items) or all(target.ndim == 2 for target in targets):
        return []
    return targets


def _without_pixels(item: Item, soft: bool) -> Item:
    """An item whose image, and soft target, have no channels: their size is left."""
    evidence = item.evidence
    size = evidence.image.shape[-2:]
    target = torch.empty(0, *size) if soft else item.target
    return item._replace(
        evidence=evidence._replace(image=evidence.image.new_empty(0, *size)), target=target
    )


# several tensors as one ---------------------------------------------------------------------------


class _Place(NamedTuple):
    """Where a tensor lies in a buffer, and how."""

    start: int
    """in bytes"""
    dtype: torch.dtype
    shape: torch.Size
    strides: tuple[int, ...]


class Packed(NamedTuple):
    """Some tensors in one: it is one file that loader processes share, and one copy to a device,
    however many images a batch has."""

    buffer: Tensor
    """uint8"""
    places: list[_Place]

    def unpacked(self, buffer: Tensor) -> list[Tensor]:
        """The tensors in a copy of the buffer, which lie in memory as they did."""
        return [
            buffer.view(dtype).as_strided(shape, strides, start // dtype.itemsize)
            for start, dtype, shape, strides in self.places
        ]


def packed(tensors: Sequence[Tensor]) -> Packed:
    """Some tensors in one."""
    places = []
    parts = []
    start = 0
    for tensor in tensors:
        order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
        if not tensor.permute(order).is_contiguous():  # with gaps in between
            tensor = tensor.contiguous()
            order = list(range(tensor.ndim))
        places.append(_Place(start, tensor.dtype, tensor.shape, tensor.stride()))
        part = tensor.permute(order).reshape(-1).view(torch.uint8)
        parts += [part, part.new_zeros(-len(part) % ALIGNED)]
        start += len(part) + len(parts[-1])
    return Packed(torch.cat(parts) if parts else torch.zeros(0, dtype=torch.uint8), places)
