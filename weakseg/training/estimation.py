"""One estimation pass: run a strategy over many images, in this process or in a pool, and store
what it returns."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any, NamedTuple, TypeVar

import torch

from weakseg.data.label_store import LabelStore
from weakseg.evidence import Evidence, Prediction
from weakseg.strategies.base import Context, Strategy
from weakseg.training.targets import target_of
from weakseg.utils.lifeline import die_with_parent, die_without
from weakseg.utils.processes import gather
from weakseg.utils.progress import track

POOL_PAYS = 32  # images per worker from which on a pool, which takes seconds to start, is worth it
MANY = 10  # failures after which a rank stops: the strategy, not the image, must be at fault

LOADED = (
    "weakseg.functional.crf.dense",
    "weakseg.functional.regions.region_graph",
)  # what most strategies estimate with, and what takes long to load

R = TypeVar("R")


class Job(NamedTuple):
    """One image to estimate."""

    evidence: Evidence
    prediction: Prediction | None
    key: str
    """of its target"""

    def in_context(self, context: Context) -> Context:
        """What the strategy is given beside the evidence: what all images have in common, and the
        prediction of this one."""
        return context._replace(prediction=self.prediction)


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


def estimate_one(
    strategy: Strategy, context: Context, job: Job, classes: int, store: LabelStore
) -> Failure | None:
    """Estimate and store the target of one image, with the figures that the strategy returns."""
    try:
        target = target_of(strategy, job.evidence, job.in_context(context), classes)
        store.write(job.evidence.id, job.key, target.labels, target.figures)
    except Exception as error:
        # the user's code may raise anything: it is reported with the image's name
        return failure(job.evidence.id, error)
    return None


def mean_figures(images: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each figure over the images of all ranks that have it. All ranks must call
    it."""
    everywhere = [figures for part in gather(list(images)) for figures in part]
    names = dict.fromkeys(name for figures in everywhere for name in figures)
    values = {name: [figures[name] for figures in everywhere if name in figures] for name in names}
    return {f"estimate/{name}": sum(each) / len(each) for name, each in values.items()}


def estimate_all(
    jobs: Iterable[Job],
    count: int,
    strategy: Strategy,
    context: Context,
    classes: int,
    store: LabelStore,
    workers: int,
) -> Iterator[Failure | None]:
    """Estimate `count` jobs and store their targets; yields once per finished image, in any order.

    Args:
        context: what is the same for all images; it is sent to each worker once.
    """
    return for_each(
        partial(estimate_one, strategy, context, classes=classes, store=store),
        jobs,
        count,
        workers if can_send(strategy) else 0,
    )


def for_each(
    work: Callable[[Job], R], jobs: Iterable[Job], count: int, workers: int
) -> Iterator[R]:
    """The work's results for `count` jobs, in any order: done in this process, or in a pool where
    that pays."""
    workers = min(workers, count // POOL_PAYS)
    if workers < 2:
        yield from map(work, jobs)
        return
    context = _clean_start()
    # workers end when this process, which alone holds the other end, is gone
    lifeline, ours = context.Pipe(duplex=False)
    with (
        ours,
        ProcessPoolExecutor(
            workers, context, initializer=_start_worker, initargs=(work, lifeline)
        ) as pool,
    ):
        try:
            yield from _in_pool(pool, jobs, waiting=2 * workers)
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
        ["weakseg.utils.forkserver", "weakseg.training.estimation", *LOADED]
    )
    return context


def _in_pool(pool: ProcessPoolExecutor, jobs: Iterable[Job], waiting: int) -> Iterator[Any]:
    pending: set[Future[Any]] = set()
    for job in jobs:
        pending.add(pool.submit(_in_worker, job))
        if len(pending) >= waiting:  # predictions are large: only a few may wait
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    for future in pending:
        yield future.result()


_work: Callable[[Job], Any]


def _start_worker(work: Callable[[Job], Any], lifeline: Connection) -> None:
    global _work
    _work = work
    # a terminal sends it to all processes; the parent ends this one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    die_without(lifeline)
    # workers fill the cores already; spinning threads would slow all of them
    torch.set_num_threads(1)


def _in_worker(job: Job) -> Any:
    return _work(job)


def can_send(strategy: Strategy) -> bool:
    """Whether another process can load the strategy: not if its class was typed at a prompt or in a
    notebook."""
    main = sys.modules["__main__"]
    return type(strategy).__module__ != "__main__" or hasattr(main, "__file__")


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
