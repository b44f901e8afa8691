"""The object that a person means by a box or by clicks on an image: what the strategy of a run
estimates from them as evidence, or else what its network finds there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from weakseg.config.recipe import build_section
from weakseg.data.corrections.events import Event
from weakseg.data.corrections.history import History
from weakseg.data.corrections.overlay import lay_over
from weakseg.data.formats.writing.labels import Bools
from weakseg.evidence import IGNORE, Evidence, Prediction
from weakseg.functional.boxes import pixel_boxes
from weakseg.functional.resolution import downsample
from weakseg.strategies.base import Context, Strategy, estimates, fits_together
from weakseg.trained.checkpoint import CheckpointModel
from weakseg.trained.model import TrainedModel
from weakseg.training.label_quality import harden
from weakseg.training.queries import network_fingerprint, query_untrained
from weakseg.training.targets import correct_target, target_of
from weakseg.utils.array_cache import ArrayCache

CLICK = 0.01  # of the longer side of the image: how wide a click is
NARROWEST = 3.0  # pixels

Point = tuple[float, float]
Box = tuple[float, float, float, float]


class Prompt(NamedTuple):
    """What a person has drawn around or on one object, in pixel edges of the image.

    Args:
        boxes: x1 y1 x2 y2.
        inside: points on the object.
        outside: points that are not on it.
        painted: bool [H,W], pixels of a brush on it; None for none.
        erased: the same beside it.
        label: the class of the object; None for the one that the network finds there.
    """

    boxes: tuple[Box, ...] = ()
    inside: tuple[Point, ...] = ()
    outside: tuple[Point, ...] = ()
    painted: Bools | None = None
    erased: Bools | None = None
    label: int | None = None


class Found(NamedTuple):
    """The object that a prompt means."""

    label: int
    mask: Bools
    """[H,W]"""


class Seen(NamedTuple):
    """What is known of an image before anything is drawn on it."""

    image: Tensor
    """uint8 [3,h,w] as in training, which may have shrunk it"""
    size: tuple[int, int]
    """height and width of the image itself"""
    probs: Tensor
    """float [C,h,w] of the network"""


class PromptedNetwork:
    """Finds objects by prompts, with the network of a run, and with its strategy where that takes
    such evidence.

    Args:
        model: the network; its strategy is known if it comes from a run folder.
    """

    def __init__(self, model: TrainedModel) -> None:
        self.model = model
        self.strategy = _strategy_of(model)
        self._queries = self.strategy is not None and _has_later_rounds(model)

    def look_at(self, pixels: Tensor) -> Seen:
        """Everything that takes long and depends on the image uint8 [3,H,W] alone."""
        image = downsample(pixels, self.model.long_side)
        height, width = pixels.shape[-2:]
        return Seen(image, (height, width), self.model.probabilities(image))

    def find(self, seen: Seen, prompt: Prompt) -> Found:
        """The object that a prompt means; a ValueError if there is none.

        Args:
            seen: the image.
            prompt: what a person has drawn.
        """
        evidence, label = self._evidence(seen, prompt)
        labels = self._target(seen, evidence, label)
        mask = _kept((labels == label).numpy(), evidence, label)
        if not mask.any():
            name = self.model.classes[label]
            raise ValueError(
                f"nothing of the class {name} is found there; draw a little more of it"
            )
        return Found(label, _resized(mask, seen.size))

    def _evidence(self, seen: Seen, prompt: Prompt) -> tuple[Evidence, int]:
        """The prompt as evidence of the image, and the class of the object."""
        classes = self.model.classes
        first = classes[1]  # any, until the class is known
        events = _events(prompt, classes[0], first, seen.size)
        height, width = seen.size
        history = History("image", (width, height), events=events)
        evidence = lay_over(Evidence("image", seen.image), history, classes).evidence
        evidence = _with_brush(evidence, prompt)
        if evidence.boxes is None and not _marked(evidence, 1).any():
            raise ValueError("a box, a click or a stroke on the object is needed, but none came")
        label = prompt.label or _likeliest(seen.probs, evidence)
        return _of_class(evidence, label, len(classes)), label

    def _target(self, seen: Seen, evidence: Evidence, label: int) -> Tensor:
        """The class of each pixel, uint8 [h,w]."""
        count = len(self.model.classes)
        if self.strategy is not None and self._takes(evidence):
            target = target_of(self.strategy, evidence, self._context(seen), count)
            return harden(target.labels, evidence.box_classes)
        # the only choice is between the object and what is not the object
        is_object = (
            seen.probs[label] > seen.probs[0]
            if evidence.boxes is not None
            else (seen.probs.argmax(0) == label)
        )
        return correct_target(is_object.to(torch.uint8) * label, evidence)

    def _takes(self, evidence: Evidence) -> bool:
        """Whether the strategy can estimate from this evidence. Marks of the object alone do not
        say where it ends."""
        assert self.strategy is not None
        marks = evidence.marks
        classes = 0 if marks is None else len(torch.unique(marks[marks != IGNORE]))
        if evidence.boxes is None and classes < 2:
            return False
        try:
            evidence.need(*self.strategy.needs)
            self.strategy.check(evidence, self.model.classes)
        except ValueError:
            return False
        return True

    def _context(self, seen: Seen) -> Context:
        assert isinstance(self.model, CheckpointModel)
        segmenter = self.model.segmenter
        cache = ArrayCache()
        prediction: Prediction | None = None
        if self._queries:
            prediction = segmenter.predict(seen.image, plain=True)
        elif segmenter.strategy.wants.intermediate:
            network = network_fingerprint(segmenter)
            prediction = query_untrained(segmenter, seen.image, network, cache)
        return Context(prediction, cache=cache, classes=self.model.classes)


def _strategy_of(model: TrainedModel) -> Strategy | None:
    """The strategy that estimates targets of single images; None for others."""
    if not isinstance(model, CheckpointModel):
        return None
    strategy = model.segmenter.strategy
    alone = estimates(strategy) and not fits_together(strategy)
    return strategy if alone else None


def _has_later_rounds(model: TrainedModel) -> bool:
    """Whether targets come from the network in the end, as in the later rounds of its training."""
    assert isinstance(model, CheckpointModel)
    wants = model.segmenter.strategy.wants
    rounds = build_section("rounds", model.recipe_section("rounds"), {})
    return bool(rounds.count != 1 or wants.features or wants.intermediate)


def _events(prompt: Prompt, background: str, name: str, size: tuple[int, int]) -> tuple[Event, ...]:
    """Boxes and clicks as a person makes them on the review page."""
    width = max(NARROWEST, CLICK * max(size))
    boxes = [
        Event("add_box", name, ((left, top), (right, bottom)))
        for left, top, right, bottom in prompt.boxes
    ]
    inside = [Event("click", name, (point,), width) for point in prompt.inside]
    outside = [Event("click", background, (point,), width) for point in prompt.outside]
    return (*boxes, *inside, *outside)


def _with_brush(evidence: Evidence, prompt: Prompt) -> Evidence:
    """Brushed pixels are strokes, like clicks."""
    marks = evidence.marks
    for mask, label in ((prompt.painted, 1), (prompt.erased, 0)):
        if mask is None:
            continue
        size = evidence.image.shape[-2:]
        if marks is None:
            marks = torch.full(size, IGNORE, dtype=torch.uint8)
        marks = marks.masked_fill(torch.from_numpy(_resized(mask, (size[0], size[1]))), label)
    return evidence._replace(marks=marks, strokes=marks)


def _of_class(evidence: Evidence, label: int, classes: int) -> Evidence:
    """The evidence with the object's own class, and with tags that name it."""
    marks = evidence.marks
    if marks is not None:
        marks = marks.masked_fill(marks == 1, label)
    tags = torch.zeros(classes, dtype=torch.bool)
    tags[[0, label]] = True
    boxed = evidence.box_classes
    own = None if boxed is None else torch.full_like(boxed, label)
    return evidence._replace(marks=marks, strokes=marks, tags=tags, box_classes=own)


def _likeliest(probs: Tensor, evidence: Evidence) -> int:
    """The class, apart from the background, that has most of the probability where something was
    drawn."""
    where = _marked(evidence, 1)
    if not where.any():
        where = _boxed(evidence)
    return 1 + int(probs[1:, where].mean(1).argmax())


def _marked(evidence: Evidence, label: int) -> Tensor:
    if evidence.marks is None:
        return torch.zeros(evidence.image.shape[-2:], dtype=torch.bool)
    return evidence.marks == label


def _boxed(evidence: Evidence) -> Tensor:
    """bool [h,w]: the pixels of the boxes."""
    height, width = evidence.image.shape[-2:]
    inside = torch.zeros(height, width, dtype=torch.bool)
    if evidence.boxes is not None:
        for left, top, right, bottom in pixel_boxes(evidence.boxes, height, width).tolist():
            inside[top:bottom, left:right] = True
    return inside


def _kept(mask: Bools, evidence: Evidence, label: int) -> Bools:
    """What of the pixels of a class is the object: inside of the boxes, or what hangs together with
    a mark."""
    marked = _marked(evidence, label).numpy()
    boxed = _boxed(evidence).numpy()
    groups, _ = ndimage.label(mask)
    own = np.unique(groups[marked & mask])
    kept: Bools = mask & (boxed | np.isin(groups, own[own > 0]))
    return kept


def _resized(mask: Bools, size: tuple[int, int]) -> Bools:
    """At another size: the nearest pixel."""
    if mask.shape == size:
        return mask
    rows, columns = (
        ((np.arange(large) + 0.5) * small / large).astype(np.int64)
        for large, small in zip(size, mask.shape, strict=True)
    )
    resized: Bools = mask[rows][:, columns]
    return resized
