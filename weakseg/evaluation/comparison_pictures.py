"""What the networks of a comparison make of single images. Evaluations keep no predictions, so
these few images are predicted once more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.config.recipe import build_section
from weakseg.data.base import WeakData
from weakseg.evaluation.compared import Apart, Comparison
from weakseg.evaluation.dataset import open_data
from weakseg.evaluation.pictures import SIDE, Panel, labels_at
from weakseg.evaluation.sides import Side
from weakseg.functional.class_matching import match_classes, renumber
from weakseg.functional.resolution import downsample
from weakseg.reporting.drawing import draw_disagreement, overlay, picture_address
from weakseg.trained.loading import load_model
from weakseg.trained.model import TrainedModel
from weakseg.utils.progress import track

WHO = "who is right where they differ"


class Pictures(NamedTuple):
    """The images that a page shows, with the panels of each."""

    images: list[tuple[Apart, list[Panel]]]
    classes: list[str]
    """of all sides, whose colours they have"""
    notes: list[str]
    """why there are fewer pictures than there might be"""


class _Seen(NamedTuple):
    """An image, with labels numbered as the classes of all sides together."""

    image: Tensor
    truth: Tensor
    predictions: list[Tensor | None]


def draw_pictures(comparison: Comparison, count: int, device: str) -> Pictures:
    """The images on which the sides differ most.

    Args:
        comparison: of the sides.
        count: how many images, at most.
        device: to predict on.
    """
    classes = list(
        dict.fromkeys(name for side in comparison.sides for name in side.evaluation.classes)
    )
    wanted = [image for image in comparison.apart[:count] if image.distance > 0]
    notes: list[str] = []
    models = [_open(side, device, notes) for side in comparison.sides]
    data = _data(comparison.sides, models, notes) if wanted else None
    if data is None:
        return Pictures([], classes, notes)
    numbers = _numbers(comparison.sides[0])
    drawn = []
    for image in track(wanted, len(wanted), "predicting the images that differ most"):
        seen = _see(image, data, numbers, models, classes)
        if seen is None:
            notes.append(f"no picture of {image.name}: the data set has changed since")
        else:
            drawn.append((image, _panels(comparison, image, seen)))
    return Pictures(drawn, classes, notes)


def _open(side: Side, device: str, notes: list[str]) -> TrainedModel | None:
    """The network of a side, as it was evaluated; None, with a note, where it is not there any
    more."""
    if not side.unchanged:
        notes.append(f"no predictions of {side.letter}: {side.weights} is not what was evaluated")
        return None
    path = side.weights.parent if side.evaluation.model["kind"] == "hub" else side.weights
    how = build_section("predict", {}, side.evaluation.settings)
    try:
        return load_model(path, predict=how, device=device)
    except (ValueError, OSError) as error:
        notes.append(f"no predictions of {side.letter}: {error}")
        return None


def _data(
    sides: Sequence[Side], models: Sequence[TrainedModel | None], notes: list[str]
) -> WeakData | None:
    """The data set that the first side was evaluated on; None, with a note, where it cannot be
    opened."""
    model = next((model for model in models if model is not None), None)
    section = sides[0].evaluation.data
    if model is None or not section:
        if model is not None:
            notes.append("no pictures: the data set was made in Python")
        return None
    try:
        return open_data(model, section, "all").data
    except (ValueError, OSError) as error:
        notes.append(f"no pictures: the data set cannot be opened: {error}")
        return None


def _numbers(side: Side) -> dict[str, int | None]:
    """The places of images in the data set, by their names."""
    return {row["name"]: row.get("number") for row in side.evaluation.images}


def _see(
    image: Apart,
    data: WeakData,
    numbers: dict[str, int | None],
    models: Sequence[TrainedModel | None],
    classes: Sequence[str],
) -> _Seen | None:
    """An image with its truth and its predictions; None where the data set has another one in its
    place."""
    number = numbers[image.name]
    if number is None or number >= len(data):
        return None
    evidence, truth = data.corrected(number)
    if evidence.id != image.name or truth is None:
        return None
    predictions = [
        None
        if model is None
        else _renumbered(
            model.probabilities(evidence.image).max(0).indices.to(torch.uint8),
            model.classes,
            classes,
        )
        for model in models
    ]
    return _Seen(evidence.image, _renumbered(truth, data.classes, classes), predictions)


def _renumbered(labels: Tensor, own: Sequence[str], classes: Sequence[str]) -> Tensor:
    table = match_classes(own, classes)
    return labels if table is None else renumber(labels, table)


def _panels(comparison: Comparison, image: Apart, seen: _Seen) -> list[Panel]:
    """What is shown of an image, from left to right."""
    small = downsample(seen.image, SIDE)
    size = (small.shape[-2], small.shape[-1])
    truth = labels_at(seen.truth, size)
    shown = {"image": small, "truth": overlay(small, truth)}
    labels = [None if each is None else labels_at(each, size) for each in seen.predictions]
    for side, iou, prediction in zip(comparison.sides, image.ious, labels, strict=True):
        if prediction is not None:
            shown[f"{side.letter}, IoU {iou:.3f}"] = overlay(small, prediction)
    first = labels[0]
    second = labels[-1]
    if len(labels) == 2 and first is not None and second is not None:
        shown[WHO] = draw_disagreement(small, first, second, truth)
    return [Panel(name, picture_address(picture)) for name, picture in shown.items()]
