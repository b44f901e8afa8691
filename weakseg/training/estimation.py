"""One pass over many images, in this process or in a pool of workers; and what becomes of the
images on which the work fails."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any, NamedTuple, TypeVar

import torch

from weakseg.utils.lifeline import die_with_parent, die_without
from weakseg.utils.processes import gather
from weakseg.utils.progress import track

POOL_PAYS = 32  # images per worker from which on a pool, which takes seconds to start, is worth it
POOL_PAYS_TO_READ = 1000  # the same where images are only read and checked
MOST_COPIED = 2**28  # bytes of a data set that is sent to each worker
HANDFUL = 0.05  # seconds that a worker is busy with what it is handed out at once
MOST_AT_ONCE = 64  # images of it
MANY = 10  # failures after which a rank stops: the strategy, not the image, must be at fault

LOADED = (
    "weakseg.functional.crf.dense",
    "weakseg.functional.regions.region_graph",
)  # what most strategies estimate with, and what takes long to load

J = TypeVar("J")
R = TypeVar("R")


class Failure(NamedTuple):
    """One image whose estimation failed."""

    id: str
    """"" if it was not one image's fault"""
    reason: str


class EstimationError(RuntimeError):
    """The strategy failed on some images; the message names them. Targets of the other images are
    kept."""


def failure(id: str, error: Exception) -> Failure:
    """What went wrong with an image, and where."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return Failure(
        id,
        f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}, line "
        f"{where.lineno})",
    )


def for_each(
    work: Callable[[J], R],
    jobs: Iterable[J],
    count: int,
    workers: int,
    pays: int = POOL_PAYS,
    light: bool = False,
) -> Iterator[R]:
    """The work's results for `count` jobs, in any order: done in this process, or in a pool where
    that pays.

    Args:
        work: what is done; it is sent to each worker once.
        jobs: taken one by one, a few more than there are workers.
        count: how many there are.
        workers: processes, at most.
        pays: images per worker from which on a pool is worth its start.
        light: whether jobs are without images and predictions, so that many of them may wait at
            once: these take megabytes, and a file that is held open for each tensor.
    """
    workers = min(workers, count // pays)
    if workers < 2:
        yield from map(work, jobs)
        return
    context = _clean_start()
    # workers end when this process, which alone holds the other end, is gone
    lifeline, ours = context.Pipe(duplex=False)
    with (
        ours,
        ProcessPoolExecutor(
            workers, context, initializer=_start_worker, initargs=(pickle.dumps(work), lifeline)
        ) as pool,
    ):
        try:
            yield from _in_pool(pool, jobs, 2 * workers, MOST_AT_ONCE if light else 1)
        except BrokenProcessPool as error:
            raise EstimationError(
                "a worker of the estimation died: too little memory (use rounds.workers=1), or a "
                "script whose training code does not stand under "
                '`if __name__ == "__main__":`'
            ) from error
        except BaseException:
            # an interrupt, or whoever wants no further results: nobody waits for images that are
            # under way
            ours.close()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _clean_start() -> BaseContext:
    """Workers that share nothing with this process, which may hold a GPU and threads.

    They are forks of a server that has loaded the libraries once, for all rounds; Windows has no
    such server.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["weakseg.utils.forkserver", "weakseg.training.image_work", *LOADED]
    )
    return context


def _in_pool(
    pool: ProcessPoolExecutor, jobs: Iterable[Any], waiting: int, most: int
) -> Iterator[Any]:
    """The results of jobs that are handed out in handfuls of `most` at most: as many as take a
    twentieth of a second, so that handing out costs nothing, and the last ones end at about the
    same time."""
    pending: set[Future[tuple[list[Any], float]]] = set()
    remaining = iter(jobs)
    size = 1
    while handful := list(itertools.islice(remaining, size)):
        pending.add(pool.submit(_in_worker, handful))
        if len(pending) >= waiting:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                results, seconds = future.result()
                yield from results
                size = min(most, _handful(seconds / len(results)))
    for future in pending:
        yield from future.result()[0]


def _handful(seconds: float) -> int:
    """How many jobs are handed out at once where one takes so long."""
    return max(1, int(HANDFUL / max(seconds, 1e-6)))


_work: Callable[[Any], Any]


def _start_worker(work: bytes, lifeline: Connection) -> None:
    global _work
    # as bytes: a tensor that is sent by itself holds a file open in both processes
    _work = pickle.loads(work)
    # a terminal sends it to all processes; the parent ends this one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    die_without(lifeline)
    # workers fill the cores already; spinning threads would slow all of them
    torch.set_num_threads(1)


def _in_worker(jobs: Sequence[Any]) -> tuple[list[Any], float]:
    start = time.perf_counter()
    results = [_work(job) for job in jobs]
    return results, time.perf_counter() - start


def can_send(value: object) -> bool:
    """Whether another process can load an object of this class: not if it was typed at a prompt or
    in a notebook."""
    main = sys.modules["__main__"]
    return type(value).__module__ != "__main__" or hasattr(main, "__file__")


def can_copy(samples: object) -> bool:
    """Whether each worker may have a data set of its own, to read images from: not one that cannot
    be sent, or whose images are in memory."""
    if not can_send(samples):
        return False
    try:
        pickle.Pickler(_Scales(MOST_COPIED)).dump(samples)
    except Exception:  # whatever an attribute raises that is not to be copied
        return False
    return True


class _Scales:
    """A file that takes so many bytes and keeps none."""

    def __init__(self, most: int) -> None:
        self.left = most

    def write(self, data: bytes | pickle.PickleBuffer) -> int:
        size = memoryview(data).nbytes
        self.left -= size
        if self.left < 0:
            raise OverflowError
        return size


def collected(
    results: Iterable[R | Failure], count: int, text: str, world: int, what: str
) -> list[R]:
    """This rank's results, behind a progress bar with that text; failures of all ranks are raised
    on all ranks, as `what`."""
    failures: list[Failure] = []
    done: list[R] = []
    try:
        for result in track(results, count, text, world):
            if isinstance(result, Failure):
                failures.append(result)
            else:
                done.append(result)
            if len(failures) >= MANY:
                break
    except Exception as error:  # a dead worker: the other ranks must hear of it too
        failures.append(
            Failure(
                "",
                str(error)
                if isinstance(error, EstimationError)
                else f"{type(error).__name__}: {error}",
            )
        )
    raise_together(failures, what)
    return done


def raise_together(failures: list[Failure], what: str) -> None:
    """Raise the failures of all ranks on all ranks; returns if there is none anywhere."""
    everywhere = [failure for part in gather(failures) for failure in part]
    if not everywhere:
        return
    shown = [
        f"image {failure.id}: {failure.reason}" if failure.id else failure.reason
        for failure in everywhere[:MANY]
    ]
    rest = [f"and {len(everywhere) - MANY} more"] if len(everywhere) > MANY else []
    raise EstimationError(
        "\n  ".join(
            [f"{what} on {len(everywhere)} image{'s' * (len(everywhere) > 1)}:", *shown, *rest]
        )
    )
