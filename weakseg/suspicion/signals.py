"""The signals of one image from its labels, its evidence and the prediction of a network, where
there is one: what `rank` orders images by. The truth is not among the arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import Evidence
from weakseg.functional.contradictions import Annotated, Doubt, missing, unnamed
from weakseg.functional.label_confidence import network_agreement
from weakseg.training.image_statistics import mean_entropy
from weakseg.training.target_signals import target_signals

STRIDE = 4  # pixels per cell on which a prediction is compared: as many networks have


def signals_of(
    labels: Tensor,
    evidence: Evidence,
    classes: Sequence[str],
    network: Tensor | None = None,
    soft: Tensor | None = None,
) -> dict[str, float]:
    """What speaks against the labels of an image, each from 0 to 1, 1 being the most suspicious, by
    the names of `weakseg.suspicion.queue.SIGNALS`; what cannot be compared is left out.

    Args:
        labels: uint8 [H,W], 255 = no label.
        evidence: of the same image.
        classes: names, the background first.
        network: float [C,H,W], the probabilities that a trained network gives, or None.
        soft: float [C,H,W], the labels' own probabilities, or None.
    """
    found = target_signals(labels, evidence, classes)
    if soft is not None and network is None:
        found["labels"] = 1 - network_agreement(labels, soft)
    if network is not None:
        found |= network_signals(labels, evidence, classes, network)
    return {name: value for name, value in found.items() if not math.isnan(value)}


def network_signals(
    labels: Tensor, evidence: Evidence, classes: Sequence[str], network: Tensor
) -> dict[str, float]:
    """How far the prediction disagrees with the labels and with the evidence."""
    height, width = network.shape[1:]
    cells = (-(-height // STRIDE), -(-width // STRIDE))
    probs = F.adaptive_avg_pool2d(network[None], cells)
    annotated = _annotated(evidence)
    return {
        "disagreement": 1 - network_agreement(labels, network),
        "uncertainty": float(mean_entropy(probs)[0]),
        **_named("missing", missing(probs, annotated, (height, width)), classes),
        **_named("unnamed", unnamed(probs, annotated, (height, width)), classes),
    }


def _annotated(evidence: Evidence) -> Annotated:
    """The annotations of one image, as of a batch."""
    return Annotated(
        tags=None if evidence.tags is None else evidence.tags[None],
        boxes=None if evidence.boxes is None else [evidence.boxes],
        box_classes=None if evidence.box_classes is None else [evidence.box_classes],
        marks=None if evidence.marks is None else evidence.marks[None],
    )


def _named(name: str, doubt: Doubt, classes: Sequence[str]) -> dict[str, float]:
    return {f"{name}/{classes[int(doubt.label[0])]}": float(doubt.value[0])}
