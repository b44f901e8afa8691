"""The augmentation of weakseg.data.transforms beside one that is made of torchvision's tv_tensors.

    python benchmarks/transforms.py                    what differs, and milliseconds per image
    python benchmarks/transforms.py --turns 31
    python benchmarks/transforms.py --photos VOC2012   what a loader takes per photograph, for
                                                       reading and for augmenting

Both are given the same random numbers. `torchvision.transforms.v2` resizes masks with "nearest",
whose cells are not centred on pixels: "centred" resizes labels as weakseg does instead. Samples are
375 x 500, with a hard target, marks, boxes and a mask for each box.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from weakseg.data.formats.images import read_image
from weakseg.data.transforms import VISIBLE, Augmentation, Item, collate
from weakseg.data.unaugmented import Drawn, unaugmented
from weakseg.evidence import IGNORE, Evidence

Augment = Callable[[Augmentation, Evidence, Tensor, torch.Generator], Item]
SETTINGS = {
    "flip": Augmentation(),
    "crop 321, flip": Augmentation(crop=321),
    "crop 513 (padded), flip": Augmentation(crop=513),
    "scale 0.5 to 1.5, crop 321, flip": Augmentation(crop=321, scale=(0.5, 1.5)),
}
OUTSIDE = {"marks": IGNORE, "target": IGNORE}
CLASSES = 5


def ours(
    settings: Augmentation, evidence: Evidence, target: Tensor, generator: torch.Generator
) -> Item:
    """What weakseg does."""
    return settings(evidence, target, generator)


def by_tv_tensors(
    settings: Augmentation,
    evidence: Evidence,
    target: Tensor,
    generator: torch.Generator,
    centred: bool = False,
) -> Item:
    """The same with tv_tensors, each of which knows how it is resized, padded, cut and mirrored."""
    draw = torch.rand(4, generator=generator).tolist()
    low, high = settings.scale
    factor = low + (high - low) * draw[0]
    sample = wrapped(evidence, target)
    height, width = evidence.image.shape[-2:]
    whole = True
    keep = None
    if factor != 1:
        size = [max(1, round(height * factor)), max(1, round(width * factor))]
        sample = {name: resized(value, size, centred) for name, value in sample.items()}
    if (crop := settings.crop) is not None:
        height, width = sample["image"].shape[-2:]
        sides = [0, 0, max(0, crop - width), max(0, crop - height)]
        if any(sides):
            sample["valid"] = tv_tensors.Mask(torch.ones(height, width, dtype=torch.uint8))
            sample = {
                name: F.pad(value, sides, fill=OUTSIDE.get(name, 0))
                for name, value in sample.items()
            }
            height, width = sample["image"].shape[-2:]
        whole = (height, width) == (crop, crop)
        top = int(draw[1] * (height - crop + 1))
        left = int(draw[2] * (width - crop + 1))
        before = areas(sample["boxes"])
        sample = {name: F.crop(value, top, left, crop, crop) for name, value in sample.items()}
        keep = areas(sample["boxes"]) > VISIBLE * before
    if settings.flip and draw[3] < 0.5:
        sample = {name: F.horizontal_flip(value) for name, value in sample.items()}
    return unwrapped(sample, evidence, keep, whole)


def wrapped(evidence: Evidence, target: Tensor) -> dict[str, Tensor]:
    """Each tensor as what it is."""
    size = tuple(evidence.image.shape[-2:])
    return {
        "image": tv_tensors.Image(evidence.image),
        "marks": tv_tensors.Mask(evidence.marks),
        "box_masks": tv_tensors.Mask(evidence.box_masks),
        "boxes": tv_tensors.BoundingBoxes(evidence.boxes, format="XYXY", canvas_size=size),
        "target": tv_tensors.Mask(target),
    }


def resized(value: Tensor, size: list[int], centred: bool) -> Tensor:
    """A tensor of another size; masks centred on pixels if asked for."""
    if not (centred and isinstance(value, tv_tensors.Mask)):
        return F.resize(value, size, antialias=True)
    plain = value.as_subclass(Tensor)
    labels = F.resize(plain.byte()[None], size, interpolation=InterpolationMode.NEAREST_EXACT)[0]
    return tv_tensors.Mask(labels.to(plain.dtype))


def unwrapped(
    sample: dict[str, Tensor], evidence: Evidence, keep: Tensor | None, whole: bool
) -> Item:
    """Plain tensors again, without boxes that the crop lost, and tags by those that are left."""
    plain = {name: value.as_subclass(Tensor) for name, value in sample.items()}
    if keep is None:
        target = plain.pop("target")
        return Item(evidence._replace(**plain), target)
    labels = evidence.box_classes[keep]
    tags = evidence.tags
    large = evidence.large
    if not whole:
        tags = torch.zeros_like(tags).index_fill(0, labels.unique(), True)
        tags[0] = evidence.tags[0]
        large = None
    masks = plain["box_masks"][keep].bool()
    seen = masks.flatten(1).any(1)
    valid = plain["valid"].bool() if "valid" in plain else None
    augmented = evidence._replace(
        image=plain["image"],
        marks=plain["marks"],
        boxes=plain["boxes"][keep][seen],
        box_classes=labels[seen],
        box_masks=masks[seen],
        tags=tags,
        large=large,
    )
    return Item(augmented, plain["target"], valid)


def areas(boxes: Tensor) -> Tensor:
    """Of boxes [N,4]."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def sample_of(seed: int, height: int = 375, width: int = 500) -> tuple[Evidence, Tensor]:
    """A random image with every kind of evidence, and a target."""
    chance = torch.Generator().manual_seed(seed)
    count = int(torch.randint(1, 6, (1,), generator=chance))
    corners = torch.rand(count, 2, generator=chance) * torch.tensor([width - 80.0, height - 80.0])
    boxes = torch.cat([corners, corners + 8 + torch.rand(count, 2, generator=chance) * 70], 1)
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = True
    marks = torch.randint(0, CLASSES, (height, width), dtype=torch.uint8, generator=chance)
    marks[torch.rand(height, width, generator=chance) > 0.02] = IGNORE
    labels = torch.randint(1, CLASSES, (count,), generator=chance)
    tags = torch.zeros(CLASSES, dtype=torch.bool).index_fill(0, labels.unique(), True)
    tags[0] = True
    evidence = Evidence(
        f"image {seed}",
        torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=chance),
        tags=tags,
        boxes=boxes,
        box_classes=labels,
        marks=marks,
        large=tags,
        box_masks=masks,
    )
    return evidence, torch.randint(0, CLASSES, (height, width), dtype=torch.uint8, generator=chance)


def differing(one: Augment, other: Augment, settings: Augmentation, count: int) -> Counter[str]:
    """In how many of the samples each field differs, bit by bit."""
    found = Counter[str]()
    for seed in range(count):
        items = [
            augment(settings, *sample_of(seed), torch.Generator().manual_seed(seed))
            for augment in (one, other)
        ]
        fields = [
            {**item.evidence._asdict(), "target": item.target, "valid": item.valid}
            for item in items
        ]
        for name, value in fields[0].items():
            if isinstance(value, Tensor) or isinstance(fields[1][name], Tensor):
                found[name] += not same(value, fields[1][name])
    return +found


def same(one: object, other: object) -> bool:
    """Whether two tensors are equal in size, type and every value."""
    both = isinstance(one, Tensor) and isinstance(other, Tensor)
    return both and one.dtype == other.dtype and torch.equal(one, other)


def milliseconds(augments: list[Augment], settings: Augmentation, turns: int) -> list[float]:
    """Per sample, medians over turns in which all take theirs."""
    samples = [sample_of(seed) for seed in range(8)]
    times: list[list[float]] = [[] for _ in augments]
    for _ in range(turns):
        for augment, own in zip(augments, times, strict=True):
            start = perf_counter()
            for seed, sample in enumerate(samples):
                augment(settings, *sample, torch.Generator().manual_seed(seed))
            own.append(1000 * (perf_counter() - start) / len(samples))
    return [median(own) for own in times]


def loading(folder: Path, turns: int, count: int) -> dict[str, float]:
    """Milliseconds of a core per photograph of a folder with a random hard target: to read it; to
    read and augment it; to read it, and leave to a device what `data.augment_on=device` leaves to
    it. Medians over turns in which each has its own."""
    files = sorted(folder.rglob("*.jpg"))
    chosen = files[:: max(1, len(files) // count)][:count]
    settings = Augmentation(321, (0.5, 2.0), colour=0.3)
    chance = torch.Generator().manual_seed(0)
    targets = {}
    for file in chosen:
        size = read_image(file).shape[-2:]
        targets[file] = torch.randint(0, CLASSES, size, dtype=torch.uint8, generator=chance)

    def on_host(item: Item) -> None:
        collate([settings.apply(item, settings.draw(chance))], CLASSES)

    def on_device(item: Item) -> None:
        unaugmented([Drawn(item, settings.draw(chance))], settings, 0, classes=CLASSES)

    works: dict[str, Callable[[Item], None]] = {
        "read": lambda item: None,
        "read, augment": on_host,
        "read, leave to the device": on_device,
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(turns):
        for name, work in works.items():
            start = process_time()
            for file, target in targets.items():
                work(Item(Evidence(file.name, read_image(file)), target))
            times[name].append(1000 * (process_time() - start) / len(chosen))
    return {name: median(own) for name, own in times.items()}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--photos", type=Path, help="a folder of .jpg files, subfolders included")
    words = parser.parse_args()
    torch.set_num_threads(1)
    if words.photos is not None:
        for name, each in loading(words.photos, words.turns, words.samples).items():
            print(f"{name}: {each:.2f} ms per photograph")
        return
    others = {"as it is": by_tv_tensors, "centred": partial(by_tv_tensors, centred=True)}
    print("| augmentation | weakseg, ms | tv_tensors, ms | differ as it is | differ centred |")
    print("|---|---|---|---|---|")
    for name, settings in SETTINGS.items():
        own, theirs = milliseconds([ours, by_tv_tensors], settings, words.turns)
        cells = [
            ", ".join(f"{field} {count}" for field, count in found.items()) or "none"
            for found in (
                differing(ours, other, settings, words.samples) for other in others.values()
            )
        ]
        print(f"| {name} | {own:.2f} | {theirs:.2f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
