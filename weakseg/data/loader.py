"""Loaders whose order depends on seed and epoch alone, so that a run can be stopped and continued
at any batch.

They are no `torch.utils.data.DataLoader`, so that Lightning leaves them alone: its distributed
sampler would show some images twice.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from pytorch_lightning import Trainer
from torch.utils.data import Dataset

from weakseg.data.loading_processes import LoadingProcesses

T = TypeVar("T")


class Group(NamedTuple):
    """Images of which every epoch has a fixed number."""

    images: Sequence[int]
    number: int
    """in an epoch; it may be more than there are"""


class Extra(NamedTuple):
    """Further images, of which every batch has a fixed number behind the others."""

    number: int
    """how many there are"""
    each: int
    """of them in every batch"""


class TrainLoader(Generic[T]):
    """One rank's batches of `(time, index)` items. Where to continue is read from the trainer, so
    there is no state to lose.

    The time is how often the image has come before. As every epoch has every image once, that is
    the epoch; with groups it is not. With extra images an epoch is as long as if every image of
    both kinds came once, also while they wait for their labels and others take their places. Their
    indices follow those of the others.
    """

    def __init__(
        self,
        items: Dataset[Any],
        count: int,
        batch_size: int,
        workers: int,
        seed: int,
        collate: Callable[[list[Any]], T],
        trainer: Trainer,
        groups: Sequence[Group] = (),
        extra: Extra | None = None,
        waits: Callable[[], bool] | None = None,
        version: Callable[[], Hashable] = lambda: None,
    ) -> None:
        if count == 0:
            raise ValueError(
                "there is no image to train on: every image is a validation image, or the data "
                "set is empty"
            )
        self.processes = LoadingProcesses(items, workers, collate, version)
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.trainer = trainer
        self.groups = groups
        self.extra = extra
        self.waits = waits

    def __len__(self) -> int:
        count = self.count + (0 if self.extra is None else self.extra.number)
        return max(1, count // (self.batch_size * self.trainer.world_size))

    def batches(self, epoch: int) -> list[list[tuple[int, int]]]:
        """The `(time, index)` pairs of this rank: ranks share one order, and each takes its part of
        every joint batch."""
        if self.extra is None:
            return self._of_rank(self._order(epoch), self.batch_size)
        if self.waits is not None and self.waits():
            return self._of_rank(self._walk(epoch, self.batch_size), self.batch_size)
        own = self.batch_size - self.extra.each
        first = self._of_rank(self._walk(epoch, own), own)
        joint = len(self) * self.extra.each * self.trainer.world_size
        walk = grouped([Group(range(self.extra.number), joint)], self.seed + 1, epoch)
        behind = self._of_rank(
            [(time, self.count + place) for time, place in walk], self.extra.each
        )
        return [[*some, *others] for some, others in zip(first, behind, strict=True)]

    def _order(self, epoch: int) -> list[tuple[int, int]]:
        """The pairs of all ranks in an epoch without extra images."""
        if self.groups:
            return grouped(self.groups, self.seed, epoch)
        return [(epoch, index) for index in shuffled(self.count, self.seed, epoch)]

    def _walk(self, epoch: int, each: int) -> list[tuple[int, int]]:
        """The pairs of all ranks in an epoch that has `each` of them in a batch."""
        joint = len(self) * each * self.trainer.world_size
        whole = sum(group.number for group in self.groups)
        groups = [
            # rounded up: what is over at the end of an epoch is left out, as always
            Group(group.images, -(-group.number * joint // whole))
            for group in self.groups
        ] or [Group(range(self.count), joint)]
        return grouped(groups, self.seed, epoch)

    def _of_rank(self, order: list[tuple[int, int]], each: int) -> list[list[tuple[int, int]]]:
        """This rank's part, `each` pairs of every joint batch."""
        rank = self.trainer.global_rank
        joint = each * self.trainer.world_size
        while len(order) < joint:  # fewer images than one batch: start over
            order += order
        starts = [step * joint + rank * each for step in range(len(self))]
        return [order[start : start + each] for start in starts]

    def __iter__(self) -> Iterator[T]:
        # A generator runs from the first `next` on. By then the trainer has set the epoch, and
        # the batch that comes next in it.
        done = self.trainer.fit_loop.batch_idx + 1
        # those that shall be overfitted are the same ones in every epoch
        overfits = getattr(self.trainer, "overfit_batches", 0)
        epoch = 0 if overfits else self.trainer.current_epoch
        yield from self.processes.load(self.batches(epoch)[done:], len(self))

    def close(self) -> None:
        """End the processes that read images ahead."""
        self.processes.close()

    def state_dict(self) -> dict[str, Any]:
        """Nothing: Lightning takes a loader that has this method for one that can continue in the
        middle of an epoch."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""


class OrderedLoader(Generic[T]):
    """One rank's share of a fixed list, in order, each item exactly once over all ranks."""

    def __init__(
        self,
        items: Dataset[Any],
        indices: Sequence[int],
        batch_size: int,
        workers: int,
        collate: Callable[[list[Any]], T],
        version: Callable[[], Hashable] = lambda: None,
    ) -> None:
        self.processes = LoadingProcesses(items, workers, collate, version)
        self.batches = [
            list(indices[start : start + batch_size])
            for start in range(0, len(indices), batch_size)
        ]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[T]:
        return self.processes.load(self.batches)

    def close(self) -> None:
        """End the processes that read images ahead."""
        self.processes.close()


def grouped(groups: Sequence[Group], seed: int, epoch: int) -> list[tuple[int, int]]:
    """The `(time, index)` pairs of an epoch with its number of images of each group, in an order
    that only seed and epoch decide.

    A group is gone through again and again, in a new order each time, and an epoch goes on where
    the one before has ended. So over the epochs the images of a group come equally often, and no
    pair comes twice.
    """
    pairs = []
    for which, (images, number) in enumerate(groups):
        first = epoch * number
        last = (epoch + 1) * number
        times = range(first // len(images), -(-last // len(images)))
        # four parts: no other key has as many
        walk = [
            (time, images[place])
            for time in times
            for place in shuffled(len(images), seed, time, which, 0)
        ]
        skip = first % len(images)
        pairs += walk[skip : skip + number]
    return [pairs[place] for place in shuffled(len(pairs), seed, epoch)]


def shuffled(count: int, *key: int) -> list[int]:
    """The numbers below `count` in an order that only a few integers decide, such as seed and
    epoch."""
    order: list[int] = torch.randperm(count, generator=keyed_generator(*key)).tolist()
    return order


def keyed_generator(*key: int) -> torch.Generator:
    """A generator of random numbers that depends on nothing but a few integers."""
    seed = 0
    for part in key:
        seed = (seed * 6364136223846793005 + part + 1442695040888963407) % 2**63
    return torch.Generator().manual_seed(seed)
