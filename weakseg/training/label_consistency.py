"""How well the labels of an image are predicted by a linear probe that was fitted to the labels of
other images: `label/consistency` of a round, which needs no truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.consistency import Cells, agreement
from weakseg.strategies.shared.common_features import possible_classes, possible_places
from weakseg.training.label_quality import harden
from weakseg.training.queries import query_untrained
from weakseg.training.round_targets import RoundTargets
from weakseg.training.segmenter import Segmenter, intermediate_features
from weakseg.utils.array_cache import ArrayCache
from weakseg.utils.processes import gather, rank
from weakseg.utils.progress import track

SAMPLED = 100
"""images of a round: enough that the figure varies by a few percent, and an encoder sees them in
seconds"""
MOST_CELLS = 400
"""of an image, evenly spaced"""
LONG_SIDE = 512
"""of an image while the encoder sees it, at most"""
FEWEST = 5
"""images with a class, below which a probe learns too little of it"""
_LARGEST_VARIANCE = 0.25  # of labels that are 0 or 1

Images = dict[int, dict[str, Cells]]
"""by class, then by the id of the image"""


def has_features(segmenter: Segmenter, number: int) -> bool:
    """Whether features of the encoder tell something: with random weights they do not, until the
    network has been trained."""
    able = not segmenter.adapter.lacks("intermediate_features")
    return able and (number > 0 or segmenter.initial_weights != "random")


def cells_of(
    evidence: Evidence, features: Tensor, labellings: Sequence[Tensor], most: int | None = None
) -> dict[int, Cells]:
    """The cells of an image by class: those at which the class is possible, inside of its boxes if
    there are boxes. Not of the background, which is what is left.

    Args:
        evidence: of the image.
        features: float [D,h,w].
        labellings: labels of its pixels, uint8 [H,W] each; 255 = none.
        most: how many cells at most, evenly spaced; None for all.
    """
    size = features.shape[-2:]
    classes = torch.tensor(possible_classes(evidence))
    labels = torch.stack(list(labellings))
    known = _pooled(labels != IGNORE, size)
    found = {}
    places = _pooled(possible_places(evidence, classes), size)
    for number, inside in list(zip(classes.tolist(), places, strict=True))[1:]:
        own = (inside > 0.5).nonzero().flatten()
        if most is not None and len(own) > most:
            own = own[torch.linspace(0, len(own) - 1, most).long()]
        if len(own) > 1:
            shares = _pooled(labels == number, size)[:, own]
            found[number] = Cells(features.flatten(1).T[own], shares, known[:, own])
    return found


def features_of_image(
    segmenter: Segmenter, image: Tensor, queried: str, cache: ArrayCache
) -> Tensor:
    """Features of an image, float [D,h,w]: in round 0 those that the strategy has been given
    already, where it wants any.

    Args:
        segmenter: whose encoder makes them.
        image: uint8 [3,H,W].
        queried: the fingerprint of the network in round 0, under which features are in the cache;
            "" to make them anew.
        cache: of the strategy.
    """
    wanted = segmenter.strategy.wants.intermediate
    if wanted and queried:
        found = query_untrained(segmenter, image, queried, cache).intermediate
        assert found is not None
        return found
    return intermediate_features(segmenter, image, wanted or min(LONG_SIDE, max(image.shape[1:])))


def round_consistency(targets: RoundTargets, keys: Mapping[int, str]) -> dict[str, float]:
    """`label/consistency` of the targets of a round, and that of each class: how much of their
    variance within an image a linear probe explains that was fitted to other images, from 0 to 1,
    where 1 are labels of half of the places, all of them predicted. All ranks must call it.

    It is an absolute amount: small for targets that hardly vary, since nothing can be said of
    those. Nothing where the encoder has random weights.

    Args:
        targets: of the round.
        keys: of this rank's targets, by the index of the image.
    """
    if not has_features(targets.segmenter, targets.number):
        return {}
    mine = _sample(targets, keys)
    text = f"round {targets.number}: are the targets consistent"
    cells: dict[str, dict[int, Any]] = {}
    for index in track(mine, len(mine), text, targets.world):
        cells[targets.images[index].id] = _described(targets, index, keys[index])
    # arrays, as tensors that come from other processes hold a file open each
    parts = gather(cells)
    figures: dict[str, float] = {}
    if rank() == 0:
        figures = _figures(parts, targets.segmenter.classes)
    return gather(figures)[0]


def by_class(images: Mapping[str, Mapping[int, Cells]]) -> Images:
    """The cells of images by class, those images in the order of their ids; without classes that
    few images show."""
    numbers = sorted({number for each in images.values() for number in each})
    found = {
        number: {id: images[id][number] for id in sorted(images) if number in images[id]}
        for number in numbers
    }
    return {number: own for number, own in found.items() if len(own) >= FEWEST}


def _sample(targets: RoundTargets, keys: Mapping[int, str]) -> list[int]:
    """This rank's images among some, which are the same however many ranks there are."""
    ids = sorted(id for part in gather([targets.images[index].id for index in keys]) for id in part)
    chosen = set(ids[:: -(-len(ids) // SAMPLED)]) if ids else set()
    return [index for index in keys if targets.images[index].id in chosen]


def _described(targets: RoundTargets, index: int, key: str) -> dict[int, Any]:
    """What the probes have to know of one image, by class, as arrays."""
    evidence, _ = targets.data.corrected(index)
    target = targets.store.load(evidence.id, key).target
    queried = targets.queried if targets.number == 0 else ""
    features = features_of_image(targets.segmenter, evidence.image, queried, targets.cache)
    cells = cells_of(evidence, features, [harden(target, evidence.box_classes)], MOST_CELLS)
    return {number: tuple(each.half().numpy() for each in own) for number, own in cells.items()}


def _figures(
    parts: Sequence[Mapping[str, Mapping[int, Any]]], classes: Sequence[str]
) -> dict[str, float]:
    images = {
        id: {
            number: Cells(*(torch.from_numpy(each).float() for each in own))
            for number, own in cells.items()
        }
        for part in parts
        for id, cells in part.items()
    }
    found = {
        number: float(agreement(list(own.values())).explained.mean()) / _LARGEST_VARIANCE
        for number, own in by_class(images).items()
    }
    if not found:
        return {}
    each = {
        f"label/consistency/{name}": found.get(number, nan)
        for number, name in enumerate(classes)
        if number > 0
    }
    return {"label/consistency": sum(found.values()) / len(found), **each}


def _pooled(labels: Tensor, size: Sequence[int]) -> Tensor:
    """Shares of cells, float [S,N], of bool [S,H,W]."""
    return F.interpolate(labels.float()[None], tuple(size), mode="area")[0].flatten(1)
