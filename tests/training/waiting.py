"""Counts how often a training would wait for a GPU, on a machine without one."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import pytorch_lightning as pl
import torch
from pytorch_lightning.core import hooks
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

from weakseg.training.logged_steps import is_logged
from weakseg.utils.devices import as_on_a_gpu

# kernels whose result, or the size of it, only the device knows
READS = {
    "_local_scalar_dense",
    "bincount",
    "equal",
    "masked_select",
    "nonzero",
    "_unique2",
    "unique_consecutive",
    "unique_dim",
}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
MASKS = (torch.bool, torch.uint8)


class Waits(TorchDispatchMode):
    """Takes some tensors, and all that is computed from them, for tensors on a GPU, and notes where
    a number of one is read."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.counting = False
        self.takes_copies = False
        # no storage is freed, or a later one in its place would be taken for it
        self._alive: dict[int, Tensor] = {}

    def put(self, tensor: Tensor) -> None:
        """This one is on the GPU."""
        self._alive[tensor.untyped_storage()._cdata] = tensor

    def holds(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._alive

    @contextmanager
    def of_copies(self) -> Iterator[None]:
        """Count within it, also what is computed from batches while they are copied."""
        self.counting = self.takes_copies = True
        try:
            with self:
                yield
        finally:
            self.counting = self.takes_copies = False

    def note(self, what: str) -> None:
        """A line of the package that waits, or of what it calls."""
        stack = traceback.extract_stack()
        own = [frame for frame in stack if "/weakseg/" in frame.filename]
        place = (own or stack[:-2])[-1]
        self.found.append(f"{what} in {place.filename}:{place.lineno}")

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        given = [one for one in tree_iter((args, kwargs)) if isinstance(one, Tensor)]
        on_gpu = any(self.holds(one) for one in given)
        if on_gpu and (name in READS or _by_mask(name, args)):
            self.note(name)
        result = func(*args, **(kwargs or {}))
        if on_gpu:
            tree_map_only(Tensor, self.put, result)
        return result


def _by_mask(name: str, args: tuple[Any, ...]) -> bool:
    return name in INDEXING and any(one is not None and one.dtype in MASKS for one in args[1])


class BetweenRows(pl.Callback):
    """Counts the waits of the steps between two that are logged."""

    def __init__(self) -> None:
        self.waits = Waits()
        self.steps = 0
        self._stack = ExitStack()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for tensor in (*pl_module.parameters(), *pl_module.buffers()):
            self.waits.put(tensor.detach())

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._stop()
        # the first steps, which may make things once, those that are logged and the last one are
        # left out
        last = trainer.global_step + 1 == trainer.max_steps
        if trainer.global_step > 1 and not last and not is_logged(trainer):
            tree_map_only(Tensor, self.waits.put, batch)
            self.steps += 1
            self._stack.enter_context(self.waits)
            self.waits.counting = True

    def on_train_end(self, *_: Any) -> None:
        self._stop()

    def _stop(self) -> None:
        self._stack.close()
        self.waits.counting = False


@contextmanager
def on_a_gpu(waits: Waits) -> Iterator[None]:
    """Batches are copied, as if to a device, and the ways that code takes on one are taken."""

    def copied(batch: Any, *_: Any) -> Any:
        copy = tree_map_only(Tensor, Tensor.clone, batch)
        if waits.takes_copies:
            tree_map_only(Tensor, waits.put, copy)
        return copy

    def noted(name: str) -> Callable[..., Any]:
        usual: Callable[..., Any] = getattr(Tensor, name)

        def call(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
            # these may run no kernel on a CPU
            copies = name != "to" or args[:1] == ("cpu",)
            if waits.counting and waits.holds(tensor) and copies:
                waits.note(name)
            return usual(tensor, *args, **kwargs)

        return call

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(hooks, "move_data_to_device", copied))
        for name in ("tolist", "cpu", "numpy", "new_tensor", "to"):
            stack.enter_context(mock.patch.object(Tensor, name, noted(name)))
        stack.enter_context(as_on_a_gpu())
        yield
