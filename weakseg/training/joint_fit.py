"""What a strategy learns from all training images together, before a round estimates any of
them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.strategies.base import Strategy
from weakseg.training.estimation import (
    Failure,
    Job,
    can_send,
    collected,
    failure,
    for_each,
    raise_together,
)
from weakseg.utils.array_cache import Arrays, keep, recalled
from weakseg.utils.fingerprint import fingerprint
from weakseg.utils.processes import gather, rank


class Sketched(NamedTuple):
    """What a strategy wants to know of one image. Arrays, as tensors that come from other processes
    hold a file open each."""

    id: str
    sketch: Arrays


def learn_together(
    strategy: Strategy,
    jobs: Iterable[Job],
    keys: Mapping[str, str],
    workers: int,
    number: int,
    world: int,
) -> Tensor | None:
    """What the strategy learns from the images of all ranks, the same on all of them, however many
    there are. All must call it.

    keys: of this rank's images by their ids; what is learned is kept in the strategy's scratch
        folder under those of all ranks.
    number: of the round.
    world: number of ranks.
    """
    everyone = sorted((id, key) for part in gather(dict(keys)) for id, key in part.items())
    key = fingerprint("learned", everyone)
    # folders of other machines may hold something else
    found = gather(recalled(strategy.scratch, key) if rank() == 0 else None)[0]
    if found is None:
        name = type(strategy).__name__
        results = for_each(
            partial(sketch_one, strategy), jobs, len(keys), workers if can_send(strategy) else 0
        )
        what = f"{name} could not sketch the images for round {number}"
        mine = collected(results, len(keys), f"round {number}: looking at all images", world, what)
        sketched = sorted(
            (each for part in gather(mine) for each in part), key=lambda each: each.id
        )
        found = _learn(
            strategy, sketched, key, f"{name} could not learn from the images in round {number}"
        )
    return torch.from_numpy(found["learned"]) if "learned" in found else None


def sketch_one(strategy: Strategy, job: Job) -> Sketched | Failure:
    """What the strategy wants to know of one image."""
    try:
        with torch.no_grad():
            sketch = strategy.sketch(job.evidence, job.prediction)
        if not (
            isinstance(sketch, dict) and all(isinstance(value, Tensor) for value in sketch.values())
        ):
            raise TypeError(
                f"sketch should return a dict of named tensors, but it returned {sketch!r:.80}"
            )
        return Sketched(
            job.evidence.id, {name: value.detach().cpu().numpy() for name, value in sketch.items()}
        )
    except Exception as error:
        # the user's code may raise anything: it is reported with the image's name
        return failure(job.evidence.id, error)


def _learn(strategy: Strategy, sketched: list[Sketched], key: str, what: str) -> Arrays:
    """Rank 0 learns, the others hear of it; so does everybody if it fails."""
    arrays: Arrays = {}
    failures: list[Failure] = []
    if rank() == 0:
        try:
            sketches = [
                {name: torch.from_numpy(value) for name, value in each.sketch.items()}
                for each in sketched
            ]
            with torch.no_grad():
                learned = strategy.learn(sketches)
            if not (learned is None or isinstance(learned, Tensor)):
                raise TypeError(
                    "learn should return a tensor or None, but it returned "
                    f"{type(learned).__name__}"
                )
            arrays = keep(
                strategy.scratch,
                key,
                {} if learned is None else {"learned": learned.detach().cpu().numpy()},
            )
        except Exception as error:  # the user's code may raise anything
            failures.append(failure("", error))
    raise_together(failures, what)
    return gather(arrays)[0]
