"""Evidence made from masks where nobody has annotated: the one place that data sets of files ask for it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from weakseg.data.derive import AROUND, boxes_of, large_of, points_of, scribbles_of, tags_of
from weakseg.evidence import IGNORE

Asked = Literal["masks", "boxes", "points", "scribbles", "tags"]


def evidence_from_mask(
    kind: Asked, truth: Tensor, instances: Tensor | None, classes_of_instance: Sequence[int], classes: int, rng: np.random.Generator
) -> dict[str, Tensor]:
    """The fields of `Evidence` that a person who is asked for one kind, and no other, would have given.

    Arguments:
        kind: masks, boxes (boxes, tags, large), points (marks and tags), scribbles (marks and tags) or tags (tags, large).
        truth: uint8 [H,W], 255 = unknown.
        instances: [H,W], 1 for the first object, 2 for the second, ...; None: every connected region of a class is an object.
        classes_of_instance: the class of each object; not used without instances.
        classes: how many there are, background included.
        rng: a stream of its own for each image.
    """
    tags = tags_of(truth, classes)
    match kind:
        case "masks":
            return {"marks": truth.clone()}
        case "tags":
            return {"tags": tags, "large": large_of(truth, classes)}
        case "scribbles":
            return {"tags": tags, "marks": scribbles_of(truth, rng)}
    if instances is None:
        instances, classes_of_instance = regions_of(truth)
    if kind == "points":
        return {"tags": tags, "marks": points_of(truth, instances, rng)}
    boxes, labels = boxes_of(instances, classes_of_instance)
    return {"tags": tags, "boxes": boxes, "box_classes": labels, "large": large_of(truth, classes)}


def regions_of(truth: Tensor) -> tuple[Tensor, list[int]]:
    """Every connected region of a class as an object: int32 [H,W], 0 for none, and the class of each.

    >>> regions_of(torch.tensor([[1, 0, 1, 2]], dtype=torch.uint8))
    (tensor([[1, 0, 2, 3]], dtype=torch.int32), [1, 1, 2])
    """
    mask, labels = truth.numpy(), list[int]()
    objects = np.zeros(mask.shape, np.int32)
    for label in np.unique(mask[(mask != 0) & (mask != IGNORE)]).tolist():
        found, count = ndimage.label(mask == label, AROUND)
        objects[found > 0] = found[found > 0] + len(labels)
        labels += [label] * count
    return torch.from_numpy(objects), labels


def stream_of(id: str, seed: int) -> np.random.Generator:
    """A random stream that an image's name and a number decide, so that other images do not change it."""
    return np.random.default_rng([seed, *hashlib.sha256(id.encode()).digest()[:8]])


def check_asked(evidence: str | None, none: bool = False) -> None:
    """A ValueError if this is no kind of evidence."""
    if evidence not in get_args(Asked) and not (none and evidence is None):
        raise ValueError(f"evidence should be one of {', '.join(get_args(Asked))}{' or null' if none else ''}, but it is {evidence}")
