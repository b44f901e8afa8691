"""Rounds, the one callback that alternates: estimate targets for all images, train on them,
estimate again. Images without annotation get theirs from the network, from the second round on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.data.label_store import LabelStore
from weakseg.strategies.base import Strategy, estimates
from weakseg.training.batches_check import check_batches
from weakseg.training.checked_images import CheckedImage
from weakseg.training.corrections_check import share_corrections
from weakseg.training.estimation import Failure, collected
from weakseg.training.evidence_check import check_evidence
from weakseg.training.image_records import NOTHING_KNOWN, ImageRecords
from weakseg.training.image_statistics import ImageStatistics
from weakseg.training.label_consistency import round_consistency
from weakseg.training.queries import network_fingerprint
from weakseg.training.round_targets import RoundTargets, cache_folder, method_fingerprint
from weakseg.training.segmenter import Segmenter
from weakseg.training.self_training import (
    SeenImage,
    SelfTraining,
    lost_predictions,
    see_unlabelled,
)
from weakseg.training.target_figures import TargetFigures
from weakseg.training.target_keys import KeysById, TargetKeys
from weakseg.utils.array_cache import ArrayCache
from weakseg.utils.files import remove_leftovers
from weakseg.utils.limits import Count, CountFromZero, limited
from weakseg.utils.memory import give_back
from weakseg.utils.processes import anywhere, gather, share_buffers

ONE_ROUND = (
    "unlabelled: images without annotation are trained on from the second round on, but there is "
    "only one; use rounds.when=epochs, with rounds.count=2 or more, or null"
)


class Rounds(Callback):
    """Estimates the targets that training uses, once or every few epochs.

    Args:
        when: "once" estimates before training only; "epochs" again after every few epochs, with
            what the network has learned.
        every: epochs from one round to the next.
        count: rounds in all, the first one included; null for as many as the epochs allow.
        restart_network: whether each later round starts from the initial weights and a new
            optimizer.
        workers: processes that estimate, per rank; null for the cores per rank, 0 for none beside
            this one.
        folder: of the label store, which several runs may share; null for `labels` in the trainer's
            default_root_dir.
    """

    @limited
    def __init__(
        self,
        when: Literal["once", "epochs"] = "once",
        every: Count = 1,
        count: Count | None = None,
        restart_network: bool = False,
        workers: CountFromZero | None = None,
        folder: Path | None = None,
    ) -> None:
        if when == "once" and count not in (None, 1):
            raise ValueError(
                f"when=once makes one round, but count is {count}; for more rounds use when=epochs"
            )
        self.every = every
        self.restart_network = restart_network
        self.workers = workers
        self.folder = folder
        self.count = 1 if when == "once" else count
        self.round = -1  # the round whose targets are in use; -1 = none yet
        self.queried = ""  # fingerprint of the network that this round queried; "" if none
        self.figures: dict[str, float] = {}  # quality of the targets in use
        # by the strategy in this round, to all images together
        self.fitted: Tensor | None = None
        self.method = ""  # fingerprint of the strategy and its code when it made this round
        self.cache = ArrayCache()  # for the strategy, beside the targets
        self._seen: Mapping[int, CheckedImage] = {}  # this rank's images
        self._records = NOTHING_KNOWN
        self._unlabelled: dict[int, SeenImage] = {}  # this rank's images without annotation
        self._keys: Mapping[int, str] = {}  # targets in use, of this rank
        self._initial: dict[str, Tensor] = {}

    # when

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the initial weights, which a resumed run has only before its checkpoint is
        loaded."""
        segmenter, _ = _ours(trainer, pl_module)
        if self.restart_network:
            self._initial = {
                name: value.clone() for name, value in segmenter.network.state_dict().items()
            }

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check all evidence, then make round 0; or, in a resumed run, find the targets of its
        round again."""
        segmenter, data = _ours(trainer, pl_module)
        share_corrections(data, trainer.world_size)
        segmenter.count_images(data)
        check_batches(trainer, data)
        store = self._store(trainer)
        self._records = ImageRecords(store)
        self.cache = ArrayCache(cache_folder(store, segmenter.strategy))
        if trainer.is_global_zero:
            remove_leftovers(store.folder)
        self._seen = check_evidence(
            data,
            segmenter.strategy,
            segmenter.classes,
            trainer.global_rank,
            trainer.world_size,
            self._records,
            self._targets(trainer, segmenter, data).processes(),
        )
        self._unlabelled = see_unlabelled(data, trainer.global_rank, trainer.world_size)
        if data.unlabelled_images is not None and self.count == 1:
            raise ValueError(ONE_ROUND)
        if not _makes_rounds(segmenter, data):
            return
        self._restore_round(trainer, segmenter, data) if self.round >= 0 else self._advance(
            trainer, segmenter, data
        )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A network that starts again in later rounds has a schedule per round."""
        segmenter, _ = _ours(trainer, pl_module)
        if self.restart_network and segmenter.span is None:
            segmenter.span = self._next_span(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the next round if it is due and training goes on after it."""
        segmenter, data = _ours(trainer, pl_module)
        due = (
            _makes_rounds(segmenter, data)
            and not self._was_last()
            and (trainer.current_epoch + 1) % self.every == 0
        )
        if not due or _training_ends(trainer):
            return
        self._advance(trainer, segmenter, data)
        if self.restart_network:
            segmenter.network.load_state_dict(self._initial)
            trainer.strategy.setup_optimizers(trainer)
            segmenter.span = self._next_span(trainer)

    def _was_last(self) -> bool:
        return self.count is not None and self.round + 1 >= self.count

    def _next_span(self, trainer: Trainer) -> tuple[int, float]:
        end = trainer.estimated_stepping_batches
        if not self._was_last():
            steps = -(-int(trainer.num_training_batches) // trainer.accumulate_grad_batches)
            end = min(end, trainer.global_step + self.every * steps)
        return trainer.global_step, end

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {
            "round": self.round,
            "queried": self.queried,
            "figures": self.figures,
            "fitted": self.fitted,
            "method": self.method,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The counterpart of `state_dict`."""
        self.round = state_dict["round"]
        self.queried = state_dict["queried"]
        self.figures = state_dict["figures"]
        self.fitted = state_dict["fitted"]
        self.method = state_dict["method"]

    def numbers(self) -> dict[str, int]:
        """The number in the data set of each training image, by its id. All ranks must call it."""
        seen = gather([(image.id, index) for index, image in self._seen.items()])
        return {id: index for part in seen for id, index in part}

    # what

    def _advance(self, trainer: Trainer, segmenter: Segmenter, data: WeakData) -> None:
        """Make the next round on all ranks, measure its targets and train on them from now on."""
        self.round += 1
        share_buffers(segmenter.network)  # all ranks query the same network
        self.figures = {}
        if estimates(segmenter.strategy):
            self._advance_targets(trainer, segmenter, data)
        elif self.round > 0:
            self.queried = network_fingerprint(segmenter)
        if data.unlabelled_images is not None and self.round > 0:
            self._label_unlabelled(trainer, segmenter, data)
        if not self.figures:
            return
        for logger in trainer.loggers:
            logger.log_metrics(
                {**self.figures, "round": self.round, "epoch": trainer.current_epoch},
                trainer.global_step,
            )

    def _advance_targets(self, trainer: Trainer, segmenter: Segmenter, data: WeakData) -> None:
        """Those of the annotated images, which the strategy estimates."""
        targets = self._targets(trainer, segmenter, data)
        targets.begin()
        self.queried = targets.queried
        self.method = targets.method
        self.fitted = targets.fitted
        keys = targets.keys()
        statistics = _statistics(trainer)
        if statistics is not None:
            statistics.begin_round()
        measuring = TargetFigures(segmenter.classes, keys, statistics)
        if self.round == 0:
            for index, known in self._records.measured(self._seen, keys):
                measuring.add(index, self._seen[index].id, known)
        self._make(targets, keys, measuring)
        self.figures = measuring.figures() | round_consistency(targets, keys)
        # another loss may do without targets
        if self.figures["label/coverage"] == 0 and type(segmenter.strategy).loss is Strategy.loss:
            name = type(segmenter.strategy).__name__
            raise ValueError(
                f"the targets of round {self.round} are ignored at every pixel (all 255): "
                f"{name} has nothing to train on"
            )
        self._use(data, targets.store, keys)
        give_back()
        segmenter.set_class_weights(self.figures)

    def _make(self, targets: RoundTargets, keys: TargetKeys, measuring: TargetFigures) -> None:
        """Make and measure the targets of which nothing is known; failures of all ranks are raised
        on all ranks."""
        unknown = measuring.open()

        def results() -> Iterator[Failure | None]:
            for made in targets.make(keys, unknown, self._keys):
                if made.measured is not None:
                    measuring.add(made.number, self._seen[made.number].id, made.measured)
                yield made.wrong

        name = type(targets.strategy).__name__
        what = f"{name} could not estimate the targets of round {self.round}"
        text = f"round {self.round}: estimating targets"
        collected(results(), len(unknown), text, targets.world, what)

    def _label_unlabelled(self, trainer: Trainer, segmenter: Segmenter, data: WeakData) -> None:
        """Predict, measure and use the targets of images without annotation."""
        training = self._self_training(trainer, segmenter, data)
        keys = training.keys(self.queried)
        training.predict(keys, training.missing(keys), self.round)
        self.figures = self.figures | training.figures(keys, self.round)
        training.use(keys)

    def _self_training(
        self, trainer: Trainer, segmenter: Segmenter, data: WeakData
    ) -> SelfTraining:
        store = self._store(trainer)
        return SelfTraining(segmenter, data, store, self._unlabelled, trainer.world_size)

    def _restore_round(self, trainer: Trainer, segmenter: Segmenter, data: WeakData) -> None:
        """The targets of a resumed run's round; lost ones are computed again if the network that
        made them is still there."""
        if estimates(segmenter.strategy):
            self._restore_targets(trainer, segmenter, data)
        if data.unlabelled_images is not None and self.round > 0:
            training = self._self_training(trainer, segmenter, data)
            training.use(lost_predictions(training, self.queried, self.round))

    def _restore_targets(self, trainer: Trainer, segmenter: Segmenter, data: WeakData) -> None:
        now = method_fingerprint(segmenter.strategy)
        if self.method not in ("", now) and trainer.is_global_zero:
            warnings.warn(
                f"{type(segmenter.strategy).__name__}, or code that it uses, has changed since "
                f"round {self.round} was made: its targets stay in use, as resume= goes on with "
                "the same run; later rounds use the new code, and a new run does from the "
                "beginning",
                stacklevel=2,
            )
        targets = self._targets(trainer, segmenter, data)
        keys = targets.keys()
        lost = targets.missing(keys)
        if anywhere(bool(lost)):
            if self.queried not in ("", network_fingerprint(segmenter)):
                raise FileNotFoundError(
                    f"{sum(gather(len(lost)))} targets of round {self.round} are missing in "
                    f"{targets.store.folder}, damaged, or of another version of weakseg, and the "
                    "network that made them has trained on since; start a new run from its "
                    "weights with init_from=<checkpoint>"
                )
            if self.method != now:  # all of them by the new code, as a part would be a mixture
                self.method = targets.method = now
                keys = targets.keys()
                lost = targets.missing(keys)
            self._estimate(targets, keys, lost)
        self._use(data, targets.store, keys)
        segmenter.set_class_weights(self.figures)

    def _targets(self, trainer: Trainer, segmenter: Segmenter, data: WeakData) -> RoundTargets:
        """Those of the round that is made or found again."""
        return RoundTargets(
            segmenter,
            data,
            self._seen,
            self._store(trainer),
            self.cache,
            self.round,
            self.workers,
            trainer.world_size,
            max(1, trainer.world_size // max(1, trainer.num_nodes)),
            self.queried,
            self.method,
            self.fitted,
            records=self._records,
        )

    def _estimate(self, targets: RoundTargets, keys: TargetKeys, missing: Sequence[int]) -> None:
        """Store the targets that are missing; failures of all ranks are raised on all ranks."""
        text = f"round {self.round}: estimating targets"
        name = type(targets.strategy).__name__
        what = f"{name} could not estimate the targets of round {self.round}"
        collected(targets.estimate(keys, missing), len(missing), text, targets.world, what)

    def _use(self, data: WeakData, store: LabelStore, keys: TargetKeys) -> None:
        self._keys = keys
        # returns when all ranks are done
        everywhere = gather([(self._seen[index].id, key) for index, key in keys.items()])
        data.use_targets(store, KeysById(pair for part in everywhere for pair in part))

    def _store(self, trainer: Trainer) -> LabelStore:
        return LabelStore(self.folder or Path(trainer.default_root_dir) / "labels")


def _makes_rounds(segmenter: Segmenter, data: WeakData) -> bool:
    """Whether anything is estimated or predicted: targets by the strategy, or those of images
    without annotation."""
    return estimates(segmenter.strategy) or data.unlabelled_images is not None


def _ours(trainer: Trainer, module: LightningModule) -> tuple[Segmenter, WeakData]:
    data = getattr(trainer, "datamodule", None)
    if not isinstance(module, Segmenter) or not isinstance(data, WeakData):
        raise TypeError(
            "Rounds works with Trainer.fit(weakseg.Segmenter(...), <a subclass of "
            f"weakseg.WeakData>), but it came with {type(module).__name__} and "
            f"{type(data).__name__}; docs/how-to/your-own-data.md wraps another data module in "
            "ten lines"
        )
    return module, data


def _training_ends(trainer: Trainer) -> bool:
    last_epoch = trainer.max_epochs not in (None, -1) and trainer.current_epoch + 1 >= int(
        trainer.max_epochs or 0
    )
    return trainer.should_stop or last_epoch or trainer.global_step >= trainer.max_steps != -1


def _statistics(trainer: Trainer) -> ImageStatistics | None:
    """The callback that keeps what is measured of each image, if the trainer has it."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((each for each in callbacks if isinstance(each, ImageStatistics)), None)
