"""Dense CRF of Krähenbühl and Koltun (NIPS 2011): labels move to the edges of the photo.

Every pair of pixels is pulled towards one label, strongly if they are near (smoothness) or near and
alike in colour (bilateral).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import inf, isfinite
from typing import Annotated, Literal, overload

import torch
from annotated_types import Ge, Gt, Le, Lt, doc
from torch import Tensor

from weakseg.functional.colour import colour_unit
from weakseg.functional.crf import meanfield, scaled
from weakseg.functional.crf import meanfield_compiled as compiled
from weakseg.functional.crf import pydensecrf as original
from weakseg.functional.crf.kernels import Kernel
from weakseg.functional.crf.meanfield import Normalization
from weakseg.functional.describing import described
from weakseg.utils import memory
from weakseg.utils.lengths import Share, in_pixels
from weakseg.utils.limits import Count, check_limits

# bytes that benchmarks/crf.py finds to be taken by compiled code
_PER_PIXEL = 180
_PER_LABEL = 25
_LEAST_REACH = 1e-3
# half precision softmax is this rough; a factor common to a pixel's labels changes nothing
_SUM_TOLERANCE = 1e-2


Weight = Annotated[float, Ge(0), Lt(inf), doc("0 switches this kernel off")]
Deviation = Annotated[float, Ge(_LEAST_REACH), Lt(inf), doc("a standard deviation")]
Reach = Annotated[float, Ge(_LEAST_REACH), Lt(inf), doc("a standard deviation")] | Share
Scale = Annotated[float, doc("a part of the resolution"), Gt(0), Le(1)]


@dataclass(frozen=True)
class DenseCRF:
    """Strengths and reaches of the dense CRF. The defaults are those of DeepLab v2, whose 67 pixels
    are 13 % of the long side of its images.

    In a grey image a step of colour counts once, not three times, as `functional.colour` has it,
    and a share as the reach of like colours is divided by the root of 3.

    >>> DenseCRF(bilateral_rgb=5).bilateral_xy
    Share(of=0.13)
    """

    smooth_weight: Weight = 3.0
    """how strongly near pixels pull each other towards one label, whatever their colours; 0
    switches it off"""
    smooth_xy: Reach = Share(0.002)
    """how near: the standard deviation in pixels, or as a share of the image's long side, which is
    one pixel at least"""
    bilateral_weight: Weight = 4.0
    """how strongly pixels of similar colour pull each other; 0 switches it off"""
    bilateral_xy: Reach = Share(0.13)
    """how near those are: the standard deviation, likewise"""
    bilateral_rgb: Deviation = 3.0
    """how similar: the standard deviation in steps of colour, of which there are 256"""
    iterations: Count = 10
    normalization: Normalization = "symmetric"
    """symmetric as in pydensecrf, or after (the filtering) as in the code of 2011 that DeepLab
    used; results differ"""
    backend: Literal["weakseg", "pydensecrf"] = "weakseg"
    """who computes: weakseg itself, or the authors' C++ code in the package pydensecrf2, to
    reproduce old results"""
    scale: Scale = 1.0
    """resolution of the computation: 0.5 halves image, probabilities and reaches and enlarges the
    result, about three times as fast; some pixels at borders get other labels"""

    def __post_init__(self) -> None:
        check_limits(self, "{} of the dense CRF")

    def kernels_on(self, image: Tensor) -> tuple[Kernel, ...]:
        """The kernels that are not switched off, in pixels and steps of colour of an image
        [3,H,W]."""
        height, width = image.shape[1:]
        unit = colour_unit(image)
        far = self.bilateral_xy
        if isinstance(far, Share):
            # one channel tells objects apart less well than three: pixels of like brightness
            # further away are as likely to be of another one
            far = Share(far.of / unit)
        near, far = (in_pixels(xy, height, width, least=1) for xy in (self.smooth_xy, far))
        smooth = Kernel(self.smooth_weight, near, None)
        bilateral = Kernel(self.bilateral_weight, far, self.bilateral_rgb * unit)
        return tuple(kernel for kernel in (smooth, bilateral) if kernel.strength)


DEEPLAB_V2 = DenseCRF()


@overload
def dense_crf(image: Tensor, probs: Tensor, crf: DenseCRF = ...) -> Tensor: ...
@overload
def dense_crf(
    image: Sequence[Tensor], probs: Sequence[Tensor], crf: DenseCRF = ...
) -> list[Tensor]: ...
def dense_crf(
    image: Tensor | Sequence[Tensor], probs: Tensor | Sequence[Tensor], crf: DenseCRF = DEEPLAB_V2
) -> Tensor | list[Tensor]:
    """Refine the probabilities of an image's pixels: image uint8 [3,H,W] in true colours, probs
    float [C,H,W], the result likewise.

    Many images, of any sizes, may be given as a list with a list of their probs; the result is a
    list then. On a CPU they are shared by as many threads as `torch.get_num_threads()` says, on a
    GPU they are one computation.

    A label that is impossible at every pixel is left out of the computation, which saves time, and
    comes back impossible.
    """
    if not isinstance(crf, DenseCRF):
        raise TypeError(f"crf should be a DenseCRF, but it is {type(crf).__name__}")
    if isinstance(image, Tensor) and isinstance(probs, Tensor):
        return _refine([image], [probs], crf)[0]
    if (
        isinstance(image, Tensor)
        or isinstance(probs, Tensor)
        or not (isinstance(image, Sequence) and isinstance(probs, Sequence))
    ):
        came = f"{type(image).__name__} and {type(probs).__name__}"
        raise TypeError(
            f"image and probs should be two torch.Tensor or two lists of them, but they are {came}"
        )
    if wrong := [type(one).__name__ for one in [*image, *probs] if not isinstance(one, Tensor)]:
        raise TypeError(
            f"image and probs should be lists of torch.Tensor, but there is a {wrong[0]} in them"
        )
    if len(image) != len(probs):
        raise ValueError(
            f"image and probs should be lists of the same length, but have {len(image)} and "
            f"{len(probs)} tensors"
        )
    return _refine(image, probs, crf)


def _refine(images: Sequence[Tensor], probs: Sequence[Tensor], crf: DenseCRF) -> list[Tensor]:
    for both in zip(images, probs, strict=True):
        _check(*both)
    exact = [
        each.detach() if each.dtype == torch.float64 else each.detach().float() for each in probs
    ]
    kernels = [crf.kernels_on(image) for image in images]
    if crf.scale == 1:
        return _marginals(images, exact, kernels, crf)
    small = _marginals(
        [scaled.image(image, crf.scale) for image in images],
        [scaled.probabilities(each, crf.scale) for each in exact],
        [scaled.kernels(each, crf.scale) for each in kernels],
        crf,
    )
    strength = crf.smooth_weight + crf.bilateral_weight
    return [
        scaled.enlarged(marginals, each, strength)
        for marginals, each in zip(small, exact, strict=True)
    ]


def _marginals(
    images: Sequence[Tensor],
    probs: Sequence[Tensor],
    kernels: Sequence[Sequence[Kernel]],
    crf: DenseCRF,
) -> list[Tensor]:
    """At the resolution of these images."""
    if crf.backend == "pydensecrf":
        return [
            original.refine(image, prior, own, crf.normalization, crf.iterations)
            for image, prior, own in zip(images, probs, kernels, strict=True)
        ]
    threads = min(torch.get_num_threads(), len(images))
    for image, prior in zip(images, probs, strict=True):
        _check_memory(image, prior, threads)
    refined = _compiled(images, probs, kernels, crf, threads)
    rest = [i for i, done in enumerate(refined) if done is None]
    for own in dict.fromkeys(tuple(kernels[i]) for i in rest):  # those of one size go together
        places = [i for i in rest if kernels[i] == own]
        others = [images[i] for i in places], [probs[i] for i in places]
        found = meanfield.refine(*others, own, crf.normalization, crf.iterations)
        for i, done in zip(places, found, strict=True):
            refined[i] = done
    return [done for done in refined if done is not None]


def _compiled(
    images: Sequence[Tensor],
    probs: Sequence[Tensor],
    kernels: Sequence[Sequence[Kernel]],
    crf: DenseCRF,
    threads: int,
) -> list[Tensor | None]:
    """None for what is on a GPU, in double precision or otherwise nothing for compiled code."""
    refine = partial(
        compiled.refine,
        symmetric=crf.normalization == "symmetric",
        iterations=crf.iterations,
    )
    if threads < 2:
        return list(map(refine, images, probs, kernels))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(refine, images, probs, kernels))


def _check(image: Tensor, probs: Tensor) -> None:
    """Stop at what cannot be meant."""
    if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != 3 or image.numel() == 0:
        raise ValueError(
            f"image should be uint8 [3,H,W], but it is {described(image)}: give the colours as "
            "they are in the file, 0 to 255, neither scaled nor normalised"
        )
    if (
        not probs.is_floating_point()
        or probs.ndim != 3
        or len(probs) == 0
        or probs.shape[1:] != image.shape[1:]
    ):
        size = ",".join(map(str, image.shape[1:]))
        raise ValueError(
            f"probs should be float [C,{size}], the size of the image, but it is "
            f"{described(probs)}: give one probability per class and pixel, at the image's own "
            "resolution"
        )
    if image.device != probs.device:
        raise ValueError(
            f"image and probs should be on the same device, but they are on {image.device} and "
            f"{probs.device}: move one"
        )
    lowest, highest = probs.aminmax()
    low = lowest.item()
    high = highest.item()
    if low < 0 or not isfinite(high):  # the maximum of numbers and a NaN is NaN
        raise ValueError(
            f"probs should be numbers from 0 to 1, but they go from {low:g} to {high:g}: give the "
            "softmax of the logits"
        )
    off = (
        (probs.sum(0, dtype=torch.float64 if probs.dtype == torch.float64 else torch.float32) - 1)
        .abs()
        .amax()
        .item()
    )
    if off > _SUM_TOLERANCE:
        raise ValueError(
            "probs should sum to 1 over the classes of each pixel, but are off by up to "
            f"{off:.3g}: divide them by their sum"
        )


def _check_memory(image: Tensor, probs: Tensor, together: int) -> None:
    """Stop before the machine kills the process: an error can be read."""
    height, width = image.shape[1:]
    labels = int((probs.flatten(1).amax(1) > 0).sum())
    if image.device.type == "cpu" and probs.dtype == torch.float32:
        needed = height * width * (_PER_PIXEL + _PER_LABEL * labels) * together
    else:
        needed = height * width * (meanfield.LATTICE + labels) * meanfield.COPIES * probs.itemsize
    free = memory.free(image.device)
    if free is not None and needed > free:
        raise MemoryError(
            f"probs of {labels} possible labels at {width} x {height} pixels take about "
            f"{needed / 1e9:.1f} GB{f', {together} images at once' if together > 1 else ''}, but "
            f"{free / 1e9:.1f} GB are free: set the probabilities of unlikely labels to 0 "
            "everywhere and divide by the sum, or compute at a part of the resolution, scale=0.5"
        )
