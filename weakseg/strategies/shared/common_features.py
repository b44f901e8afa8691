"""What the strategies share that fit one classifier to all images: it is linear in intermediate
features of the network's encoder, or in those of a frozen backbone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence, Prediction
from weakseg.foundation.features import FrozenFeatures
from weakseg.functional.boxes import fill_boxes
from weakseg.functional.regression import softmax_regression
from weakseg.strategies.base import Context, Wants

MOST = 200_000
"""cells that the classifier learns from; of data sets with more, every k-th image is taken"""


def with_features(evidence: Evidence, context: Context, backbone: FrozenFeatures | None) -> Context:
    """The context with the features of a frozen backbone in the place of those of the network, and
    without a network with the same probability for every class; as it is if there is no backbone.
    """
    if backbone is None:
        return context
    features = backbone.encoding(evidence.image)["features"]
    if context.prediction is not None:
        return context._replace(prediction=context.prediction._replace(intermediate=features))
    if not context.classes:
        raise ValueError(
            "context.classes is empty, but without a prediction it tells how many classes there "
            "are: give Context(classes=...) the names of the data set, the background first"
        )
    alike = torch.full((len(context.classes), 1, 1), 1 / len(context.classes))
    probs = alike.expand(-1, *evidence.image.shape[1:])
    return context._replace(prediction=Prediction(probs, intermediate=features))


def wants_features(
    model: str | None, revision: str | None, long_side: int
) -> tuple[FrozenFeatures | None, Wants]:
    """The frozen backbone of this name, and what a strategy wants so that its features are there;
    None, and those of the network's encoder, without a name."""
    if model is None:
        if revision is not None:
            raise ValueError(
                f"revision is {revision}, but features is null, so there is no model of which it "
                "could be one; leave it out, or name a model"
            )
        return None, Wants(intermediate=long_side)
    backbone = FrozenFeatures(model, revision, long_side)
    return backbone, Wants(encoder=backbone)


def describe_cells(
    evidence: Evidence,
    context: Context,
    labels: Tensor,
    samples: int,
    among: Tensor | None = None,
) -> dict[str, Tensor]:
    """What `fit_classifier` has to know of one image: features of some cells, and which part of
    each has which class.

    Args:
        evidence: of the image.
        context: with the features.
        labels: of its pixels, integers [H,W]; 255 counts for no class.
        samples: how many cells, evenly spaced.
        among: pixels, bool [H,W], most of which a cell has to cover; None for all cells.
    """
    features = features_of(evidence, context)
    assert context.prediction is not None  # features_of() has seen to it
    classes = len(context.prediction.probs)
    labels = labels.long()
    known = F.one_hot(labels.where(labels != IGNORE, classes), classes + 1)[..., :classes]
    shares = known.movedim(-1, 0).float()
    cells = F.interpolate(shares[None], features.shape[-2:], mode="area")[0].flatten(1).T
    places = torch.arange(len(cells)) if among is None else _cells_of(among, features)
    chosen = places[torch.linspace(0, len(places) - 1, min(samples, len(places))).long()]
    possible = torch.zeros(classes, dtype=torch.bool)
    possible[possible_classes(evidence)] = True
    return {
        "features": features.flatten(1).T[chosen].half(),
        "shares": cells[chosen].half(),
        "possible": possible,
    }


def _cells_of(pixels: Tensor, features: Tensor) -> Tensor:
    """The numbers of the cells that lie in these pixels for the most part, int64 [N]."""
    parts = F.interpolate(pixels[None, None].float(), features.shape[-2:], mode="area")
    return (parts.flatten() > 0.5).nonzero().flatten()


def at_most(descriptions: Sequence[dict[str, Tensor]]) -> Sequence[dict[str, Tensor]]:
    """Every k-th image, so that there are not more than MOST cells."""
    return descriptions[:: -(-sum(len(each["features"]) for each in descriptions) // MOST)]


def fit_classifier(descriptions: Sequence[dict[str, Tensor]]) -> Tensor:
    """The classifier, float32 [C,D+1], of the cells of all images. A class weighs as if all images
    could show it."""
    few = at_most(descriptions)
    shares = torch.cat([each["shares"] for each in few]).float()
    possible = torch.stack([each["possible"] for each in few])
    cells = torch.tensor([len(each["shares"]) for each in few])
    rarity = cells.sum() / (cells[:, None] * possible).sum(0).clamp(min=1)
    return softmax_regression(torch.cat([each["features"] for each in few]), shares * rarity)


def classify(fitted: Tensor, evidence: Evidence, context: Context, classes: Tensor) -> Tensor:
    """The probabilities of the classifier for an image, float [K,H,W] for these classes."""
    scores = class_scores(fitted, evidence, context, classes)
    return F.interpolate(scores[None], evidence.image.shape[1:], mode="bilinear")[0].softmax(0)


def class_scores(fitted: Tensor, evidence: Evidence, context: Context, classes: Tensor) -> Tensor:
    """The logits of the classifier for the cells of an image, float [K,h,w] for these classes."""
    features = features_of(evidence, context)
    if fitted.shape[0] <= int(classes[-1]) or fitted.shape[1] != len(features) + 1:
        raise ValueError(
            f"fitted should be float [C,{len(features) + 1}] with more than {int(classes[-1])} "
            "classes, from images with the same classes and the same network, but it is "
            f"{list(fitted.shape)}; leave it out for a first estimate of image {evidence.id}"
        )
    chosen = fitted[classes]
    return torch.einsum("kd,dhw->khw", chosen[:, :-1], features) + chosen[:, -1, None, None]


def features_of(evidence: Evidence, context: Context) -> Tensor:
    """The intermediate features of an image, float [D,h,w]; a ValueError that names the image if
    they have not been queried."""
    if context.prediction is None or context.prediction.intermediate is None:
        raise ValueError(
            f"image {evidence.id} comes without `prediction.intermediate`: the prediction of "
            "weakseg.Segmenter(network, strategy, classes) has these features"
        )
    return context.prediction.intermediate


def possible_classes(evidence: Evidence) -> list[int]:
    """The classes that an image can have, in order: background, and those of its boxes, or else its
    tags, and its marks."""
    named = {0}
    if evidence.box_classes is not None:
        named |= set(evidence.box_classes.tolist())
    elif evidence.tags is not None:
        named |= set(evidence.tags.nonzero().flatten().tolist())
    if evidence.marks is not None:
        named |= set(torch.unique(evidence.marks).tolist()) - {IGNORE}
    return sorted(named)


def possible_places(evidence: Evidence, classes: Tensor) -> Tensor:
    """Where each of these classes can be, bool [K,H,W]: background anywhere, others in their boxes
    if there are boxes."""
    height, width = evidence.image.shape[1:]
    inside = torch.ones(len(classes), height, width, dtype=torch.bool)
    if evidence.boxes is not None and evidence.box_classes is not None:
        for place, label in enumerate(classes[1:].tolist(), 1):
            own = evidence.box_classes == label
            inside[place] = (
                fill_boxes(evidence.boxes[own], evidence.box_classes[own], height, width) == label
            )
    return inside
