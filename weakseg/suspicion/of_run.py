"""The queue of a run: its training images in the order in which a person should look at them, from
what the training has measured anyway."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

from weakseg.suspicion.queue import Suspicion, rank
from weakseg.suspicion.review_file import NAME, write_queue
from weakseg.training.image_statistics import ImageStatistics


def write_review(
    statistics: ImageStatistics, classes: Sequence[str], images: Container[str], folder: Path
) -> list[Suspicion]:
    """Write review.csv into the folder of a run; returns the queue.

    Args:
        statistics: of all processes, as `ImageStatistics.everywhere` returns them.
        classes: their names, the background first.
        images: ids of those that the run trains on now; a resumed run may have measured others.
        folder: of the run.
    """
    measured = statistics.signals(classes)
    signals = {image: own for image, own in measured.items() if image in images}
    queue = rank(signals)
    write_queue(folder / NAME, queue, signals)
    return queue
