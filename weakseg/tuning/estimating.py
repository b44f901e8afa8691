"""The targets of a sample of images under each setting, with all of the evidence or a part of
it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.held_out_marks import hold_out
from weakseg.labelling.source import Source
from weakseg.planning.facts import spread
from weakseg.strategies.base import Strategy
from weakseg.training.checked_images import CheckedImage, checked_image
from weakseg.training.estimation import Failure, collected
from weakseg.training.image_work import Samples, image_failure
from weakseg.training.label_quality import harden
from weakseg.training.round_targets import RoundTargets, cache_folder
from weakseg.training.segmenter import Segmenter
from weakseg.utils.array_cache import ArrayCache
from weakseg.utils.progress import track


@dataclass(frozen=True)
class Shown:
    """A data set of which a strategy sees all evidence, or one part of the marks.

    Args:
        source: the data set.
        part: the half of the marks that is hidden; None for nothing.
    """

    source: Source
    part: int | None = None

    @property
    def samples(self) -> Samples:
        """The images alone, as workers are sent them."""
        own = self.source.samples
        return own if self.part is None else WithoutPart(own, self.part)

    def corrected(self, index: int) -> tuple[Evidence, Tensor | None]:
        """The evidence that is shown, and the truth."""
        return self.samples.corrected(index)


@dataclass(frozen=True)
class WithoutPart:
    """Images without a part of their marks.

    Args:
        samples: the images.
        part: the half of the marks that is hidden.
    """

    samples: Samples
    part: int

    def corrected(self, index: int) -> tuple[Evidence, Tensor | None]:
        """The evidence that is left, and the truth."""
        evidence, truth = self.samples.corrected(index)
        return without(evidence, self.part), truth


def without(evidence: Evidence, part: int) -> Evidence:
    """The evidence of an image without a part of its marks, those of corrections included."""
    if evidence.marks is None:
        return evidence
    held = hidden_marks(evidence, part) != IGNORE
    shown = {
        name: drawn.masked_fill(held, IGNORE)
        for name in ("marks", "strokes", "painted")
        if (drawn := getattr(evidence, name)) is not None
    }
    return evidence._replace(**shown)


def hidden_marks(evidence: Evidence, part: int) -> Tensor:
    """The marks of an image that a part hides, uint8 [H,W], 255 elsewhere."""
    assert evidence.marks is not None
    named = [] if evidence.tags is None else evidence.tags.nonzero().flatten().tolist()
    return hold_out(evidence.marks, part, named).hidden


class Sample(NamedTuple):
    """The images that settings are tried on."""

    indices: list[int]
    failures: list[Failure]
    """images that cannot be read, or lack the evidence that the strategy needs"""


def choose_images(source: Source, count: int) -> Sample:
    """Some of the training images, evenly spaced."""
    sample = Sample([], [])
    chosen = spread(source.data.training, count)
    for index in track(chosen, len(chosen), "reading the evidence"):
        try:
            evidence, truth = source.corrected(index)
            checked_image(evidence, truth, len(source.segmenter.classes))
            evidence.need(*source.segmenter.strategy.needs)
            source.segmenter.strategy.check(evidence, source.segmenter.classes)
            sample.indices.append(index)
        except Exception as error:
            # a reader of files may raise anything: it is reported with the image's name
            sample.failures.append(image_failure(f"number {index}", error))
    if len(sample.indices) < 2:
        reason = f": {sample.failures[0].reason}" if sample.failures else ""
        raise ValueError(
            f"settings are compared on two or more images with evidence, but there are "
            f"{len(sample.indices)}{reason}"
        )
    return sample


@dataclass(frozen=True)
class Estimated:
    """Targets of one setting, in the label store.

    Args:
        targets: how they are found.
        keys: by the index of the image.
    """

    targets: RoundTargets
    keys: Mapping[int, str]

    def labels(self, index: int, evidence: Evidence) -> Tensor:
        """The labels of an image, uint8 [H,W]."""
        stored = self.targets.store.load(evidence.id, self.keys[index])
        return harden(stored.target, evidence.box_classes)


def estimate(
    source: Source, strategy: Strategy, indices: Sequence[int], part: int | None, text: str
) -> Estimated:
    """Estimate the targets of some images that no earlier call, and no run with the same evidence
    and setting, has estimated.

    Args:
        source: of the images.
        strategy: with the values of the setting.
        indices: of the images.
        part: of the marks, which is hidden; None to show all.
        text: of the progress bar.
    """
    shown = Shown(source, part)
    given = source.segmenter
    segmenter = Segmenter(given.network, strategy, given.classes, given.optimizer, given.inference)
    segmenter.long_side = given.long_side
    segmenter.to(given.device).eval()
    targets = RoundTargets(
        segmenter,
        shown,
        {index: _checked(shown, index, len(given.classes)) for index in indices},
        source.store,
        ArrayCache(cache_folder(source.store, strategy)),
        source.number or 0,
        source.rounds.workers,
    )
    targets.begin()
    keys = targets.keys()
    missing = targets.missing(keys)
    what = f"{type(strategy).__name__} could not estimate the targets"
    with torch.no_grad():
        collected(targets.estimate(keys, missing), len(missing), text, 1, what)
    return Estimated(targets, keys)


def _checked(shown: Shown, index: int, classes: int) -> CheckedImage:
    evidence, truth = shown.corrected(index)
    return checked_image(evidence, truth, classes)
