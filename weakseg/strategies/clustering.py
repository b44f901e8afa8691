"""Unified max-margin clustering: tags, boxes, points and scribbles as constraints on the labels of
superpixels, for one and the same method."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le, Lt, doc
from numpy.typing import NDArray
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.boxes import pixel_boxes
from weakseg.functional.clustering.assignment import Group, assign_groups
from weakseg.functional.clustering.evidence_constraints import (
    LabelConstraints,
    class_count,
    label_constraints,
    subsample,
)
from weakseg.functional.clustering.margin import hinge_costs, margin_scores
from weakseg.functional.clustering.max_margin import cluster
from weakseg.functional.regions.region_graph import Superpixels
from weakseg.functional.regions.superpixels import appearance, pooled
from weakseg.strategies.base import (
    Context,
    Estimate,
    JointStrategy,
    Wants,
)
from weakseg.strategies.shared.marked import need_annotation
from weakseg.strategies.shared.per_step import check_tags
from weakseg.utils.limits import Count, limited

BY_EDGES = Superpixels()
MOST = 20_000  # superpixels that classifiers learn from; of images with more, every k-th is taken
WIDEST = 64  # directions of the features that they learn from: time grows with the square


class Clustering(JointStrategy):
    """Max-margin clustering of the superpixels of all images into classes, under constraints from
    evidence of any kind: tags, boxes, points, scribbles, masks.

    Xu, Schwing and Urtasun, "Learning to Segment Under Various Forms of Weak Supervision", CVPR
    2015. Each round first fits one balanced linear classifier per class to superpixels of all
    images, in turns with the labels of these, which are the cheapest that keep the constraints.
    Then every superpixel of every image gets its label in the same way. Features of superpixels are
    colours, textures and place; in later rounds (`rounds.when=epochs`) those of the network, too.

    Constraints: `functional.clustering.evidence_constraints`. Each image may have evidence of any
    kinds. In the target every marked pixel has its own class, and no class lies outside of its
    boxes. Without rounds, `estimate` clusters an image by itself.

    Args:
        superpixels: how images are cut into pieces.
        strength: how closely classifiers follow the labels; less makes them simpler.
        alternations: how often classifiers and labels take turns, unless labels stay the same
            before.
        samples: about how many superpixels of each image classifiers learn from. Of very many
            images (20,000 superpixels) not all are used.
        cover: which part of the superpixels in a box has its class at least; 0, the paper, for one.
    """

    wants = Wants(features=True)

    @limited
    def __init__(
        self,
        superpixels: Superpixels = BY_EDGES,
        strength: Annotated[float, Gt(0), Lt(inf), doc("the weight of the losses")] = 0.1,
        alternations: Count = 5,
        samples: Count = 50,
        cover: Annotated[float, Ge(0), Le(1), doc("a part of the superpixels of a box")] = 0.3,
    ) -> None:
        super().__init__()
        self.superpixels = superpixels
        self.strength = strength
        self.alternations = alternations
        self.samples = samples
        self.cover = cover

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Every image must have something to learn from; and tags that are all it has must name the
        background."""
        need_annotation(evidence)
        if evidence.annotations == ("tags",):
            check_tags(evidence, classes)

    def describe(self, evidence: Evidence, context: Context) -> dict[str, Tensor]:
        """Some superpixels, and what is constraints of them."""
        segments, features = self._superpixels(evidence.image, context)
        chosen, (allowed, groups) = subsample(
            label_constraints(evidence, segments, class_count(evidence), self.cover), self.samples
        )
        members = torch.zeros(len(groups), len(chosen), dtype=torch.bool)
        for row, group in zip(members, groups, strict=True):
            row[group.members] = True
        numbers = torch.tensor(
            [[group.label, group.least] for group in groups], dtype=torch.int64
        ).view(-1, 2)
        return {
            "features": features[chosen].half(),
            "allowed": allowed,
            "groups": numbers,
            "members": members,
        }

    def fit(self, descriptions: Sequence[dict[str, Tensor]]) -> Tensor:
        """Classifiers and balance of the classes, float64 [C,D+2], from the superpixels of all
        images."""
        few = descriptions[:: -(-sum(len(each["features"]) for each in descriptions) // MOST)]
        classes = max(each["allowed"].shape[1] for each in few)
        features = torch.cat([each["features"] for each in few]).float()
        allowed = torch.cat([_widened(each["allowed"], classes) for each in few])
        groups = []
        start = 0
        for each in few:
            for (label, least), members in zip(
                each["groups"].tolist(), each["members"], strict=True
            ):
                groups.append(Group(label, start + members.nonzero().flatten(), least))
            start += len(each["features"])
        return self._cluster(features, LabelConstraints(allowed, groups))[1]

    def estimate(self, evidence: Evidence, context: Context) -> Estimate:
        """The cheapest labels that keep the constraints of the image's own evidence, with the
        marks written over them."""
        need_annotation(evidence)
        segments, features = self._superpixels(evidence.image, context)
        fitted = context.fitted
        classes = max(0 if fitted is None else len(fitted), class_count(evidence))
        constraints = label_constraints(evidence, segments, classes, self.cover)
        if fitted is None:
            labels = self._cluster(features, constraints)[0]
        else:
            if fitted.shape != (classes, features.shape[1] + 2):
                raise ValueError(
                    f"fitted should be float [{classes},{features.shape[1] + 2}], from images "
                    "with the same classes and the same network, but it is "
                    f"{list(fitted.shape)}; leave it out to cluster image {evidence.id} by itself"
                )
            costs = hinge_costs(margin_scores(features, fitted[:, :-1]), fitted[:, -1])
            labels = assign_groups(costs, *constraints)
        target = _clean(labels[segments].to(torch.uint8), evidence)
        return Estimate(target, {"superpixels": len(features)})

    def _cluster(self, features: Tensor, constraints: LabelConstraints) -> tuple[Tensor, Tensor]:
        """Labels, and the classifiers fitted to them."""
        basis = _directions(features)
        found = cluster(
            features.double() @ basis,
            *constraints,
            constraints.allowed.shape[1],
            self.alternations,
            self.strength,
        )
        weights = [found.weights[:, :-1] @ basis.T, found.weights[:, -1:], found.balance[:, None]]
        return found.labels, torch.cat(weights, 1)

    def _superpixels(self, image: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Superpixels int64 [H,W] and their features, float32 [N,D]."""

        def make() -> dict[str, NDArray[Any]]:
            segments = self.superpixels(image)
            return {
                "segments": segments.int().numpy(),
                "features": appearance(image, segments).numpy(),
            }

        # the same in each round
        kept = context.cache.get_or_make(("appearance", image, self.superpixels), make)
        segments = torch.from_numpy(kept["segments"]).long()
        features = torch.from_numpy(kept["features"])
        prediction = context.prediction
        if prediction is not None and prediction.features is not None:
            features = torch.cat([features, pooled(prediction.features, segments)], 1)
        return segments, features


def _directions(features: Tensor) -> Tensor:
    """The principal directions of the features, as far as they can be told by few: float64
    [D,K], of length one and at right angles."""
    features = features.double()
    vectors: Tensor = torch.linalg.eigh(features.T @ features).eigenvectors
    return vectors[:, -WIDEST:]


def _widened(allowed: Tensor, classes: int) -> Tensor:
    return torch.cat([allowed, allowed.new_zeros(len(allowed), classes - allowed.shape[1])], 1)


def _clean(target: Tensor, evidence: Evidence) -> Tensor:
    """The target with what single pixels are known to be: superpixels do not end where boxes do, or
    marks."""
    if evidence.boxes is not None and evidence.box_classes is not None:
        rectangles = pixel_boxes(evidence.boxes, *target.shape).tolist()
        inside = target == 0
        for (x1, y1, x2, y2), label in zip(rectangles, evidence.box_classes.tolist(), strict=True):
            inside[y1:y2, x1:x2] |= target[y1:y2, x1:x2] == label
        target = target.where(inside, 0)
    return (
        target if evidence.marks is None else target.where(evidence.marks == IGNORE, evidence.marks)
    )
