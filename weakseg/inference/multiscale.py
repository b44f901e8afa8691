"""Inference: class probabilities of images by multi-scale and flip averaging, sliding windows and a
dense CRF."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, isfinite
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le, doc
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from weakseg.functional.crf import DenseCRF, dense_crf
from weakseg.utils.limits import check_limits

# windows that are one batch: enough for a GPU to be busy, few enough to be small beside a large
# image
_BATCH = 4
_MOST_OVERLAP = 0.9


@dataclass(frozen=True)
class Inference:
    """How a trained network predicts an image. With nothing set, once, the whole image.

    Estimation in rounds and the pictures of dashboards do not use this: there the network is run
    once, whatever stands here.

    >>> Inference(
    ...     scales=(0.75, 1, 1.25), flip=True, window=513, crf=DenseCRF(bilateral_rgb=5)
    ... ).window
    513
    """

    scales: tuple[float, ...] = (1.0,)
    """the image is resized by each of these factors, 1 being its own size, and the probabilities
    are averaged"""
    flip: bool = False
    """the mirror image is predicted too, which takes twice as long"""
    window: (
        Annotated[int, doc("a number of pixels"), Ge(1), doc("or null for whole images")] | None
    ) = None
    """side in pixels of the largest part that the network is given at once, after scaling; null for
    whole images. With it, memory is bounded for images of any size; take the crop of the training,
    or more. Rounds, dashboards and reports predict whole images all the same, and so does
    validation, unless `validation` is set"""
    overlap: Annotated[float, doc("a part of a window's side"), Ge(0), Le(_MOST_OVERLAP)] = 0.25
    """the part of a window's side that its neighbour covers too, at least; there both are
    blended"""
    crf: DenseCRF | None = None
    """the dense CRF that refines the probabilities at the end; null for none. It has the whole
    image in memory: with 21 classes, 0.7 kB per pixel"""
    validation: bool = False
    """whether val/miou is measured with all of this, which costs its time at each validation;
    otherwise the network is run once"""

    def __post_init__(self) -> None:
        if not self.scales or not all(isfinite(scale) and scale > 0 for scale in self.scales):
            raise ValueError(
                "scales should be one or more numbers above 0, such as 0.75,1,1.25, but it is "
                f"{list(self.scales)}"
            )
        check_limits(self)


class Strip(NamedTuple):
    """Where a window lies along one side of the image, and how much it counts at each of its
    pixels."""

    place: slice
    weights: Tensor
    """float32; those of all strips sum to 1 at every pixel of the side"""


@torch.no_grad()
def infer(image: Tensor, network: Callable[[Tensor], Tensor], inference: Inference) -> Tensor:
    """Probabilities float32 [C,H,W] on the CPU of one image uint8 [3,H,W].

    Args:
        network: logits float [B,C,h,w] of images uint8 [B,3,h,w], at their resolution, on whatever
            device.

    The image is cut into windows before it is scaled, so that only the result is ever as large as
    the image.
    """
    return infer_batch(image[None], network, inference, torch.device("cpu"))[0]


@torch.no_grad()
def infer_batch(
    images: Tensor,
    network: Callable[[Tensor], Tensor],
    inference: Inference,
    device: torch.device | None = None,
) -> Tensor:
    """The same of several images uint8 [B,3,H,W] at once: probabilities float32 [B,C,H,W].

    Args:
        device: on which the result is; None for that of the network. From the CRF it comes on the
            CPU.
    """
    total = _total(images, network, inference, device)
    if inference.crf is None:
        return total
    return torch.stack(
        [refine(image, probs, inference.crf) for image, probs in zip(images, total, strict=True)]
    )


def refine(image: Tensor, probs: Tensor, crf: DenseCRF) -> Tensor:
    """The probabilities [C,H,W] of an image after a dense CRF, on the CPU. Bad numbers, which a CRF
    would refuse, are for whoever called to judge."""
    probs = probs.cpu()
    return dense_crf(image.cpu(), probs, crf) if bool(probs.isfinite().all()) else probs


def _total(
    images: Tensor,
    network: Callable[[Tensor], Tensor],
    inference: Inference,
    device: torch.device | None,
) -> Tensor:
    """The sum over all scales, windows and mirror images, each as far as it counts."""
    total: Tensor | None = None
    share = 1 / (len(inference.scales) * (1 + inference.flip))
    for scale in inference.scales:
        windows = list(_windows(images, scale, inference))
        for part in _batches(windows, max(1, _BATCH // len(images))):
            cut = torch.cat([images[..., down.place, across.place] for down, across in part])
            probs = _predict(cut, network, scale, inference.flip).to(device)
            if len(windows) == len(inference.scales) == 1:
                return probs if share == 1 else probs.mul_(share)  # there is nothing to add
            if total is None:
                size = (len(images), probs.shape[1], *images.shape[-2:])
                total = torch.zeros(size, device=probs.device)
            for each, (down, across) in zip(probs.chunk(len(part)), part, strict=True):
                weights = down.weights[:, None] * across.weights * share
                total[..., down.place, across.place] += each * weights.to(each.device)
    assert total is not None
    return total


def strips(length: int, window: int, overlap: float) -> list[Strip]:
    """Windows that cover a side of so many pixels, evenly spread; a window counts most in its
    middle.

    >>> for strip in strips(6, 4, 0.5):
    ...     print(strip.place, strip.weights)
    slice(0, 4, None) tensor([1.0000, 1.0000, 0.8536, 0.1464])
    slice(2, 6, None) tensor([0.1464, 0.8536, 1.0000, 1.0000])
    """
    window = min(window, length)
    step = max(1, int(window * (1 - overlap)))
    count = 1 + ceil((length - window) / step)
    starts = [round(place * (length - window) / max(1, count - 1)) for place in range(count)]
    bell = torch.sin((torch.arange(window) + 0.5) * (torch.pi / window)).square()
    covered = torch.zeros(length)
    for start in starts:
        covered[start : start + window] += bell
    return [
        Strip(slice(start, start + window), bell / covered[start : start + window])
        for start in starts
    ]


def _windows(images: Tensor, scale: float, inference: Inference) -> Iterator[tuple[Strip, Strip]]:
    """Strips down and across of every window that has the wanted size after scaling."""
    height, width = images.shape[-2:]
    side = max(height, width) if inference.window is None else max(1, int(inference.window / scale))
    yield from product(
        strips(height, side, inference.overlap), strips(width, side, inference.overlap)
    )


def _batches(
    windows: Sequence[tuple[Strip, Strip]], size: int
) -> Iterator[Sequence[tuple[Strip, Strip]]]:
    for start in range(0, len(windows), size):
        yield windows[start : start + size]


def _predict(
    images: Tensor, network: Callable[[Tensor], Tensor], scale: float, flip: bool
) -> Tensor:
    """Probabilities float32 [B,C,h,w] of images uint8 [B,3,h,w], predicted at a scale; with their
    mirror images, the sum of both."""
    height, width = images.shape[-2:]
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    seen = images if size == [height, width] else resize(images, size, antialias=True)
    probs = network(seen).float().softmax(1)
    if flip:
        probs += network(seen.flip(-1)).float().softmax(1).flip(-1)
    if size == [height, width]:
        return probs
    return F.interpolate(probs, (height, width), mode="bilinear", antialias=True)
