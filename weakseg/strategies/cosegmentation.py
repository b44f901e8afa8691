"""Semantic cosegmentation: a class has similar features in all of its images, whatever their
evidence is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.boxes import box_unary
from weakseg.functional.crf import DEEPLAB_V2, DenseCRF, dense_crf
from weakseg.functional.prior import centre_prior
from weakseg.functional.regions.region_graph import Superpixels
from weakseg.functional.regions.superpixels import spread_marks
from weakseg.strategies.base import (
    Context,
    JointStrategy,
    Wants,
)
from weakseg.strategies.shared.common_features import (
    classify,
    describe_cells,
    fit_classifier,
    possible_classes,
    possible_places,
)
from weakseg.strategies.shared.marked import LARGE_PIECES, need_annotation
from weakseg.strategies.shared.options import CoreShare, PriorSigma
from weakseg.strategies.shared.per_step import check_tags
from weakseg.utils.limits import Count, limited

_LEAST = 1e-3  # probability that the classifier leaves to every class
_SURE = 0.99  # probability of the class of a marked pixel, as a unary of the CRF


class Cosegmentation(JointStrategy):
    """Cosegmentation: one classifier on intermediate features of the encoder is fitted to the
    pseudo-labels of all images, in turns with pseudo-labels from its predictions and a dense CRF.

    The first pseudo-labels come from a centre prior: the middle of the photograph for tags, the
    middle of the box for boxes; marks are certain, and so are the superpixels they lie in. A dense
    CRF moves them to the edges of the image. Then one linear classifier is fitted to them in all
    images together: its features are those of an intermediate stage of the network's encoder, which
    encode colours, textures and parts, but neither the place nor the rest of the image. So labels
    that are wrong by accident (the middle is not the animal) do not fit, and features that all
    images of a class have in common do. Its predictions, within the classes that the image can
    have, go through the CRF again, and so on.

    After Joulin, Bach and Ponce ("Multi-Class Cosegmentation", CVPR 2012), who alternate between a
    softmax classifier and labels that are smooth in each image. Theirs has hand-made features, no
    list of classes and random beginnings; the centre prior is from the literature of saliency.
    Estimates once; needs an encoder that has been trained on something, classification at least.

    An image with a mask (marks on three quarters of its pixels) has its mask for a target. With
    boxes, nothing is outside of them, and the first probabilities of each box are multiplied by
    those of the classifier. Marked pixels keep their class.

    Args:
        prior_sigma: standard deviation of the centre prior, in half sides of the photograph. For
            tags and marks.
        iterations: how often the classifier is fitted, each time to better labels.
        long_side: of the image while the encoder sees it, in pixels. Larger resolves finer parts
            and takes more time.
        samples: how many cells of each image the classifier learns from.
        superpixels: of an image with marks; a piece with marks of one class alone is of that class.
            null for the marks alone.
        share: how much of a box's area is its middle.
        crf: weights and standard deviations of the CRF.
    """

    @limited
    def __init__(
        self,
        prior_sigma: PriorSigma = 0.5,
        iterations: Count = 4,
        long_side: Annotated[int, Ge(32)] = 512,
        samples: Count = 200,
        superpixels: Superpixels | None = LARGE_PIECES,
        share: CoreShare = 0.2,
        crf: DenseCRF = DEEPLAB_V2,
    ) -> None:
        super().__init__()
        self.prior_sigma = prior_sigma
        self.iterations = iterations
        self.wants = Wants(intermediate=long_side)
        self.samples = samples
        self.superpixels = superpixels
        self.share = share
        self.crf = crf

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Every image must have something to learn from; and tags that are all it has must name the
        background."""
        need_annotation(evidence)
        if evidence.annotations == ("tags",):
            check_tags(evidence, classes)

    def describe(self, evidence: Evidence, context: Context) -> dict[str, Tensor]:
        """Intermediate features of some cells, and which part of each has which class in the
        pseudo-labels of this iteration."""
        labels = self.estimate(evidence, context)
        return describe_cells(evidence, context, labels, self.samples)

    def fit(self, descriptions: Sequence[dict[str, Tensor]]) -> Tensor:
        """The classifier, float32 [C,D+1], of the cells of all images. A class weighs as if all
        images could show it."""
        return fit_classifier(descriptions)

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        """The likeliest class of every pixel by the classifier and the CRF; by the prior and the
        CRF before anything is fitted."""
        need_annotation(evidence)
        marks = evidence.marks
        if marks is not None and "masks" in evidence.annotations:
            return marks.clone()
        classes = torch.tensor(possible_classes(evidence))
        fitted = context.fitted
        if fitted is None and len(classes) > 2 and marks is None and evidence.boxes is None:
            # the centre prior does not tell two subjects of one photograph apart
            classes = torch.tensor([0, IGNORE])
        probs = self._prior(evidence, classes)
        if fitted is not None:
            found = classify(fitted, evidence, context, classes)
            probs = found * probs if evidence.boxes is not None else found
        inside = possible_places(evidence, classes)
        probs = probs.clamp(min=_LEAST) * inside
        if marks is not None:
            known = marks
            if self.superpixels is not None:
                known = spread_marks(marks, self.superpixels(evidence.image))
            rest = (1 - _SURE) / max(1, len(classes) - 1)
            certain = torch.where(known == classes[:, None, None], _SURE, rest)
            probs = certain.where(known != IGNORE, probs)
        # a strong CRF moves things out of their boxes
        refined = dense_crf(evidence.image, probs / probs.sum(0), self.crf)
        likeliest = refined.masked_fill(~inside, -1).max(0).indices
        target = classes.to(torch.uint8)[likeliest]
        return target if marks is None else target.where(marks == IGNORE, marks)

    def _prior(self, evidence: Evidence, classes: Tensor) -> Tensor:
        """Probabilities by the evidence alone, float [K,H,W] for the classes that the image can
        have."""
        height, width = evidence.image.shape[1:]
        if evidence.boxes is not None and evidence.box_classes is not None:
            places = torch.searchsorted(classes, evidence.box_classes)
            return box_unary(
                evidence.boxes, places, len(classes), height, width, "wssl_code", self.share
            )
        subject = centre_prior(height, width, self.prior_sigma)
        return torch.stack([1 - subject, *[subject] * (len(classes) - 1)])
