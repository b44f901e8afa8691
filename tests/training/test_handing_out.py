"""How jobs are handed out to a pool: light ones in handfuls, those with images and predictions one
by one, as each of their tensors takes memory and holds a file open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tests.small import Refine, Squares, TinyNet, trainer
from weakseg.training import estimation, round_targets
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter


class Pool:
    """Does the work at once, each job in so many seconds, and keeps how many were handed out."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.handed: list[int] = []

    def submit(self, work: Any, jobs: Sequence[int]) -> Future[Any]:
        self.handed.append(len(jobs))
        future: Future[Any] = Future()
        future.set_result(([2 * job for job in jobs], self.seconds * len(jobs)))
        return future


@pytest.mark.parametrize(
    ("seconds", "most", "expected"),
    [(0.001, 64, 50), (0.0001, 64, 64), (0.2, 64, 1), (0.001, 1, 1)],
)
def test_as_many_as_take_a_twentieth_of_a_second_but_never_more_than_may_wait(
    seconds: float, most: int, expected: int
) -> None:
    pool: Any = Pool(seconds)
    found = list(estimation._in_pool(pool, iter(range(500)), 4, most))
    assert sorted(found) == list(range(0, 1000, 2))
    assert max(pool.handed) == expected


def test_no_more_jobs_are_taken_than_may_wait() -> None:
    taken = 0

    def jobs() -> Iterator[int]:
        nonlocal taken
        for job in range(100):
            taken += 1
            yield job

    pool: Any = Pool(0.0001)
    next(estimation._in_pool(pool, jobs(), 4, 1))
    assert taken == 4


def test_jobs_with_predictions_are_handed_out_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    light: list[bool] = []
    for_each = estimation.for_each

    def watched(*words: Any, **named: Any) -> Iterator[Any]:
        light.append(named["light"])
        return for_each(*words, **named)

    monkeypatch.setattr(round_targets, "for_each", watched)
    data = Squares()
    rounds = Rounds(when="epochs", count=2, workers=0)
    segmenter = Segmenter(TinyNet(), Refine(), data.classes)
    trainer(tmp_path, 6, callbacks=[rounds]).fit(segmenter, datamodule=data)
    assert light == [True, False]  # workers read the images of round 0 themselves
