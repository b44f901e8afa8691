"""What an image is on its way from its file to its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from weakseg.evidence import Instances
from weakseg.prediction.deciding import Decision


class Loaded(NamedTuple):
    """An image in memory."""

    name: str
    seen: Tensor
    """uint8 [3,h,w] as the network is given it"""
    size: tuple[int, int]
    """height and width of the image itself"""
    picture: Tensor | None
    """the image itself, if something is made of it later"""
    seconds: float

    @property
    def weight(self) -> int:
        """Bytes in memory."""
        return _bytes(self.seen, self.picture)


class Found(NamedTuple):
    """What the network has found on an image."""

    loaded: Loaded
    decision: Decision | None
    """None if a CRF is still to refine the probabilities"""
    probs: Tensor | None
    """float [C,h,w], for the CRF"""
    objects: Instances | None
    seconds: Callable[[], float]
    """that the network has taken, known when its results have arrived"""

    @property
    def weight(self) -> int:
        """Bytes in memory."""
        decision = () if self.decision is None else (self.decision.labels, self.decision.probs)
        masks = None if self.objects is None else self.objects.masks
        return _bytes(self.loaded.picture, self.probs, masks, *decision)


class Done(NamedTuple):
    """An image whose results are written."""

    name: str
    entry: Mapping[str, Any] = {}
    """its line of the summary"""


class Broken(NamedTuple):
    """An image that has no results, and why."""

    name: str
    reason: str


def _bytes(*tensors: Tensor | None) -> int:
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)
