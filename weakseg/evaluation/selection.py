"""Which images the page of an evaluation shows: the worst ones, and for each class and each cell of
the confusion matrix those that are meant by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, zip_longest
from typing import NamedTuple

from torch import Tensor

MOST = 60  # images with pictures in a page
WORST = 12  # of these, at least, are the worst of all
NAMED = 8  # images that are meant by a class or a cell, at most
CELLS = 400  # cells that can be clicked, at most: those with the most pixels


class Selection(NamedTuple):
    """Places of images in the list of all of them."""

    shown: list[int]
    """those with pictures, the worst first"""
    of_class: dict[int, list[int]]
    """for each class, those with the lowest IoU of it, the lowest first"""
    of_cell: dict[tuple[int, int], list[int]]
    """for each mistake, class of the truth and class predicted, those with the most such pixels,
    the most first; the mistakes with the most pixels first"""


def select(miou: Tensor, iou: Tensor, cells: Tensor, most: int = MOST) -> Selection:
    """Choose images by their figures.

    Args:
        miou: float64 [N] of each image; nan for none.
        iou: float64 [N,C], of each class in each image; nan where it is in neither truth nor
            prediction.
        cells: as in `Evaluation.cells`.
        most: how many images may be shown.

    >>> import torch
    >>> miou = torch.tensor([0.9, 0.2])
    >>> iou = torch.tensor([[0.9, 0.9], [0.4, 0.0]])
    >>> select(miou, iou, torch.tensor([[0, 1, 0, 3], [1, 1, 0, 7], [1, 0, 0, 5]]))
    Selection(shown=[1, 0], of_class={0: [1, 0], 1: [1, 0]}, of_cell={(1, 0): [1, 0]})
    """
    order = ascending(miou)
    of_class = {label: ascending(iou[:, label])[:NAMED] for label in range(iou.shape[1])}
    of_cell = _mistakes(cells)
    wanted: Iterable[int] = [
        *order[:WORST],
        *_in_turn([of_class[label] for label in ascending(iou.nanmean(0))], 2),
        *_in_turn(list(of_cell.values()), 2),
        *order,
    ]
    shown = set(islice(dict.fromkeys(wanted), most))
    known = [place for place in order if place in shown]
    return Selection(known, of_class, of_cell)


def ascending(values: Tensor) -> list[int]:
    """The places of numbers, the lowest first; without those of nan.

    >>> import torch
    >>> ascending(torch.tensor([0.5, torch.nan, 0.25]))
    [2, 0]
    """
    places: list[int] = values.argsort(stable=True).tolist()
    return [place for place in places if not bool(values[place].isnan())]


def _mistakes(cells: Tensor) -> dict[tuple[int, int], list[int]]:
    wrong = cells[cells[:, 1] != cells[:, 2]]
    wrong = wrong[wrong[:, 3].argsort(descending=True, stable=True)]
    places: dict[tuple[int, int], list[int]] = {}
    pixels: dict[tuple[int, int], int] = {}
    for place, truth, prediction, count in wrong.tolist():
        places.setdefault((truth, prediction), []).append(place)
        pixels[truth, prediction] = pixels.get((truth, prediction), 0) + count
    largest = sorted(pixels, key=lambda cell: -pixels[cell])[:CELLS]
    return {cell: places[cell][:NAMED] for cell in largest}


def _in_turn(lists: list[list[int]], depth: int) -> Iterator[int]:
    """The first of each list, then the second of each, and so on."""
    for row in islice(zip_longest(*lists), depth):
        yield from (place for place in row if place is not None)


def worst_first(scores: Tensor, most: int = MOST) -> Selection:
    """The images with the lowest scores, and then those without one (nan), where no truth tells
    more."""
    order = ascending(scores)
    rest = scores.isnan().nonzero().flatten().tolist()
    return Selection([*order, *rest][:most], {}, {})
