"""Prompts for models that draw the mask of an object when they are shown where it is: points, from
clicks and scribbles.

Points are x y in pixel edges, as boxes are: the middle of the pixel in row i and column j is
j + .5, i + .5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.measure import label, regionprops
from skimage.morphology import skeletonize
from torch import Tensor

from weakseg.evidence import IGNORE

ON_OBJECT = 1
ELSEWHERE = 0
NO_POINT = -10
"""what a point says, in the numbers of SAM: it is on the object, on something else, or there is
none, since other objects have more"""
MOST = 8  # points on one object
MOST_ELSEWHERE = 16  # points on other classes
APART = 1 / 16  # of the long side of the image


class PointPrompts(NamedTuple):
    """The points of some objects."""

    points: Tensor
    """float [N,P,2]: x y"""
    says: Tensor
    """int64 [N,P]: ON_OBJECT, ELSEWHERE or NO_POINT"""
    classes: Tensor
    """int64 [N]"""


def mark_prompts(
    marks: Tensor, most: int = MOST, elsewhere: int = MOST_ELSEWHERE, apart: float = APART
) -> PointPrompts:
    """The prompts for each connected mark of a class that is not the background: points along its
    middle, a single one for a click; and the nearest points of marks of other classes, the
    background among them.

    Marks of the same class say nothing about each other: they may be on the same object.

    Args:
        marks: uint8 [H,W], 255 where there is none.
        most: points on one mark.
        elsewhere: points on marks of other classes.
        apart: how far points on one mark are from each other at least, as a share of the image's
            long side.

    >>> mark_prompts(torch.tensor([[255, 2, 255, 0]], dtype=torch.uint8))
    PointPrompts(points=tensor([[[1.5000, 0.5000],
             [3.5000, 0.5000]]]), says=tensor([[1, 0]]), classes=tensor([2]))
    """
    found = [
        (number, places)
        for number in torch.unique(marks[marks != IGNORE]).tolist()
        for places in _components((marks == number).numpy(), most, apart)
    ]
    prompts = []
    for number, own in found:
        if number == 0:
            continue
        others = [places for other, places in found if other != number]
        prompts.append((number, own, _nearest(others, own, elsewhere)))
    count = max((len(own) + len(others) for _, own, others in prompts), default=1)
    points = torch.zeros(len(prompts), count, 2)
    says = torch.full((len(prompts), count), NO_POINT)
    for row, (_, own, nearest) in enumerate(prompts):
        both = np.concatenate([own, nearest])
        points[row, : len(both)] = torch.from_numpy(both[:, ::-1] + 0.5).float()
        says[row, : len(both)] = ELSEWHERE
        says[row, : len(own)] = ON_OBJECT
    classes = torch.tensor([number for number, _, _ in prompts], dtype=torch.int64)
    return PointPrompts(points, says, classes)


def _components(marked: NDArray[np.bool_], most: int, apart: float) -> list[NDArray[np.int64]]:
    """A few pixels, row and column, along the middle of each connected part."""
    least = apart * max(marked.shape)
    parts = []
    connected = label(marked, connectivity=2)  # type: ignore[no-untyped-call]
    for part in regionprops(connected):  # type: ignore[no-untyped-call]
        shape = np.pad(part.image, 1)  # a skeleton needs a rim
        thin = skeletonize(shape)  # type: ignore[no-untyped-call]
        middle = np.argwhere(thin) - 1 + np.array(part.bbox[:2])
        parts.append(_spread(middle, np.array(part.centroid), most, least))
    return parts


def _spread(
    pixels: NDArray[np.int64], middle: NDArray[np.float64], most: int, least: float
) -> NDArray[np.int64]:
    """So many pixels at most, the first nearest to the middle, each further one as far from those
    before as can be."""
    chosen = [int(((pixels - middle) ** 2).sum(1).argmin())]
    distance = ((pixels - pixels[chosen[0]]) ** 2).sum(1)
    while len(chosen) < most and distance.max() >= max(1.0, least**2):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, ((pixels - pixels[chosen[-1]]) ** 2).sum(1))
    return pixels[chosen]


def _nearest(
    others: list[NDArray[np.int64]], own: NDArray[np.int64], most: int
) -> NDArray[np.int64]:
    """Those of other pixels that are nearest to any of these."""
    if not others:
        return own[:0]
    pixels = np.concatenate(others)
    distance = ((pixels[:, None] - own[None]) ** 2).sum(2).min(1)
    nearest: NDArray[np.int64] = pixels[distance.argsort(kind="stable")[:most]]
    return nearest
