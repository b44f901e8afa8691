"""Segmenter, the one LightningModule: a network, a strategy that says what trains it, and the figures of both."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from weakseg.evidence import Batch, Example, Prediction
from weakseg.functional.confusion import confusion_matrix, iou, mean_iou
from weakseg.optimizers.descent import AdamW, Optimizer, batch_norms
from weakseg.ranks import anywhere, gather, share_buffers
from weakseg.strategy import Strategy

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # what pretrained encoders expect; as good as any for others
IMAGENET_STD = (0.229, 0.224, 0.225)


@final
class Segmenter(LightningModule):
    """Trains a network with a strategy. Never subclassed: a method is a strategy, a network is a network.

    Arguments:
        network: maps normalised images [B,3,H,W] to logits [B,C,h,w]; their size is what `network.stride` says, or any.
        strategy: what the evidence teaches.
        classes: names of the classes; class 0 is the background.
        optimizer: `SGD` or `AdamW` of `weakseg.optimizers`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, strategy: Strategy, classes: Sequence[str], optimizer: Optimizer | None = None) -> None:
        super().__init__()
        if not isinstance(strategy, Strategy):
            raise TypeError(f"strategy should be a weakseg.Strategy, but it is {type(strategy).__name__}")
        if not hasattr(strategy, "_modules"):
            raise TypeError(f"the constructor of {type(strategy).__name__} must begin with super().__init__()")
        if isinstance(classes, str) or len(classes) < 2:
            raise ValueError(f"classes should be at least two names, the background first, but it is {classes!r}; set it in your WeakData")
        if strategy.wants_features and not hasattr(network, "features"):
            raise TypeError(f"{type(strategy).__name__} wants features, but {type(network).__name__} has no method `features`")
        self.network, self.strategy, self.classes = network, strategy, tuple(classes)
        self.optimizer = optimizer or AdamW()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1) * 255, persistent=False)
        self.seed = torch.initial_seed() % 2**31  # what seed_everything was told
        self.span: tuple[int, int] | None = None  # the steps that the schedule stretches over; None = the whole run
        self.confusion = torch.zeros(len(classes), len(classes), dtype=torch.int64)
        self.scores: dict[int, float] = {}  # mean IoU of each validation image by its index, after a validation
        self.validated_at = -1
        self._suspects: list[str] = []  # images since the last optimizer step
        self._bad_loss = False
        if self.optimizer.freeze_batchnorm:
            for norm in batch_norms(network):
                norm.requires_grad_(False)

    def train(self, mode: bool = True) -> Segmenter:
        """As in torch, but frozen batch norm stays frozen: Lightning calls this before every epoch."""
        super().train(mode)
        if self.optimizer.freeze_batchnorm:
            for norm in batch_norms(self.network):
                norm.eval()
        return self

    # what the network thinks

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B,C,H,W] of uint8 images [B,3,H,W], at the images' own resolution."""
        return self._enlarge(self._logits(image), image)

    def _normalise(self, image: Tensor) -> Tensor:
        return (image.to(self.mean.dtype) - self.mean) / self.std

    def _logits(self, image: Tensor) -> Tensor:
        """As the network makes them, at its own stride."""
        logits = self.network(self._normalise(image))
        if isinstance(logits, Mapping) and "out" in logits:  # as the segmentation networks of torchvision return them
            logits = logits["out"]
        if not isinstance(logits, Tensor) or logits.ndim != 4:
            came = f"a tensor {list(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
            raise TypeError(f"{type(self.network).__name__} should return logits as one tensor [B,C,h,w], but it returned {came}")
        if logits.shape[1] != len(self.classes):
            raise ValueError(
                f"{type(self.network).__name__} returns {logits.shape[1]} classes, but the data set has {len(self.classes)}: "
                f"{', '.join(self.classes)}"
            )
        return logits

    def _enlarge(self, logits: Tensor, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        stride = getattr(self.network, "stride", None)
        if isinstance(stride, int) and stride > 1:
            large = (logits.shape[-2] * stride, logits.shape[-1] * stride)
            return F.interpolate(logits, large, mode="bilinear", align_corners=False)[..., :height, :width]
        return logits if logits.shape[-2:] == image.shape[-2:] else F.interpolate(logits, (height, width), mode="bilinear")

    @torch.no_grad()
    def predict(self, image: Tensor) -> Prediction:
        """What the network thinks of one uint8 image [3,H,W], for a strategy: on the CPU, at the image's own resolution."""
        training = self.training
        self.eval()
        batch = image[None].to(self.device)
        features = None
        if self.strategy.wants_features:
            features = self.network.features(self._normalise(batch))[0].float().cpu()  # type: ignore[operator]
        probs = self(batch)[0].float().softmax(0).cpu()
        self.train(training)
        return Prediction(probs, features)

    def predict_step(self, examples: list[Example], batch_idx: int) -> list[Prediction]:
        """Predictions of whole images, for `Trainer.predict`."""
        return [self.predict(example.evidence.image) for example in examples]

    # training

    def setup(self, stage: str) -> None:
        """Find out that network and classes do not fit before anything long begins."""
        training = self.training
        with torch.no_grad():
            self.eval()
            self(torch.zeros(1, 3, 64, 64, dtype=torch.uint8, device=self.device))
        self.train(training)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Chance depends on seed, rank, epoch and batch alone, so that a resumed run sees what an undisturbed one sees."""
        seed = hash((self.seed, self.global_rank, self.current_epoch, batch_idx)) % 2**32
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The sum of the strategy's terms."""
        logits = self._logits(batch.image)
        logits = logits if self.strategy.at_scores else self._enlarge(logits, batch.image)
        terms = _checked(self.strategy.loss(logits, batch), self.strategy)
        loss = torch.stack([term.float() for term in terms.values()]).sum()
        self._suspects += batch.ids
        self._bad_loss |= not bool(torch.isfinite(loss))
        figures = {f"loss/{name}": term.detach().float() for name, term in terms.items()}
        self.log_dict({**figures, "loss/total": loss.detach()}, batch_size=len(batch.ids), sync_dist=True)
        self._log_place(self.global_step)
        self.log("loss", loss.detach(), prog_bar=True, logger=False, batch_size=len(batch.ids))
        return loss

    def _log_place(self, step: int) -> None:
        """Say where the figures of a row belong: Lightning's own count of steps is one off after a resume."""
        self.log_dict({"step": float(step), "epoch": float(self.current_epoch)}, sync_dist=not self.trainer.training)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Stop on all ranks together when the loss or a gradient of any is not finite, and name the images."""
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None  # a scaler skips infinite gradients by itself
        bad = self._bad_loss or (not scaled and not _finite_gradients(self.network))
        if anywhere(bad):
            self._stop(bad)
        self._suspects, self._bad_loss = [], False

    def _stop(self, bad: bool) -> None:
        what = "the loss" if self._bad_loss else "a gradient"
        reports = [report for report in gather((what, self._suspects) if bad else None) if report]
        # behind an all-reduce every rank has a bad gradient; the ranks with a bad loss caused it
        causes = [report for report in reports if report[0] == "the loss"] or reports
        images = ", ".join(image for _, images in causes for image in images)
        raise FloatingPointError(
            f"{causes[0][0]} of step {self.global_step} is not finite, on the images {images}; lower optimizer.lr, "
            "set trainer.gradient_clip_val, or look at these images"
        )

    def configure_optimizers(self) -> Any:
        """The optimizer with body and head, and its schedule, which moves once per step."""
        optimizer = self.optimizer.build(self.optimizer.groups(self.network))
        scheduler = self.optimizer.scheduler(optimizer, self._schedule_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _schedule_steps(self) -> int:
        return int(self.trainer.estimated_stepping_batches) if self.span is None else self.span[1] - self.span[0]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Beside the weights: what the schedule stretches over, and which classes the weights know."""
        checkpoint["weakseg"] = {"span": self.span, "classes": list(self.classes)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The counterpart of `on_save_checkpoint`."""
        state = checkpoint["weakseg"]
        if tuple(state["classes"]) != self.classes:
            raise ValueError(
                f"the checkpoint knows the classes {', '.join(state['classes'])}, but the data set has {', '.join(self.classes)}"
            )
        self.span = None if state["span"] is None else (state["span"][0], state["span"][1])

    # measuring

    def on_validation_epoch_start(self) -> None:
        """Forget the counts of the last validation, and let all ranks measure the same network."""
        share_buffers(self.network)
        self.confusion = torch.zeros_like(self.confusion)
        self.scores = {}

    def validation_step(self, examples: list[Example], batch_idx: int) -> None:
        """Count pixels of truth and prediction, at the images' own resolution."""
        for same in _same_size(examples):
            guesses = self(torch.stack([example.evidence.image for example in same])).max(1).indices.cpu()
            for example, guess in zip(same, guesses, strict=True):
                if example.truth is not None:
                    counts = confusion_matrix(guess, example.truth.cpu(), len(self.classes))
                    self.confusion += counts
                    self.scores[example.number] = mean_iou(counts)

    def on_validation_epoch_end(self) -> None:
        """val/miou and val/iou/<class> from one confusion matrix over all images of all ranks."""
        parts = gather((self.confusion, self.scores))
        self.confusion = torch.stack([confusion for confusion, _ in parts]).sum(0)
        self.scores = {index: score for _, scores in parts for index, score in scores.items()}
        self.validated_at = self.global_step
        self._log_place(max(0, self.global_step - 1))  # beside the last step before it
        if self.confusion.any():
            figures = {f"val/iou/{name}": float(value) for name, value in zip(self.classes, iou(self.confusion), strict=True)}
            self.log_dict(figures, sync_dist=True)  # the same on every rank already; said only to keep Lightning from warning
            self.log("val/miou", mean_iou(self.confusion), prog_bar=True, sync_dist=True)


def _checked(terms: Any, strategy: Strategy) -> dict[str, Tensor]:
    """What a strategy's loss returned, if it is what it should be; a TypeError otherwise."""
    expected = f"the loss of {type(strategy).__name__} should return a dict of named scalar tensors"
    if not isinstance(terms, dict) or not terms:
        raise TypeError(f"{expected}, but it returned {type(terms).__name__ if terms != {} else 'an empty one'}")
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.numel() != 1:
            came = f"a tensor {list(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
            raise TypeError(f"{expected}, but {name!r} is {came}")
    if not any(term.requires_grad for term in terms.values()):
        raise TypeError(f"{expected} that depend on the logits, but none does: no gradient can flow")
    return {name: term.reshape(()) for name, term in terms.items()}


def _same_size(examples: list[Example]) -> list[list[Example]]:
    groups: dict[tuple[int, ...], list[Example]] = {}
    for example in examples:
        groups.setdefault(tuple(example.evidence.image.shape), []).append(example)
    return list(groups.values())


def _finite_gradients(network: nn.Module) -> bool:
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return all(bool(torch.stack(norms).isfinite().all()) for norms in [torch._foreach_norm(gradients)] if norms)
