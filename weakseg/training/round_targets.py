"""The targets of one round: all that they depend on, their keys, and their estimation. `Rounds`
trains on them, and `weakseg.label` writes them to files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from weakseg.data.label_store import FORMAT, LabelStore
from weakseg.foundation.frozen_encoder import FrozenEncoder
from weakseg.strategies.base import Context, JointStrategy, Strategy, fits_together
from weakseg.training.checked_images import CheckedImage
from weakseg.training.estimation import Failure, can_copy, can_send, for_each
from weakseg.training.image_records import NOTHING_KNOWN, ImageRecords
from weakseg.training.image_work import Job, Made, Make, Reading, Samples, key_of_target
from weakseg.training.joint_fit import Described, describe_all, fit_together
from weakseg.training.queries import (
    encoded_jobs,
    network_fingerprint,
    queried_jobs,
    with_sample,
)
from weakseg.training.segmenter import Segmenter
from weakseg.training.target_keys import TargetKeys
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
_ESTIMATING = ("weakseg.training.image_work", "weakseg.training.joint_fit")


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
        records: what is known of targets from earlier starts.
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
    records: ImageRecords = field(default_factory=lambda: NOTHING_KNOWN)

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
            self.reading(),
            self._jobs(list(keys), keys, {}),
            {self.images[index].id: key for index, key in keys.items()},
            self.processes(),
            self.number,
            self.world,
        )

    def describe(self, keys: Mapping[int, str]) -> Iterator[Described | Failure]:
        """What a joint strategy has to know of these images, in any order."""
        assert fits_together(self.strategy)
        jobs = self._jobs(list(keys), keys, {})
        reading, workers = self.reading(), self.processes()
        return describe_all(self.strategy, self.context(), reading, jobs, len(keys), workers)

    def context(self) -> Context:
        """What the strategy is given for every image of this round."""
        return Context(fitted=self.fitted, cache=self.cache, classes=self.segmenter.classes)

    @property
    def of_all(self) -> tuple[Any, ...]:
        """What the keys of all targets have in common."""
        return (
            FORMAT,
            self.method,
            self.segmenter.classes,
            self.queried,
            fingerprint(self.fitted),
        )

    def keys(self, indices: Iterable[int] | None = None) -> TargetKeys:
        """A content key for each image, or for some of them: whatever may change its target is in
        it."""
        of_all = self.of_all
        chosen = sorted(self.images if indices is None else indices)
        return TargetKeys((index, key_of_target(of_all, self.images[index])) for index in chosen)

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
        return (made.wrong for made in self.make(keys, missing, measures=False))

    def make(
        self,
        keys: Mapping[int, str],
        indices: Sequence[int],
        before: Mapping[int, str] | None = None,
        measures: bool = True,
    ) -> Iterator[Made]:
        """The targets of some images, found in the store or else estimated; yields once per
        finished image, in any order.

        Args:
            keys: of the targets.
            indices: of the images.
            before: keys of the targets of the round before, to compare with.
            measures: whether they are measured, and what is found is kept in the records.
        """
        work = self.maker(measures)
        jobs = self._jobs(indices, keys, before or {})
        workers = self.processes() if can_send(self.strategy) else 0
        for made in for_each(work, jobs, len(indices), workers, light=work.reading.by_workers):
            if made.measured is not None and self.number == 0:  # no later start has this network
                self.records.keep_measured(
                    self.images[made.number], keys[made.number], made.measured
                )
            yield made
        self.records.flush()

    def maker(self, measures: bool) -> Make:
        """What is done to make a target."""
        classes = self.segmenter.classes
        reading = self.reading()
        return Make(reading, self.strategy, self.context(), classes, self.store, measures)

    def reading(self) -> Reading:
        """How images are read: by the workers, unless the network or a frozen model is to see them
        here, or the data set is not to be copied."""
        samples = getattr(self.data, "samples", self.data)
        seen_here = self.queried or self._encoder is not None
        return Reading(samples if not seen_here and can_copy(samples) else None)

    @property
    def _encoder(self) -> FrozenEncoder | None:
        """The frozen model that sees the images in this process, as it is on a GPU; on a CPU each
        worker asks its own, as it does where encodings are not kept for it to find."""
        encoder = self.strategy.wants.encoder
        if encoder is None or self.segmenter.device.type == "cpu" or not encoder.encodings.limit:
            return None
        return encoder

    def _jobs(
        self, indices: Sequence[int], keys: Mapping[int, str], before: Mapping[int, str]
    ) -> Iterator[Job]:
        jobs: Iterator[Job] = (Job(index, keys[index], before.get(index, "")) for index in indices)
        if self.queried:
            own = self.segmenter, self.queried if self.number == 0 else "", self.cache
            jobs = queried_jobs(self.data, jobs, *own)
        if (encoder := self._encoder) is not None:
            encoder.use(self.segmenter.device)
            return encoded_jobs(self.data, jobs, encoder)
        if self.queried:
            return jobs
        if self.reading().samples is None:
            return (with_sample(self.data, job) for job in jobs)
        return jobs

    def processes(self) -> int:
        """How many processes estimate."""
        workers = cores_of(self.ranks_here) if self.workers is None else self.workers
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


def cores_of(ranks_here: int) -> int:
    """How many cores each of the ranks on this machine has to itself."""
    available = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, available // ranks_here)
