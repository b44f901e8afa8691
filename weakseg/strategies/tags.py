"""Image tags, in one stage: classification through pixels, then self-training on refined scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from annotated_types import Ge, Lt, doc
from torch import Tensor

from weakseg.evidence import IGNORE, Batch, Evidence
from weakseg.functional.losses import balanced_cross_entropy
from weakseg.functional.pooling import classification
from weakseg.functional.refinement import confident, pixel_adaptive
from weakseg.functional.resolution import average_pool
from weakseg.strategies.base import Loss, Strategy
from weakseg.strategies.shared.options import TagsWarmup
from weakseg.strategies.shared.per_step import check_tags
from weakseg.strategies.shared.warmup import WarmUp
from weakseg.utils.devices import host_copy
from weakseg.utils.limits import Count, CountFromZero, limited

Certainty = Annotated[float, Ge(0), Lt(1), doc("or no pixel is ever sure")]


class Tags(Strategy):
    """Image classification by pooled pixel scores, and self-training on the network's own
    predictions, refined along the edges of the photograph.

    The losses of Araslanov and Roth ("Single-Stage Semantic Segmentation from Image Labels", CVPR
    2020). Every class but the background is classified by its pooled score (`weighted_pooling` plus
    `size_focal`), from the first step on. After the warm-up the probabilities, restricted to the
    tags of the image and refined by its colours (`pixel_adaptive`), are pseudo-labels where they
    are confident (`confident`); the network learns them from its own, unrefined logits. Its best
    class is the segmentation, with no threshold on top.

    What this assumes: tags are complete and hold for what the network sees, so give it whole
    images, no crops (`data.scale` is fine). Parts of an object are more similar to each other than
    to the surroundings. And what always comes with a class (rails with trains) is taken for it:
    nothing in a list of classes tells them apart.

    Differs from the paper: background is the network's own class 0 instead of a constant 1, and the
    score of a class is its lead over background plus 1, which is the same to the classification.
    The network is any network; the paper's has a gate and a normalisation of its own. The
    self-training loss is a weighted mean over confident pixels; the paper has a weighted sum,
    divided by all pixels. Probabilities are restricted to the tags before the refinement, not after
    it.

    Args:
        warmup: how many batches teach classification alone. With too few, errors become labels; an
            image has to be seen several times.
        foreground, background: the share of its maximum in the image at which a class is confident.
        lowest: no pixel is confident of a class below this probability.
        shrink: classification and refinement use images and logits this many times smaller in each
            direction: at 4 that takes less than a third of the time at 2. Details finer than that
            are lost to the labels.
        iterations: of the refinement; its reach grows with each.
    """

    needs: ClassVar[tuple[str, ...]] = ("tags",)
    takes: ClassVar[tuple[str, ...]] = ()

    @limited
    def __init__(
        self,
        warmup: TagsWarmup = 200,
        foreground: Certainty = 0.6,
        background: Certainty = 0.7,
        lowest: Certainty = 0.2,
        shrink: Count = 4,
        iterations: CountFromZero = 10,
    ) -> None:
        super().__init__()
        self.warmup = WarmUp(warmup)
        self.shrink = shrink
        self.iterations = iterations
        self.foreground = foreground
        self.background = background
        self.lowest = lowest

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Tags name background."""
        check_tags(evidence, classes)

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor] | Loss:
        """The classification of the images, and from the end of the warm-up on the balanced
        cross-entropy with confident labels."""
        if batch.tags is None:
            raise ValueError(
                f"the images {', '.join(batch.ids)} have no tags; give each the list of its "
                "classes, background included, and whole images: a crop may not show what the "
                "tags of an image name and loses them, so set data.crop=null"
            )
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        pooled, there = average_pool(logits, batch.valid, self.shrink)
        terms = {"classification": classification(pooled, there, batch.tags)}
        if not self.warmup.is_over():
            return terms
        labels = self._labels(pooled.detach(), there, batch.image, batch.tags, batch.valid)
        terms["self_training"] = balanced_cross_entropy(logits, labels, batch.tags)
        return Loss(terms, labels)

    @torch.no_grad()
    def labels(self, logits: Tensor, images: Tensor, tags: Tensor, valid: Tensor) -> Tensor:
        """Pseudo-labels of the network's predictions: int64 [B,H,W], 255 where they are not
        confident, in the padding and in images without tags."""
        scores, there = average_pool(logits, valid, self.shrink)
        return self._labels(scores, there, images, tags, valid)

    @torch.no_grad()
    def _labels(
        self, scores: Tensor, there: Tensor, images: Tensor, tags: Tensor, valid: Tensor | None
    ) -> Tensor:
        """The same, of scores that are so many times smaller, and where there are any."""
        colours, _ = average_pool(images.to(scores.dtype), valid, self.shrink)
        classes, listed = _listed(tags)
        scores = scores.gather(1, classes[:, :, None, None].expand(-1, -1, *scores.shape[2:]))
        # of an image without tags anything; it gets no labels
        possible = listed | ~listed.any(1, keepdim=True)
        probs = scores.masked_fill(~possible[:, :, None, None], -torch.inf).softmax(1)
        refined = pixel_adaptive(
            colours, probs * there[:, None], iterations=self.iterations, valid=there
        )
        probs = _larger(refined, self.shrink, images.shape[2:])
        kept = confident(
            probs,
            listed,
            foreground=self.foreground,
            background=self.background,
            lowest=self.lowest,
            valid=valid,
        )
        labels = classes.gather(1, kept.flatten(1).clamp(max=classes.shape[1] - 1)).view_as(kept)
        return torch.where(kept == IGNORE, IGNORE, labels)


def _listed(tags: Tensor) -> tuple[Tensor, Tensor]:
    """Background, then the classes of the tags, as many as the fullest image has: int64 [B,K], and
    which the tags name, bool [B,K].

    To refine all classes takes several times as long.
    """
    order = tags.byte()
    order[:, 0] = 2
    most = 1 + int(host_copy(tags)[:, 1:].sum(1).max())
    classes = order.argsort(dim=1, descending=True, stable=True)[:, :most]
    return classes, tags.gather(1, classes)


def _larger(probs: Tensor, shrink: int, size: torch.Size) -> Tensor:
    """Probabilities at the size they had before, as far as there are any: those of the padding are
    0."""
    probs = F.interpolate(probs, scale_factor=float(shrink), mode="bilinear")[
        ..., : size[0], : size[1]
    ]
    return probs / probs.sum(1, keepdim=True).clamp(min=torch.finfo(probs.dtype).tiny)
