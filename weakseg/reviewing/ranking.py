"""Which images of a session are the most suspicious: as its run has found out while it trained, or
else by their targets and predictions, measured one after the other in the background."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import Batch, Evidence
from weakseg.suspicion.queue import Suspicion, reasons_of, score_of
from weakseg.suspicion.review_file import NAME, read_queue
from weakseg.training.image_statistics import MEANS, measured
from weakseg.training.target_signals import target_signals

CELL = 8  # pixels of a side of the cells on which predictions are compared, as networks make them
LEAST = 1e-7  # a probability


def ranking_of_run(run: Path | None) -> dict[str, Suspicion]:
    """What a run has found out, by the ids of its images; nothing where it has left no list. A
    ValueError if the list is damaged."""
    file = None if run is None else run / NAME
    if file is None or not file.is_file():
        return {}
    return {suspicion.image: suspicion for suspicion in read_queue(file)}


def suspicion_of(
    labels: Tensor, evidence: Evidence, classes: Sequence[str], probs: Tensor | None
) -> Suspicion:
    """How suspicious an image is.

    Args:
        labels: its target, uint8 [H,W], 255 = no label.
        evidence: with corrections.
        classes: names of the classes, the background first.
        probs: of a trained network, float [C,H,W]; None without one.
    """
    signals = target_signals(labels, evidence, classes)
    if probs is not None:
        signals |= network_signals(labels, evidence, classes, probs)
    return Suspicion(evidence.id, score_of(signals), reasons_of(signals))


def network_signals(
    labels: Tensor, evidence: Evidence, classes: Sequence[str], probs: Tensor
) -> dict[str, float]:
    """What a trained network has against the target and the annotation of an image, as `fit`
    measures it in every step."""
    own = [evidence.box_classes] if evidence.box_classes is not None else None
    batch = Batch(
        ids=[evidence.id],
        image=evidence.image[None],
        target=labels[None].long(),
        tags=None if evidence.tags is None else evidence.tags[None],
        marks=None if evidence.marks is None else evidence.marks[None].long(),
        boxes=None if evidence.boxes is None else [evidence.boxes],
        box_classes=own,
    )
    size = [max(1, side // CELL) for side in probs.shape[-2:]]
    scores = F.interpolate(probs[None], size, mode="area").clamp(min=LEAST).log()
    values, doubted = measured(scores, batch, None)
    found = dict(zip(MEANS, values[0].tolist(), strict=True))
    for place, name in enumerate(("missing", "unnamed")):
        found[f"{name}/{classes[int(doubted[0, place])]}"] = found.pop(name)
    return found
