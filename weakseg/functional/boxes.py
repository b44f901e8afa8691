"""Boxes on the pixel grid: who lies in one, their cores, and what they say about each pixel's
class.

Boxes are float [N,4], x1 y1 x2 y2 in pixel edges; 0 0 W H is the whole image. Pixel (row i, column
j) lies in a box if its centre (j + .5, i + .5) does, where the left and upper edge belong to the
box and the right and lower edge do not. What is left of a box in the image but holds no centre,
because it is thinner than a pixel, holds the one pixel around its middle.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Unary = Literal["wssl_code", "wssl_paper"]

_EPSILON = 1e-12  # what the released code of WSSL gives to the impossible
_MARGIN = 0.05  # it ends the erosion this much above the requested share
_BIAS = 0.1  # and raises the core of the k-th largest box by k times this


def pixel_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """The pixels of each box as int64 [N,4]: first column, first row, and the ends past the last.
    All zero outside of the image.

    >>> pixel_boxes(torch.tensor([[0.4, 0.6, 2.5, 2.6], [1.1, 0.0, 1.2, 9.0]]), height=3, width=4)
    tensor([[0, 1, 2, 3],
            [1, 0, 2, 3]])
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes should be float [N,4], but it is {list(boxes.shape)}")
    # a copy for which nobody waits
    size = torch.tensor([width, height]).to(boxes.device, non_blocking=True)
    first = boxes.double()[:, :2]
    last = boxes.double()[:, 2:]
    start = (first - 0.5).ceil().clamp(min=0).minimum(size)
    end = (last - 0.5).ceil().clamp(min=0).minimum(size)
    visible_first = first.clamp(min=0)
    visible_last = last.minimum(size)
    middle = ((visible_first + visible_last) / 2).floor().clamp(min=0).minimum(size - 1)
    thin = end <= start
    start = torch.where(thin, middle, start)
    end = torch.where(thin, middle + 1, end)
    overlaps = (visible_first < visible_last).all(1, keepdim=True)
    return torch.cat([start, end], 1).where(overlaps, 0).long()


def fill_boxes(boxes: Tensor, box_classes: Tensor, height: int, width: int) -> Tensor:
    """Each pixel's class, uint8 [H,W], by the smallest box that it lies in; background (0) outside
    of all boxes.

    The size of a box is its whole area, also where it sticks out of the image. Of two equal ones
    the later in the list is on top.

    >>> fill_boxes(
    ...     torch.tensor([[1.0, 0, 3, 2], [0, 0, 4, 2]]), torch.tensor([7, 5]), height=2, width=4
    ... )
    tensor([[5, 7, 7, 5],
            [5, 7, 7, 5]], dtype=torch.uint8)
    """
    labels = torch.zeros(height, width, dtype=torch.uint8, device=boxes.device)
    order = largest_first(boxes, box_classes)
    for (x1, y1, x2, y2), label in zip(
        pixel_boxes(boxes, height, width)[order].tolist(), box_classes[order].tolist(), strict=True
    ):
        labels[y1:y2, x1:x2] = label
    return labels


def largest_first(boxes: Tensor, box_classes: Tensor) -> Tensor:
    """Indices of the boxes from the largest to the smallest; equal ones in the order of the
    list."""
    if box_classes.shape != boxes.shape[:1]:
        raise ValueError(
            f"box_classes should be int64 [{len(boxes)}], one class per box, but it is "
            f"{list(box_classes.shape)}"
        )
    x1, y1, x2, y2 = boxes.double().unbind(1)
    return ((x2 - x1) * (y2 - y1)).argsort(descending=True, stable=True)


def box_core(
    boxes: Tensor, height: int, width: int, share: float = 0.2, margin: float = _MARGIN
) -> Tensor:
    """The middle of each box, which surely shows the object: int64 [N,4] of pixels as in
    `pixel_boxes`.

    As in the released code of WSSL: pixels on the rim of the image are taken off. Of what remains
    every side loses a pixel again and again, at least once, until less than share + margin of the
    area is left. A box of fewer than 121 pixels, or with a side shorter than 10, is all core, and
    so is every box where the share is 1. A core is never empty.
    """
    if not 0 < share <= 1:
        raise ValueError(
            "share should be more than 0 and at most 1, the part of a box that is its core, but "
            f"it is {share}"
        )
    pixels = pixel_boxes(boxes, height, width)
    sides = pixels[:, 2:] - pixels[:, :2]
    small = (sides.prod(1) < 121) | (sides < 10).any(1)
    # a rectangle eroded by 3x3 squares is a rectangle, so the erosion is arithmetic on its edges
    rim = pixels.new_tensor([1, 1, width - 1, height - 1])
    inner = torch.cat([pixels[:, :2].maximum(rim[:2]), pixels[:, 2:].minimum(rim[2:])], 1)
    steps = _erosions(inner[:, 2:] - inner[:, :2], share + margin)[:, None]
    core = torch.cat([inner[:, :2] + steps, inner[:, 2:] - steps], 1)
    return pixels if share == 1 else core.where(~small[:, None], pixels)


def _erosions(sides: Tensor, below: float) -> Tensor:
    """How many pixels to take off every side of rectangles [N,2] until less than a part of the area
    is left: int64 [N]."""
    most = ((sides.amin(1) - 1) // 2).clamp(min=0)
    steps = torch.arange(1, int(most.max()) + 1 if len(most) else 1, device=sides.device)
    left = (sides[:, None] - 2 * steps[:, None]).clamp(min=0).prod(2).double()
    # the area only falls, so this counts the steps that do not suffice
    too_much = (left / sides.prod(1, keepdim=True) >= below).sum(1)
    return (too_much + 1).minimum(most)


def box_unary(
    boxes: Tensor,
    box_classes: Tensor,
    classes: int,
    height: int,
    width: int,
    unary: Unary = "wssl_code",
    share: float = 0.2,
) -> Tensor:
    """What the boxes say about every pixel: probabilities float [C,H,W], to be refined by a dense
    CRF.

    `wssl_code` is what the released code of WSSL does: in the core of a box its class is likelier
    than background (.75 to .25, plus a bias that grows from the largest box to the smallest),
    around the core both are alike, and elsewhere is background. `wssl_paper` is what the paper
    says: a core surely shows the class (the smallest box wins), outside of all boxes surely is
        background, and around the cores background and the classes of the boxes there are alike.
    """
    if unary not in ("wssl_code", "wssl_paper"):
        raise ValueError(f"unary should be wssl_code or wssl_paper, but it is {unary!r}")
    if len(box_classes) and not 0 < int(box_classes.min()) <= int(box_classes.max()) < classes:
        raise ValueError(
            f"box_classes should lie from 1 to {classes - 1}, but it has "
            f"{sorted(set(box_classes.tolist()))}"
        )
    order = largest_first(boxes, box_classes)
    outer = pixel_boxes(boxes, height, width)[order].tolist()
    inner = box_core(boxes, height, width, share, _MARGIN if unary == "wssl_code" else 0.0)[
        order
    ].tolist()
    # those in the image
    rectangles = [
        row for row in zip(box_classes[order].tolist(), outer, inner, strict=True) if any(row[1])
    ]
    empty = torch.zeros(classes, height, width, device=boxes.device)
    scores = (
        _code_scores(empty, rectangles)
        if unary == "wssl_code"
        else _paper_scores(empty, rectangles)
    )
    return scores / scores.sum(0)


Rectangles = list[tuple[int, list[int], list[int]]]
"""per box, largest first: its class, its pixels, the pixels of its core"""


def _code_scores(scores: Tensor, rectangles: Rectangles) -> Tensor:
    votes = torch.zeros_like(scores)
    for number, (label, (x1, y1, x2, y2), core) in enumerate(rectangles, 1):
        for voted, score in ((label, 0.5), (0, 0.5)):
            scores[voted, y1:y2, x1:x2] += score
            votes[voted, y1:y2, x1:x2] += 1
        x1, y1, x2, y2 = core
        # the source means to raise overlapping boxes only, but its test holds for every box
        scores[label, y1:y2, x1:x2] += 0.25 + _BIAS * number
        scores[0, y1:y2, x1:x2] -= 0.25
    outside = votes[0] == 0
    scores[0, outside] = 1
    return (scores / votes.clamp(min=1)).clamp(min=_EPSILON)


def _paper_scores(scores: Tensor, rectangles: Rectangles) -> Tensor:
    scores[0] = 1
    for label, (x1, y1, x2, y2), _ in rectangles:
        scores[label, y1:y2, x1:x2] = 1
    for label, _, (x1, y1, x2, y2) in rectangles:
        scores[:, y1:y2, x1:x2] = 0
        scores[label, y1:y2, x1:x2] = 1
    return scores.clamp(min=_EPSILON)
