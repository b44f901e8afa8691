"""The Gaussian kernels of the dense CRF, and a cache of what was made for the last images."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from hashlib import blake2b
from threading import Lock
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

T = TypeVar("T", bound=tuple[Any, ...])


class Kernel(NamedTuple):
    """A Gaussian kernel over pairs of pixels: of their distance, or of that and of how much their
    colours differ."""

    strength: float
    xy: float
    """standard deviation in pixels"""
    rgb: float | None
    """standard deviation in steps of colour; None: whatever the colours"""


def features(image: Tensor, kernel: Kernel, dtype: torch.dtype) -> Tensor:
    """Where the pixels of an image [3,H,W] lie, in units of the kernel's standard deviations:
    [2,H*W], or [5,H*W] with colours."""
    height, width = image.shape[1:]
    result = torch.empty(
        2 if kernel.rgb is None else 5, height, width, dtype=dtype, device=image.device
    )
    result[0] = torch.arange(width, dtype=dtype, device=image.device) / kernel.xy
    result[1] = torch.arange(height, dtype=dtype, device=image.device)[:, None] / kernel.xy
    if kernel.rgb is not None:
        torch.div(image, kernel.rgb, out=result[2:])
    return result.flatten(1)


def content(image: Tensor) -> bytes:
    """The same for images with the same pixels, and, for all that will ever be seen, for no
    others."""
    return blake2b(image.contiguous().cpu().numpy().data, digest_size=16).digest()


class LRUCache:
    """A cache of at most so many bytes that forgets what has not been used for longest. Several
    threads may use it.

    >>> recent = LRUCache(limit=100)
    >>> first = recent.get("ones", lambda: (torch.ones(3),))
    >>> recent.get("ones", lambda: (torch.zeros(3),)) is first
    True
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._made: OrderedDict[Hashable, tuple[Any, ...]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is kept for this key, or else what `make` returns now."""
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return cast(T, self._made[key])
        made = make()
        with self._lock:
            self._made[key] = made
            while sum(map(_size, self._made.values())) > self.limit:
                self._made.popitem(last=False)
        return made

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._made.clear()


def _size(made: Any) -> int:
    """Bytes of all arrays and tensors in nested tuples."""
    return sum(map(_size, made)) if isinstance(made, tuple) else int(getattr(made, "nbytes", 0))
