"""What is measured of the settings: how well others' images predict their labels, and how many of
the marks that were hidden have the right label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.colour_features import colour_features
from weakseg.functional.confusion import confusion_matrix, mean_iou
from weakseg.functional.consistency import Cells, agreement
from weakseg.functional.held_out_marks import PARTS
from weakseg.labelling.source import Source
from weakseg.strategies.base import Strategy
from weakseg.strategies.shared.common_features import possible_classes
from weakseg.training.label_consistency import by_class, cells_of, features_of_image, has_features
from weakseg.tuning.estimating import Estimated, choose_images, estimate, hidden_marks
from weakseg.tuning.grid import Setting
from weakseg.tuning.results import Measure
from weakseg.tuning.scores import Scores
from weakseg.utils.progress import track

ENCODER = "features of the network's encoder"
COLOURS = (
    "colours and their spread around each place, as the first weights of the network are random; "
    "with an encoder that was trained on something the choice is better on photographs: give "
    "network.weights"
)


class Trial(NamedTuple):
    """One setting, and the strategy that it makes."""

    setting: Setting
    strategy: Strategy


@dataclass
class Measured:
    """What was measured of all settings on the same images."""

    indices: list[int]
    ids: list[str]
    scores: dict[Measure, Scores] = field(default_factory=dict)
    features: str = ""
    """what the probe has seen"""
    truth: list[float] = field(default_factory=list)
    """the mean IoU of each setting's labels with the truth, where there is one; it is shown, and
    not used"""
    coverage: list[float] = field(default_factory=list)
    """the share of pixels that have a label"""
    objects: list[float] = field(default_factory=list)
    """the share of these that are not background"""
    failures: int = 0
    """images without the evidence that is needed"""
    all_of_it: list[Estimated] = field(default_factory=list)
    """the targets of each setting, from all of the evidence"""


def measure(
    source: Source,
    trials: Sequence[Trial],
    count: int,
    probe: bool,
    marks: bool,
    marks_alone: bool = False,
) -> Measured:
    """Estimate and measure all settings.

    Args:
        source: the data set, and the network whose encoder is used.
        trials: the settings.
        count: of images.
        probe: whether the labels are predicted from other images.
        marks: whether marks are hidden, where there are any.
        marks_alone: whether nothing is predicted from other images where marks are hidden.
    """
    sample = choose_images(source, count)
    indices = sample.indices
    evidence = {index: source.corrected(index)[0] for index in indices}
    measured = Measured(indices, [evidence[index].id for index in indices])
    measured.failures = len(sample.failures)
    for number, trial in enumerate(trials, 1):
        text = f"setting {number} of {len(trials)}"
        measured.all_of_it.append(estimate(source, trial.strategy, indices, None, text))
    _count(measured, source)
    marks &= any(len(_hidden(each, part)) for each in evidence.values() for part in range(PARTS))
    needed = probe and not (marks and marks_alone)
    if needed and (consistency := _consistency(measured, source)) is not None:
        measured.scores["consistency"] = consistency
    if marks:
        measured.scores["hidden"] = _hidden_marks(source, trials, indices)
    return measured


def _count(measured: Measured, source: Source) -> None:
    """Coverage and truth of the labels from all of the evidence."""
    classes = len(source.segmenter.classes)
    for estimated in measured.all_of_it:
        confusion = torch.zeros(classes, classes, dtype=torch.int64)
        pixels = torch.zeros(3, dtype=torch.int64)
        for index in measured.indices:
            evidence, truth = source.corrected(index)
            labels = estimated.labels(index, evidence)
            known = labels != IGNORE
            pixels += torch.tensor(
                [labels.numel(), int(known.sum()), int((known & (labels > 0)).sum())]
            )
            if truth is not None:
                confusion += confusion_matrix(labels, truth, classes)
        everything, labelled, objects = pixels.tolist()
        measured.coverage.append(labelled / max(1, everything))
        measured.objects.append(objects / max(1, labelled))
        if confusion.any():
            measured.truth.append(mean_iou(confusion))


def _consistency(measured: Measured, source: Source) -> Scores | None:
    """How well the labels agree with a probe that was fitted to other images."""
    found: dict[str, dict[int, Cells]] = {}
    first = measured.all_of_it[0].targets
    trained = has_features(source.segmenter, 0)
    measured.features = ENCODER if trained else COLOURS
    for index in track(measured.indices, len(measured.indices), "features of the images"):
        evidence, _ = source.corrected(index)
        features = (
            features_of_image(first.segmenter, evidence.image, first.queried, first.cache)
            if trained
            else colour_features(evidence.image)
        )
        labellings = [each.labels(index, evidence) for each in measured.all_of_it]
        found[evidence.id] = cells_of(evidence, features, labellings)
    places = {id: place for place, id in enumerate(measured.ids)}
    scores = {}
    for number, cells in by_class(found).items():
        nothing = torch.full((len(measured.all_of_it), len(places)), torch.nan, dtype=torch.float64)
        columns = [places[id] for id in cells]
        nothing[:, columns] = agreement(list(cells.values())).covariance
        scores[number] = nothing
    return Scores(scores) if scores else None


def _hidden_marks(source: Source, trials: Sequence[Trial], indices: Sequence[int]) -> Scores:
    """Which part of the hidden marks has the right label, by class. A pixel without a label counts
    as if one of the classes of its image had been drawn for it."""
    classes = len(source.segmenter.classes)
    right = torch.zeros(classes, len(trials), len(indices), dtype=torch.float64)
    hidden = torch.zeros(classes, len(indices), dtype=torch.float64)
    for part in range(PARTS):
        for row, trial in enumerate(trials):
            text = f"setting {row + 1} of {len(trials)}, marks hidden, {part + 1} of {PARTS}"
            estimated = estimate(source, trial.strategy, indices, part, text)
            for column, index in enumerate(indices):
                evidence, _ = source.corrected(index)
                held = _hidden(evidence, part)
                chance = 1 / len(possible_classes(evidence))
                labels = estimated.labels(index, evidence)
                for number in held:
                    own = held[number]
                    right[number, row, column] += _right(labels[own], number, chance)
                    hidden[number, column] += row == 0
    scores = {
        number: torch.where(hidden[number] > 0, right[number] / hidden[number], torch.nan)
        for number in range(classes)
        if hidden[number].any()
    }
    return Scores(scores)


def _right(labels: Tensor, number: int, chance: float) -> float:
    unlabelled = (labels == IGNORE).double().mean()
    return float((labels == number).double().mean() + chance * unlabelled)


def _hidden(evidence: Evidence, part: int) -> dict[int, Tensor]:
    """The marked pixels of each class that a part hides, bool [H,W]."""
    if evidence.marks is None:
        return {}
    hidden = hidden_marks(evidence, part)
    return {
        number: hidden == number for number in torch.unique(hidden).tolist() if number != IGNORE
    }
