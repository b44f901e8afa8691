"""Masks, boxes, scribbles, points and tags together, within a data set and on one image."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import IGNORE, MASKED, Batch, Evidence
from weakseg.foundation.sam import SAM
from weakseg.functional.boxes import Unary
from weakseg.functional.crf import DEEPLAB_V2, DenseCRF
from weakseg.functional.rare_classes import focal_of, label_shares
from weakseg.functional.spreading import spread
from weakseg.functional.tags import BIASES, PORTIONS, Source, em_adapt, em_fixed
from weakseg.strategies.base import Context, Estimate, JointStrategy, Loss, Strategy
from weakseg.strategies.boxes_crf import BoxesCRF
from weakseg.strategies.boxes_rect import BoxesRect
from weakseg.strategies.common_keys import COMMON_KEYS
from weakseg.strategies.label_loss import overlap_losses
from weakseg.strategies.prompted_masks import PromptedMasks
from weakseg.strategies.scribbles_graphcut import ScribblesGraphCut
from weakseg.strategies.shared.common_features import (
    describe_cells,
    fit_classifier,
    with_features,
)
from weakseg.strategies.shared.marked import need_annotation
from weakseg.strategies.shared.options import CoreShare, LongSide, LossWeight
from weakseg.strategies.shared.per_step import check_tags, seeded
from weakseg.utils.devices import host_copy, keep_host_copies, on_cpu
from weakseg.utils.limits import check_limits, limited


@dataclass(frozen=True)
class Weights:
    """Weights of the loss on pixels that are labelled by masks, boxes, marks or tags."""

    masks: LossWeight = 1.0
    boxes: LossWeight = 1.0
    marks: LossWeight = 1.0
    tags: LossWeight = 0.1

    def __post_init__(self) -> None:
        check_limits(self, "weights.{}")
        if not any(asdict(self).values()):
            raise ValueError("weights should not all be 0: nothing would be learned")


TAGS_COUNT_LITTLE = Weights()
_IDLE = 20  # batches in a row that teach nothing: no accident
_LOST = (
    "a crop may show no mark, and has no tags either, since it may not show what they name: "
    "images that have tags alone need data.crop=null"
)


class Mixed(JointStrategy):
    """Mixed supervision: each image is learned from its most precise annotations, that is its mask,
    or its boxes, marks and tags together.

    - An image with a mask (marks on three quarters of its pixels or more): the mask, and nothing
      else.
    - With boxes: the pseudo-labels of `boxes_crf` or `prompted_masks`, or filled boxes, with the
      marks written over them. An empty list is all background.
    - Without: the marks, or with `marks="graphcut"` what `scribbles_graphcut` makes of them where
      they show two classes or more, or with `marks="sam"` what `prompted_masks` does. With tags
      too, the pixels that are still without a label get some in every step, from the network's own
      scores: EM-Adapt or EM-Fixed on the whole image. The network learns them from its scores as
      they are; only the labels depend on the raised ones.

    So a few masks beside many boxes or tags are the semi-supervised setting of WSSL (Papandreou,
    Chen, Murphy and Yuille, "Weakly- and Semi-Supervised Learning of a Deep Convolutional Network
    for Semantic Image Segmentation", ICCV 2015). Estimates once, needs no network.

    The loss has four terms, `masks`, `boxes`, `marks` and `tags`, all of them in every step. Each
    is the mean cross-entropy over its own pixels in the batch, times the share of the batch's
    images that have such pixels, times its weight; a kind that no image of the batch has is 0. So a
    few scribbles are not drowned by the many pixels around them. Where images are labelled
    throughout, and weights are 1, the sum is the plain mean cross-entropy.

    The kind of a pixel is read from target and marks of the batch: in an image without a mask, only
    boxes give an unmarked pixel a target. That holds for an empty list of boxes and for a crop
    without any box, too, where the boxes of the batch would not show it. Pixels that a graph cut
    labels are pseudo-labels like those of boxes, and count in the same term.

    Args:
        boxes: `crf` shrinks boxes onto the objects, as `boxes_crf` does with the same unary, share
            and crf; `sam` has the masks that a segment anything model draws in them; `rect` fills
            them.
        marks: of images without boxes; `alone` learns the marked pixels, `graphcut` carries them on
            over the image, and `sam` has the masks that a segment anything model draws at them.
        em: how tags become labels; `adapt` gives each class its portion of the image, `fixed` adds
            a bias to its scores.
        source: of the portions or biases: the released code (wssl_code) or the paper (wssl_paper).
        foreground, background: portions (adapt) or biases (fixed); null for those of the source.
        weights: of the four terms. Labels from tags are the worst, so by default they count little.
        together, long_side, features: for boxes, as `boxes_crf` has them; masks and marks teach the
            classifier as well.
        model: for `sam`, as `prompted_masks` has it.
        revision: of the model for `sam`, or of that of the features.
    """

    takes: ClassVar[tuple[str, ...]] = COMMON_KEYS
    # they change the loss, and no target
    not_in_key: ClassVar[tuple[str, ...]] = ("em", "biases", "weights", "idle")

    @limited
    def __init__(
        self,
        boxes: Literal["crf", "rect", "sam"] = "crf",
        unary: Unary = "wssl_code",
        share: CoreShare = 0.2,
        crf: DenseCRF = DEEPLAB_V2,
        em: Literal["adapt", "fixed"] = "adapt",
        source: Source = "wssl_code",
        foreground: float | None = None,
        background: float | None = None,
        weights: Weights = TAGS_COUNT_LITTLE,
        marks: Literal["alone", "graphcut", "sam"] = "alone",
        together: bool = False,
        long_side: LongSide = 512,
        features: str | None = None,
        model: str = SAM,
        revision: str | None = None,
    ) -> None:
        super().__init__()
        if together and boxes != "crf":
            does = "fills them" if boxes == "rect" else "has masks instead"
            raise ValueError(
                f"together=true refines boxes=crf, but boxes is {boxes}, which {does}; leave one "
                "of them out"
            )
        prompted = None
        if "sam" in (boxes, marks):
            if features is not None:
                raise ValueError(
                    "features and sam are two models that see each image, but a strategy can ask "
                    "one; leave features out, or take boxes=crf and marks=graphcut"
                )
            prompted = PromptedMasks(model, revision)
        own_revision = None if prompted is not None else revision
        refined = BoxesCRF(
            unary,
            share,
            crf,
            together,
            long_side=long_side,
            features=features,
            revision=own_revision,
        )
        self.boxes: Strategy = refined if boxes == "crf" else BoxesRect()
        if prompted is not None and boxes == "sam":
            self.boxes = prompted
        self.iterations = refined.iterations
        self.samples = refined.samples
        self.wants = refined.wants
        if prompted is not None:
            self.wants = replace(refined.wants, encoder=prompted.encoder)
        self.backbone = refined.backbone
        cut = ScribblesGraphCut() if marks == "graphcut" else None
        self.by_marks = prompted if marks == "sam" else cut
        usual = (PORTIONS if em == "adapt" else BIASES)[source]
        self.em = em
        self.weights = weights
        self.idle = 0  # batches in a row that taught nothing
        self.biases = (
            usual[0] if foreground is None else foreground,
            usual[1] if background is None else background,
        )
        # refuses impossible numbers now
        self._label(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, dtype=torch.bool), None, None)

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Every image must have something to learn from; and tags that are to label it must name
        the background."""
        need_annotation(evidence)
        found = set(evidence.annotations)
        if "tags" in found and not {"masks", "boxes"} & found:
            check_tags(evidence, classes)

    def describe(self, evidence: Evidence, context: Context) -> dict[str, Tensor]:
        """What `boxes_crf` has to know of an image with boxes; of others, features of some cells
        and what is marked there."""
        if isinstance(self.boxes, BoxesCRF) and _by_boxes(evidence):
            return self.boxes.describe(evidence, context)
        marks = evidence.marks
        if marks is None:
            marks = torch.full(evidence.image.shape[1:], IGNORE, dtype=torch.uint8)
        context = with_features(evidence, context, self.backbone)
        return describe_cells(evidence, context, marks, self.samples, marks != IGNORE)

    def fit(self, descriptions: Sequence[dict[str, Tensor]]) -> Tensor:
        """The classifier of `boxes_crf`."""
        return fit_classifier(descriptions)

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        """The mask; or the target of the boxes with the marks written over it; or the marks, alone
        or carried on; or nothing, all ignored."""
        marks = evidence.marks
        masked = "masks" in evidence.annotations
        if not _by_boxes(evidence):
            if marks is None:
                return torch.full(evidence.image.shape[1:], IGNORE, dtype=torch.uint8)
            if self.by_marks is None or masked:
                return marks.clone()
            single = len(torch.unique(marks[marks != IGNORE])) < 2
            if single and isinstance(self.by_marks, ScribblesGraphCut):
                return marks.clone()  # a cut gives a single class the whole image
            return self.by_marks.estimate(evidence, context).labels
        found = self.boxes.estimate(evidence, context)
        labels = found.labels if isinstance(found, Estimate) else found
        # before the marks, which hold the strokes, hide where the boxes contradict these
        labels = spread(labels, evidence.strokes, evidence.painted, evidence.image)
        return labels if marks is None else labels.where(marks == IGNORE, marks)

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor] | Loss:
        """The cross-entropy on the pixels of each kind."""
        labels = batch.target
        if labels is None:
            return super().loss(logits, batch)  # which says what is missing
        pixels = pixels_of_kinds(labels, batch)
        known = pixels if on_cpu(labels) else _known_on_cpu(labels, batch)
        self._notice_lost_tags(known)
        guessed = None
        named = None
        rows = known["tags"].flatten(1).any(1)
        if batch.tags is not None and bool(rows.any()):
            guessed = self._guess(logits.detach(), batch, rows).where(pixels["tags"], IGNORE)
            named = batch.tags & pixels["tags"].flatten(1).any(1)[:, None]
            labels = guessed.where(pixels["tags"], labels)
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        terms = self._cross_entropy(exact, labels, pixels, batch.class_weights)
        if self.terms.dice or self.terms.tversky:
            trust = torch.stack([getattr(self.weights, kind) * pixels[kind] for kind in pixels])
            shares = label_shares(labels, logits.shape[1]) * trust.sum(0)[:, None]
            terms |= overlap_losses(exact, shares, self.terms, batch.class_weights)
        return Loss(terms, guessed, named)

    def _guess(self, logits: Tensor, batch: Batch, rows: Tensor) -> Tensor:
        """The labels of the images in these rows, bool [B] on the CPU, by their tags: int64
        [B,H,W], 255 in others."""
        assert batch.tags is not None
        few = rows.nonzero().flatten()
        places = few.to(logits.device, non_blocking=True)
        tags = batch.tags.index_select(0, places)
        # how many they are is known without asking the device
        keep_host_copies([host_copy(batch.tags).index_select(0, few)], [tags])
        valid = None if batch.valid is None else batch.valid.index_select(0, places)
        found = self._label(logits.index_select(0, places), tags, valid, seeded())
        everywhere = found.new_full((len(rows), *found.shape[1:]), IGNORE)
        return everywhere.index_copy(0, places, found)

    def _cross_entropy(
        self,
        logits: Tensor,
        labels: Tensor,
        pixels: dict[str, Tensor],
        class_weights: Tensor | None,
    ) -> dict[str, Tensor]:
        """The term of each kind; none where the cross-entropy has no weight."""
        if not self.terms.cross_entropy:
            return {}
        each = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
        each = focal_of(each, self.terms.focal) if self.terms.focal else each
        counts = None
        if class_weights is not None:
            counts = class_weights.to(each)[labels.where(labels != IGNORE, 0)]
        return {
            kind: self.terms.cross_entropy
            * getattr(self.weights, kind)
            * _mean_by_share(each, own, counts)
            for kind, own in pixels.items()
        }

    def _notice_lost_tags(self, pixels: dict[str, Tensor]) -> None:
        """Warn of images that teach nothing in this step; stop after many batches of only these."""
        teaches = torch.stack(list(pixels.values())).any(0).flatten(1).any(1)
        self.idle = 0 if bool(teaches.any()) else self.idle + 1
        if self.idle >= _IDLE:
            raise ValueError(f"the last {_IDLE} batches taught nothing: {_LOST}")
        if not bool(teaches.all()):
            warnings.warn(f"an image of this batch teaches nothing: {_LOST}", stacklevel=2)

    def _label(
        self, logits: Tensor, tags: Tensor, valid: Tensor | None, generator: torch.Generator | None
    ) -> Tensor:
        if self.em == "fixed":
            return em_fixed(logits, tags, *self.biases, valid=valid)
        return em_adapt(logits, tags, *self.biases, generator=generator, valid=valid)


def _by_boxes(evidence: Evidence) -> bool:
    """Whether boxes are the most precise annotations of an image."""
    return evidence.boxes is not None and "masks" not in evidence.annotations


def pixels_of_kinds(target: Tensor, batch: Batch) -> dict[str, Tensor]:
    """The pixels that masks, boxes, marks and tags label, bool [B,H,W] each; no pixel belongs to
    two. Targets are hard."""
    known = target != IGNORE
    marked = torch.zeros_like(known) if batch.marks is None else known & (batch.marks != IGNORE)
    valid = torch.ones_like(known) if batch.valid is None else batch.valid
    tagged = known.new_zeros(len(known)) if batch.tags is None else batch.tags.any(1)
    masked = _count(marked) >= MASKED * _count(valid)
    boxed = known & ~marked
    tagged = tagged & ~masked & ~boxed.flatten(1).any(1)
    return {
        "masks": marked & masked[:, None, None],
        "boxes": boxed,
        "marks": marked & ~masked[:, None, None],
        "tags": valid & ~marked & tagged[:, None, None],
    }


def _known_on_cpu(target: Tensor, batch: Batch) -> dict[str, Tensor]:
    """The same of a batch on a device, from what is known of it on the CPU."""
    known: dict[str, Any] = {
        field: None if (value := getattr(batch, field)) is None else host_copy(value)
        for field in ("marks", "valid", "tags")
    }
    return pixels_of_kinds(host_copy(target), batch._replace(**known))


def _count(pixels: Tensor) -> Tensor:
    return pixels.flatten(1).sum(1)


def _mean_by_share(each: Tensor, own: Tensor, counts: Tensor | None) -> Tensor:
    """The mean of the own pixels, of which each counts so much, times the share of images that have
    any; 0, and no NaN, where there are none."""
    share = own.flatten(1).any(1).to(each.dtype).mean()
    if counts is None:
        return share * each.where(own, 0).sum() / own.sum().clamp(min=1)
    counts = counts.where(own, 0)
    total = counts.sum()
    return share * (each * counts).sum() / torch.where(total > 0, total, 1)
