"""Loaders: one order for all ranks, each image once, nothing left to chance."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing import active_children
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from tests.small import Refine, Squares, TinyNet
from tests.small import trainer as small_trainer
from weakseg.data import loading_processes
from weakseg.data.loader import (
    Extra,
    Group,
    OrderedLoader,
    TrainLoader,
    grouped,
    keyed_generator,
    shuffled,
)
from weakseg.data.loading_processes import LoadingProcesses
from weakseg.evidence import Batch
from weakseg.strategies.base import Strategy
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter


def loader(
    count: int,
    batch_size: int,
    rank: int = 0,
    world: int = 1,
    epoch: int = 0,
    done: int = 0,
    workers: int = 0,
    groups: Sequence[Group] = (),
    extra: Extra | None = None,
) -> TrainLoader[Any]:
    trainer: Any = SimpleNamespace(
        global_rank=rank,
        world_size=world,
        current_epoch=epoch,
        fit_loop=SimpleNamespace(batch_idx=done - 1),
    )
    return TrainLoader(_Echo(), count, batch_size, workers, 5, list, trainer, groups, extra)


class _Echo(torch.utils.data.Dataset[Any]):
    def __getitem__(self, item: Any) -> Any:
        return item


@pytest.mark.parametrize(
    ("count", "batch_size", "world"), [(12, 4, 1), (13, 4, 1), (24, 4, 2), (31, 3, 4)]
)
def test_ranks_together_are_one_process_with_a_larger_batch(
    count: int, batch_size: int, world: int
) -> None:
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
    assert (
        len(
            {
                tuple(order)
                for order in (first, shuffled(50, 7, 3), shuffled(50, 8, 2), shuffled(50, 2, 7))
            }
        )
        == 4
    )


# groups

FEW, MANY = Group([1, 4, 9], 8), Group([place for place in range(16) if place not in (1, 4, 9)], 4)


def test_an_epoch_has_the_number_of_each_group_and_no_pair_comes_twice() -> None:
    epochs = [grouped([FEW, MANY], 5, epoch) for epoch in range(13)]
    for pairs in epochs:
        assert sum(index in FEW.images for _, index in pairs) == 8
        assert sum(index in MANY.images for _, index in pairs) == 4
    everything = [pair for pairs in epochs for pair in pairs]
    # chance depends on the pair: an image that comes again is augmented anew
    assert len(set(everything)) == len(everything)
    # 13 epochs of 4 are 4 of all 13
    assert set(Counter(index for _, index in everything if index in MANY.images).values()) == {4}
    # 104 of 3
    assert set(Counter(index for _, index in everything if index in FEW.images).values()) <= {
        34,
        35,
    }


def test_groups_are_mixed_within_an_epoch_and_ordered_anew_in_the_next() -> None:
    first, second = (grouped([FEW, MANY], 5, epoch) for epoch in (0, 1))
    assert [index for _, index in first] != [index for _, index in second]
    few = [index in FEW.images for _, index in first]
    assert few != sorted(few)
    assert few != sorted(few, reverse=True)
    assert grouped([FEW, MANY], 6, 0) != first


def test_one_group_of_everything_has_every_image_once_an_epoch() -> None:
    for epoch in range(3):
        pairs = grouped([Group(range(7), 7)], 5, epoch)
        assert sorted(pairs) == [(epoch, index) for index in range(7)]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_with_groups_too_ranks_together_are_one_process_with_a_larger_batch(world: int) -> None:
    torch.manual_seed(world)
    alone = list(loader(12, 2 * world, epoch=4, groups=[FEW, MANY]))
    shares = [
        list(loader(12, 2, rank, world, epoch=4, groups=[FEW, MANY])) for rank in range(world)
    ]
    assert [
        [item for share in step for item in share] for step in zip(*shares, strict=True)
    ] == alone
    assert sorted(item for batch in alone for item in batch) == sorted(grouped([FEW, MANY], 5, 4))


@pytest.mark.parametrize("workers", [0, 2])
def test_with_groups_too_it_goes_on_where_the_trainer_is(workers: int) -> None:
    whole = list(loader(12, 4, epoch=3, groups=[FEW, MANY]))
    assert list(loader(12, 4, epoch=3, done=2, workers=workers, groups=[FEW, MANY])) == whole[2:]


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


class TestExtraImages:
    """Those from 5 on are extra, two in each batch of four, or of four of both ranks."""

    def test_every_batch_has_its_number_of_them_behind_the_others(self) -> None:
        for epoch in range(3):
            batches = list(loader(5, 4, epoch=epoch, extra=Extra(19, 2)))
            assert len(batches) == (5 + 19) // 4
            for batch in batches:
                assert [index >= 5 for _, index in batch] == [False, False, True, True]
                assert all(index < 5 + 19 for _, index in batch)

    def test_all_come_equally_often(self) -> None:
        epochs = [loader(5, 4, epoch=epoch, extra=Extra(19, 2)) for epoch in range(95)]
        pairs = [pair for each in epochs for batch in each for pair in batch]
        assert len(set(pairs)) == len(pairs)  # no image twice with the same random numbers
        counts = Counter(index for _, index in pairs)
        assert {counts[index] for index in range(5)} == {95 * 6 * 2 // 5}
        assert {counts[index] for index in range(5, 24)} == {95 * 6 * 2 // 19}

    def test_ranks_together_have_each_once(self) -> None:
        shares = [list(loader(5, 2, rank, 2, extra=Extra(19, 1))) for rank in range(2)]
        alone = list(loader(5, 4, extra=Extra(19, 2)))
        joint = [
            sorted(pair for part in step for pair in part) for step in zip(*shares, strict=True)
        ]
        assert joint == [sorted(batch) for batch in alone]

    def test_a_resumed_epoch_goes_on_with_the_next_batch(self) -> None:
        whole = list(loader(5, 4, extra=Extra(19, 2)))
        assert list(loader(5, 4, done=2, extra=Extra(19, 2))) == whole[2:]

    def test_groups_hold_among_the_others(self) -> None:
        groups = [Group([0], 2), Group([1, 2, 3, 4], 3)]
        epochs = [loader(5, 4, epoch=e, groups=groups, extra=Extra(19, 2)) for e in range(10)]
        own = Counter(index for each in epochs for batch in each for _, index in batch if index < 5)
        assert own.total() == 10 * 6 * 2
        assert own[0] == pytest.approx(0.4 * own.total(), abs=10)

    def test_fewer_than_a_batch_come_again(self) -> None:
        (batch, *_) = list(loader(1, 8, extra=Extra(2, 5)))
        assert [index for _, index in batch[:3]] == [0, 0, 0]
        assert {index for _, index in batch[3:]} == {1, 2}


# processes that stay


class _Reader(torch.utils.data.Dataset[Any]):
    """Says which process has read it, and what the data set was when that was started."""

    def __init__(self) -> None:
        self.target = 0

    def __getitem__(self, item: Any) -> Any:
        return os.getpid(), self.target


def test_processes_stay_from_one_epoch_to_the_next() -> None:
    batches = [[0, 1], [2, 3], [4, 5], [6, 7]]
    processes = LoadingProcesses(_Reader(), 2, list)
    first, second = (set(map(tuple, processes.load(batches))) for _ in range(2))
    # an epoch that is not ended
    next(processes.load(batches))
    third = set(map(tuple, processes.load(batches)))
    pids = {pid for batch in (*first, *second, *third) for pid, _ in batch}
    processes.close()
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_processes_that_know_too_little_are_started_anew() -> None:
    data = _Reader()
    processes = LoadingProcesses(data, 1, list, lambda: data.target)
    ((before, old),) = next(processes.load([[0]]))
    data.target = 1
    ((after, new),) = next(processes.load([[0]]))
    processes.close()
    assert (old, new) == (0, 1)
    assert before != after
    assert not _lives(before)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_they_end_with_the_training(tmp_path: Path) -> None:
    data = Squares(workers=1)
    pids: list[tuple[int | None, ...]] = []

    class Look(pl.Callback):
        def on_train_epoch_end(self, *_: Any) -> None:
            pids.append(tuple(process.pid for process in active_children()))

    made = small_trainer(tmp_path, 9, callbacks=[Look()])
    made.fit(Segmenter(TinyNet(), Sized(), data.classes), data)
    # those that train; those that measure come to them after the first epoch
    assert len(pids) == 3
    assert set(pids[0]) <= set(pids[1]) == set(pids[2])
    assert len(pids[1]) == 2
    assert not [process for process in active_children() if process.pid in pids[1]]


class Sized(Strategy):
    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"size": logits.square().mean()}


def test_new_targets_reach_them(tmp_path: Path) -> None:
    """Of a run in rounds, by the same figures with and without processes."""
    seen = []
    for workers in (0, 2):
        pl.seed_everything(0, verbose=False)
        data = Squares(workers=workers)
        segmenter = Segmenter(TinyNet(), Refine(), data.classes)
        rounds = Rounds(when="epochs", folder=tmp_path / str(workers), workers=0)
        small_trainer(tmp_path, 9, callbacks=[rounds], limit_val_batches=0).fit(segmenter, data)
        seen.append(segmenter.state_dict())
    for name, value in seen[0].items():
        assert torch.equal(value, seen[1][name]), name


def test_sigterm_does_not_end_a_process_that_waits_or_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading_processes, "LAST_ITEM", 0.05)
    processes = LoadingProcesses(_Reader(), 1, list)
    ((pid, _),) = next(processes.load([[0]]))
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.3)
    assert [batch[0][0] for batch in processes.load([[0], [1]], 1)] == [pid, pid]
    processes.close()
    assert not _lives(pid)


class _Hangs(torch.utils.data.Dataset[Any]):
    def __getitem__(self, item: Any) -> Any:
        while item:
            time.sleep(0.01)
        return os.getpid()


def test_sigterm_ends_a_process_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading_processes, "LAST_ITEM", 0.05)
    processes = LoadingProcesses(_Hangs(), 1, list)
    loaded = processes.load([[0], [1]])
    (pid,) = next(loaded)
    os.kill(pid, signal.SIGTERM)
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        next(loaded)
    processes.close()
