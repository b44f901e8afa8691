"""Loaders whose order depends on seed and epoch alone, so that a run can be stopped and continued at any batch.

They are no `torch.utils.data.DataLoader`, so that Lightning leaves them alone: its distributed sampler would show some images twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader, Dataset

T = TypeVar("T")


class TrainLoader(Generic[T]):
    """One rank's batches of `(epoch, index)` items. Where to continue is read from the trainer, so there is no state to lose."""

    def __init__(
        self, items: Dataset[Any], count: int, batch_size: int, workers: int, seed: int, collate: Callable[[list[Any]], T], trainer: Trainer
    ) -> None:
        if count == 0:
            raise ValueError("there is no image to train on: every image is a validation image, or the data set is empty")
        self.items, self.count, self.batch_size, self.workers = items, count, batch_size, workers
        self.seed, self.collate, self.trainer = seed, collate, trainer

    def __len__(self) -> int:
        return max(1, self.count // (self.batch_size * self.trainer.world_size))

    def batches(self, epoch: int) -> list[list[tuple[int, int]]]:
        """The `(epoch, index)` pairs of this rank: ranks share one order, and each takes its part of every joint batch."""
        rank, world = self.trainer.global_rank, self.trainer.world_size
        order = shuffled(self.count, self.seed, epoch)
        joint = self.batch_size * world
        while len(order) < joint:  # fewer images than one batch: start over
            order += order
        starts = [step * joint + rank * self.batch_size for step in range(len(self))]
        return [[(epoch, index) for index in order[start : start + self.batch_size]] for start in starts]

    def __iter__(self) -> Iterator[T]:
        # A generator runs from the first `next` on. By then the trainer knows the epoch, and the batch that comes next in it.
        done = self.trainer.fit_loop.batch_idx + 1
        yield from _load(self.items, self.batches(self.trainer.current_epoch)[done:], self.workers, self.collate)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: that it exists tells Lightning that this loader can continue in the middle of an epoch."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""


class OrderedLoader(Generic[T]):
    """One rank's share of a fixed list, in order, each item exactly once over all ranks."""

    def __init__(
        self, items: Dataset[Any], indices: Sequence[int], batch_size: int, workers: int, collate: Callable[[list[Any]], T]
    ) -> None:
        self.items, self.workers, self.collate = items, workers, collate
        self.batches = [list(indices[start : start + batch_size]) for start in range(0, len(indices), batch_size)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[T]:
        return iter(_load(self.items, self.batches, self.workers, self.collate))


def _load(items: Dataset[Any], batches: list[Any], workers: int, collate: Callable[[list[Any]], T]) -> DataLoader[Any]:
    return DataLoader(
        items, batch_sampler=batches, num_workers=min(workers, len(batches)), collate_fn=collate, pin_memory=torch.cuda.is_available()
    )


def shuffled(count: int, seed: int, epoch: int) -> list[int]:
    """The numbers below `count` in an order that only seed and epoch decide."""
    order: list[int] = torch.randperm(count, generator=keyed_generator(seed, epoch)).tolist()
    return order


def keyed_generator(*key: int) -> torch.Generator:
    """A generator of random numbers that depends on nothing but a few integers."""
    seed = 0
    for part in key:
        seed = (seed * 6364136223846793005 + part + 1442695040888963407) % 2**63
    return torch.Generator().manual_seed(seed)
