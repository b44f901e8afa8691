"""Targets of images that nobody has annotated: what the network predicts for them, weighted by how
sure it is. `Rounds` makes them anew in every round after the first."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.data.label_store import FORMAT, LabelStore
from weakseg.evidence import Evidence
from weakseg.functional.self_labels import weighted_labels
from weakseg.training.estimation import Failure, collected, failure, raise_together
from weakseg.training.image_work import image_failure
from weakseg.training.label_quality import LabelQuality
from weakseg.training.queries import network_fingerprint
from weakseg.training.segmenter import Segmenter
from weakseg.training.targets import fitting_target
from weakseg.utils.fingerprint import code_fingerprint, fingerprint
from weakseg.utils.processes import gather
from weakseg.utils.progress import track


class SeenImage(NamedTuple):
    """What rounds keep of an image without annotation."""

    id: str
    fingerprint: str
    size: tuple[int, int]
    """height and width"""


def predicted_labels(segmenter: Segmenter, image: Tensor, least: float) -> Tensor:
    """The target of an image uint8 [3,H,W] without annotation, float [C,H,W]: the likeliest class
    of the mean prediction for the image and its mirror image, weighted by how likely it is.

    Where the two disagree, the mean is unsure, and the weight small.

    Args:
        least: pixels whose class is less probable weigh nothing.
    """
    plain = segmenter.predict(image, plain=True).probs
    mirrored = segmenter.predict(image.flip(-1), plain=True).probs.flip(-1)
    return weighted_labels((plain + mirrored) / 2, least)


@dataclass
class SelfTraining:
    """The unlabelled images of a data set, of this rank, and their targets of a round.

    Args:
        segmenter: whose network predicts.
        data: with `unlabelled_images`.
        store: of targets.
        seen: this rank's images by their places.
        world: number of ranks.
    """

    segmenter: Segmenter
    data: WeakData
    store: LabelStore
    seen: Mapping[int, SeenImage]
    world: int

    def keys(self, queried: str) -> dict[int, str]:
        """A content key for each image.

        Args:
            queried: fingerprint of the network that predicts.
        """
        code = code_fingerprint(__name__)
        of_all = (FORMAT, code, self.segmenter.classes, queried, self.data.pseudo_confidence)
        return {
            place: fingerprint("unlabelled", *of_all, seen.fingerprint)
            for place, seen in self.seen.items()
        }

    def missing(self, keys: Mapping[int, str]) -> list[int]:
        """The images whose targets are missing or damaged."""
        classes = len(self.segmenter.classes)
        lost = []
        for place, key in keys.items():
            seen = self.seen[place]
            try:
                fitting_target(self.store.read(seen.id, key), seen.size, 0, classes, False)
            except ValueError:  # DamagedTarget is one
                lost.append(place)
        return lost

    def predict(self, keys: Mapping[int, str], missing: Sequence[int], number: int) -> None:
        """Store the targets that are missing; failures of all ranks are raised on all ranks.

        Args:
            number: of the round.
        """
        text = f"round {number}: predicting unlabelled images"
        what = f"the unlabelled images could not be predicted in round {number}"
        collected(self._store_each(keys, missing), len(missing), text, self.world, what)

    def _store_each(
        self, keys: Mapping[int, str], missing: Sequence[int]
    ) -> Iterator[Failure | None]:
        for place in missing:
            id = self.seen[place].id
            try:
                image = self.data.unlabelled_evidence(place).image
                labels = predicted_labels(self.segmenter, image, self.data.pseudo_confidence)
                self.store.write(id, keys[place], labels)
                yield None
            except Exception as error:  # a file may have gone: it is reported with its name
                yield failure(id, error)

    def use(self, keys: Mapping[int, str]) -> None:
        """Train on these targets from the next epoch on. All ranks must call it."""
        named = {self.seen[place].id: key for place, key in keys.items()}
        everywhere = {id: key for part in gather(named) for id, key in part.items()}
        self.data.use_predictions(self.store, everywhere)

    def figures(self, keys: Mapping[int, str], number: int) -> dict[str, float]:
        """What the targets are like, unlabelled/*: the mean weight of a pixel, the shares of the
        classes, and with their truth, where the data set has it, how good they are. All ranks must
        call it."""
        quality = LabelQuality(self.segmenter.classes)
        weights = []
        text = f"round {number}: measuring unlabelled images"
        for place in track(keys, len(keys), text, self.world):
            target = self.store.read(self.seen[place].id, keys[place])
            evidence = self.data.unlabelled_evidence(place)
            quality.add(target, None, evidence, self._truth(place, evidence))
            weights.append(float(target.sum(0).mean()))
        everywhere = [weight for part in gather(weights) for weight in part]
        named = {
            name.replace("label/", "unlabelled/", 1): value
            for name, value in quality.figures().items()
            if name.startswith("label/")
        }
        return {**named, "unlabelled/weight": sum(everywhere) / len(everywhere)}

    def _truth(self, place: int, evidence: Evidence) -> Tensor | None:
        """Of an image of the data set itself, if it is known there. It is only measured with."""
        images = self.data.unlabelled_images
        source = None if images is None else images.sources[place]
        if not isinstance(source, int):
            return None
        truth = self.data.sample(source)[1]
        return truth if truth is not None and truth.shape == evidence.image.shape[1:] else None


def see_unlabelled(data: WeakData, rank: int, world: int) -> dict[int, SeenImage]:
    """Read this rank's share of the images without annotation, if there are any; problems of any
    rank are raised on all."""
    images = data.unlabelled_images
    if images is None:
        return {}
    if rank == 0:
        print(f"unlabelled images of {images.where}: {images.counts}", file=sys.stderr)
    mine = range(rank, len(images), world)
    seen: dict[int, SeenImage] = {}
    failures: list[Failure] = []
    for place in track(mine, len(mine), "reading unlabelled images", world):
        try:
            evidence = data.unlabelled_evidence(place)
            evidence.check(len(data.classes))
            height, width = evidence.image.shape[1:]
            seen[place] = SeenImage(evidence.id, fingerprint(evidence.image), (height, width))
        except Exception as error:
            # a reader of files may raise anything: it is reported with the image's name
            failures.append(image_failure(images.ids[place], error))
    raise_together(failures, f"unlabelled images of {images.where} cannot be read")
    return seen


def lost_predictions(training: SelfTraining, queried: str, number: int) -> dict[int, str]:
    """The keys of a resumed run's targets; lost ones are predicted again if the network that made
    them is still there. All ranks must call it."""
    keys = training.keys(queried)
    lost = training.missing(keys)
    count = sum(gather(len(lost)))
    if count and network_fingerprint(training.segmenter) != queried:
        raise FileNotFoundError(
            f"{count} targets of unlabelled images of round {number} are missing in "
            f"{training.store.folder}, or damaged, and the network that made them has trained on "
            "since; start a new run from its weights with init_from=<checkpoint>"
        )
    training.predict(keys, lost, number)
    return keys
