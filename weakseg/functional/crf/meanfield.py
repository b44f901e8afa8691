"""Mean field of the dense CRF in tensors: on any device, in any precision, for many images at once.

`meanfield_compiled` does the same for one image on a CPU, several times faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.functional.crf.kernels import Kernel, LRUCache, content, features
from weakseg.functional.crf.permutohedral import Lattice, lattice

Normalization = Literal["symmetric", "after"]
Filter = Callable[[Tensor], Tensor]
"""Filters float [N,C]: every row becomes a weighted sum of all rows."""

# a probability below this counts as this; products with it must not become denormal numbers, which
# are slow
LEAST = 1e-20
# numbers that are worked on at once: for each pixel, its labels and some LATTICE for its places on
# the lattices
_TOGETHER = 2**26
LATTICE = 20
COPIES = 9  # numbers kept for each of these at the peak, as measured
_recent = LRUCache(2**29)


def refine(
    images: Sequence[Tensor],
    probs: Sequence[Tensor],
    kernels: Sequence[Kernel],
    normalization: Normalization,
    iterations: int,
) -> list[Tensor]:
    """Marginals float [C,H,W] of images uint8 [3,H,W], of any sizes, from probabilities float
    [C,H,W]."""
    refined: list[Tensor] = []
    first = 0
    while first < len(images):
        last = first + 1
        size = _size(probs[first])
        while last < len(images) and size + _size(probs[last]) <= _TOGETHER:
            last, size = last + 1, size + _size(probs[last])
        refined += _together(
            images[first:last], probs[first:last], kernels, normalization, iterations
        )
        first = last
    return refined


def _size(probs: Tensor) -> int:
    return (len(probs) + LATTICE) * probs[0].numel()


def mean_field(
    unary: Tensor, filters: Sequence[Filter], weights: Sequence[float], iterations: int
) -> Tensor:
    """Marginals float [N,C] of a CRF from energies float [N,C] (minus log probabilities) and the
    filters of its kernels.

    With `normalize` around a kernel that is written out as a matrix this works for any small
    problem.
    """
    marginals = _softmax(-unary)
    for _ in range(iterations):
        energy = -unary
        for filtered, weight in zip(filters, weights, strict=True):
            energy = energy.add(filtered(marginals), alpha=weight)
        marginals = _softmax(energy)
    return marginals


def normalize(kernel: Filter, ones: Tensor, how: Normalization) -> Filter:
    """The same kernel, normalised by its row sums. `ones` [N,1] says how many points there are, in
    which dtype."""
    return partial(_normalized, kernel, _share(kernel, ones), how)


def _share(kernel: Filter, ones: Tensor) -> Tensor:
    return 1 / (kernel(ones) + 1e-20)


def _normalized(kernel: Filter, share: Tensor, how: Normalization, values: Tensor) -> Tensor:
    if how == "after":
        return share * kernel(values)
    root = share.sqrt()
    return root * kernel(root * values)


def _together(
    images: Sequence[Tensor],
    probs: Sequence[Tensor],
    kernels: Sequence[Kernel],
    normalization: Normalization,
    iterations: int,
) -> list[Tensor]:
    """A label that is impossible in one image, but not in others, has an infinite energy in it."""
    labels = max(map(len, probs))
    flat = torch.cat([F.pad(one.flatten(1), (0, 0, 0, labels - len(one))) for one in probs], 1)
    sizes = [image[0].numel() for image in images]
    possible = torch.stack([(part > 0).any(1) for part in torch.split(flat, sizes, 1)], 1)
    used = possible.any(1)
    impossible = ~possible[used].repeat_interleave(torch.tensor(sizes, device=used.device), 1)
    unary = -flat[used].clamp(min=LEAST).log().masked_fill(impossible, -torch.inf).T.contiguous()
    filters = [_filter(images, kernel, normalization, unary.dtype) for kernel in kernels]
    marginals = mean_field(unary, filters, [kernel.strength for kernel in kernels], iterations)
    result = torch.zeros_like(flat)
    result[used] = marginals.T
    parts = torch.split(result, sizes, 1)
    return [
        part[: len(one)].reshape(one.shape).to(one.dtype)
        for part, one in zip(parts, probs, strict=True)
    ]


def _filter(
    images: Sequence[Tensor], kernel: Kernel, normalization: Normalization, dtype: torch.dtype
) -> Filter:
    """The normalised filter over the pixels of all images, each image by itself."""
    key = (kernel.xy, kernel.rgb, dtype, images[0].device)
    seen = tuple(
        image.shape[1:] if kernel.rgb is None else (image.shape[1:], content(image))
        for image in images
    )
    found, share = _recent.get((key, seen), partial(_prepare, images, kernel, dtype))
    return partial(_normalized, found.filter, share, normalization)


def _prepare(
    images: Sequence[Tensor], kernel: Kernel, dtype: torch.dtype
) -> tuple[Lattice, Tensor]:
    points = torch.cat([features(image, kernel, dtype) for image in images], 1).T
    sizes = torch.tensor([image[0].numel() for image in images], device=points.device)
    groups = (
        torch.arange(len(images), device=points.device).repeat_interleave(sizes)
        if len(images) > 1
        else None
    )
    found = lattice(points, groups)
    return found, _share(found.filter, points.new_ones(len(points), 1))


def _softmax(scores: Tensor) -> Tensor:
    """Softmax over the labels of each point; few labels are several times faster with the points
    innermost."""
    return (
        scores.softmax(1)
        if scores.shape[1] > 6
        else scores.T.contiguous().softmax(0).T.contiguous()
    )
