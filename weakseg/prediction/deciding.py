"""From class probabilities to the label of every pixel at the image's own size, with little of that
size in memory: the many planes of the classes exist for a few rows at a time only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# numbers of all classes together that are worked on at once: what the cache of a core holds, and
# what is worth a call of a GPU
_STRIP = 2**17
_STRIP_OF_GPU = 2**24


class Decision(NamedTuple):
    """What is decided of one image, still on the device of the network."""

    labels: Tensor
    """uint8 [H,W]: the likeliest class of each pixel"""
    confidence: Tensor
    """a number: the mean over the pixels of the probability of their class"""
    probs: Tensor | None
    """float16 [C,H,W], if they are to be kept"""
    sure: Tensor | None = None
    """uint8 [H,W], the probability of each label as 0 to 255, if it is to be kept"""


@torch.no_grad()
def decide(
    scores: Tensor,
    size: tuple[int, int],
    keep: bool = False,
    keep_sure: bool = False,
    logits: bool = False,
) -> Decision:
    """The labels of one image of this height and width.

    Args:
        scores: probabilities, or logits, float [C,h,w], of the image as the network was given it,
            which may be smaller.
        size: of the image itself.
        keep: whether the probabilities at that size are returned, too.
        keep_sure: whether those of the labels alone are.
        logits: whether the scores are logits.
    """
    device = scores.device
    labels = torch.empty(size, dtype=torch.uint8, device=device)
    kept = torch.empty((len(scores), *size), dtype=torch.float16, device=device) if keep else None
    sure = torch.empty_like(labels) if keep_sure else None
    # in double precision, in which millions of pixels can be summed
    total = torch.zeros((), dtype=torch.float64, device=_summing(device))
    for rows, strip in _strips(scores, size, logits):
        likeliest, found = strip.max(0)
        labels[rows] = found.to(torch.uint8)
        total += likeliest.sum(dtype=torch.float64).to(total.device)
        if kept is not None:
            kept[:, rows] = strip.half()
        if sure is not None:
            sure[rows] = (likeliest.float() * 255).round().to(torch.uint8)
    return Decision(labels, total / labels.numel(), kept, sure)


def _summing(device: torch.device) -> torch.device:
    """Apple's GPUs have no double precision."""
    return torch.device("cpu") if device.type == "mps" else device


def _strips(scores: Tensor, size: tuple[int, int], logits: bool) -> Iterator[tuple[slice, Tensor]]:
    """Rows of the image, and the probabilities of them, [C,rows,W]."""
    height, width = size
    same = scores.shape[1:] == size
    if logits and not same:
        scores = scores.softmax(0)  # it is the probabilities that are interpolated
    most = _STRIP if scores.device.type == "cpu" else _STRIP_OF_GPU
    rows = max(1, most // (len(scores) * width))
    for top in range(0, height, rows):
        here = slice(top, min(top + rows, height))
        if same:
            yield here, scores[:, here].softmax(0) if logits else scores[:, here]
        else:
            yield here, _enlarged(scores, size, here)


def _enlarged(probs: Tensor, size: tuple[int, int], rows: slice) -> Tensor:
    """The given rows of the probabilities at another size: what bilinear interpolation makes of
    all, without the others."""
    height = probs.shape[1]
    places = torch.arange(rows.start, rows.stop, device=probs.device, dtype=torch.float32)
    # the middles of the pixels, seen from those of the smaller image
    places = ((places + 0.5) * (height / size[0]) - 0.5).clamp(min=0, max=height - 1)
    above = places.floor().long()
    below = (above + 1).clamp(max=height - 1)
    share = (places - above)[:, None]
    between = torch.lerp(probs[:, above], probs[:, below], share)
    if between.shape[-1] == size[1]:
        return between
    return F.interpolate(between[None], between.shape[1:2] + size[1:], mode="bilinear")[0]
