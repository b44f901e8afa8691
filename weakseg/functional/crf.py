"""Dense CRF of Krähenbühl and Koltun (NIPS 2011): labels move to where the edges of the photo are.

Every pair of pixels is pulled towards one label, strongly if they are near (smoothness) or near and alike in colour (bilateral).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import torch
from torch import Tensor

from weakseg.functional.permutohedral import lattice

Normalization = Literal["symmetric", "after"]
Kernel = Callable[[Tensor], Tensor]
"""Filters float [N,C]: every row becomes a weighted sum of all rows."""

_LEAST = 1e-20  # a probability below this counts as this; products with it must not become denormal numbers, which are slow
_SUM_TOLERANCE = 1e-2  # half precision softmax is this rough; a factor common to a pixel's labels changes nothing


def _expect_number(name: str, value: float, expected: str, right: Callable[[float], bool]) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or not right(value):
        raise ValueError(f"{name} of the dense CRF should be {expected}, but it is {value!r}")


@dataclass(frozen=True)
class DenseCRF:
    """Strengths and reaches of the dense CRF. The defaults are those of DeepLab v2.

    >>> DenseCRF(bilateral_rgb=5).bilateral_xy
    67.0
    """

    smooth_weight: float = 3.0
    """how strongly near pixels pull each other towards one label, whatever their colours; 0 switches it off"""
    smooth_xy: float = 1.0
    """how near: the standard deviation in pixels"""
    bilateral_weight: float = 4.0
    """how strongly pixels of similar colour pull each other; 0 switches it off"""
    bilateral_xy: float = 67.0
    """how near those are: the standard deviation in pixels"""
    bilateral_rgb: float = 3.0
    """how similar: the standard deviation in steps of colour, of which there are 256"""
    iterations: int = 10
    normalization: Normalization = "symmetric"
    """symmetric as in pydensecrf, or after (the filtering) as in the code of 2011 that DeepLab used; results differ"""

    def __post_init__(self) -> None:
        for name in ("smooth_weight", "bilateral_weight"):
            _expect_number(name, getattr(self, name), "0 or more (0 switches this pull off)", lambda value: value >= 0)
        for name in ("smooth_xy", "bilateral_xy", "bilateral_rgb"):
            _expect_number(name, getattr(self, name), "more than 0 (it is a standard deviation)", lambda value: value > 0)
        _expect_number("iterations", self.iterations, "a whole number, 1 or more", lambda value: value >= 1 and isinstance(value, int))
        if self.normalization not in ("symmetric", "after"):
            raise ValueError(f"normalization of the dense CRF should be symmetric or after, but it is {self.normalization!r}")


DEEPLAB_V2 = DenseCRF()


def dense_crf(image: Tensor, probs: Tensor, crf: DenseCRF = DEEPLAB_V2) -> Tensor:
    """Refine the probabilities of an image's pixels: image uint8 [3,H,W] in true colours, probs float [C,H,W], the result likewise.

    A label that is impossible at every pixel is left out of the computation, which saves time, and comes back impossible.
    """
    _check(image, probs)
    exact = probs if probs.dtype == torch.float64 else probs.float()
    possible = (exact > 0).flatten(1).any(1)
    unary = -exact[possible].flatten(1).T.contiguous().clamp(min=_LEAST).log()
    kernels, weights = _kernels(image, crf, unary)
    refined = torch.zeros_like(exact)
    refined[possible] = mean_field(unary, kernels, weights, crf.iterations).T.reshape(-1, *probs.shape[1:])
    return refined


def mean_field(unary: Tensor, kernels: Sequence[Kernel], weights: Sequence[float], iterations: int) -> Tensor:
    """Marginals float [N,C] of a CRF from energies float [N,C] (minus log probabilities) and what pulls its points together.

    With `normalize` around a kernel that is written out as a matrix this works for any small problem.
    """
    marginals = _softmax(-unary)
    for _ in range(iterations):
        energy = -unary
        for kernel, weight in zip(kernels, weights, strict=True):
            energy = energy.add(kernel(marginals), alpha=weight)
        marginals = _softmax(energy)
    return marginals


def normalize(kernel: Kernel, ones: Tensor, how: Normalization) -> Kernel:
    """The same kernel, scaled by how much each point receives in all. `ones` [N,1] says how many points there are, in which dtype."""
    share = 1 / (kernel(ones) + 1e-20)
    if how == "after":
        return lambda values: share * kernel(values)
    root = share.sqrt()
    return lambda values: root * kernel(root * values)


def _kernels(image: Tensor, crf: DenseCRF, unary: Tensor) -> tuple[list[Kernel], list[float]]:
    """The two kernels of the dense CRF for an image, without those whose weight is 0."""
    height, width = image.shape[1:]
    y, x = torch.meshgrid(torch.arange(height, device=unary.device), torch.arange(width, device=unary.device), indexing="ij")
    place = torch.stack([x, y]).flatten(1).T.to(unary.dtype)
    colour = image.flatten(1).T.to(unary)
    ones = unary.new_ones(len(unary), 1)
    kernels, weights = [], []
    if crf.smooth_weight:
        kernels.append(normalize(lattice(place / crf.smooth_xy).filter, ones, crf.normalization))
        weights.append(crf.smooth_weight)
    if crf.bilateral_weight:
        features = torch.cat([place / crf.bilateral_xy, colour / crf.bilateral_rgb], 1)
        kernels.append(normalize(lattice(features).filter, ones, crf.normalization))
        weights.append(crf.bilateral_weight)
    return kernels, weights


def _softmax(scores: Tensor) -> Tensor:
    """Softmax over the labels of each point; few labels are several times faster with the points innermost."""
    return scores.softmax(1) if scores.shape[1] > 6 else scores.T.contiguous().softmax(0).T.contiguous()


def _check(image: Tensor, probs: Tensor) -> None:
    if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != 3 or image.numel() == 0:
        raise ValueError(
            f"image should be uint8 [3,H,W], but it is {_describe(image)}: give the colours as they are in the file, "
            "0 to 255, neither scaled nor normalised"
        )
    if not probs.is_floating_point() or probs.ndim != 3 or len(probs) == 0 or probs.shape[1:] != image.shape[1:]:
        size = ",".join(map(str, image.shape[1:]))
        raise ValueError(
            f"probs should be float [C,{size}], the size of the image, but it is {_describe(probs)}: give one probability "
            "per class and pixel, at the image's own resolution"
        )
    low, high, sums = probs.amin().item(), probs.amax().item(), probs.sum(0, dtype=torch.float64)
    if low < 0 or not isfinite(high):  # the maximum of numbers and a NaN is NaN
        raise ValueError(f"probs should be numbers from 0 to 1, but they go from {low:g} to {high:g}: give the softmax of the logits")
    off = (sums - 1).abs().amax().item()
    if off > _SUM_TOLERANCE:
        raise ValueError(f"probs should sum to 1 over the classes of each pixel, but are off by up to {off:.3g}: divide them by their sum")


def _describe(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
