"""RoundTables, the callback that shows the labels of each round in dashboards: a table of the
classes, and the worst labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from weakseg.data.base import WeakData
from weakseg.functional.confusion import confusion_matrix, mean_iou
from weakseg.reporting.dashboards import log_tables, shows_tables
from weakseg.reporting.drawing import Case
from weakseg.reporting.image_logger import SCORES
from weakseg.reporting.loggers.base import Table
from weakseg.strategies.base import estimates
from weakseg.training.label_quality import Agreement, harden
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter
from weakseg.utils.limits import CountFromZero, limited
from weakseg.utils.progress import track

LOOKED_AT = 100  # training images among which the worst targets are looked for
OF_CLASSES = ("round", "class", "IoU of targets", "IoU of evidence", "share of labelled pixels")
OF_IMAGES = ("round", "image", "score", "score is", "labels")


class RoundTables(Callback):
    """After each round of estimation, shows in wandb, TensorBoard or another logger with a method
    `log_tables` how good the targets of each class are, and the images with the worst targets.

    Without any truth, the worst ones are those that agree least with their own evidence.

    Args:
        images: how many of the worst to show.
    """

    @limited
    def __init__(self, images: CountFromZero = 8) -> None:
        self.images = images
        self._shown = -1  # the round that was shown last
        self._rows: list[list[Any]] = []  # of the classes, of all rounds

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show round 0, which was made before."""
        self._show(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the round that was made right now, if any was."""
        self._show(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"shown": self._shown, "rows": self._rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The counterpart of `state_dict`."""
        self._shown = state_dict["shown"]
        self._rows = state_dict["rows"]

    def _show(self, trainer: Trainer, pl_module: LightningModule) -> None:
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        rounds = next((each for each in callbacks if isinstance(each, Rounds)), None)
        data = getattr(trainer, "datamodule", None)
        if rounds is None or rounds.round == self._shown or not isinstance(data, WeakData):
            return
        self._shown = rounds.round
        loggers = shows_tables(trainer.loggers)
        if not loggers or not trainer.is_global_zero or not isinstance(pl_module, Segmenter):
            return
        if not estimates(pl_module.strategy):  # its rounds are those of unlabelled images
            return
        classes = pl_module.classes
        self._rows += _class_rows(rounds, classes)
        tables = [Table("labels/classes", OF_CLASSES, self._rows)]
        if self.images:
            cases = worst_targets(data, self.images, f"round {rounds.round}: the worst targets")
            rows = [
                [rounds.round, case.evidence.id, case.score, case.score_name, case]
                for case in cases
            ]
            tables.append(Table("labels/worst", OF_IMAGES, rows, classes))
        log_tables(loggers, trainer.global_step, tables)


def _class_rows(rounds: Rounds, classes: tuple[str, ...]) -> list[list[Any]]:
    figures = rounds.figures
    return [
        [
            rounds.round,
            name,
            figures.get(f"label/iou/{name}"),
            figures.get(f"evidence/iou/{name}"),
            figures.get(f"label/share/{name}"),
        ]
        for name in classes
    ]


def worst_targets(data: WeakData, count: int, text: str) -> list[Case]:
    """Training images with the worst targets in use, the worst first, without predictions.

    Args:
        data: the images and their targets.
        count: how many, at most.
        text: what the progress bar says.
    """
    places = range(0, len(data.training), -(-len(data.training) // LOOKED_AT) or 1)
    indices = [data.training[place] for place in places]
    agreement = Agreement(data.classes)
    scores: dict[int, float] = {}
    for index in track(indices, len(indices), text):
        evidence, truth = data.corrected(index)
        target = data.target(evidence)
        if target is None:
            continue
        hard = harden(target, evidence.box_classes)
        if truth is None:
            agreement.add(index, hard, evidence)
        else:
            scores[index] = mean_iou(confusion_matrix(hard, truth, len(data.classes)))
    name, scores = ("IoU of the target", scores) if scores else _agreement(agreement.scores)
    known = {index: score for index, score in scores.items() if not math.isnan(score)}
    worst = sorted(known, key=lambda index: known[index])[:count]
    return [_case(data, index, known[index], name) for index in worst]


def _agreement(scores: Mapping[str, Mapping[int, float]]) -> tuple[str, dict[int, float]]:
    """The most telling of the figures that images have, in words."""
    for name, of_images in scores.items():
        if of_images:
            return f"{SCORES[f'val/{name}']}, of the target", dict(of_images)
    return "", {}


def _case(data: WeakData, index: int, score: float, name: str) -> Case:
    evidence, truth = data.corrected(index)
    target = data.target(evidence)
    hard = None if target is None else harden(target, evidence.box_classes)
    return Case(evidence, hard, None, truth, score, name)
