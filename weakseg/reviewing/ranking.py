"""Which images of a session are the most suspicious: as its run has found out while it trained, or
else by their targets and predictions, measured one after the other in the background."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from weakseg.evidence import Evidence
from weakseg.suspicion.queue import Suspicion, reasons_of, score_of
from weakseg.suspicion.review_file import NAME, read_queue
from weakseg.suspicion.signals import signals_of


def known_ranking(run: Path | None, queue: Path | None = None) -> dict[str, Suspicion]:
    """What is known of the images by their ids: what a file says, or else what a run has found out;
    nothing where that has left no list. A ValueError if the list is damaged.

    Args:
        run: its folder, or None.
        queue: the file, or None.
    """
    file = queue if queue is not None or run is None else run / NAME
    if file is None or (queue is None and not file.is_file()):
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
    signals = signals_of(labels, evidence, classes, probs)
    return Suspicion(evidence.id, score_of(signals), reasons_of(signals))
