"""Rounds, the one callback that alternates: estimate targets for all images, train on them,
estimate again."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.data.label_store import FORMAT, LabelStore
from weakseg.evidence import Prediction
from weakseg.strategies.base import Context, JointStrategy, Strategy, estimates
from weakseg.training.estimation import Job, collected, estimate_all, fitting_target, mean_figures
from weakseg.training.evidence_check import CheckedImage, check_evidence
from weakseg.training.joint_fit import fit_together
from weakseg.training.label_quality import LabelQuality
from weakseg.training.queries import network_fingerprint, query_untrained
from weakseg.training.segmenter import Segmenter
from weakseg.utils.array_cache import ArrayCache
from weakseg.utils.files import remove_leftovers
from weakseg.utils.fingerprint import (
    code_fingerprint,
    edited_code,
    fingerprint,
    homes,
    module_fingerprint,
)
from weakseg.utils.limits import Count, CountFromZero, limited
from weakseg.utils.processes import anywhere, gather, share_buffers
from weakseg.utils.progress import track


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
        self._seen: dict[int, CheckedImage] = {}  # this rank's images
        self._keys: dict[str, str] = {}  # targets in use, of all ranks
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
        self._seen = check_evidence(
            data, segmenter.strategy, segmenter.classes, trainer.global_rank, trainer.world_size
        )
        if not estimates(segmenter.strategy):
            return
        store = self._store(trainer)
        self.cache = ArrayCache(_cache_folder(store, segmenter.strategy))
        if trainer.is_global_zero:
            remove_leftovers(store.folder)
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
            estimates(segmenter.strategy)
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

    # what

    def _advance(self, trainer: Trainer, segmenter: Segmenter, data: WeakData) -> None:
        """Make the next round on all ranks, measure its targets and train on them from now on."""
        self.round += 1
        share_buffers(segmenter.network)  # all ranks query the same network
        queries = self.round > 0 or segmenter.strategy.wants.intermediate > 0
        self.queried = network_fingerprint(segmenter) if queries else ""
        store = self._store(trainer)
        before = self._keys
        self.method = _method_fingerprint(segmenter)
        self._fit(trainer, segmenter, data)
        keys = self._make_keys(segmenter)
        self._estimate(trainer, segmenter, data, store, keys, self._missing(store, keys, segmenter))
        quality = LabelQuality(segmenter.classes)
        figures = []
        for index in track(
            keys, len(keys), f"round {self.round}: measuring the targets", trainer.world_size
        ):
            evidence, truth = data.sample(index)
            old = store.read(evidence.id, before[evidence.id]) if before else None
            stored = store.load(evidence.id, keys[index])
            quality.add(stored.target, old, evidence, truth)
            figures.append(stored.figures)
        self.figures = quality.figures() | mean_figures(figures)
        # another loss may do without targets
        if self.figures["label/coverage"] == 0 and type(segmenter.strategy).loss is Strategy.loss:
            name = type(segmenter.strategy).__name__
            raise ValueError(
                f"the targets of round {self.round} are ignored at every pixel (all 255): "
                f"{name} has nothing to train on"
            )
        self._use(data, store, keys)
        segmenter.set_class_weights(self.figures)
        for logger in trainer.loggers:
            logger.log_metrics(
                {**self.figures, "round": self.round, "epoch": trainer.current_epoch},
                trainer.global_step,
            )

    def _fit(self, trainer: Trainer, segmenter: Segmenter, data: WeakData) -> None:
        """Fit a joint strategy to all images before any is estimated."""
        strategy = segmenter.strategy
        self.fitted = None  # each round begins anew
        if not isinstance(strategy, JointStrategy):
            return
        for _ in range(strategy.iterations):
            # all that each image's description depends on
            keys = self._make_keys(segmenter)
            self.fitted = fit_together(
                strategy,
                self._context(),
                self._jobs(segmenter, data, list(keys), keys),
                {self._seen[index].id: key for index, key in keys.items()},
                self._workers(trainer, strategy),
                self.round,
                trainer.world_size,
            )

    def _context(self) -> Context:
        """What the strategy is given for every image of this round."""
        return Context(fitted=self.fitted, cache=self.cache)

    def _restore_round(self, trainer: Trainer, segmenter: Segmenter, data: WeakData) -> None:
        """The targets of a resumed run's round; lost ones are computed again if the network that
        made them is still there."""
        now = _method_fingerprint(segmenter)
        if self.method not in ("", now) and trainer.is_global_zero:
            warnings.warn(
                f"{type(segmenter.strategy).__name__}, or code that it uses, has changed since "
                f"round {self.round} was made: its targets stay in use, as resume= goes on with "
                "the same run; later rounds use the new code, and a new run does from the "
                "beginning",
                stacklevel=2,
            )
        store = self._store(trainer)
        keys = self._make_keys(segmenter)
        lost = self._missing(store, keys, segmenter)
        if anywhere(bool(lost)):
            if self.queried not in ("", network_fingerprint(segmenter)):
                raise FileNotFoundError(
                    f"{sum(gather(len(lost)))} targets of round {self.round} are missing in "
                    f"{store.folder}, damaged, or of another version of weakseg, and the network "
                    "that made them has trained on since; start a new run from its weights with "
                    "init_from=<checkpoint>"
                )
            if self.method != now:  # all of them by the new code, as a part would be a mixture
                self.method = now
                keys = self._make_keys(segmenter)
                lost = self._missing(store, keys, segmenter)
            self._estimate(trainer, segmenter, data, store, keys, lost)
        self._use(data, store, keys)
        segmenter.set_class_weights(self.figures)

    def _missing(self, store: LabelStore, keys: dict[int, str], segmenter: Segmenter) -> list[int]:
        """The images whose targets are missing, damaged, or do not fit the image."""
        classes = len(segmenter.classes)
        masks = segmenter.strategy.wants.box_masks
        lost = []
        for index, key in keys.items():
            seen = self._seen[index]
            try:
                fitting_target(store.read(seen.id, key), seen.size, seen.boxes, classes, masks)
            except ValueError:  # DamagedTarget is one
                lost.append(index)
        return lost

    def _estimate(
        self,
        trainer: Trainer,
        segmenter: Segmenter,
        data: WeakData,
        store: LabelStore,
        keys: dict[int, str],
        missing: Sequence[int],
    ) -> None:
        """Store the targets that are missing."""
        jobs = self._jobs(segmenter, data, missing, keys)
        results = estimate_all(
            jobs,
            len(missing),
            segmenter.strategy,
            self._context(),
            len(segmenter.classes),
            store,
            self._workers(trainer, segmenter.strategy),
        )
        text = f"round {self.round}: estimating targets"
        what = (
            f"{type(segmenter.strategy).__name__} could not estimate the targets of round "
            f"{self.round}"
        )
        collected(results, len(missing), text, trainer.world_size, what)

    def _workers(self, trainer: Trainer, strategy: Strategy) -> int:
        workers = _cores(trainer) if self.workers is None else self.workers
        if workers > 1 and (names := edited_code(*homes(type(strategy)), *_ESTIMATING)):
            warnings.warn(
                f"{', '.join(names)} has been edited since this run began: its rounds go on with "
                "the code as it was, in one process",
                stacklevel=2,
            )
            return 0
        return workers

    def _jobs(
        self, segmenter: Segmenter, data: WeakData, indices: Sequence[int], keys: dict[int, str]
    ) -> Iterator[Job]:
        for index in indices:
            evidence, _ = data.sample(index)
            yield Job(evidence, self._query(segmenter, evidence.image), keys[index])

    def _query(self, segmenter: Segmenter, image: Tensor) -> Prediction | None:
        """The prediction of the network for an image, if this round queries it."""
        if not self.queried:
            return None
        if self.round > 0:
            return segmenter.predict(image, plain=True)
        return query_untrained(segmenter, image, self.queried, self.cache)

    def _make_keys(self, segmenter: Segmenter) -> dict[int, str]:
        """A content key for each of this rank's images: whatever may change its target is in it."""
        of_all = (FORMAT, self.method, segmenter.classes, self.queried, fingerprint(self.fitted))
        return {index: fingerprint(*of_all, seen.fingerprint) for index, seen in self._seen.items()}

    def _use(self, data: WeakData, store: LabelStore, keys: dict[int, str]) -> None:
        named = {self._seen[index].id: key for index, key in keys.items()}
        # returns when all ranks are done
        self._keys = {id: key for part in gather(named) for id, key in part.items()}
        data.use_targets(store, self._keys)

    def _store(self, trainer: Trainer) -> LabelStore:
        return LabelStore(self.folder or Path(trainer.default_root_dir) / "labels")


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


def _method_fingerprint(segmenter: Segmenter) -> str:
    """All that an estimation depends on beside evidence, network and fit: the options of the
    strategy, what it wants, and the code."""
    strategy = segmenter.strategy
    return fingerprint(module_fingerprint(strategy, *_ESTIMATING), strategy.wants)


def _cache_folder(store: LabelStore, strategy: Strategy) -> Path:
    """A folder for what the code that is run now computes; other code may compute something
    else."""
    return store.folder / "cache" / code_fingerprint(*homes(type(strategy)), *_ESTIMATING)[:12]


# code that calls the strategy, whatever it imports
_ESTIMATING = ("weakseg.training.estimation", "weakseg.training.joint_fit")


def _training_ends(trainer: Trainer) -> bool:
    last_epoch = trainer.max_epochs not in (None, -1) and trainer.current_epoch + 1 >= int(
        trainer.max_epochs or 0
    )
    return trainer.should_stop or last_epoch or trainer.global_step >= trainer.max_steps != -1


def _cores(trainer: Trainer) -> int:
    available = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    ranks_here = max(1, trainer.world_size // max(1, trainer.num_nodes))
    return max(1, available // ranks_here)
