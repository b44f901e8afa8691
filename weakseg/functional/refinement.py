"""Refinement of scores by an image's colours: a pixel takes over the scores of those around it that
look like it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.functional.describing import described

DILATIONS = (1, 2, 4, 8, 12, 24)

_FLAT = 1e-8  # colour steps: keeps 0/0 out of surroundings of one colour
_SHARPNESS = 10.0  # an affinity falls by e for each tenth of the standard deviation


@torch.no_grad()
def pixel_adaptive(
    images: Tensor,
    scores: Tensor,
    *,
    dilations: Sequence[int] = DILATIONS,
    iterations: int = 10,
    valid: Tensor | None = None,
) -> Tensor:
    """Scores float [B,C,H,W], moved to where the colours change: images uint8 or float [B,3,H,W] of
    the same size.

    Pixel-adaptive mask refinement (PAMR) of Araslanov and Roth ("Single-Stage Semantic Segmentation
    from Image Labels", CVPR 2020). A pixel's neighbours are the eight around it in 3x3 windows at
    several dilations. Each weighs exp(-10 d), normalised to sum 1, where d is the difference of its
    colour in standard deviations of the colours in all windows, the mean over red, green and blue.
    In every iteration the scores of a pixel become the weighted mean of its neighbours'. So
    constant scores stay, and probabilities still sum to 1.

    Differs from the released code: neighbours beyond the edge, or where `valid` (bool [B,H,W]) is
    False, do not count, while the code repeats the pixels of the edge. An image thereby gives the
    same result with and without padding. What is not valid comes back as is. Half precision is
    computed in float32. Nothing here has a gradient.

    >>> image = torch.tensor([0, 0, 0, 255, 255], dtype=torch.uint8).expand(1, 3, 1, 5)
    >>> scores = torch.tensor([[[[0.9, 0.3, 0.0, 0.0, 0.0]]]])
    >>> pixel_adaptive(image, scores, dilations=[1, 2]).round(decimals=2)
    tensor([[[[0.4000, 0.4000, 0.4000, 0.0000, 0.0000]]]])
    """
    _check(images, scores, dilations, iterations, valid)
    exact = scores.to(torch.promote_types(scores.dtype, torch.float32))
    inside = torch.ones_like(images[:, :1], dtype=torch.bool) if valid is None else valid[:, None]
    weights = _weights(images.to(exact.dtype), inside, dilations)
    lonely = weights.sum(0) == 0
    refined = torch.where(inside, exact, 0)
    for _ in range(iterations):
        moved = torch.zeros_like(refined)
        for weight, neighbour in zip(weights, _neighbours(refined, dilations), strict=True):
            moved.addcmul_(weight, neighbour)
        refined = torch.where(lonely, refined, moved)
    return torch.where(inside, refined, exact)


@torch.no_grad()
def confident(
    probs: Tensor,
    tags: Tensor,
    *,
    foreground: float = 0.6,
    background: float = 0.7,
    lowest: float = 0.2,
    valid: Tensor | None = None,
) -> Tensor:
    """Labels int64 [B,H,W] where probabilities, float [B,C,H,W], are sure, and 255 elsewhere: tags
    are bool [B,C], background included.

    A pixel is sure of a class of the tags whose probability is above `lowest` and above a share,
    `background` or `foreground`, of the most that this class reaches in this image: so a class that
    is weak everywhere teaches, too (Araslanov and Roth, CVPR 2020). A pixel that is sure of two
    classes is 255. So are pixels where `valid`, bool [B,H,W], is False, and images without tags.

    >>> probs = torch.tensor([[[[0.9, 0.5, 0.5]], [[0.1, 0.5, 0.2]]]])
    >>> confident(probs, torch.tensor([[True, True]]))
    tensor([[[  0,   1, 255]]])
    """
    if valid is not None:
        probs = probs.masked_fill(~valid[:, None], 0)
    share = torch.full_like(probs[0, :, 0, 0], foreground)
    share[0] = background
    bar = (probs.amax((2, 3)) * share).clamp(min=lowest)
    sure = (probs > bar[:, :, None, None]) & tags[:, :, None, None]
    return sure.byte().max(1).indices.masked_fill(sure.sum(1) != 1, IGNORE)


def _weights(colours: Tensor, inside: Tensor, dilations: Sequence[int]) -> Tensor:
    """How much of each neighbour a pixel takes over: float [P,B,1,H,W], of sum 1 over the P
    neighbours, or 0 where none counts."""
    around = list(_neighbours(inside, dilations))
    # each window has the pixel itself, too
    count = torch.stack([here.to(colours.dtype) for here in around]).sum(0) + len(dilations)
    total = torch.zeros_like(colours)
    squares = torch.zeros_like(colours)
    for here, neighbour in zip(around, _neighbours(colours, dilations), strict=True):
        gap = (neighbour - colours) * here
        total += gap
        squares.addcmul_(gap, gap)
    deviation = ((squares - total.square() / count).clamp(min=0) / (count - 1).clamp(min=1)).sqrt()
    scale = _SHARPNESS / (deviation + _FLAT * _SHARPNESS)
    gaps = [
        ((neighbour - colours).abs() * scale).mean(1, keepdim=True)
        for neighbour in _neighbours(colours, dilations)
    ]
    away = torch.stack(
        [gap.masked_fill(~here, torch.inf) for gap, here in zip(gaps, around, strict=True)]
    )
    return (-away).softmax(0).nan_to_num(0)  # no neighbour counts: 0/0


def _neighbours(values: Tensor, dilations: Sequence[int]) -> Iterator[Tensor]:
    """The values [B,K,H,W] as seen from each pixel's neighbours, one after the other; 0 beyond the
    edge."""
    height, width = values.shape[-2:]
    most = max(dilations)
    padded = F.pad(values, (most, most, most, most))
    for dilation, down, right in product(dilations, (-1, 0, 1), (-1, 0, 1)):
        if down or right:
            top = most + down * dilation
            left = most + right * dilation
            yield padded[..., top : top + height, left : left + width]


def _check(
    images: Tensor, scores: Tensor, dilations: Sequence[int], iterations: int, valid: Tensor | None
) -> None:
    if scores.ndim != 4 or not scores.is_floating_point():
        raise ValueError(f"scores should be float [B,C,H,W], but it is {described(scores)}")
    size = [len(scores), 3, *scores.shape[2:]]
    if list(images.shape) != size or images.dtype == torch.bool:
        raise ValueError(
            f"images should be colours {size}, of the size of the scores, but it is "
            f"{described(images)}: scale one of the two"
        )
    if valid is not None and (valid.dtype != torch.bool or valid.shape != scores[:, 0].shape):
        raise ValueError(
            f"valid should be bool {list(scores[:, 0].shape)}, the size of the scores, but it is "
            f"{described(valid)}"
        )
    if not dilations or not all(
        isinstance(dilation, int) and dilation >= 1 for dilation in dilations
    ):
        raise ValueError(
            "dilations should be at least one whole number, each 1 or more, but they are "
            f"{dilations!r}"
        )
    if iterations < 0:
        raise ValueError(f"iterations should be 0 or more, but it is {iterations}")
