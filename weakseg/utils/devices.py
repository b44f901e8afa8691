"""Where tensors are, and which of their numbers can be read without waiting for a device.

A GPU works through a queue of kernels. To read a number from it, `int(tensor)`, `bool(tensor)` or
indexing with a mask, is to wait until the queue is empty. What decides how a training step goes on,
such as how many classes the tags of an image name, comes from the data set, so it is known on the
CPU before the batch is copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

_HOST = "_weakseg_on_the_cpu"  # the attribute of a tensor on a device that holds its copy
_as_on_a_gpu = False


def on_cpu(tensor: Tensor) -> bool:
    """Whether numbers of a tensor can be read at no cost, and loops that numba has compiled can
    work on it."""
    return tensor.device.type == "cpu" and not _as_on_a_gpu


def host_copy(tensor: Tensor) -> Tensor:
    """The same numbers on the CPU: those that were kept when the tensor was copied to its device,
    or else a copy, for which one waits."""
    kept: Tensor | None = getattr(tensor, _HOST, None)
    return tensor.cpu() if kept is None else kept


def keep_host_copies(original: Any, moved: Any) -> None:
    """Note for every tensor of a named tuple, and of lists in it, that was copied to a device what
    it is on the CPU.

    The copy is an attribute of the tensor, so a tensor that takes its place in the tuple has none.
    """
    for before, after in zip(original, moved, strict=True):
        if isinstance(before, list | tuple):
            keep_host_copies(before, after)
        elif isinstance(before, Tensor) and after is not before:
            setattr(after, _HOST, before)


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Take the ways that code takes on a GPU, with tensors on the CPU: for tests of these."""
    global _as_on_a_gpu
    before = _as_on_a_gpu
    _as_on_a_gpu = True
    try:
        yield
    finally:
        _as_on_a_gpu = before
