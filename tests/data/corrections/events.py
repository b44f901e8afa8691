"""Events for tests, as a person makes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from weakseg.data.corrections.events import Event
from weakseg.data.corrections.folder import CorrectionsFolder
from weakseg.data.corrections.history import History


def box(label: str, *edges: float, action: str = "add_box") -> Event:
    x1, y1, x2, y2 = edges
    return Event(action, label, ((x1, y1), (x2, y2)))


def unbox(label: str, *edges: float) -> Event:
    return box(label, *edges, action="remove_box")


def stroke(label: str, *points: tuple[float, float], width: float = 1.0, **how: Any) -> Event:
    return Event("scribble", label, points, width, **how)


def click(label: str, x: float, y: float, width: float = 1.0) -> Event:
    return Event("click", label, ((x, y),), width)


def paint(label: str, *points: tuple[float, float], width: float = 1.0) -> Event:
    return Event("paint", label, points, width)


def outline(label: str, *points: tuple[float, float]) -> Event:
    return Event("fill", label, points)


def erase(*points: tuple[float, float], width: float = 1.0) -> Event:
    return Event("erase", None, points, width)


def tag(label: str) -> Event:
    return Event("add_tag", label)


def untag(label: str) -> Event:
    return Event("remove_tag", label)


UNDO, REDO = Event("undo"), Event("redo")
ACCEPT, SKIP, EXCLUDE, REOPEN = map(Event, ("accept", "skip", "exclude", "reopen"))


def history(*events: Event, size: tuple[int, int] = (12, 8), image: str = "a.png") -> History:
    return History(image, size, {}, events)


def correct(
    folder: Path, image: str, *events: Event, size: tuple[int, int] = (12, 8)
) -> CorrectionsFolder:
    """A folder in which somebody has corrected an image."""
    corrections = CorrectionsFolder(folder)
    known = corrections.read(image)
    revision = 0 if known is None else known.revision
    for number, event in enumerate(events):
        corrections.add(image, event, revision + number, size, {})
    return corrections


def actions(events: Sequence[Event]) -> list[str]:
    return [event.action for event in events]
