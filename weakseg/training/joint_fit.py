"""What a strategy fits to all training images together, before a round estimates any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.strategies.base import Context, JointStrategy
from weakseg.training.estimation import (
    Failure,
    can_send,
    collected,
    failure,
    for_each,
    raise_together,
)
from weakseg.training.image_work import Job, Reading
from weakseg.utils.array_cache import Arrays
from weakseg.utils.fingerprint import fingerprint
from weakseg.utils.processes import gather, rank


class Described(NamedTuple):
    """What a strategy has to know of one image. Arrays, as tensors that come from other processes
    hold a file open each."""

    id: str
    description: Arrays


def fit_together(
    strategy: JointStrategy,
    context: Context,
    reading: Reading,
    jobs: Iterable[Job],
    keys: Mapping[str, str],
    workers: int,
    number: int,
    world: int,
) -> Tensor | None:
    """What the strategy fits to the images of all ranks, the same on all of them, however many
    there are. All must call it.

    Args:
        context: what is the same for all images; what is fitted is kept in its cache under the keys
            of the images of all ranks.
        reading: how images are read.
        jobs: this rank's images.
        keys: of this rank's images by their ids.
        number: of the round.
        world: number of ranks.
    """
    key = key_of_fit(pair for part in gather(dict(keys)) for pair in part.items())
    # caches of other machines may hold something else
    found = gather(context.cache.get(key) if rank() == 0 else None)[0]
    if found is None:
        name = type(strategy).__name__
        results = describe_all(strategy, context, reading, jobs, len(keys), workers)
        what = f"{name} could not describe the images for round {number}"
        mine = collected(results, len(keys), f"round {number}: describing images", world, what)
        described = [each for part in gather(mine) for each in part]
        what = f"{name} could not be fitted to the images in round {number}"
        found = fit_described(
            strategy, context.fitted, described, partial(context.cache.put, key), what
        )
    return torch.from_numpy(found["fitted"]) if "fitted" in found else None


def key_of_fit(keys: Iterable[tuple[str, str]]) -> str:
    """The key in the cache of what was fitted to images, from their ids and the keys of their
    descriptions."""
    return fingerprint("fitted", sorted(keys))


def describe_all(
    strategy: JointStrategy,
    context: Context,
    reading: Reading,
    jobs: Iterable[Job],
    count: int,
    workers: int,
) -> Iterator[Described | Failure]:
    """What the strategy has to know of each of `count` images, in any order."""
    work = partial(describe_one, strategy, context, reading)
    workers = workers if can_send(strategy) else 0
    return for_each(work, jobs, count, workers, light=reading.by_workers)


def describe_one(
    strategy: JointStrategy, context: Context, reading: Reading, job: Job
) -> Described | Failure:
    """What the strategy has to know of one image."""
    id = f"number {job.number}"
    try:
        evidence, _ = reading.read(job)
        id = evidence.id
        with torch.no_grad():
            description = strategy.describe(evidence, context._replace(prediction=job.prediction))
        if not (
            isinstance(description, dict)
            and all(isinstance(value, Tensor) for value in description.values())
        ):
            raise TypeError(
                "describe should return a dict of named tensors, but it returned "
                f"{description!r:.80}"
            )
        arrays = {name: value.detach().cpu().numpy() for name, value in description.items()}
        return Described(id, arrays)
    except Exception as error:
        # the user's code may raise anything: it is reported with the image's name
        return failure(id, error)


def fit_described(
    strategy: JointStrategy,
    before: Tensor | None,
    described: Iterable[Described],
    keep: Callable[[Arrays], Arrays],
    what: str,
) -> Arrays:
    """Rank 0 fits, keeps the result and sends it to the others; if it fails, all ranks raise."""
    arrays: Arrays = {}
    failures: list[Failure] = []
    if rank() == 0:
        try:
            descriptions = [
                {name: torch.from_numpy(value) for name, value in each.description.items()}
                for each in sorted(described, key=lambda each: each.id)
            ]
            with torch.no_grad():
                fitted = strategy.continue_fit(before, strategy.fit(descriptions))
            if not (fitted is None or isinstance(fitted, Tensor)):
                raise TypeError(
                    f"fit should return a tensor or None, but it returned {type(fitted).__name__}"
                )
            arrays = keep({} if fitted is None else {"fitted": fitted.detach().cpu().numpy()})
        except Exception as error:  # the user's code may raise anything
            failures.append(failure("", error))
    raise_together(failures, what)
    return gather(arrays)[0]
