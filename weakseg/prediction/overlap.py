"""Reading, network and writing at the same time: readers ahead of the network, writers behind it,
and bounds on what is in memory between them."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from weakseg.prediction.steps import Broken, Done, Found, Loaded

BYTES = 2**28  # in memory before the network, and again behind it
AHEAD = 8  # items per reader that are read before the network wants them
PATIENCE = 5.0  # seconds that the network has to end its batch, after an error


class Budget:
    """So many bytes that several threads share. One that wants more than there are waits until the
    others have given back theirs."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._stopped = False
        self._changed = threading.Condition()

    def take(self, size: int) -> int:
        """Wait for so many bytes, and return how many to give back; more than the limit counts as
        the limit."""
        size = min(size, self.limit)
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._used + size <= self.limit)
            self._used += size
        return size

    def give_back(self, size: int) -> None:
        """What `take` has returned is free again."""
        with self._changed:
            self._used -= size
            self._changed.notify_all()

    def stop(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


class Batches:
    """Puts together images that the network can be given together, in an order that depends on the
    images alone.

    Args:
        most: how many images of a height and width are a batch.
        limit: bytes that are held at most while batches are not full.
    """

    def __init__(self, most: Callable[[int, int], int], limit: int) -> None:
        self._most = most
        self._limit = limit
        self._held: dict[tuple[int, int], list[Loaded]] = {}
        self._bytes = 0

    def add(self, loaded: Loaded) -> Iterator[list[Loaded]]:
        """The batches that are to be done now that there is this image."""
        height, width = loaded.seen.shape[1:]
        batch = self._held.setdefault((height, width), [])
        batch.append(loaded)
        self._bytes += loaded.weight
        if len(batch) >= self._most(height, width):
            yield self._take((height, width))
        while self._bytes > self._limit:
            yield self._take(max(self._held, key=lambda size: len(self._held[size])))

    def rest(self) -> Iterator[list[Loaded]]:
        """The batches that are not full."""
        while self._held:
            yield self._take(next(iter(self._held)))

    def _take(self, size: tuple[int, int]) -> list[Loaded]:
        batch = self._held.pop(size)
        self._bytes -= sum(loaded.weight for loaded in batch)
        return batch


class Work(Protocol):
    """What is done with each image. `read` and `write` are called by several threads at a time,
    `query` by one, which has the network. That an image is broken is a result, too."""

    def read(self, name: str) -> Loaded | Broken:
        """Bring an image into memory."""

    def query(self, batch: list[Loaded]) -> Iterator[Found | Broken]:
        """What the network finds on each image of a batch."""

    def write(self, found: Found) -> Done | Broken:
        """Write what was found on an image."""


def overlapped(
    work: Work,
    names: Sequence[str],
    batches: Batches,
    threads: int,
) -> Iterator[Done | Broken]:
    """The result of each image as soon as it is there.

    The caller's thread only waits, so that a signal reaches it at once. An error in one of the
    threads is raised in the caller's.

    Args:
        work: what is done.
        names: of the images, in the order in which they are read.
        batches: what is queried together.
        threads: how many read, and how many write.
    """
    line = _Line(work, names, batches, threads)
    driver = threading.Thread(target=line.run, daemon=True, name="weakseg-network")
    driver.start()
    try:
        for _ in names:
            outcome = line.results.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    except Exception:
        line.stop()
        driver.join(PATIENCE)  # torch must not be at work while Python takes itself apart
        raise
    finally:
        line.stop()


class _Line:
    def __init__(
        self,
        work: Work,
        names: Sequence[str],
        batches: Batches,
        threads: int,
    ) -> None:
        self.results: queue.SimpleQueue[Done | Broken | BaseException] = queue.SimpleQueue()
        self._work = work
        self._names = names
        self._batches = batches
        self._threads = threads
        self._readers = ThreadPoolExecutor(threads, "weakseg-reader")
        self._writers = ThreadPoolExecutor(threads, "weakseg-writer")
        self._unwritten = Budget(BYTES)
        self._stopped = threading.Event()

    def run(self) -> None:
        """The thread of the network."""
        try:
            for loaded in self._read_ahead():
                if isinstance(loaded, Broken):
                    self.results.put(loaded)
                else:
                    for batch in self._batches.add(loaded):
                        self._query(batch)
            for batch in self._batches.rest():
                self._query(batch)
        except BaseException as error:
            self.results.put(error)

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopped.set()
        self._unwritten.stop()
        for pool in (self._readers, self._writers):
            pool.shutdown(wait=False, cancel_futures=True)

    def _read_ahead(self) -> Iterator[Loaded | Broken]:
        """What was read, in order, while more is being read: as many as there are readers, and
        further ones as far as they are small."""
        reading: deque[Future[Loaded | Broken]] = deque()
        size = BYTES // self._threads
        for name in self._names:
            most = min(max(self._threads, BYTES // max(1, size)), AHEAD * self._threads)
            while len(reading) >= most:
                step = reading.popleft().result()
                size = size if isinstance(step, Broken) else step.weight
                yield step
            if self._stopped.is_set():
                return
            reading.append(self._readers.submit(self._work.read, name))
        while reading:
            yield reading.popleft().result()

    def _query(self, batch: list[Loaded]) -> None:
        for found in self._work.query(batch):
            if self._stopped.is_set():
                return
            if isinstance(found, Broken):
                self.results.put(found)
            else:
                size = self._unwritten.take(found.weight)
                self._writers.submit(self._write, found, size)

    def _write(self, found: Found, size: int) -> None:
        try:
            self.results.put(self._work.write(found))
        except BaseException as error:
            self.results.put(error)
        finally:
            self._unwritten.give_back(size)
