"""What a page is told of one image, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weakseg.data.corrections.events import Event, written_event
from weakseg.data.corrections.history import History
from weakseg.evidence import Evidence

STROKES = ("click", "scribble", "paint", "fill")
NEAR = 1.0  # pixels of the file: a box that is no farther away is the same


def described_evidence(
    evidence: Evidence, history: History, classes: Sequence[str]
) -> dict[str, Any]:
    """Tags, boxes and strokes of an image with its corrections, in pixels of its file.

    Args:
        evidence: with all corrections.
        history: of the corrections.
        classes: names of the classes, the background first.
    """
    strokes = [written_event(event) for event in history.edits if event.action in STROKES]
    return {
        "tags": _tags(evidence, classes),
        "boxes": _boxes(evidence, history, classes),
        "strokes": strokes,
        "kinds": list(evidence.annotations),
    }


def described_history(history: History) -> dict[str, Any]:
    """How far the corrections of an image are, and what can be taken back."""
    applied, undone = history.applied, history.undone
    return {
        "revision": history.revision,
        "status": history.status,
        "edits": len(history.edits),
        "seconds": round(history.seconds, 2),
        "can_undo": bool(applied),
        "can_redo": bool(undone),
        "undo": applied[-1].action if applied else None,
        "redo": undone[-1].action if undone else None,
    }


def _tags(evidence: Evidence, classes: Sequence[str]) -> list[str] | None:
    """The classes that are named, without the background, which nearly every image shows."""
    if evidence.tags is None:
        return None
    named = [name for name, there in zip(classes, evidence.tags.tolist(), strict=False) if there]
    return [name for name in named if name != classes[0]]


def _boxes(
    evidence: Evidence, history: History, classes: Sequence[str]
) -> list[dict[str, Any]] | None:
    if evidence.boxes is None or evidence.box_classes is None:
        return None
    height, width = evidence.image.shape[-2:]
    across, down = history.size[0] / width, history.size[1] / height
    drawn = [event for event in history.edits if event.action == "add_box"]
    found = []
    for corners, label in zip(evidence.boxes.tolist(), evidence.box_classes.tolist(), strict=True):
        left, top, right, bottom = corners
        box = (left * across, top * down, right * across, bottom * down)
        own = any(_is(event, box, classes[label], history.size) for event in drawn)
        points = [[round(box[0], 2), round(box[1], 2)], [round(box[2], 2), round(box[3], 2)]]
        found.append({"class": classes[label], "points": points, "by": "person" if own else "file"})
    return found


def _is(event: Event, box: Sequence[float], name: str, size: tuple[int, int]) -> bool:
    """Whether a box is the one that an event has added: all of it, or what is inside the image."""
    sides = zip(event.box, box, (*size, *size), strict=True)
    return event.label == name and all(
        abs(min(max(drawn, 0), most) - side) <= NEAR for drawn, side, most in sides
    )
