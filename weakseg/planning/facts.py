"""What plans depend on: the sizes of images and of what is annotated in them, how many there are,
what can be measured, and the machine."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.data.files.entries import Entry
from weakseg.data.files.photos import Photos
from weakseg.data.formats.base import FormatError, Shape
from weakseg.data.formats.images import image_size, read_mask
from weakseg.evidence import IGNORE, Evidence
from weakseg.planning.class_areas import Areas, of_evidence, of_mask, of_shapes
from weakseg.training.memory_budget import HEAVIEST, device_of, memory_of
from weakseg.utils.progress import track
from weakseg.utils.remote_path import is_remote

LOOKED_AT = 200  # images, spread over the data set, whose headers and annotation are read
WHOLE = 40  # of a data set without files, so many are read
# pixels of masks that are read at most, which takes some seconds
MOST_PIXELS = 60e6
# parts of a mask that are smaller, as a share of the image, are specks and no objects
SPECK = 1e-4


class Machine(NamedTuple):
    """Where a network is trained."""

    device: str = "cpu"
    """cpu or cuda"""
    memory: float = 8e9
    """of one device, in bytes: all of it, as what is free differs from moment to moment"""
    cores: int = 1
    devices: int = 1
    """that share each step"""

    @property
    def gpu(self) -> bool:
        """Whether it has one."""
        return self.device != "cpu"


@dataclass(frozen=True)
class Facts:
    """What the rules know."""

    images: int
    """that are trained on as the data set itself splits them"""
    annotated: int
    """those, and the ones that it holds out itself because nobody says which"""
    sizes: tuple[tuple[int, int], ...]
    """width and height of some images, as their files have them"""
    objects: tuple[float, ...] = ()
    """sides of some annotated objects (of the square with the area of the box around them), as
    shares of their image's long side"""
    shown: Mapping[str, float] = field(default_factory=dict)
    """in which share of the images a class is annotated, of those that were looked at"""
    areas: tuple[Areas, ...] = ()
    """which share of an image each class covers, of those where what is learned from tells it"""
    evidence: str | None = "boxes"
    """what is annotated; None for a mixture"""
    masked: int = 0
    """images whose truth is known"""
    learns_masks: bool = False
    """whether masks are among what is trained on"""
    split: bool = True
    """whether it is known which images are held out"""
    remote: bool = False
    """whether images are at a URL"""
    pretrained: bool = False
    """whether the run starts from the weights of another one"""
    at_hand: Mapping[str | None, str] = field(default_factory=dict)
    """by encoder (None for a network without a choice): how its ImageNet weights came here"""
    has_body: bool = True
    """whether the network tells its body from its head"""
    has_stages: bool = True
    """whether the network has intermediate features of its encoder"""
    names: Mapping[str, str] = field(default_factory=dict)
    """of what the sections of the recipe name"""
    bytes_per_pixel: float = HEAVIEST
    """of a batch, in training"""
    machine: Machine = field(default_factory=Machine)

    @property
    def longest(self) -> int:
        """The longer side of the largest image."""
        return max(max(size) for size in self.sizes)


def machine_of(settings: Mapping[str, Any]) -> Machine:
    """The machine, as a trainer with these settings uses it."""
    device, _ = device_of(settings)
    memory = memory_of(device)
    wanted = settings.get("devices", "auto")
    devices = wanted if isinstance(wanted, int) and wanted > 0 else 1
    if not isinstance(wanted, int) or wanted < 1:
        devices = torch.cuda.device_count() if device == "cuda" else 1
    if isinstance(wanted, list):
        devices = len(wanted)
    nodes = settings.get("num_nodes", 1)
    total = Machine().memory if memory is None else float(memory.total)
    return Machine(device, total, os.cpu_count() or 1, max(1, devices) * max(1, nodes))


def facts_of(data: WeakData, machine: Machine, names: Mapping[str, str]) -> Facts:
    """The facts of a data set as it is without a plan.

    Args:
        data: the data set.
        machine: that trains on it.
        names: of what the sections of the recipe name.
    """
    looked_at = list(_looked_at(data))
    if not looked_at:
        raise ValueError("no image can be read, so nothing can be planned")
    shown = Counter(name for one in looked_at for name in one.classes)
    evidence = getattr(data, "evidence", None)
    decides = getattr(data, "own_split", False) or getattr(data, "bare", False)
    split = decides or not data.default_split
    held_out = 0 if split else len(data.validation)
    return Facts(
        images=max(1, len(data.training)),
        annotated=len(data.training) + held_out,
        sizes=tuple(one.size for one in looked_at),
        objects=tuple(side for one in looked_at for side in one.objects),
        shown={name: count / len(looked_at) for name, count in shown.items()},
        areas=tuple(one.areas for one in looked_at if one.areas is not None),
        evidence=evidence,
        masked=_masked(data),
        learns_masks=_learns_masks(data),
        split=split,
        remote=isinstance(data, Photos) and is_remote(data.entries[0].image),
        names=names,
        machine=machine,
    )


class _Look(NamedTuple):
    """What was found of one image."""

    size: tuple[int, int]
    objects: Sequence[float] = ()
    classes: frozenset[str] = frozenset()
    areas: Areas | None = None
    """None where nothing tells them"""


def _looked_at(data: WeakData) -> Iterator[_Look]:
    if isinstance(data, Photos):
        chosen = spread(_usable(data), LOOKED_AT)
        yield from _looked_at_files(data, chosen)
        return
    chosen = spread(_usable(data), WHOLE)
    for index in track(chosen, len(chosen), "looking at images", delay=1):
        try:
            evidence, truth = data.corrected(index)
        except Exception:  # of a data set of somebody's own; told when the image is read
            continue
        yield _look_of(evidence, truth, data.classes)


def _look_of(evidence: Evidence, truth: Tensor | None, classes: Sequence[str]) -> _Look:
    height, width = evidence.image.shape[-2:]
    objects: list[float] = []
    labels: list[int] = []
    if evidence.boxes is not None and evidence.box_classes is not None:
        extents = (evidence.boxes[:, 2:] - evidence.boxes[:, :2]).tolist()
        objects = [_side(across, down, (width, height)) for across, down in extents]
        labels = evidence.box_classes.tolist()
    elif truth is not None:
        objects, labels = objects_of(truth)
    shown = frozenset(classes[label] for label in labels if label < len(classes))
    return _Look((width, height), objects, shown, of_evidence(evidence, classes))


def _usable(data: WeakData) -> Sequence[int]:
    """The annotated images; all, where nothing is annotated yet."""
    return annotated(data) or range(len(data))


def annotated(data: WeakData) -> Sequence[int]:
    """The images that are trained on. Of a folder without masks those, too, that would be held out,
    which are annotated alike: how many is to be planned yet."""
    if isinstance(data, Photos) and not data.masked:
        return sorted({*data.training, *data.validation})
    return data.training


def spread(indices: Sequence[int], most: int) -> list[int]:
    """So many of the indices at most, at even distances."""
    if len(indices) <= most:
        return list(indices)
    return [indices[place * len(indices) // most] for place in range(most)]


def _looked_at_files(data: Photos, chosen: Sequence[int]) -> Iterator[_Look]:
    left = MOST_PIXELS
    for index in track(chosen, len(chosen), "looking at images", delay=1):
        entry = data.entries[index]
        try:
            size = image_size(entry.image)
        except (FormatError, OSError, ValueError):  # told when the image is read
            continue
        shapes = _shapes(data, entry)
        objects = [
            _side(*_extent(shape), size) for shape in shapes if shape.kind in ("box", "polygon")
        ]
        classes = {data.naming.rename.get(shape.name, shape.name) or "" for shape in shapes}
        areas = _areas(data, shapes, size)
        learned = data.evidence == "masks"
        if entry.mask is not None and (learned or not objects) and left > 0:
            left -= max(size[0] * size[1], MOST_PIXELS / LOOKED_AT)
            mask = _mask(data, entry)
            objects, labels = objects_of(mask)
            names = [
                data.mask_names[label] if label < len(data.mask_names) else None for label in labels
            ]
            classes |= {name for name in names if name is not None}
            areas = of_mask(mask, data.mask_names) if learned else areas
        yield _Look(size, objects, frozenset(classes & set(data.classes[1:])), areas)


def _areas(data: Photos, shapes: Sequence[Shape], size: tuple[int, int]) -> Areas | None:
    """Of the shapes that are learned from, by the names that they have here."""
    used = None if data.evidence is None else data.kinds_of[data.evidence]
    learned = [shape for shape in shapes if used is None or shape.kind in used]
    if not any(shape.kind in ("box", "polygon") for shape in learned):
        return None
    areas: Areas = {}
    for name, area in of_shapes(learned, size).items():
        known = data.naming.rename.get(name, name)
        if known in data.classes[1:]:
            areas[known] = areas.get(known, 0.0) + area
    return areas


def _shapes(data: Photos, entry: Entry) -> Sequence[Shape]:
    if entry.read is None or data.simulated:
        return ()
    try:
        return entry.read([]).shapes
    except (FormatError, OSError, ValueError):
        return ()


def _mask(data: Photos, entry: Entry) -> Tensor:
    """The numbers of the classes [H,W]; nothing where they cannot be read, which is told later."""
    try:
        values = read_mask(entry.mask, data.colours)  # type: ignore[arg-type]
    except (FormatError, OSError, ValueError, TypeError):
        return torch.full((1, 1), IGNORE, dtype=torch.uint8)
    return torch.as_tensor(values)


def _extent(shape: Shape) -> tuple[float, float]:
    points = np.concatenate(shape.parts) if shape.parts else np.zeros((1, 2))
    width, height = points.max(0) - points.min(0)
    return float(width), float(height)


def _side(width: float, height: float, size: tuple[int, int]) -> float:
    return float(np.sqrt(max(0.0, width) * max(0.0, height)) / max(size))


def objects_of(truth: Tensor) -> tuple[list[float], list[int]]:
    """The sides of the objects in a mask, and the classes that it shows but for the background.

    An object is a connected part of one class.
    """
    step = max(1, max(truth.shape) // 256)
    values = np.asarray(truth)[::step, ::step]
    labels = [int(label) for label in np.unique(values) if label not in (0, IGNORE)]
    sides: list[float] = []
    for label in labels:
        numbered, _ = ndimage.label(values == label)
        for place, part in enumerate(ndimage.find_objects(numbered), 1):
            height, width = numbered[part].shape
            if (numbered[part] == place).sum() >= SPECK * values.size:
                sides.append(_side(width, height, (values.shape[1], values.shape[0])))
    return sides, labels


def _masked(data: WeakData) -> int:
    """How many images can be measured on, of those that are annotated."""
    if not isinstance(data, Photos):
        return len(data.validation)
    if data.whole:
        return len(data.entries)
    return data.with_masks


def _learns_masks(data: WeakData) -> bool:
    kind = getattr(data, "evidence", None)
    kinds = data.kinds if isinstance(data, Photos) and kind is None else None
    of_files = bool({"mask", "polygon"} & set(kinds or ()))
    return kind == "masks" or of_files or bool(getattr(data, "mask_share", 0))
