"""The counts of images as a file: an evaluation in several parts, by as many processes, and one
that goes on where it was killed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from weakseg.config.values import plain
from weakseg.evaluation.counted import CountedImage, from_entry, to_entry
from weakseg.evaluation.dataset import Measured
from weakseg.trained.model import TrainedModel
from weakseg.utils.files import remove_folder
from weakseg.utils.fingerprint import fingerprint
from weakseg.utils.output_folder import OutputFolder
from weakseg.utils.progress import track

COUNTS = ".counts-"
"""how the folders of counts in that of the evaluation begin"""
DIGITS = 12  # of the fingerprint in their names


class KeptCounts:
    """Counts of images in a folder that several processes write into. It belongs to one network,
    one data set and one way to predict: another evaluation has another folder.

    Args:
        folder: of the evaluation.
        model: the network.
        measured: the images.
        parts: into how many parts they are split.
        part: which of them is counted here, from 1 on.
    """

    def __init__(
        self, folder: Path, model: TrainedModel, measured: Measured, parts: int, part: int
    ) -> None:
        self.measured = measured
        self._maker = _maker(model, measured)
        self._folder = OutputFolder(
            folder / f"{COUNTS}{fingerprint(str(self._maker))[:DIGITS]}", parts=parts, part=part
        )

    def fill(self, count: Callable[[Sequence[int]], Iterable[CountedImage]]) -> None:
        """Count the images of this part that no call has counted yet.

        Args:
            count: is given their indices.
        """
        folder = self._folder
        with folder:
            folder.begin(self._maker)
            mine = folder.mine(self.measured.indices)
            todo = [index for index in mine if folder.entry(str(index)) is None]
            for counted in track(count(todo), len(todo), "evaluating"):
                folder.note(to_entry(counted))
            folder.finish({}, map(str, mine))
            # later than this part's own counts are there: the last one sees all
            folder.look_again()

    @property
    def missing_parts(self) -> tuple[int, ...]:
        """The parts that have images which are not counted yet."""
        known = [self._folder.entry(str(index)) is not None for index in self.measured.indices]
        parts = self._folder.parts
        return tuple(part for part in range(1, parts + 1) if not all(known[part - 1 :: parts]))

    def counted(self) -> Iterator[CountedImage]:
        """What is known of the images, in their order."""
        for index in self.measured.indices:
            entry = self._folder.entry(str(index))
            if entry is not None:
                yield from_entry(entry)

    def remove(self) -> None:
        """Forget them: the next evaluation is made anew."""
        remove_folder(self._folder.path)


def _maker(model: TrainedModel, measured: Measured) -> dict[str, Any]:
    """What the counts depend on beside the files of the images."""
    return {
        "verb": "evaluate",
        "model": model.origin.sha256,
        "classes": list(model.classes),
        "predict": str(plain(model.inference)),
        "data": str(measured.section or measured.name),
        "images": fingerprint(str(measured.indices))[:DIGITS],
    }
