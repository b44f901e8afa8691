"""One round of review in review_loop.py: images in some order, and a simulated person who corrects
what is most wrong on each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from PIL import Image
from torch import Tensor

from weakseg.config.recipe import load, resolve
from weakseg.data.base import WeakData
from weakseg.data.corrections.events import Event
from weakseg.data.corrections.folder import CorrectionsFolder
from weakseg.data.corrections.overlay import described
from weakseg.data.loader import shuffled
from weakseg.data.simulate.annotator import stream_of
from weakseg.data.simulate.correction_events import View
from weakseg.data.simulate.corrector import LOOK, SECONDS, WHO, Corrector
from weakseg.evidence import IGNORE, Evidence
from weakseg.run import load as load_run
from weakseg.strategies.base import Context, Strategy, estimates
from weakseg.suspicion.review_file import NAME, read_queue
from weakseg.training.segmenter import Segmenter
from weakseg.training.targets import correct_target, target_of

Order = Literal["worst", "random", "oracle"]
ORDERS: tuple[Order, ...] = get_args(Order)
DONE = "review.json"  # what a round has come to, beside the corrections


class Review(NamedTuple):
    """What a round of review begins with, and how it goes on."""

    words: Sequence[str]
    """of the run whose images are reviewed"""
    run: Path
    """its folder"""
    before: Path | None
    """the corrections of the rounds before"""
    order: Order
    most: int
    """of corrections"""
    corrector: Corrector
    seed: int


class Page(NamedTuple):
    """What a person sees of one image, and the truth."""

    evidence: Evidence
    truth: Tensor
    target: Tensor
    predicted: Tensor

    @property
    def shown(self) -> Tensor:
        """The target, and what the network predicts where that has no label."""
        return self.target.where(self.target != IGNORE, self.predicted)

    @property
    def wrong(self) -> int:
        """How many pixels of the target have a wrong label."""
        known = (self.truth != IGNORE) & (self.target != IGNORE)
        return int((known & (self.target != self.truth)).sum())


def review(task: Review, folder: Path) -> int:
    """Correct as many images as the task says, and leave the corrections of this round and those
    before in a folder, whole or not at all; returns how many there are in all. A folder that is
    there is only looked up."""
    done = folder / DONE
    if done.is_file():
        return int(json.loads(done.read_text())["corrections"])
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    earlier = 0
    if task.before is not None:
        shutil.copytree(task.before, part)
        earlier = int(json.loads((task.before / DONE).read_text())["corrections"])
    part.mkdir(parents=True, exist_ok=True)
    made = earlier + _correct(task, CorrectionsFolder(part))
    (part / DONE).write_text(json.dumps({"corrections": made}))
    part.rename(folder)
    return made


def seconds_of(folder: Path | None) -> float:
    """How long the corrections of a folder took."""
    if folder is None:
        return 0.0
    return sum(history.seconds for history in CorrectionsFolder(folder).read_all().values())


def looks_of(folder: Path | None) -> int:
    """How often an image was looked at, by the seconds that each look has added to an event."""
    if folder is None:
        return 0
    histories = CorrectionsFolder(folder).read_all().values()
    events = [event for history in histories for event in history.events]
    return sum(event.seconds > SECONDS.get(event.action, 0) + LOOK / 2 for event in events)


def keep_only(words: Sequence[str], count: int, seed: int, folder: Path) -> None:
    """Corrections that leave so many training images, drawn at random, and exclude the others."""
    if folder.is_dir():
        return
    data: Any = resolve(load(words)).build("data")
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    corrections = CorrectionsFolder(part)
    for place in shuffled(len(data.training), seed)[count:]:
        _add(corrections, data, data.training[place], [Event("exclude", who=WHO)])
    part.rename(folder)


def _correct(task: Review, folder: CorrectionsFolder) -> int:
    """Look at one image after another until so many are corrected; returns how many are."""
    data: Any = resolve(load(task.words)).build("data")
    segmenter = load_run(task.run)
    made = 0
    for index in _queue(task, data, segmenter):
        if made == task.most:
            break
        page = _page(data, segmenter, index)
        history = data.histories.get(str(page.evidence.id))
        if history is not None and history.status == "accepted":
            continue
        view = View(
            page.shown,
            page.truth,
            page.evidence,
            data.classes,
            _size(data, index),
            data.true_instances(index),
        )
        revision = 0 if history is None else history.revision
        events = task.corrector.correct(view, stream_of(str(page.evidence.id), revision))
        nothing = Event("accept", who=WHO, seconds=LOOK)
        _add(folder, data, index, events or [nothing])
        made += bool(events)
    return made


def _queue(task: Review, data: WeakData, segmenter: Segmenter) -> list[int]:
    """The training images in the order in which they are looked at."""
    training = list(data.training)
    if task.order == "random":
        # those that were looked at already come last
        drawn = [training[place] for place in shuffled(len(training), task.seed)]
        return sorted(drawn, key=lambda index: data.id_of(index) in data.histories)
    if task.order == "oracle":
        wrong = {index: _page(data, segmenter, index).wrong for index in training}
        return sorted(training, key=lambda index: -wrong[index])
    places = {data.id_of(index): index for index in training}
    return [places[entry.image] for entry in read_queue(task.run / NAME)]


def _page(data: WeakData, segmenter: Segmenter, index: int) -> Page:
    evidence, truth = data.corrected(index)
    if truth is None:
        raise SystemExit(f"image {evidence.id} has no mask, so nobody knows what is wrong with it")
    with torch.no_grad():
        probs = segmenter.predict(evidence.image, plain=True).probs
    predicted = probs.argmax(0).to(torch.uint8)
    target = _target(segmenter.strategy, evidence, predicted, len(data.classes))
    return Page(evidence, truth, target, predicted)


def _target(strategy: Strategy, evidence: Evidence, predicted: Tensor, classes: int) -> Tensor:
    """What the image is trained on; with a strategy that estimates nothing, what is predicted,
    with the corrections."""
    if not estimates(strategy):
        return correct_target(predicted, evidence)
    target = target_of(strategy, evidence, Context(), classes).labels
    return target.argmax(0).to(torch.uint8) if target.is_floating_point() else target


def _add(folder: CorrectionsFolder, data: WeakData, index: int, events: Sequence[Event]) -> None:
    evidence, _ = data.sample(index)
    size = _size(data, index)
    before = described(evidence, size, data.classes)
    history = folder.read(str(evidence.id))
    revision = 0 if history is None else history.revision
    for event in events:
        revision = folder.add(str(evidence.id), event, revision, size, before).revision


def _size(data: WeakData, index: int) -> tuple[int, int]:
    """Width and height of the image's file."""
    file = data.image_file(index)
    if file is None:
        height, width = data.sample(index)[0].image.shape[-2:]
        return width, height
    with Image.open(file) as image:
        return image.size
