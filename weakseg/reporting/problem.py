"""Problem: what the check of a data set finds."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong, or that should be checked by a person."""

    place: str
    what: str
    expected: str
    found: str
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return (
            f"{self.level}: {self.place}: {self.what} should be {self.expected}, but it is "
            f"{self.found}"
        )
