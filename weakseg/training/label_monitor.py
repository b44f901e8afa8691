"""LabelMonitor, the callback that logs what a strategy estimates inside its loss, and warns when a
class is lost."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from weakseg.evidence import IGNORE, Batch
from weakseg.functional.label_counts import label_counts
from weakseg.training.logged_steps import is_logged
from weakseg.training.segmenter import Segmenter
from weakseg.utils.processes import gather

LOST = 1e-4  # a smaller share of all estimated pixels is none


class LabelMonitor(Callback):
    """Logs estimate/share/<class>, of the labelled pixels, estimate/coverage, estimate/entropy and
    the figures that a loss returns.

    After an epoch in which tags or boxes of some image named a class, but it was estimated nowhere,
    a warning names it.
    """

    def __init__(self) -> None:
        self._mass = torch.zeros(0)  # of each class, in this epoch
        self._tagged = torch.zeros(0, dtype=torch.bool)
        self._others = torch.zeros(0)  # pixels of numbers that are no class

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """An epoch that goes on after a resume does not start again."""
        if isinstance(pl_module, Segmenter) and len(self._mass) != len(pl_module.classes):
            self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Nothing has been estimated yet."""
        if isinstance(pl_module, Segmenter):
            self._mass = torch.zeros(len(pl_module.classes))
            self._tagged = torch.zeros(len(pl_module.classes), dtype=torch.bool)
            self._others = torch.zeros(IGNORE - len(pl_module.classes))

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Log what was estimated in this step, if this is a step that is logged."""
        if not isinstance(pl_module, Segmenter):
            return
        figures = dict(outputs["figures"])
        labels = outputs["labels"]
        if labels is not None:
            mass = self._count(labels, outputs["named"], batch)
            if is_logged(trainer):
                self._expect_classes()
                figures = _figures(labels, mass, pl_module.classes) | figures
        pl_module.log_dict(
            {
                f"estimate/{name}": torch.as_tensor(figure, dtype=torch.float32)
                for name, figure in figures.items()
            },
            batch_size=len(batch.ids),
        )

    def _count(self, labels: Tensor, named: Tensor | None, batch: Batch) -> Tensor:
        """Count the labels of one step, which count in this epoch, too: how many pixels each class
        has."""
        mass, others = _counts(labels, len(self._mass))
        self._mass = self._mass.to(mass.device) + mass
        self._others = self._others.to(mass.device) + others if len(others) else self._others
        self._tagged = self._tagged.to(mass.device) | (
            _named(batch, mass) if named is None else named.any(0)
        )
        return mass

    def _expect_classes(self) -> None:
        """Refuse labels that are no class; to know of them is to wait for the device."""
        if wrong := (self._others > 0).nonzero().flatten().tolist():
            classes = len(self._mass)
            raise ValueError(
                f"the loss returned labels of class {classes + max(wrong)}, but there are "
                f"{classes} classes, 0 to {classes - 1}"
            )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn of classes that no pixel of any rank was given in this epoch."""
        if not isinstance(pl_module, Segmenter):
            return
        self._expect_classes()
        parts = gather((self._mass.cpu(), self._tagged.cpu()))
        self.on_train_epoch_start(trainer, pl_module)
        mass = torch.stack([part[0] for part in parts]).sum(0)
        tagged = torch.stack([part[1] for part in parts]).any(0)
        if not mass.sum() or not trainer.is_global_zero:
            return
        lost = [
            name
            for name, own, named in zip(pl_module.classes, mass, tagged, strict=True)
            if named and own < LOST * mass.sum()
        ]
        if lost:
            warnings.warn(
                f"in epoch {trainer.current_epoch} no pixel was estimated to be "
                f"{', '.join(lost)}, although tags or boxes name "
                f"{'it' if len(lost) == 1 else 'them'}: the network is losing what it cannot see; "
                "look at estimate/share, lower optimizer.lr or ask for a larger share of each "
                "class",
                stacklevel=2,
            )

    def state_dict(self) -> dict[str, Any]:
        """What a run that is resumed amid an epoch must know."""
        return {"mass": self._mass.cpu(), "tagged": self._tagged.cpu()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The counterpart of `state_dict`."""
        self._mass = state_dict["mass"]
        self._tagged = state_dict["tagged"]
        self._others = torch.zeros(IGNORE - len(self._mass))


def _named(batch: Batch, mass: Tensor) -> Tensor:
    """The classes that tags or boxes of some image name, bool [C]."""
    named = torch.zeros_like(mass, dtype=torch.bool)
    for labels in batch.box_classes or []:
        named = named.index_fill(0, labels, True)
    return named if batch.tags is None else named | batch.tags.any(0)


def _counts(target: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """How many pixels each class was given, float [C]; and each number that is no class, float
    [255 - C]."""
    if target.ndim == 4:
        return target.sum((0, 2, 3), dtype=torch.float32), target.new_zeros(0)
    counts = label_counts(target, IGNORE).float()
    return counts[:classes], counts[classes:]


def _figures(target: Tensor, mass: Tensor, classes: Sequence[str]) -> dict[str, Tensor]:
    """The figures of the labels of one step."""
    shares = mass / mass.sum().clamp(min=1e-12)
    pixels = target.numel() if target.ndim == 3 else target[:, 0].numel()
    return {
        **{f"share/{name}": share for name, share in zip(classes, shares, strict=True)},
        "coverage": mass.sum() / pixels,
        "entropy": _entropy(target, mass),
    }


def _entropy(target: Tensor, mass: Tensor) -> Tensor:
    """Mean over pixels, in nats; 0 for hard labels. Only classes that have a mass count."""
    if target.ndim == 3:
        return torch.zeros((), device=target.device)
    total: Tensor = torch.special.entr(target[:, mass > 0]).sum()
    return total / target[:, 0].numel()
