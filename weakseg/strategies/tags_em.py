"""Tags, and labels from the network's own scores, raised by a bias for the classes of the tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, doc
from torch import Tensor

from weakseg.evidence import Batch, Evidence
from weakseg.functional.tags import BIASES, PORTIONS, Source, em_adapt, em_fixed
from weakseg.strategies.base import Loss, Resolution, Strategy, Wants
from weakseg.strategies.label_loss import label_loss
from weakseg.strategies.shared.options import Bias, PriorSigma, ShareOfPixels, TagsWarmup
from weakseg.strategies.shared.per_step import (
    WARMUP_SHRINK,
    centre_biased_logits,
    check_tags,
    per_image,
    seeded,
    tags_loss,
    valid_of,
)
from weakseg.strategies.shared.warmup import WarmUp
from weakseg.utils.limits import limited, require


class TagsEM(Strategy):
    """In every step a bias raises the scores of the classes in the tags; the best class of each
    pixel is its pseudo-label, which the network learns.

    EM-Adapt and EM-Fixed of WSSL (Papandreou, Chen, Murphy and Yuille, "Weakly- and Semi-Supervised
    Learning of a Deep Convolutional Network for Semantic Image Segmentation", ICCV 2015). The
    network learns from its scores as they are, without the bias. Tags must name background too, and
    hold for what the network sees: train on whole images.

    Args:
        mode: adapt raises each class of the tags until it has its portion of the image, and no
            other class gets a pixel; fixed adds the same number in every image, and a class that is
            not in the tags still wins where it leads by more.
        source: of foreground and background where they are null. The released code (wssl_code) has
            portions of .2 and .2, and adds 2 and 1; the paper (wssl_paper) has portions of .2 and
            .4, and adds 5 and 3.
        foreground: the portion of the image that each class of the tags wins (adapt), or the bias
            of its score (fixed).
        background: the same for background.
        sweeps: how often adapt raises each class. A later one may take pixels back from an earlier
            one, which more sweeps mend in part.
        warmup: how many batches teach classification alone, as in `Tags`, from which the network
            learns roughly where things are. 0 is the paper, which has more steps.
        resolution: of the labels. image: scores are enlarged to the image and every pixel has a
            label. scores: each of the network's scores has a label, as in the original, which
            learns at an eighth of the image. That takes less time by the square of the stride, but
            scores are not smoothed on the way and what is thin gets few labels, so the networks
            differ.
        prior_sigma: standard deviation of a centre prior, in half sides of the photograph: labels
            are made of scores to which the logits of `functional.prior.centre_prior` are added, for
            every class but background. null is the paper, for which all places are alike.
    """

    needs: ClassVar[tuple[str, ...]] = ("tags",)
    takes: ClassVar[tuple[str, ...]] = ("class_weights", "terms")

    @limited
    def __init__(
        self,
        mode: Literal["adapt", "fixed"] = "adapt",
        source: Source = "wssl_code",
        foreground: float | None = None,
        background: float | None = None,
        sweeps: Annotated[int, Ge(1), doc("how often each class is raised")] = 1,
        warmup: TagsWarmup = 0,
        resolution: Resolution = "image",
        prior_sigma: PriorSigma | None = None,
    ) -> None:
        super().__init__()
        usual = PORTIONS[source] if mode == "adapt" else BIASES[source]
        self.foreground = usual[0] if foreground is None else foreground
        self.background = usual[1] if background is None else background
        kind = ShareOfPixels if mode == "adapt" else Bias
        require("foreground", kind, self.foreground)
        require("background", kind, self.background)
        self.warmup = WarmUp(warmup)
        self.mode = mode
        self.sweeps = sweeps
        self.prior_sigma = prior_sigma
        self.wants = Wants(resolution=resolution)

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Tags name background."""
        check_tags(evidence, classes)

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor] | Loss:
        """Cross-entropy of the scores as they are with the labels of the raised ones;
        classification during the warm-up."""
        tags = per_image(batch, "tags", self)
        valid = valid_of(batch, logits)
        if not self.warmup.is_over():
            return tags_loss(logits, tags, valid, WARMUP_SHRINK[self.wants.resolution])
        scores = centre_biased_logits(logits, valid, self.prior_sigma)
        if self.mode == "adapt":
            labels = em_adapt(
                scores, tags, self.foreground, self.background, self.sweeps, seeded(), valid
            )
        else:
            labels = em_fixed(scores, tags, self.foreground, self.background, valid)
        return Loss(label_loss(logits, labels, self.terms, batch.class_weights), labels)
