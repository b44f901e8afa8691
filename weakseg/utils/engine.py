"""Work on many items by the processes of an engine, on one machine or on many: Ray Data, with a
pool of actors. Who wants it hands over items and a class that works on them, and knows no Ray."""

from __future__ import annotations

import logging
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from math import ceil
from typing import Any, Literal

from weakseg.utils.lifeline import when_orphaned
from weakseg.utils.signals import current

EngineName = Literal["local", "ray"]
TASKS = (
    8  # batches that each actor gets at least, where there are enough items, as some take longer
)
MOST_BLOCKS = 20_000  # into which Ray is given the items
# of a Ray that is started here, where nobody has said otherwise: it tells nobody of its use, and
# prints no hints for its developers
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}

Work = Callable[[list[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Pool:
    """How many processes of an engine work, and on what.

    Args:
        actors: how many; None for one per GPU of the engine's machines or, without any, per core.
        device: of the network, as the words of a command have it: `auto` or `cuda` ask for a GPU
            for each actor, where there are any.
        batch: items that an actor is given at once, at most.
    """

    actors: int | None = None
    device: str = "cpu"
    batch: int = 64


def check_engine(engine: str = "local", actors: int | None = None) -> None:
    """A ValueError for an engine that is not installed, and for words that belong to another
    one."""
    if engine == "local" and actors is not None:
        raise ValueError("actors: belongs to engine=ray; leave it out, or write engine=ray")
    if engine == "ray" and find_spec("ray") is None:
        raise ValueError("engine: ray is not installed: pip install 'weakseg[ray]'")


def spread(
    worker: Callable[..., Work], arguments: Mapping[str, Any], items: Sequence[Any], pool: Pool
) -> Iterator[Any]:
    """What a worker returns for the items, one result after the other, in any order. Of an actor
    that dies, with its machine say, another one does the items again; an error that a worker raises
    is raised here.

    Args:
        worker: a class whose objects are called with a list of items and return results for them.
        arguments: of its constructor, which each actor calls once. The files that they name should
            be there on all machines.
        items: what there is to do; they and the results must be able to go to other processes.
        pool: how many actors there are.
    """
    if not items:
        return
    with _joined() as ray, _calmly():
        size, cpus, gpus = _shares(ray.cluster_resources(), pool)
        batch = max(1, min(pool.batch, ceil(len(items) / (TASKS * size))))
        blocks = min(ceil(len(items) / batch), MOST_BLOCKS)
        rows = [{"item": pickle.dumps(item)} for item in items]
        data = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
            _Actor,
            fn_constructor_kwargs={
                "worker": worker,
                "arguments": dict(arguments),
                "folder": os.getcwd(),
                "threads": cpus,
            },
            batch_size=batch,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=min(size, blocks)),
            num_cpus=cpus,
            num_gpus=gpus,
        )
        for row in data.iter_rows():
            result = pickle.loads(row["result"])
            if isinstance(result, _Raised):
                raise result.error
            yield result


class _Raised:
    """An error of a worker on its way to whoever waits for results."""

    def __init__(self, error: Exception) -> None:
        try:
            pickle.loads(pickle.dumps(error))
            self.error = error
        except Exception:  # its own kind cannot be sent
            self.error = RuntimeError(f"{type(error).__name__}: {error}")


class _Actor:
    """A process of the pool."""

    def __init__(
        self, worker: Callable[..., Work], arguments: Mapping[str, Any], folder: str, threads: int
    ) -> None:
        self._work: Work | None = None
        self._error: Exception | None = None
        try:
            # a killed Ray may leave an actor behind that waits for its own threads
            when_orphaned(os.getppid(), partial(os._exit, 1))
            import torch

            torch.set_num_threads(threads)
            os.chdir(folder)  # relative paths are those of whoever waits for results
            self._work = worker(**arguments)
        except Exception as error:  # Ray would try it again, and again
            self._error = error

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        import numpy as np

        results: list[Any]
        try:
            if self._work is None:
                assert self._error is not None
                raise self._error
            results = list(self._work([pickle.loads(item) for item in batch["item"]]))
        except Exception as error:
            results = [_Raised(error)]
        packed = np.empty(len(results), dtype=object)
        packed[:] = [pickle.dumps(result) for result in results]
        return {"result": packed}


def _shares(resources: Mapping[str, float], pool: Pool) -> tuple[int, int, int]:
    """How many actors there are, and the cores and GPUs of each.

    >>> _shares({"CPU": 32.0, "GPU": 4.0}, Pool(device="auto"))
    (4, 8, 1)
    >>> _shares({"CPU": 32.0, "GPU": 4.0}, Pool(device="cpu"))
    (32, 1, 0)
    """
    cores = max(1, int(resources.get("CPU", 1)))
    gpus = int(resources.get("GPU", 0))
    if pool.device.startswith("cuda") or (pool.device == "auto" and gpus):
        return pool.actors or max(1, gpus), max(1, cores // max(1, gpus)), 1
    return pool.actors or cores, 1, 0


@contextmanager
def _joined() -> Iterator[Any]:
    """Join the Ray that this program has joined already, or that RAY_ADDRESS or `ray start` name,
    or else start one on this machine, which ends with it."""
    before = {name: os.environ.get(name) for name in QUIET}
    os.environ.update({name: QUIET[name] for name in QUIET if before[name] is None})
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    ray: Any = import_module("ray")
    import_module("ray.data")
    joined = not ray.is_initialized()
    try:
        if joined:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
            # which Ray has taken over
            for each, handler in handlers.items():
                signal.signal(each, handler)
            current().take_over()
        yield ray
    finally:
        if joined:
            ray.shutdown()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else None


@contextmanager
def _calmly() -> Iterator[None]:
    """No bars and lines of Ray's own: there is one bar, of whoever waits for results."""
    context: Any = import_module("ray.data").DataContext.get_current()
    wished = {"enable_progress_bars": False, "print_on_execution_start": False}
    before = {name: getattr(context, name) for name in wished}
    log = logging.getLogger("ray.data")
    level = log.level
    for name, value in wished.items():
        setattr(context, name, value)
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
        for name, value in before.items():
            setattr(context, name, value)
