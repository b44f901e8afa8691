"""The targets of one round: all that they depend on, their keys, and their estimation. `Rounds`
trains on them, and `weakseg.label` writes them to files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from weakseg.data.label_store import FORMAT, LabelStore
from weakseg.evidence import Evidence, Prediction
from weakseg.strategies.base import Context, JointStrategy, Strategy, fits_together
from weakseg.training.estimation import Failure, Job, estimate_all
from weakseg.training.evidence_check import CheckedImage
from weakseg.training.joint_fit import Described, describe_all, fit_together
from weakseg.training.queries import network_fingerprint, query_untrained
from weakseg.training.segmenter import Segmenter
from weakseg.training.targets import fitting_target
from weakseg.utils.array_cache import ArrayCache
from weakseg.utils.fingerprint import (
    code_fingerprint,
    edited_code,
    fingerprint,
    homes,
    module_fingerprint,
)

# code that calls the strategy, whatever it imports
_ESTIMATING = ("weakseg.training.estimation", "weakseg.training.joint_fit")


class Samples(Protocol):
    """What a data set is here."""

    def corrected(self, index: int) -> tuple[Evidence, Tensor | None]:
        """The evidence of an image, and its truth or None."""
        ...


@dataclass
class RoundTargets:
    """The targets of one round, of this rank's images.

    Args:
        segmenter: its strategy estimates, and its network is queried where the round does so.
        data: the images.
        images: what was checked of each image, by its index.
        store: where targets are, and where those that are missing come.
        cache: for the strategy.
        number: of the round.
        workers: processes that estimate; None for the cores per rank.
        world: number of ranks.
        ranks_here: how many of them share this machine.
        queried: fingerprint of the network that this round queries; "" if none.
        method: fingerprint of the strategy and its code when it made this round.
        fitted: by the strategy in this round, to all images together.
        fit: does so in another way than the ranks of a run together: it is given the keys of the
            images' descriptions.
    """

    segmenter: Segmenter
    data: Samples
    images: Mapping[int, CheckedImage]
    store: LabelStore
    cache: ArrayCache
    number: int
    workers: int | None = None
    world: int = 1
    ranks_here: int = 1
    queried: str = ""
    method: str = ""
    fitted: Tensor | None = None
    fit: Callable[[RoundTargets, Mapping[int, str]], Tensor | None] | None = None

    @property
    def strategy(self) -> Strategy:
        """The one that estimates."""
        return self.segmenter.strategy

    def begin(self, fit_to: Sequence[int] | None = None) -> None:
        """Find out all that the targets of a new round depend on; a joint strategy is fitted before
        any is estimated. All ranks must call it.

        Args:
            fit_to: indices of the images that a joint strategy is fitted to; None for all.
        """
        for _ in self.fits(fit_to):
            pass

    def fits(self, fit_to: Sequence[int] | None = None) -> Iterator[int]:
        """As `begin`, step by step: yields 0 before anything is fitted, and the number of each
        iteration after it. All ranks must go through all of them."""
        queries = self.number > 0 or self.strategy.wants.intermediate > 0
        self.queried = network_fingerprint(self.segmenter) if queries else ""
        self.method = method_fingerprint(self.strategy)
        self.fitted = None  # each round begins anew
        yield 0
        if not fits_together(self.strategy):
            return
        for iteration in range(self.strategy.iterations):
            # all that each image's description depends on
            keys = self.keys(fit_to)
            self.fitted = (
                self._fit(self.strategy, keys) if self.fit is None else self.fit(self, keys)
            )
            yield iteration + 1

    def _fit(self, strategy: JointStrategy, keys: Mapping[int, str]) -> Tensor | None:
        return fit_together(
            strategy,
            self.context(),
            self._jobs(list(keys), keys),
            {self.images[index].id: key for index, key in keys.items()},
            self._processes(),
            self.number,
            self.world,
        )

    def describe(self, keys: Mapping[int, str]) -> Iterator[Described | Failure]:
        """What a joint strategy has to know of these images, in any order."""
        assert fits_together(self.strategy)
        jobs = self._jobs(list(keys), keys)
        return describe_all(self.strategy, self.context(), jobs, len(keys), self._processes())

    def context(self) -> Context:
        """What the strategy is given for every image of this round."""
        return Context(fitted=self.fitted, cache=self.cache)

    def keys(self, indices: Iterable[int] | None = None) -> dict[int, str]:
        """A content key for each image, or for some of them: whatever may change its target is in
        it."""
        of_all = (
            FORMAT,
            self.method,
            self.segmenter.classes,
            self.queried,
            fingerprint(self.fitted),
        )
        chosen = self.images if indices is None else indices
        return {index: fingerprint(*of_all, self.images[index].fingerprint) for index in chosen}

    def missing(self, keys: Mapping[int, str]) -> list[int]:
        """The images whose targets are missing, damaged, or do not fit the image."""
        classes = len(self.segmenter.classes)
        masks = self.strategy.wants.box_masks
        lost = []
        for index, key in keys.items():
            seen = self.images[index]
            try:
                fitting_target(self.store.read(seen.id, key), seen.size, seen.boxes, classes, masks)
            except ValueError:  # DamagedTarget is one
                lost.append(index)
        return lost

    def estimate(self, keys: Mapping[int, str], missing: Sequence[int]) -> Iterator[Failure | None]:
        """Estimate and store the targets that are missing; yields once per finished image, in any
        order."""
        return estimate_all(
            self._jobs(missing, keys),
            len(missing),
            self.strategy,
            self.context(),
            len(self.segmenter.classes),
            self.store,
            self._processes(),
        )

    def _jobs(self, indices: Sequence[int], keys: Mapping[int, str]) -> Iterator[Job]:
        for index in indices:
            evidence, _ = self.data.corrected(index)
            yield Job(evidence, self._query(evidence.image), keys[index])

    def _query(self, image: Tensor) -> Prediction | None:
        """The prediction of the network for an image, if this round queries it."""
        if not self.queried:
            return None
        if self.number > 0:
            return self.segmenter.predict(image, plain=True)
        return query_untrained(self.segmenter, image, self.queried, self.cache)

    def _processes(self) -> int:
        workers = _cores(self.ranks_here) if self.workers is None else self.workers
        if workers > 1 and (names := edited_code(*homes(type(self.strategy)), *_ESTIMATING)):
            warnings.warn(
                f"{', '.join(names)} has been edited since this run began: its rounds go on with "
                "the code as it was, in one process",
                stacklevel=2,
            )
            return 0
        return workers


def method_fingerprint(strategy: Strategy) -> str:
    """All that an estimation depends on beside evidence, network and fit: the options of the
    strategy, what it wants, and the code."""
    return fingerprint(module_fingerprint(strategy, *_ESTIMATING), strategy.wants)


def cache_folder(store: LabelStore, strategy: Strategy) -> Path:
    """A folder for what the code that is run now computes; other code may compute something
    else."""
    return store.folder / "cache" / code_fingerprint(*homes(type(strategy)), *_ESTIMATING)[:12]


def _cores(ranks_here: int) -> int:
    available = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, available // ranks_here)
