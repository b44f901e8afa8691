"""Processes that read batches ahead, and stay from one epoch to the next."""

from __future__ import annotations

import atexit
import os
import signal
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from weakseg.utils.lifeline import die_with_parent

T = TypeVar("T")

# seconds that an item may take a process that was sent SIGTERM
LAST_ITEM = 4.0
AHEAD = 2  # batches that each process reads ahead


class LoadingProcesses(Generic[T]):
    """Reads the items of batches and collates them, in the training process itself or in others
    beside it.

    These are started when they are first needed, and anew only where what they would read has
    changed: they have a copy of the data set as it was when they were started.

    Args:
        items: by what batches are made of.
        workers: how many processes there are; 0 for none.
        collate: a batch of its items.
        version: of the data set. While it is the same, processes that have been started are right.
    """

    def __init__(
        self,
        items: Dataset[Any],
        workers: int,
        collate: Callable[[list[Any]], T],
        version: Callable[[], Hashable] = lambda: None,
    ) -> None:
        self.items = items
        self.workers = workers
        self.collate = collate
        self.version = version
        self._order = _Order()
        self._loader: DataLoader[T] | None = None
        self._started_with: Hashable = None

    def load(self, batches: Sequence[Sequence[Any]], most: int | None = None) -> Iterator[T]:
        """The batches in this order.

        Args:
            batches: each a list of what the data set takes for an item.
            most: how many batches there are the next time at most, which is how many processes can
                ever be of use; None for as many as now.
        """
        count = min(self.workers, len(batches) if most is None else most)
        if count == 0:
            return iter(self._made(batches, 0))
        version = self.version()
        if self._loader is None or self._started_with != version:
            self.close()
            self._order = _Order()
            self._loader = self._made(self._order, count)
            _open.add(self)
            self._started_with = version
        self._order.batches = batches
        return iter(self._loader)

    def close(self) -> None:
        """End the processes."""
        iterator = None if self._loader is None else self._loader._iterator
        self._loader = None
        if iterator is not None:
            iterator._shutdown_workers()  # type: ignore[attr-defined]

    def _made(self, batches: Any, workers: int) -> DataLoader[T]:
        return DataLoader(
            _Watched(self.items) if workers else self.items,
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=self.collate,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_start_worker,
            persistent_workers=workers > 0,
            prefetch_factor=AHEAD if workers else None,
        )


# with processes that wait for work. Python ends such processes by SIGTERM, which does not end
# these, and waits for them: so they are closed before it does
_open: weakref.WeakSet[LoadingProcesses[Any]] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for each in list(_open):
        each.close()


class Open:
    """The loaders of a data set whose processes are to be ended with the training."""

    def __init__(self) -> None:
        self._all: weakref.WeakSet[Any] = weakref.WeakSet()

    def add(self, loader: Any) -> None:
        """Close this one, too."""
        self._all.add(loader)

    def close(self) -> None:
        """End the processes of all."""
        for loader in list(self._all):
            loader.close()

    def __reduce__(self) -> tuple[Any, ...]:  # a copy in another process has none
        return Open, ()


class _Order(Sized):
    """The batches of an epoch, which are others in the next one."""

    def __init__(self) -> None:
        self.batches: Sequence[Sequence[Any]] = ()

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Sequence[Any]]:
        return iter(self.batches)


# loader processes ---------------------------------------------------------------------------------


class _Item:
    """What a loader process is about."""

    number = 0
    """how many it has begun"""
    reads = False
    """whether it reads one now"""
    overdue = -1
    """the one that it was reading when it was last to end"""


class _Watched(Dataset[Any]):
    """Knows whether an item is being read."""

    def __init__(self, items: Dataset[Any]) -> None:
        self.items = items

    def __getitem__(self, item: Any) -> Any:
        _Item.number += 1
        _Item.reads = True
        try:
            return self.items[item]
        finally:
            _Item.reads = False


def _start_worker(number: int) -> None:
    """A loader process: its parent ends it, also when a terminal or a scheduler sends a signal to
    all processes. It goes on after SIGTERM while its parent trains on to a step that can be
    resumed, but not where it hangs."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _end_if_it_hangs)
        signal.signal(signal.SIGTERM, lambda *_: signal.setitimer(signal.ITIMER_REAL, LAST_ITEM))


def _end_if_it_hangs(*_: Any) -> None:
    if _Item.reads and _Item.overdue == _Item.number:
        os._exit(128 + signal.SIGTERM)
    _Item.overdue = _Item.number if _Item.reads else -1
    signal.setitimer(signal.ITIMER_REAL, LAST_ITEM)
