"""ImageStatistics, the callback that keeps what a training measures of each of its images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from weakseg.evidence import IGNORE, Batch, Evidence
from weakseg.functional.contradictions import Annotated, Doubt, missing, unnamed
from weakseg.training.image_table import ImageTable
from weakseg.training.logged_steps import is_logged
from weakseg.training.segmenter import Segmenter
from weakseg.training.target_signals import OF_TARGETS, WITH_CLASS, target_signals
from weakseg.utils.processes import gather, rank

MEANS = ("loss", "disagreement", "uncertainty", "missing", "unnamed")
DOUBTS = ("missing", "unnamed")  # which are about a class: it is noted
SURE = 0.5  # a class that is doubted more than this is named rather than one of a later visit
MOST = 1000  # steps between two copies from the device, each of which waits for it
CLASSES = 1 << 10  # more than there are: marks and targets are of 8 bits
SURELY = 1 << 48  # above all steps


class ImageStatistics(Callback):
    """Measures, in the steps of a training and without a pass of its own, for each image: the mean
    cross-entropy with its target, how far its prediction disagrees with the target, how unsure the
    prediction is, and how far it contradicts the annotations (`weakseg.functional.contradictions`).

    Means over all visits of an image, those of later epochs with a higher weight: 1, 2, 3 ... All
    is measured on the grid of the network's scores. Strategies that estimate in their loss have the
    labels of that step as targets; without any, marks are. Networks with a loss of their own on
    single objects, which have no scores of pixels, and pseudo-labelled images are not measured.

    Beside this it keeps what speaks against the targets of the last round, which `Rounds` measures.
    """

    def __init__(self) -> None:
        self.visits = ImageTable(MEANS, DOUBTS)
        self.targets = ImageTable(OF_TARGETS, OF_TARGETS)
        # measured and not copied from the device yet
        self._waiting: list[tuple[list[str], Tensor, Tensor, int]] = []

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Measure the images of this step."""
        if not isinstance(pl_module, Segmenter) or outputs.get("scores") is None:
            return
        values, labels = measured(outputs["scores"], batch, outputs["labels"])
        surely = (values[:, -len(DOUBTS) :] > SURE).long() * SURELY
        notes = surely + trainer.global_step * CLASSES + labels
        self._waiting.append((list(batch.ids), values, notes, trainer.current_epoch + 1))
        if is_logged(trainer) or len(self._waiting) >= MOST:
            self._count()

    def begin_round(self) -> None:
        """Forget the targets of the round before."""
        self.targets = ImageTable(OF_TARGETS, OF_TARGETS)

    def add_target(self, target: Tensor, evidence: Evidence, classes: Sequence[str]) -> None:
        """Measure the target of an image in this round, uint8 [H,W]."""
        signals = target_signals(target, evidence, classes)
        self.add_signals([(evidence.id, signals)], classes)

    def add_signals(
        self, images: Sequence[tuple[str, Mapping[str, float]]], classes: Sequence[str]
    ) -> None:
        """The same for images, by their ids, whose `target_signals` are known already."""
        nothing = (math.nan, "")
        found = [
            {
                name.partition("/")[0]: (value, name.partition("/")[2])
                for name, value in signals.items()
            }
            for _, signals in images
        ]
        values = [[own.get(name, nothing)[0] for name in OF_TARGETS] for own in found]
        labels = [[own.get(name, nothing)[1] for name in OF_TARGETS] for own in found]
        notes = [[classes.index(label) if label else 0 for label in own] for own in labels]
        once = torch.ones(len(images), dtype=torch.int64)
        ids = [id for id, _ in images]
        self.targets.add(ids, torch.tensor(values), torch.tensor(notes), once)

    def everywhere(self) -> ImageStatistics:
        """What all ranks have measured, which all must call it."""
        self._count()
        together = ImageStatistics()
        parts = gather((self.visits.state_dict(), self.targets.state_dict()))
        together.visits = self.visits.merged(visits for visits, _ in parts)
        together.targets = self.targets.merged(targets for _, targets in parts)
        return together

    def signals(self, classes: Sequence[str]) -> dict[str, dict[str, float]]:
        """What speaks against each image, by its id: numbers from 0 to 1, 1 being the most
        suspicious, by names that end with the class that they are about, as in missing/dog."""
        self._count()
        found = _named(self.targets, WITH_CLASS, classes)
        for id, values in _named(self.visits, DOUBTS, classes).items():
            found[id] = found.get(id, {}) | values
        return found

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know: of the images of all ranks, which all must call it."""
        together = self.everywhere()
        return {
            "visits": together.visits.state_dict(),
            "targets": together.targets.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The counterpart of `state_dict`."""
        # one rank goes on from what all have measured
        if rank() == 0:
            self.visits.load_state_dict(state_dict["visits"])
            self.targets.load_state_dict(state_dict["targets"])

    def _count(self) -> None:
        """Copy what was measured from the device, all at once."""
        if not self._waiting:
            return
        ids = [id for own, *_ in self._waiting for id in own]
        values = torch.cat([values for _, values, _, _ in self._waiting]).cpu()
        notes = torch.cat([notes for _, _, notes, _ in self._waiting]).cpu()
        weights = torch.tensor([weight for own, *_, weight in self._waiting for _ in own])
        self._waiting = []
        self.visits.add(ids, values, notes, weights)


def _named(
    table: ImageTable, with_class: Sequence[str], classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """The values of a table by names that end with a class where they are about one."""
    notes = table.noted()
    return {
        id: {
            f"{name}/{classes[notes[id][name] % CLASSES]}" if name in with_class else name: value
            for name, value in own.items()
        }
        for id, own in table.values().items()
    }


@torch.no_grad()
def measured(scores: Tensor, batch: Batch, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """What is measured of the images of a step: float [B,5], named by MEANS, and the classes that
    the last ones are about, int64 [B,2].

    Args:
        scores: of the network, float [B,C,h,w] at its own stride.
        batch: the images.
        labels: that the loss has estimated, or None.
    """
    logs = scores.float().log_softmax(1)
    probs = logs.exp()
    size = (batch.image.shape[-2], batch.image.shape[-1])
    seen = probs
    if batch.valid is not None:  # nothing is found in the padding
        seen = probs * _shrunk(batch.valid[:, None].to(probs.dtype), probs)
    annotated = Annotated(batch.tags, batch.boxes, batch.box_classes, batch.marks)
    doubts = [missing(seen, annotated, size), unnamed(seen, annotated, size)]
    values = [*_against_target(logs, _target(batch, labels, scores)), mean_entropy(probs)]
    return _stacked(values, doubts)


def _stacked(values: Sequence[Tensor], doubts: Sequence[Doubt]) -> tuple[Tensor, Tensor]:
    means = torch.stack([*values, *(doubt.value for doubt in doubts)], 1)
    return means, torch.stack([doubt.label for doubt in doubts], 1)


def _target(batch: Batch, labels: Tensor | None, scores: Tensor) -> Tensor | None:
    """Hard labels on the grid of the scores, int64 [B,h,w], 255 = none; None if there are no
    labels."""
    target = next((each for each in (batch.target, labels, batch.marks) if each is not None), None)
    if target is None:
        return None
    if target.ndim == 4:
        shrunk = _shrunk(target, scores)
        return torch.where(shrunk.sum(1) > 0, shrunk.argmax(1), IGNORE)
    return _shrunk(target[:, None].to(torch.uint8), scores)[:, 0].long()


def _shrunk(values: Tensor, scores: Tensor) -> Tensor:
    """Values [B,?,H,W] in the middle of the cells of the scores."""
    same = values.shape[-2:] == scores.shape[-2:]
    return values if same else F.interpolate(values, scores.shape[-2:], mode="nearest-exact")


def _against_target(logs: Tensor, target: Tensor | None) -> tuple[Tensor, Tensor]:
    """How far the target of each image is from being fitted, 1 - exp(-cross-entropy), and how much
    of the probability it does not get, mean of its classes: [B] each, nan without labels."""
    images, classes = logs.shape[:2]
    if target is None:
        nothing = torch.full_like(logs[:, 0, 0, 0], torch.nan)
        return nothing, nothing
    known = (target != IGNORE).flatten(1)
    label = torch.where(known, target.flatten(1), 0)
    own = logs.flatten(2).gather(1, label[:, None])[:, 0]
    weight = known.to(own.dtype)
    entropy = -(own * weight).sum(1) / weight.sum(1)  # nan where no pixel has a label
    empty = logs.new_zeros(images, classes)
    counts = empty.scatter_add(1, label, weight)
    shares = empty.scatter_add(1, label, own.exp() * weight) / counts.clamp(min=1)
    there = (counts > 0).to(own.dtype)
    agreement = (shares * there).sum(1) / there.sum(1)
    return 1 - torch.exp(-entropy), 1 - agreement


def mean_entropy(probs: Tensor) -> Tensor:
    """The mean entropy of the pixels of each image, [B], as a share of the highest that there is,
    from probabilities [B,C,h,w]."""
    highest = math.log(max(2, probs.shape[1]))
    entropy: Tensor = torch.special.entr(probs).sum(1).flatten(1).mean(1) / highest
    return entropy
