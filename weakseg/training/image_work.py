"""What a round does with one image, in this process or in a worker: read it, check its evidence,
estimate its target, and measure that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.data.formats.base import FormatError
from weakseg.data.label_store import DamagedTarget, LabelStore, Stamp, Stored
from weakseg.evidence import Evidence, Prediction
from weakseg.strategies.base import Context, Strategy
from weakseg.training.checked_images import CheckedImage, checked_image
from weakseg.training.estimation import Failure, failure
from weakseg.training.label_quality import ImageQuality, harden, quality_of_image
from weakseg.training.target_signals import target_signals
from weakseg.training.targets import checked_target, target_of
from weakseg.utils.fingerprint import fingerprint


class Samples(Protocol):
    """What a data set is here."""

    def corrected(self, index: int) -> tuple[Evidence, Tensor | None]:
        """The evidence of an image, and its truth or None."""
        ...


class Job(NamedTuple):
    """One image to work on."""

    number: int
    """its place in the data set"""
    key: str = ""
    """of its target"""
    before: str = ""
    """of its target in the round before; "" if there is none"""
    evidence: Evidence | None = None
    """that the asking process has read; None for whoever works to read it"""
    truth: Tensor | None = None
    """likewise, beside the evidence"""
    prediction: Prediction | None = None
    """of the network, where the round queries it"""


class Measured(NamedTuple):
    """What is known of a target, in plain numbers."""

    quality: ImageQuality
    signals: dict[str, float]
    """what speaks against it, as `target_signals` says"""
    figures: dict[str, float]
    """that the strategy has returned with it"""
    stamp: Stamp
    """of its file, as it was"""


class Checked(NamedTuple):
    """What was found when an image was looked at."""

    number: int
    """its place in the data set"""
    image: CheckedImage | None
    """None if something is wrong"""
    wrong: Failure | None = None
    of_object: bool = False
    """whether a single object is wrong, and could be skipped"""


class Made(NamedTuple):
    """What has become of the target of an image."""

    number: int
    """its place in the data set"""
    wrong: Failure | None = None
    measured: Measured | None = None
    """None where it was not wanted"""


@dataclass(frozen=True)
class Reading:
    """How images are read: by whoever works on them, or by the asking process.

    Args:
        samples: the data set; None where jobs bring what was read.
    """

    samples: Samples | None

    @property
    def by_workers(self) -> bool:
        """Whether jobs bring nothing that was read."""
        return self.samples is not None

    def read(self, job: Job) -> tuple[Evidence, Tensor | None]:
        """The evidence and the truth of an image."""
        if job.evidence is not None:
            return job.evidence, job.truth
        assert self.samples is not None
        return self.samples.corrected(job.number)


@dataclass(frozen=True)
class Check:
    """Whether the evidence of an image is right, and what the strategy needs.

    Args:
        data: the images.
        strategy: that would learn from them.
        classes: names, the background first.
        held_out: images for which nothing is estimated, so that they need not have what the
            strategy needs.
    """

    data: WeakData
    strategy: Strategy
    classes: tuple[str, ...]
    held_out: frozenset[int] = frozenset()

    def __call__(self, number: int) -> Checked:
        """Look at one image, by its place in the data set."""
        id = f"number {number}"
        try:
            evidence, truth = self.data.sample(number)
            id = str(evidence.id)
            evidence = self.data.lay_over(evidence).evidence
            image = checked_image(evidence, truth, len(self.classes))
            if number not in self.held_out:
                evidence.need(*self.strategy.needs)
                self.strategy.check(evidence, self.classes)
        except Exception as error:
            # a reader of files may raise anything: it is reported with the image's name
            of_object = isinstance(error, FormatError) and error.place.number is not None
            return Checked(number, None, image_failure(id, error), of_object)
        return Checked(number, image)


@dataclass(frozen=True)
class Make:
    """The target of an image: found in the store or else estimated, and measured.

    Args:
        reading: how images are read.
        strategy: that estimates.
        context: what it is given for every image.
        classes: names, the background first.
        store: where targets are kept.
        measures: whether they are measured.
    """

    reading: Reading
    strategy: Strategy
    context: Context
    classes: tuple[str, ...]
    store: LabelStore
    measures: bool = True

    def __call__(self, job: Job) -> Made:
        """Make the target of one image."""
        id = f"number {job.number}"
        try:
            evidence, truth = self.reading.read(job)
            id = str(evidence.id)
            stored = self._found(job, evidence) or self._estimated(job, evidence)
            measured = self._measured(job, evidence, truth, stored) if self.measures else None
            return Made(job.number, None, measured)
        except Exception as error:
            # the user's code may raise anything: it is reported with the image's name
            return Made(job.number, failure(id, error))

    def _found(self, job: Job, evidence: Evidence) -> Stored | None:
        """The target that is in the store already."""
        try:
            stored = self.store.load(evidence.id, job.key)
            masks = self.strategy.wants.box_masks
            checked_target(stored.target, evidence, len(self.classes), masks)
        except ValueError:  # DamagedTarget is one
            return None
        return stored

    def _estimated(self, job: Job, evidence: Evidence) -> Stored:
        context = self.context._replace(prediction=job.prediction)
        target = target_of(self.strategy, evidence, context, len(self.classes))
        # a prediction is of a network that trains on; all else can be estimated again
        durable = job.prediction is not None
        self.store.write(evidence.id, job.key, target.labels, target.figures, durable)
        return self.store.load(evidence.id, job.key)  # what is trained on, and measured

    def _measured(
        self, job: Job, evidence: Evidence, truth: Tensor | None, stored: Stored
    ) -> Measured:
        before = self.store.read(evidence.id, job.before) if job.before else None
        hard = harden(stored.target, evidence.box_classes)
        stamp = self.store.stamp(evidence.id, job.key)
        if stamp is None:
            raise DamagedTarget(f"the target of image {evidence.id} is gone right after it came")
        return Measured(
            quality_of_image(stored.target, before, evidence, truth, len(self.classes)),
            target_signals(hard, evidence, self.classes),
            stored.figures,
            stamp,
        )


def key_of_target(of_all: tuple[Any, ...], image: CheckedImage) -> str:
    """A content key: whatever may change the target is in it.

    Args:
        of_all: what all images of a round have in common.
        image: whose target it is.
    """
    return fingerprint(*of_all, image.fingerprint)


def image_failure(id: str, error: Exception) -> Failure:
    """What is wrong with an image that could not be read or checked."""
    reason = str(error).removeprefix(f"image {id}").lstrip(": ")
    ours = isinstance(error, ValueError)
    return Failure(id, reason if ours else f"{type(error).__name__}: {reason}")
