"""The dense CRF at a part of the resolution: what is made smaller before, and larger after it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.functional.crf.kernels import Kernel


def image(full: Tensor, scale: float) -> Tensor:
    """An image uint8 [3,H,W] of so many times the size: each pixel is the mean of those it covers.

    >>> image(torch.tensor([[[0, 10, 20, 40]]] * 3, dtype=torch.uint8), 0.5)[0]
    tensor([[ 5, 30]], dtype=torch.uint8)
    """
    return _shrunk(full.float(), scale).round().to(torch.uint8)


def probabilities(full: Tensor, scale: float) -> Tensor:
    """Likewise of float [C,H,W]. They still sum to 1, and labels that are impossible everywhere are
    so here."""
    return _shrunk(full, scale)


def kernels(full: Sequence[Kernel], scale: float) -> tuple[Kernel, ...]:
    """Those that have the same reach in the smaller image, but for one that reached a pixel and
    still does, as nothing is nearer. Colours are as far apart as before."""
    return tuple(kernel._replace(xy=max(kernel.xy * scale, min(1.0, kernel.xy))) for kernel in full)


def enlarged(marginals: Tensor, probs: Tensor, strength: float) -> Tensor:
    """Marginals float [C,h,w] at the size of the probabilities [C,H,W] from which they come.

    Between the middles of pixels they are interpolated. All kernels together, whose `strength` is
    the sum of their weights, add hardly more than this to a label's logarithm. So pixels that are
    surer of a label than that keep their probabilities: no object grows out of its box.
    """
    refined = F.interpolate(marginals[None], probs.shape[1:], mode="bilinear")[0]
    sure = probs.amax(0) >= torch.tensor(strength, dtype=probs.dtype).sigmoid()
    return torch.where(sure, probs, refined)


def _shrunk(values: Tensor, scale: float) -> Tensor:
    size = [max(1, round(length * scale)) for length in values.shape[1:]]
    return F.interpolate(values[None], size, mode="area")[0]
