"""ReviewSession: everything that a page does with a data set, without any network protocol."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from torch import Tensor

from weakseg.data.class_names import BACKGROUND
from weakseg.data.corrections.before import differences
from weakseg.data.corrections.events import EDITS, Event, read_event
from weakseg.data.corrections.folder import (
    Conflict,
    CorrectionsFolder,
    DamagedCorrection,
    is_class_name,
)
from weakseg.data.corrections.history import History
from weakseg.data.corrections.overlay import described
from weakseg.evidence import IGNORE
from weakseg.labelling.images import Subset
from weakseg.reviewing.background import Background
from weakseg.reviewing.colours import as_css, palette
from weakseg.reviewing.describing import described_evidence, described_history
from weakseg.reviewing.histories import Histories, stamp_of
from weakseg.reviewing.images import ReviewedImages, Sample, State, numbers_of
from weakseg.reviewing.layers import (
    THUMBNAIL,
    Picture,
    label_layer,
    mark_layer,
    photograph,
    thumbnail,
)
from weakseg.reviewing.material import Material
from weakseg.reviewing.ranking import known_ranking
from weakseg.reviewing.recent import Recent
from weakseg.reviewing.refusals import ChangedElsewhere, NotFound, Refusal, WrongRequest
from weakseg.reviewing.targets import SessionTargets
from weakseg.reviewing.worklist import DECIDED, Worklist
from weakseg.suspicion.queue import Suspicion
from weakseg.utils.messages import one_line

MEMORY = 2**27  # bytes of photographs for browsers that are kept, about
LAYERS = ("photo", "thumbnail", "marks", "target", "prediction", "truth")


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
        self.who = who
        self.tag = secrets.token_hex(4)
        """part of the addresses of layers: what a browser keeps belongs to one session"""
        self.remarks: list[str] = []
        self.background = Background()
        self.histories = Histories(CorrectionsFolder(material.corrections))
        numbers = numbers_of(material.data, subset)
        self.images = ReviewedImages(material, self.histories, numbers)
        self.targets = self._make_targets()
        self.worklist = Worklist(
            self.images,
            self.histories,
            self.background,
            self._known_suspicions(),
            lambda number: self.targets.suspicion(number),
        )
        self._pictures = Recent[Picture](MEMORY, lambda picture: len(picture.content))

    def _make_targets(self) -> SessionTargets:
        training = numbers_of(self.material.data, "training")
        return SessionTargets(self.material, self.images, self.background, training)

    def _known_suspicions(self) -> dict[str, Suspicion]:
        try:
            return known_ranking(self.material.run, self.material.queue)
        except (ValueError, OSError) as error:
            self.remarks.append(f"the images are measured anew: {one_line(error)}")
            return {}

    def begin(self) -> None:
        """Do in the background what a person would otherwise wait for."""
        self.background.add("first", self._first())
        self.worklist.begin()

    def end(self) -> None:
        """Begin nothing new in the background."""
        self.background.end()

    def _first(self) -> Iterator[str]:
        """The target of the first image, so that all that is compiled is so before a person draws
        something."""
        yield "the first target is estimated"
        for row in self.worklist.rows()[:1]:
            with suppress(Refusal):
                self.targets.target(row["number"], self.material.strategy_name)

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
                for choice in self.targets.choices
            ],
            "strategy": self.material.strategy_name,
            "count": len(self.images.numbers),
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
        own = self.material.data.classes[1:]
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
        known = self.material.data.classes[1:]
        added = self._added()
        if self.material.segmenter is None and len(added) > len(known) == len(
            [name for name in known if name in added]
        ):
            self.material.data.classes = (BACKGROUND, *added)
            self.targets = self._make_targets()

    @property
    def has_truth(self) -> bool:
        """Whether the first image has a truth."""
        for number in self.images.numbers[:1]:
            try:
                return self.images.sample(number).truth is not None
            except Refusal:
                return False
        return False

    def queue(self) -> dict[str, Any]:
        """All images, the most suspicious first."""
        rows = self.worklist.rows()
        counts = dict.fromkeys((*DECIDED, "open"), 0)
        for row in rows:
            counts[row["status"] or "open"] += 1
            row["thumbnail"] = self._address(row["number"], "thumbnail", self.tag)
        return {"images": rows, "counts": counts, "working": self.background.doing or None}

    # one image

    def image(self, number: int) -> dict[str, Any]:
        """What a page shows of an image beside its layers."""
        self.images.expect(number)
        state = self.images.state(number)
        warning = "; ".join(filter(None, [*state.remarks, self.targets.why_none(state)]))
        return {
            "number": number,
            "name": state.evidence.id,
            "width": state.sample.size[0],
            "height": state.sample.size[1],
            **described_history(state.history),
            **described_evidence(state.evidence, state.history, self.classes),
            **self.worklist.suspicion(state.evidence.id),
            "layers": self._layers(number, state),
            "warning": warning or None,
        }

    def picture(self, number: int, layer: str, strategy: str | None = None) -> Picture:
        """A layer of an image as a file. The target is estimated anew where the evidence has
        changed since it was."""
        self.images.expect(number)
        if layer == "target":
            labels, state = self.targets.target(number, strategy or self.material.strategy_name)
            return label_layer(labels)._replace(version=self._version(state.history))
        if layer == "marks":
            state = self.images.state(number)
            if state.evidence.marks is not None:
                return mark_layer(state.evidence.marks)._replace(
                    version=self._version(state.history)
                )
        made = self._lasting(number, layer)
        if made is None:
            raise NotFound(f"image {self.images.name_of(number)} has no layer {layer}")
        return made._replace(version=self.tag)

    def _lasting(self, number: int, layer: str) -> Picture | None:
        """A layer that depends on no corrections; None if there is none."""
        if layer == "photo":
            return self._kept(
                number, layer, lambda: photograph(self.images.sample(number).evidence.image)
            )
        if layer == "thumbnail":
            return self._kept(
                number, layer, lambda: thumbnail(self.images.small(number, THUMBNAIL))
            )
        labels: Tensor | None = None
        if layer == "prediction":
            labels = self.targets.prediction(number)
        elif layer == "truth":
            labels = self.images.truth(number)
        return None if labels is None else label_layer(labels)

    def _kept(self, number: int, layer: str, make: Callable[[], Picture]) -> Picture:
        file = self.images.file_of(number)  # what is gone or replaced is not shown from memory
        key = (layer, number, None if file is None else stamp_of(file))
        return self._pictures.get(key) or self._pictures.put(key, make())

    def _layers(self, number: int, state: State) -> dict[str, str | None]:
        """The addresses of the layers of an image, None for those that it does not have."""
        now = self._version(state.history)
        versions = {
            "photo": self.tag,
            "marks": None if state.evidence.marks is None else now,
            "target": now,
            "prediction": self.tag if self.material.trained else None,
            "truth": None if state.sample.truth is None else self.tag,
        }
        return {
            layer: None if version is None else self._address(number, layer, version)
            for layer, version in versions.items()
        }

    def _address(self, number: int, layer: str, version: str) -> str:
        return f"/images/{number}/{layer}?v={version}"

    def _version(self, history: History) -> str:
        return f"{history.revision}-{self.tag}"

    # what a person does

    def add(self, number: int, revision: Any, content: Any) -> dict[str, Any]:
        """Do what a person did to an image, and save it; returns what `image` does after it.

        Args:
            number: of the image.
            revision: of its corrections that the person saw.
            content: the event, as JSON holds it.
        """
        if not isinstance(revision, int) or isinstance(revision, bool) or revision < 0:
            raise WrongRequest(f"revision should be a whole number, but it is {revision!r:.60}")
        self.images.expect(number)
        sample = self.images.sample(number)
        try:
            self._take_classes()
            event = read_event(content, self.classes)
            self._expect_size(sample, event)
            self._add(sample, revision, event)
        except Conflict as error:
            raise ChangedElsewhere(one_line(error), self.image(number)) from error
        except ValueError as error:
            raise WrongRequest(one_line(error)) from error
        return self.image(number)

    def _expect_size(self, sample: Sample, event: Event) -> None:
        """A ValueError if the image has become another one since it was corrected: all coordinates
        in a file of corrections belong to one size."""
        history, _ = self.histories.read(sample.evidence.id)
        if history is not None and history.size != sample.size and event.action in EDITS:
            (then,) = differences(history, sample.evidence, sample.size, self.classes)
            file = self.histories.folder.file(sample.evidence.id)
            raise ValueError(f"{then}; put the old one back, or remove its corrections, {file}")

    def look(self, number: int, seconds: Any) -> dict[str, Any]:
        """Note that a person has looked at an image for some seconds."""
        self.images.expect(number)
        sample = self.images.sample(number)
        history, _ = self.histories.read(sample.evidence.id)
        revision = 0 if history is None else history.revision
        try:
            event = read_event({"action": "look", "seconds": seconds})
            # it belongs to no revision, so it meets no conflict
            self._add(sample, revision, event)
        except ValueError as error:
            raise WrongRequest(one_line(error)) from error
        return self.image(number)

    def _add(self, sample: Sample, revision: int, event: Event) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        signed = event._replace(when=now, who=event.who or self.who)
        before = (
            {} if revision else described(sample.evidence, sample.size, self.material.data.classes)
        )
        self.histories.add(sample.evidence.id, signed, revision, sample.size, before)
