"""The history of the corrections of one image: a list of events that only grows, and what it comes
to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from weakseg.data.corrections.events import EDITS, VERDICTS, Event, read_event, written_event

FORMAT = "weakseg correction 1"
STATUS = {"accept": "accepted", "skip": "skipped", "exclude": "excluded"}


class History(NamedTuple):
    """What a person did to one image."""

    image: str
    """the image's id"""
    size: tuple[int, int]
    """width and height of its file, to which the coordinates of all events belong"""
    before: Mapping[str, Any] = {}
    """the evidence as it was before the first event, for whoever reads the file"""
    events: tuple[Event, ...] = ()

    @property
    def revision(self) -> int:
        """Grows with each event but a look, which changes nothing: whoever adds one says which
        revision was seen."""
        return sum(event.action != "look" for event in self.events)

    @property
    def applied(self) -> tuple[Event, ...]:
        """The edits and verdicts that count, after all undoing."""
        return _replayed(self.events)[0]

    @property
    def undone(self) -> tuple[Event, ...]:
        """What `redo` would bring back, the next one last."""
        return _replayed(self.events)[1]

    @property
    def edits(self) -> tuple[Event, ...]:
        """The changes of evidence that count, in their order."""
        return tuple(event for event in self.applied if event.action in EDITS)

    @property
    def status(self) -> str | None:
        """accepted, skipped or excluded; None if that is open, as it is again after an edit."""
        applied = self.applied
        return STATUS.get(applied[-1].action) if applied else None

    @property
    def seconds(self) -> float:
        """How long a person has worked on the image, all in all."""
        return sum(event.seconds for event in self.events)

    def after(self, event: Event) -> History:
        """The history with one more event; a ValueError if there is nothing to undo or redo."""
        if event.action == "undo" and not self.applied:
            raise ValueError("there is nothing to undo")
        if event.action == "redo" and not self.undone:
            raise ValueError("there is nothing to redo")
        return self._replace(events=(*self.events, event))


def _replayed(events: tuple[Event, ...]) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
    applied: list[Event] = []
    undone: list[Event] = []
    for event in events:
        if event.action == "undo":
            if applied:
                undone.append(applied.pop())
        elif event.action == "redo":
            if undone:
                applied.append(undone.pop())
        elif event.action in EDITS or event.action in VERDICTS:
            applied.append(event)
            undone.clear()
    return tuple(applied), tuple(undone)


def read_history(content: Any) -> History:
    """The history that the JSON of a file holds; a ValueError says what is wrong."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"expected a file of corrections, with format {FORMAT!r}")
    image = content.get("image")
    if not isinstance(image, str):
        raise ValueError(f"image should be the id of one, but it is {image!r}")
    size = content.get("size")
    if not (
        isinstance(size, list)
        and len(size) == 2
        and all(type(side) is int and side > 0 for side in size)
    ):
        raise ValueError(f"size should be width and height, but it is {size!r}")
    before = content.get("before", {})
    events = content.get("events")
    if not isinstance(before, dict) or not isinstance(events, list):
        raise ValueError("before should be an object, and events a list")
    read = []
    for number, event in enumerate(events, 1):
        try:
            read.append(read_event(event))
        except ValueError as error:
            raise ValueError(f"event {number}: {error}") from None
    return History(image, (size[0], size[1]), before, tuple(read))


def written_history(history: History) -> dict[str, Any]:
    """The history as the JSON of a file holds it."""
    return {
        "format": FORMAT,
        "image": history.image,
        "size": list(history.size),
        "status": history.status,
        "seconds": round(history.seconds, 2),
        "before": dict(history.before),
        "events": [written_event(event) for event in history.events],
    }
