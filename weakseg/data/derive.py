"""Evidence made from a full mask, as a person would have given it: for drawn pictures and for experiments on known masks.

A pixel of class 255 is unknown: nothing here ever speaks of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.graph import MCP_Geometric
from torch import Tensor

from weakseg.evidence import IGNORE, Instances

LARGE = 0.1  # more than this share of the image makes a class large
AROUND = np.ones((3, 3), bool)  # pixels that touch at a corner belong together


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
    """Tight boxes around the visible pixels of every object: float [N,4] (x1 y1 x2 y2, half-open) and int64 [N].

    `instances` [H,W] holds 1 for the first object, 2 for the second, ...; 0 and 255 belong to none. Objects without a
    visible pixel have no box.

    >>> boxes_of(torch.tensor([[0, 1, 1], [0, 0, 1]]), [7])
    (tensor([[1., 0., 3., 2.]]), tensor([7]))
    """
    boxes, labels = [], []
    for number, label in enumerate(classes_of_instance, 1):
        rows, columns = torch.nonzero(instances == number, as_tuple=True)
        if len(rows) and number != IGNORE:
            boxes.append([int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1])
            labels.append(label)
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), torch.tensor(labels, dtype=torch.int64)


def instances_of(instances: Tensor, classes_of_instance: Sequence[int]) -> Instances:
    """The same boxes, each with the visible pixels of its object.

    >>> instances_of(torch.tensor([[0, 2, 2]]), [7, 8]).masks
    tensor([[[False,  True,  True]]])
    """
    seen = [number for number in range(1, len(classes_of_instance) + 1) if number != IGNORE and bool((instances == number).any())]
    boxes, labels = boxes_of(instances, classes_of_instance)
    return Instances(boxes, labels, instances == torch.tensor(seen, dtype=torch.int64)[:, None, None])


def points_of(truth: Tensor, instances: Tensor, rng: np.random.Generator, background: int = 4) -> Tensor:
    """Marks of one click inside every object and a few on the background: uint8 [H,W], 255 elsewhere.

    A click falls well inside, where a person would aim: at least half as deep as the object's deepest pixel.
    """
    mask, objects = truth.numpy(), instances.numpy()
    marks = np.full(mask.shape, IGNORE, np.uint8)
    known = mask != IGNORE
    for number in np.unique(objects[known & (objects != 0) & (objects != IGNORE)]):
        _click(marks, mask, (objects == number) & known, rng)
    for _ in range(background):
        _click(marks, mask, (mask == 0) & (marks == IGNORE), rng)
    return torch.from_numpy(marks)


def scribbles_of(truth: Tensor, rng: np.random.Generator, width: int = 3, smallest: int = 50) -> Tensor:
    """Marks of one winding stroke through every connected region, background included: uint8 [H,W], 255 elsewhere.

    A stroke is `width` pixels wide where its region is and never leaves it; regions of fewer than `smallest` pixels get none.
    """
    if width < 1:
        raise ValueError(f"the width of a scribble should be at least 1 pixel, but it is {width}")
    mask = truth.numpy()
    marks = np.full(mask.shape, IGNORE, np.uint8)
    for label in np.unique(mask[mask != IGNORE]):
        regions, _ = ndimage.label(mask == label, AROUND)
        for number, window in enumerate(ndimage.find_objects(regions), 1):
            region = regions[window] == number
            if region.sum() >= smallest:
                marks[window][_stroke(region, rng, width)] = label
    return torch.from_numpy(marks)


def _counts(truth: Tensor, classes: int) -> Tensor:
    values = truth[truth != IGNORE].long()
    if len(values) and int(values.max()) >= classes:
        raise ValueError(f"the mask shows class {int(values.max())}, but there are {classes} classes, 0 to {classes - 1}")
    return torch.bincount(values, minlength=classes)


def _depth(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance of every pixel of the region to the nearest pixel outside; outside the picture is outside."""
    depth: NDArray[np.float64] = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    return depth


def _click(marks: NDArray[np.uint8], mask: NDArray[np.uint8], region: NDArray[np.bool_], rng: np.random.Generator) -> None:
    if not region.any():
        return
    depth = _depth(region)
    # a background is so deep in the middle that half of that would leave only one spot
    enough = min(0.5 * depth.max(), 3.0)
    place = tuple(rng.choice(np.argwhere(region & (depth >= enough))))
    marks[place] = mask[place]


def _stroke(region: NDArray[np.bool_], rng: np.random.Generator, width: int) -> NDArray[np.bool_]:
    """The way between two far ends of a region along its middle, with detours, shortened a little at both ends."""
    hills = ndimage.gaussian_filter(rng.random(region.shape), 3)
    hills = (hills - hills.min()) / max(float(np.ptp(hills)), 1e-9)
    cost = np.where(region, 0.3 + 2 * hills + 4 / np.maximum(_depth(region), 1), -1)  # a negative cost is a wall
    finder = MCP_Geometric(cost)
    end = tuple(rng.choice(np.argwhere(region)))
    for _ in range(2):  # the farthest place from anywhere is one end, the farthest from there the other
        reached, _ = finder.find_costs([end])
        end = np.unravel_index(np.argmax(np.where(region & np.isfinite(reached), reached, -1)), region.shape)
    path = np.array(finder.traceback(end))
    first, last = (int(share * len(path)) for share in rng.uniform((0.05, 0.8), (0.2, 0.95)))
    line = np.zeros(region.shape, bool)
    line[tuple(path[first : max(last, first + 1)].T)] = True
    thick: NDArray[np.bool_] = ndimage.binary_dilation(line, np.ones((width, width), bool))
    return thick & region
