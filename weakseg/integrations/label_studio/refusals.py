"""What a request asked for that cannot be."""

from __future__ import annotations


class Refusal(ValueError):
    """A request that cannot be answered, with the reason as one line.

    Args:
        reason: for whoever reads the log.
        status: of the HTTP answer.
    """

    def __init__(self, reason: str, status: int = 422) -> None:
        super().__init__(reason)
        self.status = status
