"""EarlyStopping, the callback that ends a training which no longer improves, and why a training
has ended before its last step."""

from __future__ import annotations

from typing import Any, Literal

from pytorch_lightning import LightningModule, Trainer, callbacks
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason
from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter
from weakseg.utils.limits import Count, NotNegative, limited

REASONS = {
    EarlyStoppingReason.NON_FINITE_METRIC: "{name} is {current}",
    EarlyStoppingReason.STOPPING_THRESHOLD: "{name} {current:.3f} has reached {reached:g}",
    EarlyStoppingReason.DIVERGENCE_THRESHOLD: "{name} {current:.3f} is worse than {diverged:g}",
    EarlyStoppingReason.PATIENCE_EXHAUSTED: (
        "{name} has not improved for {waited} validation{s} (the best: {best:.3f} after step "
        "{best_step})"
    ),
}


class EarlyStopping(callbacks.EarlyStopping):
    """Ends the training when a figure has not improved for several validations.

    Each round of a training with several has targets of its own, and all are wanted: only the
    validations of the last one count. Where no number of rounds is given, all validations do. Where
    there are no validations, every epoch counts instead.

    Args:
        monitor: the figure, such as val/iou/cat or loss/total; null for the one by which best.ckpt
            is chosen, val/miou where there is truth.
        patience: validations without an improvement, after which the training ends.
        mode: whether a "max" or a "min" is sought; null for "min" of a loss and "max" of all else.
        min_delta: a smaller improvement is none.
        check_finite: whether the training ends when the figure is no number.
        stopping_threshold: the training ends when the figure is as good as this.
        divergence_threshold: the training ends when the figure is as bad as this.
    """

    @limited
    def __init__(
        self,
        monitor: str | None = None,
        patience: Count = 3,
        mode: Literal["min", "max"] | None = None,
        min_delta: NotNegative = 0.0,
        check_finite: bool = True,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
    ) -> None:
        self.figure = monitor
        loss = (monitor or "").partition("/")[0] in ("loss", "gradient_norm")
        super().__init__(
            monitor or "the best.ckpt figure",
            min_delta=min_delta,
            patience=patience,
            mode=mode or ("min" if loss else "max"),
            check_finite=check_finite,
            stopping_threshold=stopping_threshold,
            divergence_threshold=divergence_threshold,
        )
        self.best_step = 0
        self.stopped_step: int | None = None
        self.sentence = ""  # why the training has ended
        self._last: float | None = None  # value of the figure

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Nothing to find out: a check follows each validation, whenever that is."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A run that was ended, and goes on with the same patience, ends at once."""
        if self.stopped_step == trainer.global_step and self._ends_still():
            trainer.should_stop = True
        else:
            self.stopped_step = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the figure, if this validation counts."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._check(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the figure where there are no validations."""
        if not validates(trainer):
            self._check(trainer, pl_module)

    def _check(self, trainer: Trainer, pl_module: LightningModule) -> None:
        fast: bool | int = trainer.fast_dev_run  # type: ignore[attr-defined]
        if fast or not in_last_round(trainer):
            return
        name, current = self._current(trainer, pl_module)
        stop, _ = self._evaluate_stopping_criteria(current)
        self._last = float(current)
        if self.wait_count == 0:
            self.best_step = trainer.global_step
        if trainer.strategy.reduce_boolean_decision(stop, all=False):
            trainer.should_stop = True
            self.stopped_step = trainer.global_step
            self.sentence = self._explain(name)

    def _current(self, trainer: Trainer, pl_module: LightningModule) -> tuple[str, Tensor]:
        """The name of the figure that is watched, and its value."""
        name = self.figure
        if name is None and isinstance(pl_module, Segmenter) and pl_module.measured is not None:
            name = pl_module.measured[0]
        if name is None or name not in trainer.callback_metrics:
            known = sorted(set(trainer.callback_metrics) - {"step", "epoch"})
            missing = name or "by which best.ckpt is chosen"
            raise ValueError(
                f"early stopping: there is no figure {missing} after this validation; set monitor "
                f"to one of {', '.join(known)}"
            )
        return name, trainer.callback_metrics[name].squeeze()

    def _explain(self, name: str) -> str:
        return REASONS[self.stopping_reason].format(
            name=name,
            current=self._last,
            reached=self.stopping_threshold,
            diverged=self.divergence_threshold,
            waited=self.wait_count,
            s="s" * (self.wait_count != 1),
            best=float(self.best_score),
            best_step=self.best_step,
        )

    def _ends_still(self) -> bool:
        """Whether what has ended a run ends it with the present arguments, too."""
        sign = 1 if self.mode == "max" else -1
        last = 0.0 if self._last is None else self._last
        limit = {
            EarlyStoppingReason.STOPPING_THRESHOLD: self.stopping_threshold,
            EarlyStoppingReason.DIVERGENCE_THRESHOLD: self.divergence_threshold,
        }.get(self.stopping_reason)
        if self.stopping_reason == EarlyStoppingReason.STOPPING_THRESHOLD:
            return limit is not None and sign * last > sign * limit
        if self.stopping_reason == EarlyStoppingReason.DIVERGENCE_THRESHOLD:
            return limit is not None and sign * last < sign * limit
        if self.stopping_reason == EarlyStoppingReason.NON_FINITE_METRIC:
            return self.check_finite
        return self.wait_count >= self.patience

    @property
    def state_key(self) -> str:
        """Of this class: a run has one state of early stopping for each figure."""
        return self._generate_state_key(monitor=self.figure, mode=self.mode)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return super().state_dict() | {
            "best_step": self.best_step,
            "stopped_step": self.stopped_step,
            "sentence": self.sentence,
            "last": self._last,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The counterpart of `state_dict`; a run that goes on may be given another patience."""
        patience = self.patience
        super().load_state_dict(state_dict)
        self.patience = patience
        self.best_step = state_dict["best_step"]
        self.stopped_step = state_dict["stopped_step"]
        self.sentence = state_dict["sentence"]
        self._last = state_dict["last"]


def validates(trainer: Trainer) -> bool:
    """Whether there are validations in a training."""
    data = getattr(trainer, "datamodule", None)
    images = not isinstance(data, WeakData) or len(data.validation) > 0
    limit: float = trainer.limit_val_batches
    return images and limit != 0


def in_last_round(trainer: Trainer) -> bool:
    """Whether no round of estimation follows, or nobody knows how many do."""
    found: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    rounds = [each for each in found if isinstance(each, Rounds)]
    return all(each.count is None or each.round + 1 >= each.count for each in rounds)


def why_ended(trainer: Trainer) -> str:
    """Why a training has ended before its last step; nothing for one that has not."""
    if not trainer.should_stop:
        return ""
    step = f"stopped at step {trainer.global_step}"
    found: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    for each in found:
        if isinstance(each, EarlyStopping) and each.stopped_step is not None:
            return f"{step}: {each.sentence}"
        if isinstance(each, callbacks.Timer) and (each.time_remaining() or 0) <= 0:
            return f"{step}: the time of trainer.max_time is over"
    theirs = [each for each in found if isinstance(each, callbacks.EarlyStopping)]
    messages = [each.stopping_reason_message for each in theirs if each.stopping_reason_message]
    return f"{step}: {messages[0] if messages else 'a callback has set trainer.should_stop'}"
