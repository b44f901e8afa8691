"""Segmenter, the one LightningModule: a network, the strategy that trains it, and the
figures of both."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.memory import recursive_detach
from torch import Tensor, nn

from weakseg.data.corrections.counts import count_corrections
from weakseg.evidence import Batch, Evidence, Example, Instances, Prediction
from weakseg.functional.agreement import CHOOSES
from weakseg.functional.class_matching import match_classes, renumber, renumber_evidence
from weakseg.functional.confusion import confusion_matrix, iou, mean_iou
from weakseg.functional.losses import drawn_loss, rarity_weights
from weakseg.functional.resolution import downsample
from weakseg.inference.multiscale import Inference, infer
from weakseg.networks.base import Adapter
from weakseg.networks.memory_format import memory_format, set_layout
from weakseg.networks.parts.layers import evaluating
from weakseg.optimizers.descent import AdamW, Optimizer, batch_norms, skip_where
from weakseg.strategies.base import Loss, Strategy, estimates
from weakseg.strategies.label_loss import label_loss
from weakseg.strategies.shared.per_step import boxes_projection
from weakseg.training.checks import NAMED, check_image, check_parts
from weakseg.training.finite_check import MOST, FiniteCheck
from weakseg.training.initial_weights import describe_initial_weights
from weakseg.training.label_quality import Agreement
from weakseg.training.logged_steps import ends_with_this_step, is_logged
from weakseg.training.loop_state import go_on_between_batches
from weakseg.training.outputs import gradient_norms, read_loss
from weakseg.utils.processes import gather, rank, share_buffers

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # what pretrained encoders expect; as good as any for others
IMAGENET_STD = (0.229, 0.224, 0.225)
PLAIN = Inference()
PSEUDO = "pseudo_labels"  # the term of the loss on pseudo-labelled images
CORRECTIONS = "corrections"  # that on pixels that a person has drawn
PROJECTION = "projection"  # and that of rows and columns of boxes
DIVERGED = (
    "weights, or the statistics of batch norm, are no numbers any more; lower optimizer.lr, or "
    "set trainer.gradient_clip_val"
)
CELL = 32  # pixels per cell of the coarsest stage that encoders have


@final
class Segmenter(LightningModule):
    """Trains a network with a strategy. Never subclassed: a method is a strategy, a network is a
    network.

    Args:
        network: maps normalised images [B,3,H,W] to logits [B,C,h,w]; what else it may have is in
            `weakseg.networks.base`.
        strategy: what the evidence teaches.
        classes: names of the classes; class 0 is the background.
        optimizer: `SGD` or `AdamW` of `weakseg.optimizers`.
        inference: how `predict` queries the network; None for once, with the whole image.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        strategy: Strategy,
        classes: Sequence[str],
        optimizer: Optimizer | None = None,
        inference: Inference | None = None,
    ) -> None:
        super().__init__()
        self._adapter = Adapter(network, classes)
        check_parts(self._adapter, strategy, classes)
        self.network = network
        self.strategy = strategy
        self.classes = tuple(classes)
        self.optimizer = optimizer or AdamW()
        self.inference = inference or PLAIN
        self.register_buffer(
            "mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1) * 255, persistent=False
        )
        self.register_buffer(
            "std", torch.tensor(IMAGENET_STD).view(3, 1, 1) * 255, persistent=False
        )
        self.seed = torch.initial_seed() % 2**31  # what seed_everything was told
        self.initial_weights = describe_initial_weights(network)
        """where they come from, and their licence where that is known"""
        # the steps that the schedule stretches over; None = the whole run
        self.span: tuple[int, float] | None = None
        self.training_images: int | None = None
        """how many it is trained on; None where the data set does not say"""
        self.corrections: dict[str, Any] | None = None
        """counts of what a person has corrected; None where nothing is"""
        # of the images that it was trained on, at most; larger ones are shrunk to this, None =
        # never
        self.long_side: int | None = None
        self.confusion = torch.zeros(len(classes), len(classes), dtype=torch.int64)
        # with the annotations of validation images that have no truth
        self.agreement = Agreement(self.classes)
        # of each validation image by its index, after a validation
        self.scores: dict[int, float] = {}
        # the figure by which the best network is chosen, after a validation
        self.measured: tuple[str, float] | None = None
        self.validated_at = -1
        # the numbers here of the classes of the data set that is measured on; None = the same
        self._table: Tensor | None = None
        self._bad_images: list[str] = []  # whose predictions are no numbers in this validation
        self._finite = FiniteCheck()
        # of the pixels of each class in the loss; None = all alike
        self.class_weights: Tensor | None = None
        self.set_class_weights({})
        if self.optimizer.freeze_batchnorm:
            for norm in batch_norms(network):
                norm.requires_grad_(False)

    def set_class_weights(self, figures: Mapping[str, float]) -> None:
        """Set the weights of the classes as the strategy has them; `auto` from their shares in the
        targets, label/share/<class>."""
        wanted = self.strategy.class_weights
        if isinstance(wanted, Mapping):
            self.class_weights = torch.tensor([float(wanted.get(name, 1)) for name in self.classes])
        elif wanted == "auto":
            self.class_weights = rarity_weights(
                torch.tensor([figures.get(f"label/share/{name}", 0.0) for name in self.classes])
            )

    def train(self, mode: bool = True) -> Segmenter:
        """As in torch, but frozen batch norm stays frozen: Lightning calls this before every
        epoch."""
        super().train(mode)
        if self.optimizer.freeze_batchnorm:
            for norm in batch_norms(self.network):
                norm.eval()
        return self

    # predictions

    @property
    def adapter(self) -> Adapter:
        """The network with its optional parts, found out anew only if it was replaced, for example
        by a compiled one."""
        if self._adapter.network is not self.network:
            self._adapter = Adapter(self.network, self.classes)
        return self._adapter

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B,C,H,W] of uint8 images [B,3,H,W], at the images' own resolution."""
        return self.adapter.upsample(self._outputs(image)[0], image)

    def normalise(self, image: Tensor) -> Tensor:
        """The image as networks expect it."""
        return (image.to(self.mean.dtype) - self.mean) / self.std

    def _outputs(self, image: Tensor) -> list[Tensor]:
        """Logits at the network's own stride, and behind them those that only help to train it."""
        return self.adapter.logits(self.normalise(image))

    @torch.no_grad()
    def predict(self, image: Tensor, plain: bool = False) -> Prediction:
        """The network's prediction for one uint8 image [3,H,W]: on the CPU, at the image's own
        resolution.

        Args:
            plain: whether to query it once, whatever `inference` says, as strategies do. Features,
                for those that want them, are of the whole image, and left out where `inference` has
                windows.

        An image with a longer side than those of the training is shrunk to their `long_side` first.
        A FloatingPointError says that the network has diverged, so that nothing is estimated, drawn
        or stored from what is no number.
        """
        prediction = self._predict(image, plain)
        # needs no second array of the size of the first, as isfinite() of each does
        if not math.isfinite(prediction.probs.sum()):
            raise FloatingPointError(f"the prediction is not finite: {DIVERGED}")
        return prediction

    def _predict(self, image: Tensor, plain: bool) -> Prediction:
        check_image(image)
        training = self.training
        self.eval()
        seen = downsample(image, self.long_side)
        features = None
        if self.strategy.wants.features and (plain or self.inference.window is None):
            images = self.normalise(seen[None].to(self.device))
            features = self.adapter.features(images)[0].float().cpu()
        probs = infer(
            seen, lambda images: self(images.to(self.device)), PLAIN if plain else self.inference
        )
        intermediate = (
            intermediate_features(self, seen) if self.strategy.wants.intermediate else None
        )
        self.train(training)
        return Prediction(_resized(probs[None], image)[0], features, intermediate)

    def predict_step(self, examples: list[Example], batch_idx: int) -> list[Prediction]:
        """Predictions of whole images, for `Trainer.predict`."""
        return [self.predict(example.evidence.image) for example in examples]

    # training

    def count_images(self, data: Any) -> None:
        """Note how many images are trained on, and how long a person has corrected them."""
        self.training_images = len(data.training) if hasattr(data, "training") else None
        histories = getattr(data, "histories", {})
        self.corrections = count_corrections(histories.values())._asdict() if histories else None

    def setup(self, stage: str) -> None:
        """Find out that network, classes and data set do not fit before anything long begins; and
        lay out the weights for a training."""
        if stage == "fit":
            device = self.trainer.strategy.root_device.type
            layout = memory_format(self.network, self.optimizer.memory_format, device)
            self.network.to(memory_format=layout)
        data: Any = getattr(self.trainer, "datamodule", None)
        self._match_classes(stage, getattr(data, "classes", ()) or self.classes)
        if stage == "fit":
            self.long_side = getattr(data, "long_side", None)
            self._expect_no_pseudo_labels(data)
            self.count_images(data)
        training = self.training
        with torch.no_grad():
            self.eval()
            self(torch.zeros(1, 3, 64, 64, dtype=torch.uint8, device=self.device))
        self.train(training)

    def _expect_no_pseudo_labels(self, data: Any) -> None:
        """Where the network has a loss of its own, on single objects."""
        given = (key for key in ("pseudo", "unlabelled") if getattr(data, key, None) is not None)
        if self.adapter.has_losses and (key := next(given, None)):
            raise ValueError(
                f"data.{key}: {self.adapter.name} learns from a mask for each box, but "
                "pseudo-labels hold the class of each pixel; leave it out, or take a network such "
                "as network=deeplabv3plus"
            )

    def _match_classes(self, stage: str, theirs: Sequence[str]) -> None:
        """Match the classes of a data set by their names: to train on it they must be the same, to
        be measured on it they must be known."""
        if stage == "fit" and tuple(theirs) != self.classes:
            raise ValueError(
                f"the segmenter has the classes {', '.join(self.classes)}, but the data set has "
                f"{', '.join(theirs)}; give it classes=data.classes, in the same order"
            )
        try:
            self._table = match_classes(theirs, self.classes) if stage != "predict" else None
        except ValueError as error:
            raise ValueError(
                f"the network cannot be measured on this data set: {error}; give classes the "
                "names that the network knows (data.rename), or leave others out "
                "(data.others=ignore)"
            ) from None

    def renumbered(
        self, evidence: Evidence, truth: Tensor | None
    ) -> tuple[Evidence, Tensor | None]:
        """Evidence and truth of the data set that is measured on, with the numbers that classes
        have here."""
        if self._table is None:
            return evidence, truth
        renumbered = renumber_evidence(evidence, self._table, len(self.classes))
        return renumbered, None if truth is None else renumber(truth, self._table)

    def renumbered_objects(self, objects: Instances) -> Instances:
        """The same for objects."""
        return (
            objects
            if self._table is None
            else objects._replace(classes=renumber(objects.classes, self._table))
        )

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Chance depends on seed, rank, epoch and batch alone, so that a resumed run sees what an
        undisturbed one sees."""
        seed = hash((self.seed, self.global_rank, self.current_epoch, batch_idx)) % 2**32
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        # after a resume Lightning may count one step too many here, and would log other steps than
        # an undisturbed run does
        self.trainer.fit_loop.epoch_loop._batches_that_stepped = self.global_step

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """The sum of the strategy's terms as "loss", and beside it for callbacks what the strategy
        returned, as in `Loss`, and "scores", the logits at the network's own stride, if it has
        any."""
        if self.class_weights is not None:
            self.class_weights = self.class_weights.to(self.device)  # once, as it stays there
            batch = batch._replace(class_weights=self.class_weights)
        if self.adapter.has_losses:
            scores = None
            made = self.adapter.losses(self.normalise(batch.image), batch)
            returned = read_loss(made, f"{self.adapter.name}.losses")
            terms = returned.terms
        else:
            batch, (main, *auxiliary) = self._training_outputs(batch)
            # first, as the order of calls decides which random numbers each gets
            helping = self._auxiliary_terms(auxiliary, batch)
            returned = self._loss(main, batch)
            terms = returned.terms | helping
            scores = main[: len(batch.ids)]
        loss = torch.stack([term.float() for term in terms.values()]).sum()
        ids = batch.ids if batch.pseudo is None else batch.ids + batch.pseudo.ids
        self._finite.add_loss(loss, ids)
        figures = {f"loss/{name}": term.detach().float() for name, term in terms.items()}
        self.log_dict(
            {**figures, "loss/total": loss.detach()}, batch_size=len(batch.ids), sync_dist=True
        )
        self._log_position(self.global_step)
        self.log_dict(self._learning_rates())
        if is_logged(self.trainer):
            # Lightning reads what its progress bar shows in every step, so it gets a number that is
            # on the CPU already
            shown = loss.detach().to("cpu", copy=True)
            self.log("loss", shown, prog_bar=True, logger=False, batch_size=len(batch.ids))
        detached = None if scores is None else scores.detach()
        return {"loss": loss, "scores": detached, **recursive_detach(returned._asdict())}

    def _training_outputs(self, batch: Batch) -> tuple[Batch, list[Tensor]]:
        """The logits of all images of a batch, those that are pseudo-labelled behind the others;
        and the batch, with the features of its own images if the strategy wants them."""
        images = _all_images(batch)
        if not self.strategy.wants.features_in_loss:
            return batch, self._outputs(images)
        outputs, features = self.adapter.logits_and_features(self.normalise(images))
        return batch._replace(features=features[: len(batch.ids)]), outputs

    def _loss(self, logits: Tensor, batch: Batch) -> Loss:
        """The terms of the strategy, one more for what a person has drawn where it would not learn
        that, and one more where some of the images are pseudo-labelled: their logits are behind the
        others."""
        own = logits[: len(batch.ids)]
        if self.strategy.wants.resolution == "image":
            own = self.adapter.upsample(own, batch.image)
        source = f"the loss of {type(self.strategy).__name__}"
        size = (len(batch.ids), len(self.classes))
        returned = read_loss(self.strategy.loss(own, batch), source, size)
        if self.strategy.terms.projection:
            term = self.strategy.terms.projection * boxes_projection(own, batch)
            returned = returned._replace(terms={**returned.terms, PROJECTION: term})
        if self._learns_drawn and batch.drawn is not None:
            scores = self.adapter.upsample(logits[: len(batch.ids)], batch.image)
            term = drawn_loss(scores, batch.drawn)
            returned = returned._replace(terms={**returned.terms, CORRECTIONS: term})
        if batch.pseudo is None:
            return returned
        others = self.adapter.upsample(logits[len(batch.ids) :], batch.pseudo.image)
        found = label_loss(others, batch.pseudo.target, self.strategy.terms, batch.class_weights)
        term = batch.pseudo.weight * torch.stack(list(found.values())).sum()
        return returned._replace(terms={**returned.terms, PSEUDO: term})

    @property
    def _learns_drawn(self) -> bool:
        """Whether what a person has drawn needs a term of its own: it is in no target, and not in
        what the strategy learns from."""
        return not estimates(self.strategy) and "marks" not in self.strategy.needs

    def _auxiliary_terms(self, auxiliary: list[Tensor], batch: Batch) -> dict[str, Tensor]:
        """The same terms again for each of the auxiliary logits, weighted as the network says."""
        weight = self.adapter.auxiliary_weight
        training = self.strategy.training
        self.strategy.eval()  # one that counts its steps shall not count these
        each = [self._loss(logits, batch).terms for logits in auxiliary]
        self.strategy.train(training)
        return {
            f"{name}/auxiliary{number}": weight * term
            for number, more in enumerate(each, 1)
            for name, term in more.items()
        }

    def _learning_rates(self) -> dict[str, Tensor]:
        """The learning rate of this step; with one of its own for the head, where that has one."""
        if not self.trainer.optimizers:  # a step outside of a training
            return {}
        groups = self.trainer.optimizers[0].param_groups
        rates = {"learning_rate": groups[0]["lr"]}
        if groups[-1]["lr"] != groups[0]["lr"]:
            rates["learning_rate/head"] = groups[-1]["lr"]
        # as tensors, which stay on the CPU: of a number Lightning makes one on the device, and
        # waits for it
        return {name: torch.tensor(float(rate)) for name, rate in rates.items()}

    def _log_position(self, step: int) -> None:
        """Say where the figures of a row belong: Lightning's own count of steps is one off after a
        resume."""
        place = {"step": float(step), "epoch": float(self.current_epoch)}
        if self.trainer.training:
            # of a number Lightning makes a tensor on the device, and waits for it
            self.log_dict({name: torch.tensor(number) for name, number in place.items()})
        else:
            self.log_dict(place, sync_dist=True)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Note whether the loss and the gradients are finite. Where anything is made of this step,
        look: stop on all ranks together, and name the images."""
        scaled = self._scales_gradients
        norms = gradient_norms(self.network)
        # as it is before clipping; it stays on the device until a row is written
        self.log("gradient_norm", torch.linalg.vector_norm(norms))
        bad = self._finite.add_step(None if scaled else norms, self.global_step)
        ends = ends_with_this_step(self.trainer) or self._finite.steps >= MOST
        if ends or is_logged(self.trainer):
            self._finite.look()
        elif not scaled:
            skip_where(optimizer, bad)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Look at the check where a callback ends the training, as a row and a validation
        follow."""
        if self.trainer.should_stop:
            self._finite.look()

    def on_validation_start(self) -> None:
        """Nothing is measured of a network that has diverged."""
        self._finite.look()

    def on_train_end(self) -> None:
        """Nor is anything made of it after the training."""
        self._finite.look()

    @property
    def _scales_gradients(self) -> bool:
        """Whether there is a scaler for half precision, which skips infinite gradients by
        itself."""
        return getattr(self.trainer.precision_plugin, "scaler", None) is not None

    def configure_optimizers(self) -> Any:
        """The optimizer with body and head, and its schedule, which moves once per step."""
        optimizer = self.optimizer.build(self.optimizer.groups(self.network))
        if self._scales_gradients or self.trainer.gradient_clip_val:
            # a fused one would take scaled gradients, but who clips them, and their norm in the
            # record, needs them as they are
            optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        scheduler = self.optimizer.scheduler(optimizer, self._schedule_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_fit_start(self) -> None:
        """A training begins anew, whatever became of the one before."""
        self._finite = FiniteCheck()

    def on_train_start(self) -> None:
        """Lay out what was restored of the optimizer as the weights are; say that a schedule has no
        end where only the clock ends the training."""
        for optimizer in self.trainer.optimizers:
            set_layout(optimizer)
        if rank() == 0 and self.optimizer.schedule == "poly" and math.isinf(self._schedule_steps()):
            warnings.warn(
                f"the learning rate stays at {self.optimizer.lr:g}: schedule=poly falls to zero "
                "until the last step, but only the clock ends this run (trainer.max_time); give "
                "trainer.max_steps, too, or say optimizer.schedule=constant",
                stacklevel=1,
            )

    def _schedule_steps(self) -> float:
        """How many steps the schedule stretches over; infinitely many where the clock ends the
        training."""
        return (
            self.trainer.estimated_stepping_batches
            if self.span is None
            else self.span[1] - self.span[0]
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Beside the weights: the steps of the schedule, which classes the weights know, at which
        resolution and how well."""
        self._finite.look()  # no checkpoint is made of what is no number
        # others may read the weights without knowing of memory formats
        weights = checkpoint.get("state_dict", {})
        for name, value in weights.items():
            weights[name] = value.contiguous() if isinstance(value, Tensor) else value
        known: dict[str, Any] = {
            "span": self.span,
            "classes": list(self.classes),
            "long_side": self.long_side,
            "initial_weights": self.initial_weights,
            "training_images": self.training_images,
            "corrections": self.corrections,
        }
        if self.measured is not None and self.validated_at == self.global_step:
            known["validation"] = {
                "figure": self.measured[0],
                "value": self.measured[1],
                "step": self.validated_at,
            }
        checkpoint["weakseg"] = known | {
            "validated_at": self.validated_at,
            "confusion": self.confusion.cpu(),
            "scores": dict(self.scores),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The counterpart of `on_save_checkpoint`."""
        state = checkpoint["weakseg"]
        if tuple(state["classes"]) != self.classes:
            raise ValueError(
                f"the checkpoint knows the classes {', '.join(state['classes'])}, but the data "
                f"set has {', '.join(self.classes)}"
            )
        self.span = None if state["span"] is None else (state["span"][0], state["span"][1])
        self.long_side = state.get("long_side", self.long_side)  # older checkpoints do not say
        self.initial_weights = state.get("initial_weights", self.initial_weights)
        if "confusion" in state:  # older checkpoints have none
            self.validated_at = state["validated_at"]
            self.confusion = state["confusion"]
            self.scores = state["scores"]
        if "loops" in checkpoint:
            go_on_between_batches(checkpoint["loops"]["fit_loop"])

    # measuring

    def on_validation_epoch_start(self) -> None:
        """Forget the counts of the last validation, and let all ranks measure the same network."""
        share_buffers(self.network)
        self.confusion = torch.zeros_like(self.confusion)
        self.agreement = Agreement(self.classes)
        self.scores = {}
        self._bad_images = []

    def validation_step(self, examples: list[Example], batch_idx: int) -> None:
        """Count pixels of truth and prediction, at the images' own resolution; without truth, how
        well predictions agree with evidence."""
        for same in _same_size(examples):
            for example, (sureness, guess) in zip(
                same, self._predict_batch([example.evidence.image for example in same]), strict=True
            ):
                if not bool(sureness.isfinite().all()):
                    self._bad_images.append(example.evidence.id)
                    continue
                evidence, truth = self.renumbered(*_on_cpu(example))
                if truth is None:
                    self.agreement.add(example.number, guess, evidence)
                else:
                    counts = confusion_matrix(guess, truth, len(self.classes))
                    self.confusion += counts
                    self.scores[example.number] = mean_iou(counts)

    def _predict_batch(self, images: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """For images of one size the likeliest class of every pixel, behind the score that it has:
        [H,W] each, on the CPU."""
        if self.inference.validation:
            found = [self._predict(image, plain=False).probs.max(0) for image in images]
            return [(probs, classes) for probs, classes in found]
        stacked = torch.stack(images)
        seen = downsample(stacked, self.long_side)
        # as in `predict`
        scores = self(seen) if seen is stacked else _resized(self(seen).float().softmax(1), stacked)
        likeliest, classes = scores.max(1)
        return list(zip(likeliest.cpu(), classes.cpu(), strict=True))

    def on_validation_epoch_end(self) -> None:
        """val/miou and val/iou/<class> from one confusion matrix over all images of all ranks;
        without any truth, the agreement."""
        self._stop_at_bad_images()
        parts = gather((self.confusion, self.scores))
        self.confusion = torch.stack([confusion for confusion, _ in parts]).sum(0)
        self.scores = {index: score for _, scores in parts for index, score in scores.items()}
        self.validated_at = self.global_step
        self._log_position(max(0, self.global_step - 1))  # beside the last step before it
        if self.confusion.any():
            figures = {
                f"iou/{name}": float(value)
                for name, value in zip(self.classes, iou(self.confusion), strict=True)
            }
            figures["miou"] = mean_iou(self.confusion)
        else:
            figures = self.agreement.figures()
        self._log_figures({f"val/{name}": value for name, value in figures.items()})

    def _log_figures(self, figures: dict[str, float]) -> None:
        """Log the figures of a validation. They are the same on every rank already; `sync_dist`
        keeps Lightning from warning."""
        chosen = next((name for name in CHOOSES if name in figures), None)
        self.measured = None
        if chosen is not None and not self.trainer.sanity_checking:
            # in single precision, as it is logged
            self.measured = chosen, torch.tensor(figures[chosen]).item()
        if chosen is not None and not self.confusion.any():
            self.scores = self.agreement.scores[chosen.removeprefix("val/")]
        self.log_dict(
            {name: value for name, value in figures.items() if name != chosen}, sync_dist=True
        )
        if chosen is not None:
            self.log(chosen, figures[chosen], prog_bar=True, sync_dist=True)

    def _stop_at_bad_images(self) -> None:
        """Stop on all ranks together when a prediction of any is no number, and name the images."""
        bad = [image for part in gather(self._bad_images) for image in part]
        if not bad:
            return
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        raise FloatingPointError(
            f"the validation after step {self.global_step} found predictions that are not finite, "
            f"on the images {', '.join(bad[:NAMED])}{more}: {DIVERGED}"
        )


@torch.no_grad()
def intermediate_features(
    segmenter: Segmenter, image: Tensor, long_side: int | None = None
) -> Tensor:
    """What an intermediate stage of the encoder makes of an image: float [D,h,w] on the CPU.

    Both sides are whole cells of the coarsest stage, so that the cells cover the image.

    Args:
        segmenter: with the network.
        image: uint8 [3,H,W].
        long_side: of the image while the encoder sees it; None for what the strategy wants.
    """
    wanted = segmenter.strategy.wants.intermediate if long_side is None else long_side
    longest = max(image.shape[1:])
    size = [max(1, round(side * wanted / longest / CELL)) * CELL for side in image.shape[1:]]
    scaled = F.interpolate(
        image[None].to(segmenter.device, segmenter.mean.dtype),
        size,
        mode="bilinear",
        antialias=True,
    )
    with evaluating(segmenter.network):
        features = segmenter.adapter.intermediate_features(segmenter.normalise(scaled))
    return features[0].float().cpu()


def _all_images(batch: Batch) -> Tensor:
    """The images of a batch, those with pseudo-labels behind the others."""
    return batch.image if batch.pseudo is None else torch.cat([batch.image, batch.pseudo.image])


def _on_cpu(example: Example) -> tuple[Evidence, Tensor | None]:
    """Evidence and truth where predictions are counted: Lightning has brought all of it to the
    network's device."""
    moved: dict[str, Any] = {
        name: value.cpu()
        for name, value in example.evidence._asdict().items()
        if isinstance(value, Tensor)
    }
    return example.evidence._replace(
        **moved
    ), None if example.truth is None else example.truth.cpu()


def _resized(scores: Tensor, image: Tensor) -> Tensor:
    """Scores [B,C,h,w] at the size of an image."""
    size = image.shape[-2:]
    return scores if scores.shape[-2:] == size else F.interpolate(scores, size, mode="bilinear")


def _same_size(examples: list[Example]) -> list[list[Example]]:
    groups: dict[tuple[int, ...], list[Example]] = {}
    for example in examples:
        groups.setdefault(tuple(example.evidence.image.shape), []).append(example)
    return list(groups.values())
