"""Boxes that a dense CRF shrinks onto the objects in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.boxes import Unary, box_unary
from weakseg.functional.colour_models import colour_odds
from weakseg.functional.crf import DEEPLAB_V2, DenseCRF
from weakseg.functional.lost_boxes import KEPT, keep_boxes
from weakseg.strategies.base import Context, JointStrategy
from weakseg.strategies.shared.boxed import near_boxes, need_boxes
from weakseg.strategies.shared.common_features import (
    classify,
    describe_cells,
    fit_classifier,
    possible_places,
    wants_features,
    with_features,
)
from weakseg.strategies.shared.options import CoreShare, Influence, LongSide
from weakseg.strategies.shared.with_prediction import NETWORK, has_learned, with_prediction
from weakseg.utils.limits import Count, limited

COLOURS = 0.3
CLASSIFIER = 0.5
"""how much log odds of colours and of the classifier count with together=true: neighbours in an
image are no independent observations. Chosen on photographs, see docs/strategies/boxes_crf.md"""
_LEAST = 1e-3  # probability that is left to every class in its boxes


class BoxesCRF(JointStrategy):
    """Pseudo-labels by a dense CRF whose unaries are the boxes: the middle of each box is
    foreground, everything outside all boxes background, and the CRF finds the outline in between.

    Bbox-Seg of WSSL (Papandreou, Chen, Murphy and Yuille, "Weakly- and Semi-Supervised Learning of
    a Deep Convolutional Network for Semantic Image Segmentation", ICCV 2015). An image without
    boxes is all background. Where colours do not show an object, as in grey scans, the CRF would
    give its box to the background: then its odds in the box are raised until it has half as many
    pixels as the middle. Estimates once, needs no network. In later rounds (`rounds.when=epochs`)
    the unaries are multiplied by what the network has learned of where in the boxes the objects
    are, and the CRF refines them once more.

    With `together`, these are the first pseudo-labels. Then one linear classifier on intermediate
    features of the network's encoder is fitted to those of all images, and in each image a mixture
    of Gaussians to the colours of each class. Both enter the unaries, and the CRF refines them
    again. So labels agree between images, which makes them easier to learn, and the parts of an
    object that differ from its middle are found by what other images show, or by colours that it
    has elsewhere. That needs an encoder that has been trained on something.

    Args:
        unary: the unaries. In the released code of the paper (wssl_code) the class of a box is only
            more probable in its middle; in the paper (wssl_paper) it is certain.
        share: how much of a box's area is its middle.
        crf: weights and standard deviations of the CRF; the paper tuned them on a few full masks,
            the defaults here are fixed and need none.
        together: whether pseudo-labels profit from all images, by a classifier on features.
        colours: how much the log odds of an image's own colours count; 0 for not at all; null for
            0.3 with `together`, and 0 without.
        classifier: how much the log odds of the classifier count, with `together`.
        long_side: of the image while the encoder sees it, in pixels, with `together`.
        samples: how many cells of each image the classifier learns from, with `together`.
        features, revision: a frozen backbone whose features the classifier reads, with `together`,
            as `cosegmentation` has it; null for those of the network's encoder.
        network: how much the log probabilities of the network count from round 1 on, for an object
            as large as the image, and less for smaller ones; 0 for not at all.
    """

    needs: ClassVar[tuple[str, ...]] = ("boxes", "box_classes")
    tunable: ClassVar[Mapping[str, Sequence[Any]]] = {
        "crf.bilateral_xy": ("7%", "13%", "26%"),
        "crf.bilateral_rgb": (3, 4, 5),
        "share": (0.2, 0.35),
    }

    @limited
    def __init__(
        self,
        unary: Unary = "wssl_code",
        share: CoreShare = 0.2,
        crf: DenseCRF = DEEPLAB_V2,
        together: bool = False,
        colours: Influence | None = None,
        classifier: Influence = CLASSIFIER,
        long_side: LongSide = 512,
        samples: Count = 200,
        network: Influence = NETWORK,
        features: str | None = None,
        revision: str | None = None,
    ) -> None:
        super().__init__()
        self.unary: Unary = unary
        self.share = share
        self.crf = crf
        self.colours = colours if colours is not None else COLOURS * together
        self.classifier = classifier
        self.samples = samples
        self.network = network
        self.iterations = int(together)
        self.backbone = None
        if together:
            self.backbone, self.wants = wants_features(features, revision, long_side)
        elif features is not None:
            raise ValueError(
                "features are for the classifier of together=true, but together is false; set it, "
                "or leave features out"
            )

    def describe(self, evidence: Evidence, context: Context) -> dict[str, Tensor]:
        """Intermediate features of some cells, and which part of each has which class in the first
        pseudo-labels of the image."""
        labels, probs = self._box_probs(evidence)
        first = labels[self._likeliest(evidence, labels, probs)]
        near = near_boxes(evidence)
        context = with_features(evidence, context, self.backbone)
        return describe_cells(evidence, context, first, self.samples, near)

    def fit(self, descriptions: Sequence[dict[str, Tensor]]) -> Tensor:
        """The classifier, float32 [C,D+1], of the cells of all images. A class weighs as if all
        images could show it."""
        return fit_classifier(descriptions)

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        """The likeliest class of every pixel, background and the classes of the image's boxes
        considered."""
        labels, probs = self._box_probs(evidence)
        found = self._likeliest(evidence, labels, probs)
        if self.colours or context.fitted is not None:
            # what is known beyond the boxes does not move an object out of them
            inside = possible_places(evidence, labels)
            if self.colours:
                near = found.where(near_boxes(evidence), IGNORE)
                odds = colour_odds(evidence.image, near, len(labels))
                probs = probs * (self.colours * odds).exp()
            if context.fitted is not None:
                seen = with_features(evidence, context, self.backbone)
                by_class = classify(context.fitted, evidence, seen, labels)
                probs = probs * by_class.clamp(min=_LEAST) ** self.classifier
            probs = (probs / probs.sum(0)).clamp(min=_LEAST) * inside
            found = self._likeliest(evidence, labels, probs / probs.sum(0), inside)
        prediction = context.prediction
        if self.network and prediction is not None and has_learned(prediction):
            inside = possible_places(evidence, labels)
            joint = with_prediction(
                probs, found, evidence, prediction, labels, inside, self.network
            )
            found = self._likeliest(evidence, labels, joint, inside)
        return labels.to(torch.uint8)[found]

    def _box_probs(self, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """The classes that the image can have, int64 [K], and their probabilities by the boxes
        alone, float [K,H,W]."""
        boxes, box_classes = need_boxes(evidence)
        height, width = evidence.image.shape[1:]
        # only these can win, and a CRF over few labels is fast
        labels: Tensor = torch.unique(torch.cat([box_classes.new_zeros(1), box_classes]))
        classes = torch.searchsorted(labels, box_classes)
        probs = box_unary(boxes, classes, len(labels), height, width, self.unary, self.share)
        return labels, probs

    def _likeliest(
        self, evidence: Evidence, labels: Tensor, probs: Tensor, inside: Tensor | None = None
    ) -> Tensor:
        """The number of the class, int64 [H,W], that is likeliest by the CRF."""
        boxes, box_classes = need_boxes(evidence)
        classes = torch.searchsorted(labels, box_classes)
        least = KEPT * self.share
        refined = keep_boxes(evidence.image, probs, boxes, classes, least, self.crf)
        if inside is not None:
            refined = refined.masked_fill(~inside, -1)
        # argmax takes thirty times as long
        return refined.max(0).indices
