"""Why a review session does not do what it was requested to do; each is one clear line."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """Something that a person should read; the session goes on as it was."""


class WrongRequest(Refusal):
    """A request that cannot be right."""


class NotFound(Refusal):
    """There is no such image, or its file is gone or broken."""


class StrategyFailed(Refusal):
    """A strategy cannot estimate the target of an image, or a network cannot predict it."""


class StillWorking(Refusal):
    """What was requested is being made; it can be had later."""


class NotSaved(Refusal):
    """A correction could not be written; what was there before is unchanged."""


class ChangedElsewhere(Refusal):
    """Somebody else has corrected the image meanwhile."""

    def __init__(self, reason: str, image: dict[str, Any]) -> None:
        super().__init__(reason)
        self.image = image
        """its state now"""
