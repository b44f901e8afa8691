"""Labels from tags: which class each pixel shows, by the scores of a network and the list of what
is in the image.

The E-steps of WSSL (Papandreou, Chen, Murphy, Yuille, ICCV 2015): every step, the scores of the
classes that the tags name are raised by a bias, and the best class of each pixel is its
label. The network then learns these labels from its own scores, without the bias. Nothing here has
a gradient, and half-precision scores are raised in float32.

The tags of an image are a list that names background (class 0) too where there is some: with one
that leaves it out, background is as absent as any other class. Tags hold for whole images; a crop
may no longer show what they name.

Where the paper and its released code differ, the code is the default. `em_fixed(logits, tags,
*BIASES["wssl_paper"])` is the paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.functional.describing import described
from weakseg.utils.devices import host_copy, on_cpu

Source = Literal["wssl_code", "wssl_paper"]

BIASES: dict[Source, tuple[float, float]] = {"wssl_code": (2.0, 1.0), "wssl_paper": (5.0, 3.0)}
"""foreground and background of `em_fixed`"""
PORTIONS: dict[Source, tuple[float, float]] = {"wssl_code": (0.2, 0.2), "wssl_paper": (0.2, 0.4)}
"""foreground and background of `em_adapt`"""


@torch.no_grad()
def em_fixed(
    logits: Tensor,
    tags: Tensor,
    foreground: float = 2,
    background: float = 1,
    valid: Tensor | None = None,
) -> Tensor:
    """Labels int64 [B,H,W], by adding a fixed bias to the classes of the tags: logits float
    [B,C,H,W], tags bool [B,C].

    2 and 1 are the defaults of the released code, 5 and 3 are those of the paper. An absent class
    is not forbidden: it wins where it leads by more than the bias. Where `valid`, bool [B,H,W], is
    False, there is no image, and the label is 255.

    >>> logits = torch.tensor(
    ...     [[[[0.0, 2.0]], [[1.5, 1.5]], [[0.0, 0.0]]]]
    ... )  # three classes at two pixels
    >>> em_fixed(logits, torch.tensor([[True, False, True]]))
    tensor([[[2, 0]]])
    """
    _check(logits, tags, valid)
    _check_bias(foreground=foreground, background=background)
    bias = torch.full(tags.shape, foreground, dtype=_precision(logits), device=tags.device)
    bias[:, 0] = background
    return _best(logits + (bias * tags)[:, :, None, None], valid)


@torch.no_grad()
def em_fixed_boxes(
    logits: Tensor,
    boxes_map: Tensor,
    foreground: float = 6,
    background: float = 5,
    valid: Tensor | None = None,
) -> Tensor:
    """Labels int64 [B,H,W], by adding fixed biases pixel by pixel: boxes_map, integers [B,H,W], has
    the class of the smallest box.

    Outside of all boxes (0) background is raised, inside of a box both its class and background, so
    that with the defaults, those of the released code, the class leads by 1. Where the map is 255
    no class is raised; where `valid` is False the label is 255.

    >>> em_fixed_boxes(torch.tensor([1.5, 0.0, 0.0]).view(1, 3, 1, 1), torch.tensor([[[2]]]))
    tensor([[[0]]])
    """
    _check(logits, None, valid)
    _check_bias(foreground=foreground, background=background)
    _check_map(boxes_map, logits)
    known = boxes_map != IGNORE
    label = boxes_map.long().where(known, 0)[:, None]
    scores = logits.to(_precision(logits), copy=True)
    scores[:, 0] = torch.where(known, scores[:, 0] + background, scores[:, 0])
    own = scores.gather(1, label)
    scores.scatter_(1, label, torch.where(label > 0, own + foreground, own))
    return _best(scores, valid)


@torch.no_grad()
def em_adapt(
    logits: Tensor,
    tags: Tensor,
    foreground: float = 0.2,
    background: float = 0.2,
    sweeps: int = 1,
    generator: torch.Generator | None = None,
    valid: Tensor | None = None,
) -> Tensor:
    """Labels int64 [B,H,W], by raising the tags' classes until each has its portion of the image:
    logits float [B,C,H,W], tags bool [B,C].

    Background is raised first, to the portion `background`, then every other class of the tags to
    `foreground`: in random order with a generator, else in the order of their numbers. A later
        class may take pixels back, which more sweeps mend in part. Only classes of the
    tags become labels, and of equal ones the lower wins. An image without tags gets the best class
    of its own scores.

    .2 and .2 are the defaults of the released code; the paper has .4 for background. A portion of N
    pixels is floor(portion * N), in float32 as there. Where `valid`, bool [B,H,W], is False, there
    is no image: such pixels do not count and their label is 255.

    >>> em_adapt(
    ...     torch.tensor([[[[3.0, 2.0, 5.0, 4.0]], [[0.0, 0.0, 0.0, 0.0]]]]),
    ...     torch.tensor([[True, True]]),
    ...     foreground=0.4,
    ... )
    tensor([[[0, 1, 0, 0]]])
    """
    # an absent class is capped at the lowest one of the tags, and those are only raised: it cannot
    # win, so it need not be looked at
    raised = _raise(logits, tags, (foreground, background), sweeps, generator, valid)
    labels = raised.classes.gather(1, raised.after.max(1).indices).view(
        len(logits), *logits.shape[2:]
    )
    return labels if valid is None else labels.masked_fill(~valid, IGNORE)


@torch.no_grad()
def em_adapt_scores(
    logits: Tensor,
    tags: Tensor,
    foreground: float = 0.2,
    background: float = 0.2,
    sweeps: int = 1,
    generator: torch.Generator | None = None,
    valid: Tensor | None = None,
    margin: float = 1e-5,
) -> Tensor:
    """The scores behind `em_adapt`, float [B,C,H,W]: those of the tags raised, those of absent
    classes capped, and all of them shifted.

    An absent class that scores above the lowest class of the tags is set to `margin` below it. The
    shift, one per image, keeps the mean of the best score of the tags as it was. An image without
    tags keeps its scores.
    """
    if not margin >= 0:
        raise ValueError(
            f"margin should be 0 or more, how far absent classes stay below, but it is {margin}"
        )
    classes, used, before, after = _raise(
        logits, tags, (foreground, background), sweeps, generator, valid
    )
    lowest = before.masked_fill(~used[:, :, None], inf).amin(1, keepdim=True)
    scores = logits.to(after.dtype).flatten(2)
    scores = torch.where(~tags[:, :, None] & (scores > lowest), lowest - margin, scores)
    images = torch.arange(len(logits), device=logits.device)[:, None]
    scores[images, classes] = torch.where(used[:, :, None], after, scores[images, classes])
    shift = _mean(before.amax(1), valid) - _mean(after.amax(1), valid)
    return (scores + shift[:, None, None].to(scores.dtype)).view(logits.shape)


class _Raised(NamedTuple):
    classes: Tensor
    """int64 [B,K]: the few classes of each image that can win, background first"""
    used: Tensor
    """bool [B,K]: False where an image has fewer than K of them"""
    before: Tensor
    """float [B,K,N]: their scores, -inf where not used"""
    after: Tensor
    """the same, raised"""


def _raise(
    logits: Tensor,
    tags: Tensor,
    portions: tuple[float, float],
    sweeps: int,
    generator: torch.Generator | None,
    valid: Tensor | None,
) -> _Raised:
    """Raise the classes of the tags one after the other, each until it has its portion of the
    pixels at that moment."""
    _check(logits, tags, valid)
    _check_portions(*portions, sweeps)
    classes, used = _listed(tags)
    images = torch.arange(len(logits), device=logits.device)
    before = (
        logits[images[:, None], classes]
        .flatten(2)
        .to(_precision(logits))
        .masked_fill(~used[:, :, None], -inf)
    )
    after = before.clone()
    top = before.amax(1)
    visited = used & tags.any(1, keepdim=True)
    # as many as the fullest list of tags has
    most = int(host_copy(tags)[:, 1:].sum(1).max())
    for visit, slot in _visits(visited, most, sweeps, generator):
        own = after[images, slot]
        bias = _smallest(top - own, portions[0] if visit else portions[1], valid)
        counts = (
            visited[images, slot]
            if valid is None
            else visited[images, slot] & valid.flatten(1).any(1)
        )
        after[images, slot] = own = own + torch.where(counts, bias, 0)[:, None]
        top = top.maximum(own)
    return _Raised(classes, used, before, after)


def _listed(tags: Tensor) -> tuple[Tensor, Tensor]:
    """Background, then the other classes of the tags by number: int64 [B,K], K as the fullest image
    needs, and which are used, bool [B,K].

    All classes are used in an image without tags.
    """
    winners = _winners(tags)
    most = int(_winners(host_copy(tags))[:, 1:].sum(1).max())
    foreground = (~winners[:, 1:]).byte().argsort(dim=1, stable=True)[:, :most] + 1
    classes = torch.cat([foreground.new_zeros(len(tags), 1), foreground], 1)
    return classes, winners.gather(1, classes)


def _winners(tags: Tensor) -> Tensor:
    """The classes that can win, bool [B,C]: those of the tags, or all."""
    return tags | ~tags.any(1, keepdim=True)


def _visits(
    visited: Tensor, most: int, sweeps: int, generator: torch.Generator | None
) -> Iterator[tuple[int, Tensor]]:
    """The number of each visit in its sweep, and which class of each image has its turn, int64 [B]:
    background first, and then so many others."""
    foreground = visited[:, 1:]
    for _ in range(sweeps):
        yield 0, torch.zeros_like(visited[:, 0], dtype=torch.int64)
        chance = torch.zeros(foreground.shape)
        if generator is not None:
            chance = torch.rand(foreground.shape, generator=generator, device=generator.device)
        order = (
            chance.to(visited.device, non_blocking=True)
            .masked_fill(~foreground, inf)
            .argsort(dim=1, stable=True)
            + 1
        )
        yield from enumerate(order[:, :most].unbind(1), 1)


def _smallest(gaps: Tensor, portion: float, valid: Tensor | None) -> Tensor:
    """Of each row of float [B,N] the gap that this portion of the valid ones lies below: float
    [B]."""
    if on_cpu(gaps):
        there = [True] * len(gaps) if valid is None else valid.flatten(1).numpy()
        rows = [row[own].ravel() for row, own in zip(gaps.numpy(), there, strict=True)]
        return torch.from_numpy(np.stack([_gap_of(row, portion) for row in rows]))
    rank = int(_rank(portion, torch.tensor(gaps.shape[1])))
    if valid is not None:
        valid = valid.flatten(1)
        # one rank serves all rows if as many padding pixels as a row's own rank is lower are put
        # before its gaps, the others after
        before = (~valid).cumsum(1) <= rank - _rank(portion, valid.sum(1, keepdim=True))
        gaps = torch.where(valid, gaps, torch.where(before, -inf, inf))
    # torch refuses kthvalue on a GPU in deterministic mode
    return gaps.sort(1).values[:, rank]


def _gap_of(gaps: NDArray[Any], portion: float) -> Any:
    """The same of one row; infinity where it has no pixel."""
    if not len(gaps):
        return np.array(inf, gaps.dtype)
    rank = int(_rank(portion, torch.tensor(len(gaps))))
    # many are 0, which take ten times as long to be put in order as numbers that differ
    least = gaps.min()
    equal = int((gaps == least).sum())
    if rank < equal:
        return least
    others = gaps[~(gaps <= least)]  # all of them where the least is no number
    return np.partition(others, rank - equal)[rank - equal]


def _rank(portion: float, pixels: Tensor) -> Tensor:
    """How many of so many pixels lie below the quantile: the source's product in float32, which for
    .29 of 100 is 29, not 28.

    A portion of 1 is the last pixel; the source reads past it.
    """
    return (pixels.float() * portion).long().minimum(pixels - 1).clamp(min=0)


def _mean(values: Tensor, valid: Tensor | None) -> Tensor:
    """The mean of the valid ones in each row of [B,N]: float64 [B], and 0 where there are none."""
    weights = torch.ones_like(values, dtype=torch.bool) if valid is None else valid.flatten(1)
    return values.double().where(weights, 0).sum(1) / weights.sum(1).clamp(min=1)


def _best(scores: Tensor, valid: Tensor | None) -> Tensor:
    # the first of equal ones, as argmax, but several times as fast on a CPU
    labels = scores.max(1).indices
    return labels if valid is None else labels.masked_fill(~valid, IGNORE)


def _precision(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)


def _check(logits: Tensor, tags: Tensor | None, valid: Tensor | None) -> None:
    if logits.ndim != 4 or not logits.is_floating_point() or not logits.numel():
        raise ValueError(
            f"logits should be float [B,C,H,W], at least one of each, but it is {described(logits)}"
        )
    images, classes, height, width = logits.shape
    if tags is not None and (tags.dtype != torch.bool or tags.shape != (images, classes)):
        raise ValueError(
            f"tags should be bool [{images},{classes}], one row per image, background first, but "
            f"it is {described(tags)}"
        )
    if valid is not None and (valid.dtype != torch.bool or valid.shape != (images, height, width)):
        raise ValueError(
            f"valid should be bool [{images},{height},{width}], the size of the logits, but it is "
            f"{described(valid)}"
        )


def _check_map(boxes_map: Tensor, logits: Tensor) -> None:
    images, classes, height, width = logits.shape
    wrong_type = boxes_map.is_floating_point() or boxes_map.dtype == torch.bool
    if wrong_type or boxes_map.shape != (images, height, width):
        raise ValueError(
            f"boxes_map should be integers [{images},{height},{width}], one class per pixel, but "
            f"it is {described(boxes_map)}"
        )
    wrong = (boxes_map < 0) | (boxes_map >= classes) & (boxes_map != IGNORE)
    if on_cpu(boxes_map) and bool(wrong.any()):  # on a GPU that would be to wait for it
        found = ", ".join(map(str, torch.unique(boxes_map[wrong]).tolist()))
        raise ValueError(
            f"boxes_map should be classes from 0 to {classes - 1} or 255, but it has {found}"
        )


def _check_bias(**biases: float) -> None:
    for name, value in biases.items():
        if not 0 <= value < inf:
            raise ValueError(
                f"{name} should be 0 or more, what is added to the score of a class, but it is "
                f"{value}"
            )


def _check_portions(foreground: float, background: float, sweeps: int) -> None:
    for name, value in (("foreground", foreground), ("background", background)):
        if not 0 <= value <= 1:
            raise ValueError(
                f"{name} should lie from 0 to 1, the portion of the image that a class is to win, "
                f"but it is {value}"
            )
    if sweeps < 1:
        raise ValueError(
            f"sweeps should be at least 1, how often each class is raised, but it is {sweeps}"
        )
