"""Loaders: one order for all ranks, each image once, nothing left to chance."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.small import Squares
from weakseg.data.loader import OrderedLoader, TrainLoader, keyed_generator, shuffled


def loader(count: int, batch_size: int, rank: int = 0, world: int = 1, epoch: int = 0, done: int = 0, workers: int = 0) -> TrainLoader[Any]:
    trainer: Any = SimpleNamespace(global_rank=rank, world_size=world, current_epoch=epoch, fit_loop=SimpleNamespace(batch_idx=done - 1))
    return TrainLoader(_Echo(), count, batch_size, workers, 5, list, trainer)


class _Echo(torch.utils.data.Dataset[Any]):
    def __getitem__(self, item: Any) -> Any:
        return item


@pytest.mark.parametrize(("count", "batch_size", "world"), [(12, 4, 1), (13, 4, 1), (24, 4, 2), (31, 3, 4)])
def test_ranks_together_are_one_process_with_a_larger_batch(count: int, batch_size: int, world: int) -> None:
    alone = list(loader(count, batch_size * world))
    shares = [list(loader(count, batch_size, rank, world)) for rank in range(world)]
    joint = [[item for share in step for item in share] for step in zip(*shares, strict=True)]
    assert joint == alone
    seen = [item for batch in alone for item in batch]
    assert len(set(seen)) == len(seen) == count // (batch_size * world) * batch_size * world


def test_fewer_images_than_a_batch_are_repeated() -> None:
    (batch,) = list(loader(3, 8))
    assert len(batch) == 8
    assert {index for _, index in batch} == {0, 1, 2}


@pytest.mark.parametrize("workers", [0, 2])
def test_it_goes_on_where_the_trainer_is(workers: int) -> None:
    whole = list(loader(20, 4, epoch=3))
    assert list(loader(20, 4, epoch=3, done=2, workers=workers)) == whole[2:]
    assert whole != list(loader(20, 4, epoch=4))


def test_an_empty_data_set_is_an_error() -> None:
    with pytest.raises(ValueError, match="no image to train on"):
        loader(0, 4)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    torch.manual_seed(1)
    first = shuffled(50, 7, 2)
    torch.manual_seed(2)
    assert shuffled(50, 7, 2) == first
    assert sorted(first) == list(range(50))
    assert len({tuple(order) for order in (first, shuffled(50, 7, 3), shuffled(50, 8, 2), shuffled(50, 2, 7))}) == 4


def test_keyed_generators_of_neighbours_are_unrelated() -> None:
    first = [
        torch.rand(1, generator=keyed_generator(seed, epoch, index)).item()
        for seed in range(4)
        for epoch in range(4)
        for index in range(40)
    ]
    assert len(set(first)) == len(first)
    assert abs(sum(first) / len(first) - 0.5) < 0.05


def test_ordered_loader_keeps_the_order() -> None:
    assert list(OrderedLoader(_Echo(), [4, 2, 7], 2, 0, list)) == [[4, 2], [7]]


def test_validation_images_are_split_without_repeats() -> None:
    seen = []
    for rank in range(3):
        data = Squares(train=4, val=7)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=3)  # type: ignore[assignment]
        seen += [example.number for batch in data.val_dataloader() for example in batch]
    assert sorted(seen) == list(range(4, 11))


def test_training_never_sees_validation_images_or_the_truth() -> None:
    data = Squares(train=4, val=3)
    assert data.training == [0, 1, 2, 3]
    evidence, target, _ = data.training_item(0, 1)
    assert evidence.id == "disc/1"
    assert target is None
