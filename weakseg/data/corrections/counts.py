"""How much a person has corrected, in numbers and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from weakseg.data.corrections.history import History
from weakseg.utils.messages import counted


class CorrectionCounts(NamedTuple):
    """How much a person has corrected.

    >>> print(CorrectionCounts(3, 2, 0, 1, 95.0))
    3 images corrected, 2 accepted, 1 excluded, in 1.6 minutes
    """

    corrected: int
    """images whose evidence is another one now"""
    accepted: int
    skipped: int
    excluded: int
    seconds: float
    """that a person has worked on them, as the page has measured"""

    def __str__(self) -> str:
        verdicts = {
            "accepted": self.accepted,
            "skipped": self.skipped,
            "excluded": self.excluded,
        }
        parts = [f"{counted(self.corrected, 'image')} corrected"]
        parts += [f"{count} {name}" for name, count in verdicts.items() if count]
        return f"{', '.join(parts)}, in {self.seconds / 60:.1f} minutes"


def count_corrections(histories: Iterable[History]) -> CorrectionCounts:
    """How much a person has corrected, according to the histories of images."""
    histories = list(histories)
    status = Counter(history.status for history in histories)
    return CorrectionCounts(
        sum(bool(history.edits) for history in histories),
        status["accepted"],
        status["skipped"],
        status["excluded"],
        sum(history.seconds for history in histories),
    )
