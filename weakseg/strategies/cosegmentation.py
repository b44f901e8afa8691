"""Semantic cosegmentation: a class has similar features in all of its images, whatever their
evidence is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.boxes import box_unary
from weakseg.functional.colour_models import colour_odds
from weakseg.functional.crf import DEEPLAB_V2, DenseCRF
from weakseg.functional.lost_boxes import KEPT
from weakseg.functional.prior import blob_odds, centre_prior
from weakseg.functional.regions.region_graph import Superpixels
from weakseg.functional.regions.superpixels import spread_marks
from weakseg.strategies.base import Context, JointStrategy
from weakseg.strategies.boxes_crf import CLASSIFIER, COLOURS
from weakseg.strategies.shared.boxed import near_boxes
from weakseg.strategies.shared.common_features import (
    class_scores,
    describe_cells,
    features_of,
    possible_classes,
    possible_places,
    wants_features,
    with_features,
)
from weakseg.strategies.shared.marked import LARGE_PIECES, need_annotation
from weakseg.strategies.shared.one_against_rest import fit_against_rest
from weakseg.strategies.shared.options import CoreShare, Influence, PriorSigma
from weakseg.strategies.shared.per_step import check_tags
from weakseg.strategies.shared.scene import Objects, Scene, shrunk_crf
from weakseg.utils.lengths import Share
from weakseg.utils.limits import Count, limited

_PER_CELL = 3  # pixels of a sketch along each side of a cell of the features
_LEAST_FOUND = 0.5  # cells of a class; of fewer no place and size is known
# a longer reach than that of DeepLab, which is .13 of its images: unaries of tags are rough
_CRF = DenseCRF(bilateral_xy=Share(0.26))


class Cosegmentation(JointStrategy):
    """Cosegmentation: a classifier for each class, on intermediate features of the encoder, is
    fitted to the pseudo-labels of all images, in turns with pseudo-labels from its predictions and
    a dense CRF.

    The first pseudo-labels come from a centre prior: the middle of the photograph for tags, the
    middle of the box for boxes; marks are certain, and so are the superpixels they lie in. A dense
    CRF moves them to the edges of the image. Then a linear classifier for each class is fitted to
    them in all images together: its features are those of an intermediate stage of the network's
    encoder, which encode colours, textures and parts, but neither the place nor the rest of the
    image. So labels that are wrong by accident (the middle is not the animal) do not fit, and
    features that all images of a class have in common do. Its predictions, within the classes that
    the image can have, go through the CRF again, and so on. From the second iteration on, the place
    and the size at which a subject was found in the iteration before are its prior, so that what
    is elsewhere does not join in, and a small subject stays small.

    After Joulin, Bach and Ponce ("Multi-Class Cosegmentation", CVPR 2012), who alternate between a
    softmax classifier and labels that are smooth in each image. Theirs has hand-made features, no
    list of classes and random beginnings; the centre prior is from the literature of saliency.
    Estimates once; needs an encoder that has been trained on something, classification at least:
    the network's own, or a frozen backbone (`features`) such as DINOv2.

    An image with a mask (marks on three quarters of its pixels) has its mask for a target. With
    boxes, nothing is outside of them, and the first probabilities of each box are multiplied by
    those of the classifier and of the image's own colours, in place of the prior of place and size;
    the classifier learns from what is in and around the boxes, and no box loses its object. Marked
    pixels keep their class.

    Between the iterations, labels are estimated at three pixels for each cell of the features, a
    sketch of the image; the target itself at the size of the image.

    Args:
        prior_sigma: standard deviation of the centre prior, in half sides of the photograph. For
            tags and marks.
        iterations: how often the classifiers are fitted, each time to better labels.
        long_side: of the image while the encoder sees it, in pixels. Larger resolves finer parts
            and takes more time.
        samples: how many cells of each image the classifiers learn from.
        superpixels: of an image with marks; a piece with marks of one class alone is of that class.
            null for the marks alone.
        share: how much of a box's area is its middle.
        crf: weights and standard deviations of the CRF.
        others: how much images that cannot show a class count for its classifier, beside those
            that can, which count 1: their background, and the classes that they show as far as
            images show these beside this one. Subjects grow with it.
        place: what the log odds of the prior of place and size are multiplied by; 0 does without.
        box_crf: weights and standard deviations of the CRF for images with boxes.
        classifier: how much the log odds of the classifiers count beside those of boxes. Cells of
            an image are no independent observations, so they are too large.
        colours: how much the log odds of an image's own colours count beside those of boxes.
        features: a frozen backbone whose features the classifiers read instead of those of the
            network's encoder: an id of the hub, such as timm/vit_small_patch14_dinov2.lvd142m, or a
            folder. The network may then be any.
        revision: of that backbone on the hub; null for the newest.
    """

    tunable: ClassVar[Mapping[str, Sequence[Any]]] = {
        "prior_sigma": (0.35, 0.5, 0.7),
        "crf.bilateral_rgb": (3, 5),
    }

    @limited
    def __init__(
        self,
        prior_sigma: PriorSigma = 0.5,
        iterations: Count = 4,
        long_side: Annotated[int, Ge(32)] = 512,
        samples: Count = 200,
        superpixels: Superpixels | None = LARGE_PIECES,
        share: CoreShare = 0.2,
        crf: DenseCRF = _CRF,
        others: Influence = 0.65,
        place: Influence = 0.5,
        box_crf: DenseCRF = DEEPLAB_V2,
        classifier: Influence = CLASSIFIER,
        colours: Influence = COLOURS,
        features: str | None = None,
        revision: str | None = None,
    ) -> None:
        super().__init__()
        self.prior_sigma = prior_sigma
        self.iterations = iterations
        self.backbone, self.wants = wants_features(features, revision, long_side)
        self.samples = samples
        self.superpixels = superpixels
        self.share = share
        self.crf = crf
        self.others = others
        self.place = place
        self.box_crf = box_crf
        self.classifier = classifier
        self.colours = colours

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Every image must have something to learn from; and tags that are all it has must name the
        background."""
        need_annotation(evidence)
        if evidence.annotations == ("tags",):
            check_tags(evidence, classes)

    def describe(self, evidence: Evidence, context: Context) -> dict[str, Tensor]:
        """Intermediate features of some cells, and which part of each has which class in the
        pseudo-labels of this iteration."""
        context = with_features(evidence, context, self.backbone)
        if "masks" in evidence.annotations and evidence.marks is not None:
            return describe_cells(evidence, context, evidence.marks, self.samples)
        # an image without any box is background
        boxed = evidence.boxes is not None and len(evidence.boxes) > 0
        near = near_boxes(evidence) if boxed else None
        scene = self._scene(evidence, context)
        small, crf = self._sketch(scene, features_of(evidence, context))
        if context.fitted is None:
            probs = small.prior
        else:
            probs = small.with_prior(self._classified(small, crf, evidence, context))
        labels = scene.classes.to(torch.uint8)[small.refined(probs, crf).max(0).indices]
        return describe_cells(evidence, context, labels, self.samples, near)

    def fit(self, descriptions: Sequence[dict[str, Tensor]]) -> Tensor:
        """The classifiers of this iteration, float32 [1,C,D+2], of the cells of all images."""
        return fit_against_rest(descriptions, self.others)[None]

    def continue_fit(self, before: Tensor | None, fitted: Tensor | None) -> Tensor | None:
        """The classifiers of all iterations, float32 [I,C,D+2]: an image goes through them in
        turn."""
        if before is None or fitted is None:
            return fitted
        return torch.cat([before, fitted])

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        """The likeliest class of every pixel by the classifiers and the CRF; by the prior and the
        CRF before anything is fitted."""
        need_annotation(evidence)
        marks = evidence.marks
        if marks is not None and "masks" in evidence.annotations:
            return marks.clone()
        if context.fitted is not None:
            context = with_features(evidence, context, self.backbone)
        scene = self._scene(evidence, context)
        if context.fitted is None:
            probs = scene.prior
        else:
            small, crf = self._sketch(scene, features_of(evidence, context))
            by_class = self._classified(small, crf, evidence, context)
            probs = self._coloured(scene, evidence).with_prior(by_class)
        refined = scene.refined(probs, self._crf(scene))
        target = scene.classes.to(torch.uint8)[refined.max(0).indices]
        return target if marks is None else target.where(marks == IGNORE, marks)

    def _scene(self, evidence: Evidence, context: Context) -> Scene:
        classes = torch.tensor(possible_classes(evidence))
        objects = self._objects(evidence, classes)
        alone = evidence.marks is None and objects is None
        if context.fitted is None and len(classes) > 2 and alone:
            # the centre prior does not tell two subjects of one photograph apart
            classes = torch.tensor([0, IGNORE])
        return Scene(
            evidence.image,
            classes,
            self._prior(evidence, classes),
            possible_places(evidence, classes),
            self._known(evidence, context),
            objects,
            self.classifier,
        )

    def _objects(self, evidence: Evidence, classes: Tensor) -> Objects | None:
        if evidence.boxes is None or evidence.box_classes is None:
            return None
        places = torch.searchsorted(classes, evidence.box_classes)
        return Objects(evidence.boxes, places, KEPT * self.share)

    def _known(self, evidence: Evidence, context: Context) -> Tensor | None:
        """The marks, and the superpixels with marks of one class alone."""
        marks = evidence.marks
        if marks is None or self.superpixels is None:
            return marks
        pieces = self.superpixels
        kept = context.cache.get_or_make(  # the same in each iteration
            ("spread marks", evidence.image, marks, pieces),
            lambda: {"known": spread_marks(marks, pieces(evidence.image)).numpy()},
        )
        return torch.from_numpy(kept["known"])

    def _crf(self, scene: Scene) -> DenseCRF:
        return self.crf if scene.objects is None else self.box_crf

    def _coloured(self, scene: Scene, evidence: Evidence) -> Scene:
        """With boxes, the scene whose prior knows what the colours of its first labels are."""
        if scene.objects is None or not self.colours:
            return scene
        labels = scene.refined(scene.prior, self.box_crf).max(0).indices
        near = labels.where(near_boxes(evidence), IGNORE)
        odds = colour_odds(evidence.image, near, len(scene.classes))
        prior = scene.prior * (self.colours * odds).exp()
        return scene._replace(prior=prior / prior.sum(0))

    def _sketch(self, scene: Scene, features: Tensor) -> tuple[Scene, DenseCRF]:
        """The scene at a size at which a cell of the features has a few pixels, and the CRF for
        it."""
        sides = scene.image.shape[1:]
        height, width = (
            min(side, _PER_CELL * cells)
            for side, cells in zip(sides, features.shape[1:], strict=True)
        )
        factor = max(height, width) / max(sides)
        return scene.shrunk(height, width), shrunk_crf(self._crf(scene), factor)

    def _classified(
        self, small: Scene, crf: DenseCRF, evidence: Evidence, context: Context
    ) -> Tensor:
        """The probabilities of the classes by the last of the classifiers, float [K,h,w]. Each has
        the labels that those before it found in this image, as a prior of place and size."""
        assert context.fitted is not None
        probs = small.prior
        for number, fitted in enumerate(context.fitted):
            scores = class_scores(fitted[:, :-1], evidence, context, small.classes)
            if number and small.objects is None:
                labels = small.refined(small.with_prior(probs), crf).max(0).indices
                odds = fitted[small.classes, -1]
                scores = scores + self.place * _place_odds(labels, scores, odds, evidence.image)
            probs = scores.softmax(0)
        return probs

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


def _place_odds(labels: Tensor, scores: Tensor, odds: Tensor, image: Tensor) -> Tensor:
    """What the place and the size of each class in the labels of an image say about its cells,
    compared with what is usual for the class: log odds against background, float [K,h,w].

    Args:
        labels: places among the classes, int64 [H,W].
        scores: of the cells, float [K,h,w].
        odds: of each class in its images, log odds [K].
        image: uint8 [3,H,W].
    """
    height, width = image.shape[1:]
    found = F.one_hot(labels, len(scores)).movedim(-1, 0).float()
    shares = F.interpolate(found[None], scores.shape[1:], mode="area")[0]
    result = torch.zeros_like(scores)
    for place in range(1, len(scores)):
        if shares[place].sum() >= _LEAST_FOUND:
            result[place] = blob_odds(shares[place], height, width) - odds[place]
    return result
