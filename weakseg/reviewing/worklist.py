"""The images of a session in the order in which a person should look at them, and the background
work that finds it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from weakseg.reviewing.background import Background
from weakseg.reviewing.histories import Histories
from weakseg.reviewing.images import ReviewedImages
from weakseg.reviewing.refusals import Refusal
from weakseg.suspicion.queue import Suspicion

DECIDED = ("accepted", "skipped", "excluded")


class Worklist:
    """All images, the most suspicious first and those that are decided last.

    Args:
        images: of the session.
        histories: of their corrections.
        background: does what takes long.
        known: how suspicious images are, by their ids, where a run has found it out.
        measure: finds out how suspicious an image is, by its number; None if that cannot be told.
    """

    def __init__(
        self,
        images: ReviewedImages,
        histories: Histories,
        background: Background,
        known: dict[str, Suspicion],
        measure: Callable[[int], Suspicion | None],
    ) -> None:
        self._images = images
        self._histories = histories
        self._background = background
        self._found = known
        self._measure = measure

    def rows(self) -> list[dict[str, Any]]:
        """What a page shows of each image in its list."""
        rows = [self._row(number) for number in self._images.numbers]
        # what nobody has measured comes after what was measured
        rows.sort(key=lambda row: (row["status"] in DECIDED, row["score"] is None, -_score(row)))
        return rows

    def suspicion(self, id: str | None) -> dict[str, Any]:
        """How suspicious an image is, and why."""
        found = None if id is None else self._found.get(id)
        if found is None:
            return {"score": None, "reasons": []}
        return {"score": round(found.score, 4), "reasons": list(found.reasons)}

    def begin(self) -> None:
        """Find out in the background which images are suspicious, if no run has."""
        if not self._found:
            self._background.add("rank", self._rank())
        elif any(self._images.id_of(number) is None for number in self._images.numbers):
            self._background.add("names", self._read())

    def _row(self, number: int) -> dict[str, Any]:
        id = self._images.id_of(number)
        history, problem = (None, "") if id is None else self._histories.read(id)
        return {
            "number": number,
            "name": self._images.name_of(number),
            **self.suspicion(id),
            "status": None if history is None else history.status,
            "edits": 0 if history is None else len(history.edits),
            "broken": self._images.broken.get(number) or problem or None,
        }

    def _rank(self) -> Iterator[str]:
        numbers = self._images.numbers
        for place, number in enumerate(numbers):
            yield f"looking for suspicious images: {place} of {len(numbers)}"
            with suppress(Refusal):
                found = self._measure(number)
                if found is not None:
                    self._found[found.image] = found

    def _read(self) -> Iterator[str]:
        """Read the images of a data set that only so tells their names."""
        numbers = self._images.numbers
        for place, number in enumerate(numbers):
            yield f"reading the images: {place} of {len(numbers)}"
            with suppress(Refusal):
                self._images.sample(number)


def _score(row: dict[str, Any]) -> float:
    return float(row["score"] or 0)
