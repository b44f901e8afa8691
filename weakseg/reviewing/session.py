"""ReviewSession: everything that a page does with a data set, without any network protocol."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

import torch
from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.data.class_names import BACKGROUND
from weakseg.data.corrections.events import EDITS, Event, read_event
from weakseg.data.corrections.folder import (
    Conflict,
    CorrectionsFolder,
    DamagedCorrection,
    is_class_name,
)
from weakseg.data.corrections.history import History
from weakseg.data.corrections.overlay import described, lay_over
from weakseg.data.files.photos import Photos
from weakseg.data.formats.base import FormatError
from weakseg.data.formats.images import image_size, read_small
from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.class_matching import renumber, renumber_evidence
from weakseg.labelling.images import Subset
from weakseg.reviewing.background import Background
from weakseg.reviewing.colours import as_css, palette
from weakseg.reviewing.describing import described_evidence, described_history
from weakseg.reviewing.estimating import Estimator
from weakseg.reviewing.fitting import Fits
from weakseg.reviewing.histories import Histories
from weakseg.reviewing.layers import (
    THUMBNAIL,
    Picture,
    label_layer,
    mark_layer,
    photograph,
    thumbnail,
)
from weakseg.reviewing.material import Material
from weakseg.reviewing.ranking import ranking_of_run, suspicion_of
from weakseg.reviewing.recent import Recent
from weakseg.reviewing.refusals import (
    ChangedElsewhere,
    NotFound,
    Refusal,
    StrategyFailed,
    WrongRequest,
)
from weakseg.suspicion.queue import Suspicion
from weakseg.training.targets import correct_target
from weakseg.utils.messages import one_line

MEMORY = 2**28  # bytes of images and layers that are kept, about, of each kind
LAYERS = ("photo", "thumbnail", "marks", "target", "prediction", "truth")


class Sample(NamedTuple):
    """An image as it was read."""

    evidence: Evidence
    truth: Tensor | None
    size: tuple[int, int]
    """width and height of its file"""


class State(NamedTuple):
    """An image with its corrections."""

    evidence: Evidence
    """with the numbers that classes have in all labels that are shown"""
    history: History
    remarks: tuple[str, ...]


class ReviewSession:
    """Reviews the images of a data set: shows them, takes corrections, and estimates their targets
    anew. For any number of threads.

    Args:
        material: what is reviewed.
        subset: which images.
        who: the name that corrections are kept under where a page does not send one.
    """

    def __init__(self, material: Material, subset: Subset = "training", who: str = "") -> None:
        self.material = material
        self.data: WeakData = material.data
        self.who = who
        self.tag = secrets.token_hex(4)
        """part of the addresses of layers: what a browser keeps belongs to one session"""
        self.numbers = _numbers(self.data, subset)
        self.histories = Histories(CorrectionsFolder(material.corrections))
        self.remarks: list[str] = []
        self.broken: dict[int, str] = {}
        self._ids: dict[int, str] = {}
        self._samples = Recent[Sample](MEMORY, _bytes_of)
        self._pictures = Recent[Picture](MEMORY, lambda picture: len(picture.content))
        self._labels = Recent[Tensor](MEMORY, lambda labels: labels.nbytes)
        self._reading = RLock()
        self._chosen = set(self.numbers)
        self.background = Background()
        self.suspicions: dict[str, Suspicion] = self._known_suspicions()
        self._make_estimator()

    def _known_suspicions(self) -> dict[str, Suspicion]:
        try:
            return ranking_of_run(self.material.run)
        except (ValueError, OSError) as error:
            self.remarks.append(f"the images are measured anew: {one_line(error)}")
            return {}

    def _make_estimator(self) -> None:
        training = _numbers(self.data, "training")
        self.estimator = Estimator(self.material, self.classes)
        self.fits = Fits(self.estimator, self.background, self._evidence, training)
        if self.material.fitted is not None:
            self.fits.take(self.material.strategy_name, self.material.fitted)

    # what there is

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes by their numbers, the background first."""
        return self.material.classes

    def described(self) -> dict[str, Any]:
        """What a page has to know at its beginning."""
        self._take_classes()
        colours = palette()
        return {
            "title": self.material.name,
            "classes": [
                {"number": number, "name": name, "colour": as_css(colours[number])}
                for number, name in enumerate(self.classes)
            ],
            "can_add_classes": self.can_add_classes,
            "strategies": [
                {"name": choice.name, "title": choice.title, "needs": list(choice.needs)}
                for choice in self.estimator.choices
            ],
            "strategy": self.material.strategy_name,
            "count": len(self.numbers),
            "corrections": str(self.material.corrections),
            "train_command": self.material.train_command,
            "has_prediction": self.material.trained,
            "has_truth": self.has_truth,
            "who": self.who,
            "remarks": self.remarks,
            "working": self.background.doing or None,
        }

    @property
    def can_add_classes(self) -> bool:
        """Whether a person may name further classes: only where all that there are were named
        so."""
        own = self.data.classes[1:]
        return self.material.segmenter is None and tuple(own) == self._added()

    def add_class(self, name: Any) -> dict[str, Any]:
        """Add a class to a data set whose classes a person names; returns what `described` does
        after it."""
        if not self.can_add_classes:
            raise WrongRequest("the classes of this data set stand in its files, or in its recipe")
        if not isinstance(name, str) or not is_class_name(name.strip()):
            raise WrongRequest(f"name should be that of a class, but it is {name!r:.60}")
        if len(self.classes) >= IGNORE:
            raise WrongRequest(f"there are {len(self.classes)} classes, and no room for more")
        if name.strip() in self.classes:
            raise WrongRequest(f"there is a class {name.strip()!r} already")
        try:
            self.histories.add_class(name.strip())
        except ValueError as error:  # another page was faster
            raise WrongRequest(one_line(error)) from error
        return self.described()

    def _added(self) -> tuple[str, ...]:
        """The classes that a person has named."""
        try:
            return tuple(self.histories.folder.classes)
        except DamagedCorrection:
            return ()

    def _take_classes(self) -> None:
        """Take over what this page, or another one, has named since the data set was made."""
        known = self.data.classes[1:]
        added = self._added()
        if self.material.segmenter is None and len(added) > len(known) == len(
            [name for name in known if name in added]
        ):
            self.data.classes = (BACKGROUND, *added)
            self._make_estimator()

    @property
    def has_truth(self) -> bool:
        """Whether the first image has a truth."""
        for number in self.numbers[:1]:
            try:
                return self._sample(number).truth is not None
            except Refusal:
                return False
        return False

    def queue(self) -> dict[str, Any]:
        """All images, the most suspicious first."""
        images = [self._entry(number) for number in self.numbers]
        decided = ("accepted", "skipped", "excluded")
        # what nobody has measured comes after what was measured, and what is decided at the end
        images.sort(key=lambda image: (image["status"] in decided, -(image["score"] or -1)))
        counts = dict.fromkeys((*decided, "open"), 0)
        for image in images:
            counts[image["status"] or "open"] += 1
        return {"images": images, "counts": counts, "working": self.background.doing or None}

    def _entry(self, number: int) -> dict[str, Any]:
        id = self.id_of(number)
        history, problem = (None, "") if id is None else self.histories.read(id)
        return {
            "number": number,
            "name": self.name_of(number),
            "thumbnail": f"/images/{number}/thumbnail?v={self.tag}",
            **self._suspicion(id),
            "status": None if history is None else history.status,
            "edits": 0 if history is None else len(history.edits),
            "broken": self.broken.get(number) or problem or None,
        }

    def _suspicion(self, id: str | None) -> dict[str, Any]:
        found = None if id is None else self.suspicions.get(id)
        if found is None:
            return {"score": None, "reasons": []}
        return {"score": round(found.score, 4), "reasons": list(found.reasons)}

    # in the background

    def begin(self) -> None:
        """Find out which images are suspicious, if no run has."""
        self.background.add("first", self._first())
        if not self.suspicions:
            self.background.add("rank", self._rank())
        elif any(self.id_of(number) is None for number in self.numbers):
            self.background.add("names", self._names())

    def end(self) -> None:
        """Begin nothing new in the background."""
        self.background.end()

    def _first(self) -> Iterator[str]:
        """The target of the first image, so that all that is compiled is so before a person draws
        something."""
        yield "the first target is estimated"
        for row in self.queue()["images"][:1]:
            with suppress(Refusal):
                self._target_layer(row["number"], self.material.strategy_name)

    def _names(self) -> Iterator[str]:
        """Read the images of a data set that only so tells their names."""
        for place, number in enumerate(self.numbers):
            yield f"reading the images: {place} of {len(self.numbers)}"
            with suppress(Refusal):
                self._sample(number)

    def _rank(self) -> Iterator[str]:
        for place, number in enumerate(self.numbers):
            yield f"looking for suspicious images: {place} of {len(self.numbers)}"
            with suppress(Refusal):
                self._measure(number)

    def _measure(self, number: int) -> None:
        """Find out how suspicious an image is."""
        state = self._state(number)
        own = self.material.strategy_name
        probs = self.estimator.probabilities(state.evidence)
        if self.estimator.estimates(own):
            labels = self._target(number, own, state)
        elif probs is not None:
            labels = correct_target(likeliest(probs), state.evidence)
        else:
            return
        found = suspicion_of(labels, state.evidence, self.classes, probs)
        self.suspicions[found.image] = found

    # one image

    def image(self, number: int) -> dict[str, Any]:
        """What a page shows of an image beside its layers."""
        state = self._state(number)
        sample = self._sample(number)
        names = self._layers(number, sample, state)
        return {
            "number": number,
            "name": sample.evidence.id,
            "width": sample.size[0],
            "height": sample.size[1],
            **described_history(state.history),
            **described_evidence(state.evidence, state.history, self.classes),
            **self._suspicion(sample.evidence.id),
            "layers": {name: self._address(number, name, state, names) for name in LAYERS[0:1]}
            | {name: self._address(number, name, state, names) for name in LAYERS[2:]},
            "warning": self._warning(number, state),
        }

    def picture(self, number: int, layer: str, strategy: str | None = None) -> Picture:
        """A layer of an image as a file. The target is estimated anew where the evidence has
        changed since it was."""
        if layer == "photo":
            made = self._kept(
                ("photo", number), lambda: photograph(self._sample(number).evidence.image)
            )
        elif layer == "thumbnail":
            made = self._kept(("thumbnail", number), lambda: thumbnail(self._small(number)))
        elif layer == "target":
            return self._target_layer(number, strategy or self.material.strategy_name)
        else:
            made = self._other_layer(number, layer)
        return made

    def _target_layer(self, number: int, strategy: str) -> Picture:
        with self.estimator.alone:
            # only now: of several requests in a row, those that were overtaken find the target of
            # the last one
            state = self._state(number)
            labels = self._target(number, strategy, state)
        return label_layer(labels)._replace(version=self._version(state.history))

    def _other_layer(self, number: int, layer: str) -> Picture:
        state = self._state(number)
        version = self._version(state.history)
        labels: Tensor | None = None
        if layer == "marks" and state.evidence.marks is not None:
            return mark_layer(state.evidence.marks)._replace(version=version)
        if layer == "prediction":
            labels = self._prediction(number)
        elif layer == "truth":
            truth, table = self._sample(number).truth, self.material.table
            labels = truth if truth is None or table is None else renumber(truth, table)
        if labels is None:
            raise NotFound(f"image {self.name_of(number)} has no layer {layer}")
        return label_layer(labels)._replace(version=version)

    def add(self, number: int, revision: Any, content: Any) -> dict[str, Any]:
        """Do what a person did to an image, and save it; returns what `image` does after it.

        Args:
            number: of the image.
            revision: of its corrections that the person saw.
            content: the event, as JSON holds it.
        """
        if not isinstance(revision, int) or isinstance(revision, bool) or revision < 0:
            raise WrongRequest(f"revision should be a whole number, but it is {revision!r:.60}")
        self._expect(number)
        sample = self._sample(number)
        try:
            self._take_classes()
            event = read_event(content, self.classes)
            self._add(number, sample, revision, event)
        except Conflict as error:
            raise ChangedElsewhere(one_line(error), self.image(number)) from error
        except ValueError as error:
            raise WrongRequest(one_line(error)) from error
        return self.image(number)

    def look(self, number: int, seconds: Any) -> dict[str, Any]:
        """Note that a person has looked at an image for some seconds."""
        self._expect(number)
        sample = self._sample(number)
        history, _ = self.histories.read(sample.evidence.id)
        revision = 0 if history is None else history.revision
        try:
            event = read_event({"action": "look", "seconds": seconds})
            # it belongs to no revision, so it meets no conflict
            self._add(number, sample, revision, event)
        except ValueError as error:
            raise WrongRequest(one_line(error)) from error
        return self.image(number)

    def _add(self, number: int, sample: Sample, revision: int, event: Event) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        signed = event._replace(when=now, who=event.who or self.who)
        before = {} if revision else described(sample.evidence, sample.size, self.data.classes)
        self.histories.add(sample.evidence.id, signed, revision, sample.size, before)

    # parts of it

    def id_of(self, number: int) -> str | None:
        """The id of an image; None where only reading it would tell."""
        if number not in self._ids and type(self.data).id_of is not WeakData.id_of:
            self._ids[number] = self.data.id_of(number)
        return self._ids.get(number)

    def name_of(self, number: int) -> str:
        """The id of an image, or what it is called until that is known."""
        return self.id_of(number) or f"number {number}"

    def _expect(self, number: int) -> None:
        if number not in self._chosen:
            raise NotFound(f"there is no image {number} in this session")

    def _sample(self, number: int) -> Sample:
        """An image, from its file or from memory; NotFound if its file is gone or broken."""
        file = self._expect_file(number)
        kept = self._samples.get(number)
        if kept is not None:
            return kept
        try:
            with self._reading:
                evidence, truth = self.data.sample(number)
            evidence.check(len(self.data.classes))
            height, width = evidence.image.shape[-2:]
            shrunk = file is not None and getattr(self.data, "long_side", None) is not None
            size = image_size(file) if shrunk and file is not None else (width, height)
        except Exception as error:  # a reader of files may raise anything
            raise self._lost(number, one_line(error)) from error
        self.broken.pop(number, None)
        self._ids[number] = str(evidence.id)
        return self._samples.put(number, Sample(evidence, truth, size))

    def _expect_file(self, number: int) -> Path | None:
        """The file of an image, None if it is in none; NotFound if it is gone."""
        file = self.data.image_file(number)
        if file is not None and not file.is_file():
            raise self._lost(number, f"the file {file} is gone")
        return file

    def _lost(self, number: int, reason: str) -> NotFound:
        self.broken[number] = reason
        self._samples.drop(number)
        return NotFound(f"image {self.name_of(number)}: {reason}")

    def _state(self, number: int, chosen: bool = True) -> State:
        if chosen:
            self._expect(number)
        sample = self._sample(number)
        found, problem = self.histories.read(sample.evidence.id)
        history = found or History(sample.evidence.id, sample.size)
        laid = lay_over(sample.evidence, history, self.data.classes)
        evidence = laid.evidence
        table = self.material.table
        if table is not None:
            evidence = renumber_evidence(evidence, table, len(self.classes))
        remarks = (problem,) if problem else ()
        return State(evidence, history, (*remarks, *laid.remarks))

    def _target(self, number: int, strategy: str, state: State) -> Tensor:
        """The target of an image, or, of strategies that estimate nothing, the prediction with what
        a person has drawn in it."""
        if not self.estimator.knows(strategy):
            raise WrongRequest(f"there is no strategy {strategy!r:.60} in this session")
        if not self.estimator.estimates(strategy):
            predicted = self._prediction(number)
            if predicted is None:
                raise StrategyFailed(self._why_no_target(state))
            return correct_target(predicted, state.evidence)
        key = ("target", number, strategy, edits_of(state.history))
        kept = self._labels.get(key)
        if kept is None:
            fitted = self.fits.get(strategy)
            kept = self._labels.put(key, self.estimator.target(strategy, state.evidence, fitted))
        return kept

    def _prediction(self, number: int) -> Tensor | None:
        key = ("prediction", number)
        kept = self._labels.get(key)
        if kept is None:
            found = self.estimator.probabilities(self._sample(number).evidence)
            kept = None if found is None else self._labels.put(key, likeliest(found))
        return kept

    def _kept(self, key: tuple[str, int], make: Callable[[], Picture]) -> Picture:
        """A picture that depends on no corrections, from memory unless the image is gone."""
        self._expect(key[1])
        self._expect_file(key[1])
        made = self._pictures.get(key)
        return made or self._pictures.put(key, make()._replace(version=self.tag))

    def _small(self, number: int) -> Tensor:
        """A small version of an image, from as little of its file as will do."""
        file = self.data.image_file(number)
        if file is None or not isinstance(self.data, Photos):
            return self._sample(number).evidence.image
        try:
            return read_small(file, THUMBNAIL, self.data.window)
        except FormatError as error:
            raise self._lost(number, one_line(error)) from error

    def _evidence(self, number: int) -> Evidence:
        """The evidence of an image, with its corrections."""
        return self._state(number, chosen=False).evidence

    def _layers(self, number: int, sample: Sample, state: State) -> set[str]:
        """The layers that an image has."""
        there = {
            "photo": True,
            "marks": state.evidence.marks is not None,
            "target": True,
            "prediction": self.material.trained,
            "truth": sample.truth is not None,
        }
        return {name for name, has in there.items() if has}

    def _address(self, number: int, layer: str, state: State, names: set[str]) -> str | None:
        if layer not in names:
            return None
        version = self.tag if layer == "photo" else self._version(state.history)
        return f"/images/{number}/{layer}?v={version}"

    def _version(self, history: History) -> str:
        return f"{history.revision}-{self.tag}"

    def _warning(self, number: int, state: State) -> str | None:
        lines = list(state.remarks)
        own = self.material.strategy_name
        if not self.estimator.estimates(own) and not self.material.trained:
            lines.append(self._why_no_target(state))
        return "; ".join(lines) or None

    def _why_no_target(self, state: State) -> str:
        able = [
            choice.name
            for choice in self.estimator.choices
            if self.estimator.estimates(choice.name)
            and not self.estimator.lacks(choice.name, state.evidence)
        ]
        hint = f"; choose {' or '.join(able[:3])} to see one" if able else ""
        return f"{self.material.strategy_name} estimates no target, and no network is trained{hint}"


def likeliest(probs: Tensor) -> Tensor:
    """The likeliest class of each pixel, uint8 [H,W]."""
    return probs.argmax(0).to(torch.uint8)


def edits_of(history: History) -> tuple[Event, ...]:
    """All of the corrections that targets depend on."""
    return tuple(event for event in history.applied if event.action in EDITS)


def _numbers(data: WeakData, subset: Subset) -> list[int]:
    """The images of a session; excluded ones are among them."""
    held_out = set(data.validation)
    if subset == "all":
        return list(range(len(data)))
    if subset == "validation":
        return list(data.validation)
    return [number for number in range(len(data)) if number not in held_out]


def _bytes_of(sample: Sample) -> int:
    tensors = [value for value in (*sample.evidence, sample.truth) if isinstance(value, Tensor)]
    return sum(tensor.nbytes for tensor in tensors)
