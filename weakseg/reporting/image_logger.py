"""ImageLogger, the callback that shows validation images while a run goes on, and the cases that
the report shows at its end."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.evidence import Evidence, Prediction
from weakseg.reporting.drawing import Case
from weakseg.reporting.loggers.base import LogsImages
from weakseg.strategies.base import Context, estimates
from weakseg.training.label_quality import harden
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter
from weakseg.training.targets import target_of
from weakseg.utils.limits import CountFromZero, limited

SCORES = {
    "val/miou": "IoU",
    "val/box_extent_iou": "IoU of boxes",
    "val/marks_accuracy": "right marks",
    "val/tags_f1": "F1 of tags",
}


class ImageLogger(Callback):
    """After each validation, shows a few fixed images in wandb, TensorBoard or another logger with
    a method `log_images`: weak labels, target, prediction and truth.

    Args:
        images: how many, spread evenly over the validation images.
    """

    @limited
    def __init__(self, images: CountFromZero = 8) -> None:
        self.images = images
        self._round = -2  # the round of these targets; -2 = none made yet
        self._targets: list[Tensor | None] = []
        # at the validation before, when the network was the one that a new round queries
        self._before: list[Prediction] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the images, from rank 0."""
        loggers = [
            logger
            for logger in trainer.loggers
            if isinstance(logger, (LogsImages, WandbLogger, TensorBoardLogger))
        ]
        data = getattr(trainer, "datamodule", None)
        ours = (
            isinstance(pl_module, Segmenter)
            and isinstance(data, WeakData)
            and self.images
            and len(data.validation)
        )
        if not loggers or not ours or trainer.sanity_checking or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, Segmenter)
        assert isinstance(data, WeakData)
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        rounds = [callback for callback in callbacks if isinstance(callback, Rounds)]
        cases = self._cases(pl_module, data, rounds[0] if rounds else None)
        for logger in loggers:
            log_pictures(logger, trainer.global_step, cases, pl_module.classes)

    def _cases(self, segmenter: Segmenter, data: WeakData, rounds: Rounds | None) -> list[Case]:
        count = min(self.images, len(data.validation))
        indices = [data.validation[place * len(data.validation) // count] for place in range(count)]
        samples = [segmenter.renumbered(*data.corrected(index)) for index in indices]
        predictions = [segmenter.predict(evidence.image, plain=True) for evidence, _ in samples]
        now = -1 if rounds is None else rounds.round
        if now != self._round:
            queried = self._before or predictions
            self._targets = [
                make_target(segmenter, evidence, prediction, rounds)
                for (evidence, _), prediction in zip(samples, queried, strict=True)
            ]
            self._round = now
        self._before = predictions
        return [
            Case(
                evidence,
                target,
                _likeliest(prediction),
                truth,
                segmenter.scores.get(index),
                score_name(segmenter),
            )
            for (evidence, truth), target, prediction, index in zip(
                samples, self._targets, predictions, indices, strict=True
            )
        ]


def score_name(segmenter: Segmenter) -> str:
    """What the score of a single image is, in a word or two."""
    return SCORES["val/miou" if segmenter.measured is None else segmenter.measured[0]]


def make_case(
    segmenter: Segmenter,
    evidence: Evidence,
    truth: Tensor | None,
    rounds: Rounds | None,
    score: float | None = None,
) -> Case:
    """A validation image with its prediction, and the target that its evidence would get in the
    round that these rounds are at; without rounds there is none."""
    prediction = segmenter.predict(evidence.image, plain=True)
    return Case(
        evidence,
        make_target(segmenter, evidence, prediction, rounds),
        _likeliest(prediction),
        truth,
        score,
        score_name(segmenter),
    )


def make_target(
    segmenter: Segmenter, evidence: Evidence, prediction: Prediction, rounds: Rounds | None
) -> Tensor | None:
    """The target of an image in this round, hard; None if the strategy makes none, or cannot from
    this image's evidence."""
    strategy = segmenter.strategy
    if rounds is None or rounds.round < 0 or not estimates(strategy):
        return None
    if any(getattr(evidence, need) is None for need in strategy.needs):
        return None
    queried = prediction if rounds.queried else None
    context = Context(queried, rounds.fitted, rounds.cache, segmenter.classes)
    try:
        target = target_of(strategy, evidence, context, len(segmenter.classes))
        return harden(target.labels, evidence.box_classes)
    except Exception as error:
        # no training depends on this image: a picture less is better than a run less
        warnings.warn(
            f"no target to show for image {evidence.id}: {type(error).__name__}: {error}",
            stacklevel=2,
        )
        return None


def log_pictures(logger: Logger, step: int, cases: Sequence[Case], classes: Sequence[str]) -> None:
    """Show the cases in a logger of wandb or TensorBoard, Lightning's own included, and in any with
    a method `log_images`; others show no images."""
    if isinstance(logger, LogsImages):
        logger.log_images(step, cases, classes)
    elif isinstance(logger, WandbLogger):
        from weakseg.reporting.loggers import wandb  # only who uses it waits for its import

        wandb.log_pictures(logger, step, cases, classes)
    elif isinstance(logger, TensorBoardLogger):
        from weakseg.reporting.loggers import tensorboard

        tensorboard.log_pictures(logger, step, cases, classes)


def _likeliest(prediction: Prediction) -> Tensor:
    return prediction.probs.max(0).indices.to(torch.uint8)
