"""Evidence simulated from a full mask: for drawn pictures and for experiments on known masks.

A pixel of class 255 is unknown: no evidence is made of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from weakseg.data.simulate.strokes import AROUND, USUAL, distance_inside, draws_of, stroke
from weakseg.evidence import IGNORE, Instances

LARGE = 0.1  # more than this share of the image makes a class large
MOST_OBJECTS = 254  # of one image: the numbers 1 to 254


def tags_of(truth: Tensor, classes: int) -> Tensor:
    """Which classes the mask shows, background included: bool [C].

    >>> tags_of(torch.tensor([[0, 2, 255]], dtype=torch.uint8), 4).tolist()
    [True, False, True, False]
    """
    return _counts(truth, classes) > 0


def large_of(truth: Tensor, classes: int) -> Tensor:
    """Which classes cover more than a tenth of the image: bool [C]."""
    return _counts(truth, classes) > LARGE * truth.numel()


def boxes_of(instances: Tensor, classes_of_instance: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Tight boxes around the visible pixels of every object: float [N,4] (x1 y1 x2 y2, half-open)
    and int64 [N].

    `instances` [H,W] holds 1 for the first object, 2 for the second, ...; 0 and 255 belong to none.
    Objects without a visible pixel have no box.

    >>> boxes_of(torch.tensor([[0, 1, 1], [0, 0, 1]]), [7])
    (tensor([[1., 0., 3., 2.]]), tensor([7]))
    """
    boxes = []
    labels = []
    for number, label in enumerate(classes_of_instance, 1):
        rows, columns = torch.nonzero(instances == number, as_tuple=True)
        if len(rows) and number != IGNORE:
            boxes.append(
                [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
            )
            labels.append(label)
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), torch.tensor(
        labels, dtype=torch.int64
    )


def instances_of(instances: Tensor, classes_of_instance: Sequence[int]) -> Instances:
    """The same boxes, each with the visible pixels of its object.

    >>> instances_of(torch.tensor([[0, 2, 2]]), [7, 8]).masks
    tensor([[[False,  True,  True]]])
    """
    seen = [
        number
        for number in range(1, len(classes_of_instance) + 1)
        if number != IGNORE and bool((instances == number).any())
    ]
    boxes, labels = boxes_of(instances, classes_of_instance)
    return Instances(
        boxes, labels, instances == torch.tensor(seen, dtype=torch.int64)[:, None, None]
    )


def objects_of(truth: Tensor, smallest: int = 1) -> tuple[Tensor, list[int]]:
    """Instances for a mask of classes: every connected region of a class but the background is one.

    Regions of fewer than `smallest` pixels are none, unless they are all that an image shows of a
    class: then the largest is one. Gives the number of its object for every pixel, uint8 [H,W], 0
        where there is none, and the class of each object. Of more
    than 254 the largest are taken.

    >>> objects_of(torch.tensor([[3, 0, 3], [255, 0, 1]], dtype=torch.uint8))
    (tensor([[2, 0, 3],
            [0, 0, 1]], dtype=torch.uint8), [1, 3, 3])
    """
    mask = truth.numpy()
    found: list[tuple[int, NDArray[np.intp]]] = []
    for label in np.unique(mask[(mask != 0) & (mask != IGNORE)]):
        regions, _ = ndimage.label(mask == label, AROUND)
        sizes = np.bincount(regions.ravel())[1:]
        kept = np.flatnonzero(sizes >= min(smallest, sizes.max())) + 1
        found += [(int(label), np.flatnonzero(regions == number)) for number in kept]
    largest = sorted(range(len(found)), key=lambda place: -len(found[place][1]))[:MOST_OBJECTS]
    objects = np.zeros(mask.shape, np.uint8)
    chosen = [found[place] for place in sorted(largest)]
    for number, (_, pixels) in enumerate(chosen, 1):
        objects.flat[pixels] = number
    return torch.from_numpy(objects), [label for label, _ in chosen]


def loosen_boxes(
    boxes: Tensor, height: int, width: int, loose: float, rng: np.random.Generator
) -> Tensor:
    """Boxes as a hurried person draws them: every edge is off by itself, by a normally distributed
    share of the box's side.

    `loose` is the standard deviation, and no edge is off by more than three of them. Edges lie on
    whole pixels and inside the image, and a box keeps at least one pixel.
    """
    if not loose or not len(boxes):
        return boxes
    tight = boxes.double().numpy()
    sides = np.tile(tight[:, 2:] - tight[:, :2], 2)
    edges = np.rint(tight + loose * sides * np.clip(rng.standard_normal(tight.shape), -3, 3))
    # edges may have passed each other
    low = np.minimum(edges[:, :2], edges[:, 2:])
    high = np.maximum(edges[:, :2], edges[:, 2:])
    size = np.array([width, height])
    low = np.clip(low, 0, size - 1)
    return torch.from_numpy(np.concatenate([low, np.clip(high, low + 1, size)], 1)).to(boxes.dtype)


def points_of(
    truth: Tensor,
    instances: Tensor,
    rng: np.random.Generator,
    background: int = 4,
    each: int = 1,
    spread: float = 0.5,
) -> Tensor:
    """Marks of `each` clicks inside every object and a few on the background: uint8 [H,W], 255
    elsewhere.

    A click falls well inside, where a person would aim: at least half as deep as the object's
    deepest pixel. `spread` changes that: 0 for the very deepest pixels, 1 for anywhere inside. More
    clicks are added to those of a smaller number.
    """
    mask = truth.numpy()
    objects = instances.numpy()
    marks = np.full(mask.shape, IGNORE, np.uint8)
    known = mask != IGNORE
    numbers = np.unique(objects[known & (objects != 0) & (objects != IGNORE)])
    for number in numbers:
        _click(marks, mask, (objects == number) & known, rng, spread)
    for _ in range(background):
        _click(marks, mask, (mask == 0) & (marks == IGNORE), rng, spread)
    (more,) = rng.spawn(1)
    for _ in range(each - 1):
        for number in numbers:
            _click(marks, mask, (objects == number) & known & (marks == IGNORE), more, spread)
    return torch.from_numpy(marks)


def scribbles_of(
    truth: Tensor,
    rng: np.random.Generator,
    width: int = 3,
    smallest: int = 50,
    length: float = USUAL,
    jitter: float = 0.0,
    background: bool = True,
) -> Tensor:
    """Marks of one winding stroke through every connected region, background included: uint8 [H,W],
    255 elsewhere.

    A stroke is `width` pixels wide where its region is and never leaves it; regions of fewer than
    `smallest` pixels get none. It takes the share `length` of the region's long way, on average,
    and shorter strokes are parts of longer ones. With `jitter` it swings to its sides, over that
    share of the free width of the region there.
    """
    if width < 1:
        raise ValueError(f"the width of a scribble should be at least 1 pixel, but it is {width}")
    mask = truth.numpy()
    marks = np.full(mask.shape, IGNORE, np.uint8)
    for label in np.unique(mask[mask != IGNORE]):
        regions, _ = ndimage.label(mask == label, AROUND)
        sizes = np.bincount(regions.ravel())
        for number, window in enumerate(ndimage.find_objects(regions), 1):
            if sizes[number] >= smallest:
                region = regions[window] == number
                draws = draws_of(region, rng)
                if background or label != 0:
                    marks[window][stroke(region, draws, width, length, jitter)] = label
    return torch.from_numpy(marks)


def _counts(truth: Tensor, classes: int) -> Tensor:
    # picking out the known pixels first would take ten times as long
    counts = torch.bincount(truth.flatten(), minlength=IGNORE + 1)
    if len(strange := counts[classes:IGNORE].nonzero()):
        raise ValueError(
            f"the mask shows class {classes + int(strange.max())}, but there are {classes} "
            f"classes, 0 to {classes - 1}"
        )
    return counts[:classes]


def _click(
    marks: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    region: NDArray[np.bool_],
    rng: np.random.Generator,
    spread: float,
) -> None:
    if not region.any():
        return
    window = ndimage.find_objects(region.astype(np.uint8))[0]  # nothing outside of it is nearer
    depth = distance_inside(region[window])
    deepest = float(depth.max())
    # a background is so deep in the middle that half of that would leave only one spot
    enough = min((1 - spread) * deepest, 3 * (1 - spread) / spread) if spread else deepest
    place = tuple(rng.choice(np.argwhere(region[window] & (depth >= enough))))
    marks[window][place] = mask[window][place]
