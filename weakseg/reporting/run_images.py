"""Which images of a run its report shows: those of the validation with the worst predictions, and
those of the training with the worst targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from weakseg.functional.confusion import confusion_matrix, mean_iou
from weakseg.reporting.drawing import Case
from weakseg.reporting.image_logger import make_case
from weakseg.training.label_quality import harden
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter
from weakseg.utils.progress import track

GALLERY = 12  # images of a kind that are shown
SUSPECTS = 10
LOOKED_AT = 100  # training images among which the worst targets are looked for
BY_EYE = (
    "Some of the images that the network trains on, with the targets that it trained on last. No "
    "mask measures how good these are: check them by eye."
)


class TrainingCases(NamedTuple):
    """Training images with the targets in use, and which ones these are."""

    cases: list[Case]
    note: str


class Suspect(NamedTuple):
    """A training image with a suspicious target."""

    number: int
    """its place in the data set"""
    score: float
    reasons: Sequence[str]


def validation_cases(segmenter: Segmenter, rounds: Rounds, data: Any) -> list[Case]:
    """The validation images with the worst scores, or some of all if none has a score."""
    scores = segmenter.scores
    worst = sorted(
        scores, key=lambda index: -math.inf if math.isnan(scores[index]) else scores[index]
    )[:GALLERY]
    cases = []
    for index in worst or _spread(data.validation, GALLERY):
        evidence, truth = data.corrected(index)
        cases.append(make_case(segmenter, evidence, truth, rounds, scores.get(index)))
    return cases


def training_cases(segmenter: Segmenter, data: Any) -> TrainingCases:
    """Training images with the targets in use: where masks measure these, those with the worst
    ones; where nothing at all is measured, some of all, as a person has to look at them."""
    scores = _target_scores(segmenter, data)
    if scores:
        worst = sorted(scores, key=lambda index: scores[index])[:GALLERY]
        note = (
            f"Those with the worst targets of the {len(scores)} training images that were looked "
            "at. The network trained on these targets last; label error is what masks say of them."
        )
        return TrainingCases(
            [_training_case(segmenter, data, index, scores[index]) for index in worst], note
        )
    if segmenter.confusion.any():
        return TrainingCases([], "")
    spread = _spread(data.training, GALLERY)
    return TrainingCases([_training_case(segmenter, data, index) for index in spread], BY_EYE)


def suspect_cases(segmenter: Segmenter, data: Any, suspects: Sequence[Suspect]) -> list[Case]:
    """Suspicious images with the targets in use, as a person sees them who has no masks."""
    return [
        _training_case(segmenter, data, number)._replace(
            truth=None, score=score, score_name="suspicion", note="; ".join(reasons)
        )
        for number, score, reasons in suspects
    ]


def _target_scores(segmenter: Segmenter, data: Any) -> dict[int, float]:
    """The mean IoU of the targets of some training images with their truth, by the images'
    numbers; those without target or truth have none."""
    scores: dict[int, float] = {}
    spread = _spread(data.training, LOOKED_AT)
    if not spread or data.target(data.corrected(spread[0])[0]) is None:  # the strategy makes none
        return scores
    for index in track(spread, len(spread), "looking for the worst targets"):
        evidence, truth = data.corrected(index)
        target = data.target(evidence)
        if truth is None or target is None:
            continue
        hard = harden(target, evidence.box_classes)
        score = mean_iou(confusion_matrix(hard, truth, len(segmenter.classes)))
        if not math.isnan(score):
            scores[index] = score
    return scores


def _training_case(segmenter: Segmenter, data: Any, index: int, score: float | None = None) -> Case:
    evidence, truth = data.corrected(index)
    target = data.target(evidence)
    hard = None if target is None else harden(target, evidence.box_classes)
    case = make_case(segmenter, evidence, truth, None, score)
    score_name = case.score_name if score is None else "IoU of the target"
    return case._replace(target=hard, score_name=score_name)


def _spread(indices: Sequence[int], count: int) -> list[int]:
    """A few of the images, spread evenly."""
    count = min(count, len(indices))
    return [indices[place * len(indices) // count] for place in range(count)]
