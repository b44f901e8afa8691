"""Reading, network and writing beside each other: every image once, errors told, bounds kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from weakseg.prediction import overlap
from weakseg.prediction.overlap import Batches, Budget, overlapped
from weakseg.prediction.steps import Broken, Done, Found, Loaded

NAMES = [f"{number:02}" for number in range(40)]


class Counting:
    """Work that does nothing but note its order."""

    def __init__(self, fail: str = "", pixels: int = 4) -> None:
        self.fail = fail
        self.pixels = pixels
        self.batches: list[list[str]] = []
        self.reading = self.most = 0
        self.threads: dict[str, set[str]] = {"read": set(), "query": set(), "write": set()}

    def _enter(self, step: str) -> None:
        self.threads[step].add(threading.current_thread().name)
        if step == self.fail:
            raise RuntimeError(f"{step} fails")

    def read(self, name: str) -> Loaded | Broken:
        self._enter("read")
        self.reading += 1
        self.most = max(self.most, self.reading)
        if name.endswith("7"):
            self.reading -= 1
            return Broken(name, "by its name")
        seen = torch.zeros(3, 2 + int(name) % 3, self.pixels, dtype=torch.uint8)
        return Loaded(name, seen, (2, 2), None, 0.0)

    def query(self, batch: list[Loaded]) -> Iterator[Found | Broken]:
        self._enter("query")
        self.reading -= len(batch)
        self.batches.append([loaded.name for loaded in batch])
        for loaded in batch:
            if loaded.name.endswith("8"):
                yield Broken(loaded.name, "by the network")
            else:
                yield Found(loaded, None, None, None, float)

    def write(self, found: Found) -> Done | Broken:
        self._enter("write")
        return Done(found.loaded.name)


def batches(most: int = 3, limit: int = 10**6) -> Batches:
    return Batches(lambda height, width: most, limit)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_image_has_one_result(threads: int) -> None:
    work = Counting()
    results = list(overlapped(work, NAMES, batches(), threads))
    assert sorted(each.name for each in results) == NAMES
    assert {each.name for each in results if isinstance(each, Broken)} == {
        name for name in NAMES if name[-1] in "78"
    }
    assert {len(each) for each in work.batches} <= {1, 2, 3}
    assert work.threads["query"] == {"weakseg-network"}
    assert all(name.startswith("weakseg-reader") for name in work.threads["read"])
    assert all(name.startswith("weakseg-writer") for name in work.threads["write"])


def test_batches_do_not_depend_on_which_thread_was_faster() -> None:
    found = []
    for threads in (1, 4, 4):
        work = Counting()
        list(overlapped(work, NAMES, batches(), threads))
        found.append(work.batches)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("step", ["read", "query", "write"])
def test_an_error_of_a_thread_is_raised_here_and_all_threads_end(step: str) -> None:
    with pytest.raises(RuntimeError, match=f"{step} fails"):
        list(overlapped(Counting(step), NAMES, batches(), 2))
    assert gone()


def test_whoever_stops_early_leaves_no_thread() -> None:
    results = overlapped(Counting(), NAMES, batches(), 2)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert gone()


# a command in the same process has threads of its own
OWN_THREADS = ("weakseg-network", "weakseg-reader", "weakseg-writer")


def gone() -> bool:
    """Whether all threads have ended, after a while at most."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if not [each for each in threading.enumerate() if each.name.startswith(OWN_THREADS)]:
            return True
        time.sleep(0.01)
    return False


def test_nothing_to_do() -> None:
    assert list(overlapped(Counting(), [], batches(), 2)) == []


@pytest.mark.parametrize(("pixels", "most"), [(4, 18), (10_000, 8)])
def test_few_large_images_are_read_ahead(
    monkeypatch: pytest.MonkeyPatch, pixels: int, most: int
) -> None:
    monkeypatch.setattr(overlap, "BYTES", 200_000)
    work = Counting(pixels=pixels)
    slow = threading.Event()
    query = work.query

    def waiting(batch: list[Loaded]) -> Iterator[Found | Broken]:
        slow.wait(0.02)
        return query(batch)

    work.query = waiting  # type: ignore[method-assign]
    list(overlapped(work, NAMES, batches(1), 2))
    assert work.most <= most


def loaded(name: str, height: int) -> Loaded:
    return Loaded(name, torch.zeros(3, height, 10, dtype=torch.uint8), (1, 1), None, 0.0)


def test_images_wait_for_others_of_their_size_within_a_limit() -> None:
    sizes = [1, 2, 1, 3, 3, 1, 2]
    found: list[Any] = []
    held = batches(most=3, limit=10**6)
    for number, height in enumerate(sizes):
        found += [[each.name for each in batch] for batch in held.add(loaded(str(number), height))]
    assert found == [["0", "2", "5"]]
    assert [[each.name for each in batch] for batch in held.rest()] == [["1", "6"], ["3", "4"]]
    small = batches(most=3, limit=100)
    taken = [
        [each.name for each in batch]
        for number, height in enumerate(sizes)
        for batch in small.add(loaded(str(number), height))
    ]
    # 30 bytes per row: of more than 100, the batch of the most images goes first
    assert taken == [["0", "2"], ["1"], ["3", "4"]]
    assert [[each.name for each in batch] for batch in small.rest()] == [["5"], ["6"]]


def test_a_budget_is_shared_and_one_that_is_too_large_counts_as_all_of_it() -> None:
    budget = Budget(10)
    assert budget.take(25) == 10
    waiting = threading.Thread(target=lambda: taken.append(budget.take(4)))
    taken: list[int] = []
    waiting.start()
    time.sleep(0.02)
    assert taken == []
    budget.give_back(10)
    waiting.join(10)
    assert taken == [4]
    budget.take(6)
    stuck = threading.Thread(target=lambda: taken.append(budget.take(1)))
    stuck.start()
    budget.stop()
    stuck.join(10)
    assert not stuck.is_alive()
