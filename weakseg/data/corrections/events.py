"""Events: what a person does to the evidence of one image on the review page, step by step.

Coordinates are pixel edges of the image's file: (0, 0) is its upper left corner, (W, H) its lower
right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

Point = tuple[float, float]

Edit = Literal[
    "add_box",
    "remove_box",
    "click",
    "scribble",
    "paint",
    "fill",
    "erase",
    "add_tag",
    "remove_tag",
]
Verdict = Literal["accept", "skip", "exclude", "reopen"]
Action = Literal[Edit, Verdict, "undo", "redo", "look"]

EDITS: tuple[str, ...] = get_args(Edit)
VERDICTS: tuple[str, ...] = get_args(Verdict)
ACTIONS: tuple[str, ...] = (*EDITS, *VERDICTS, "undo", "redo", "look")

WITH_CLASS = frozenset(EDITS) - {"erase"}
WITH_WIDTH = frozenset({"click", "scribble", "paint", "erase"})
DRAWING = WITH_WIDTH - {"erase"} | {"fill"}  # leaves pixels of a class
# how many points each edit has, at least and at most
MOST_POINTS = 20_000
POINTS = {
    "add_box": (2, 2),
    "remove_box": (2, 2),
    "click": (1, 1),
    "scribble": (1, MOST_POINTS),
    "paint": (1, MOST_POINTS),
    "erase": (1, MOST_POINTS),
    "fill": (3, MOST_POINTS),
}
LONGEST_NAME = 200  # characters of who, and of a class
LONGEST_LOOK = 3600.0  # seconds between two events; a page leaves out idle time itself


class Event(NamedTuple):
    """One thing that a person did.

    - `add_box`, `remove_box`: a box around an object, by two corners.
    - `click`, `scribble`: marks of a class, which the target carries on to the pixels around.
    - `paint`, `fill`: a brush or an outline, whose pixels are of a class exactly.
    - `erase`: takes marks away, those of the annotation files, too.
    - `add_tag`, `remove_tag`: whether the image shows a class.
    - `accept`, `skip`, `exclude`, `reopen`: the target is right; not decided yet; the image is not
      trained on; none of these.
    - `undo`, `redo`: take the last edit or verdict back, or make it again.
    - `look`: nothing but the seconds.
    """

    action: str
    label: str | None = None
    """name of the class"""
    points: tuple[Point, ...] = ()
    width: float = 0.0
    """of the brush, in pixels"""
    when: str = ""
    """date and time in UTC, as in ISO 8601"""
    who: str = ""
    seconds: float = 0.0
    """how long the person worked on the image since the event before, idle time left out"""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x1 y1 x2 y2 of `add_box` and `remove_box`, from the upper left to the lower right."""
        (left, top), (right, bottom) = self.points
        return min(left, right), min(top, bottom), max(left, right), max(top, bottom)


def read_event(content: Any, classes: Sequence[str] | None = None) -> Event:
    """The event that JSON holds, which may come from anybody; a ValueError says what is wrong.

    Args:
        content: what JSON holds.
        classes: names that the event may name, the background first; None for any.
    """
    if not isinstance(content, dict):
        raise ValueError(
            f"an event should be an object with named fields, but it is {_cut(content)}"
        )
    action = content.get("action")
    if not isinstance(action, str) or action not in ACTIONS:
        raise ValueError(f"action should be one of {', '.join(ACTIONS)}, but it is {_cut(action)}")
    event = Event(
        action,
        _label(content.get("class"), action, classes),
        _points(content.get("points"), action),
        _number(content.get("width", 0), "width", 0, 10_000) if action in WITH_WIDTH else 0.0,
        _text(content.get("when", ""), "when"),
        _text(content.get("who", ""), "who"),
        _number(content.get("seconds", 0), "seconds", 0, math.inf),
    )
    if action in ("add_box", "remove_box"):
        left, top, right, bottom = event.box
        if not (left < right and top < bottom):
            raise ValueError(f"a box should be wider and higher than 0, but it is {event.box}")
    return event._replace(seconds=min(event.seconds, LONGEST_LOOK))


def written_event(event: Event) -> dict[str, Any]:
    """The event as JSON holds it, without what it has not."""
    content: dict[str, Any] = {"action": event.action}
    if event.label is not None:
        content["class"] = event.label
    if event.points:
        content["points"] = [[round(x, 2), round(y, 2)] for x, y in event.points]
    if event.action in WITH_WIDTH:
        content["width"] = round(event.width, 2)
    return {**content, "when": event.when, "who": event.who, "seconds": round(event.seconds, 2)}


def _label(value: Any, action: str, classes: Sequence[str] | None) -> str | None:
    if action not in WITH_CLASS:
        return None
    if not isinstance(value, str) or not value or len(value) > LONGEST_NAME:
        raise ValueError(f"{action}: class should be the name of one, but it is {_cut(value)}")
    if classes is not None and value not in classes:
        known = ", ".join(classes)
        raise ValueError(f"{action}: class should be one of {known}, but it is {_cut(value)}")
    if action.endswith("_box") and classes and value == classes[0]:
        raise ValueError(f"{action}: a box goes around a class, but {value} is the background")
    return value


def _points(value: Any, action: str) -> tuple[Point, ...]:
    if action not in POINTS:
        return ()
    least, most = POINTS[action]
    if not isinstance(value, list) or not least <= len(value) <= most:
        came = f"{len(value)} of them" if isinstance(value, list) else _cut(value)
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise ValueError(f"{action}: points should be {wanted} pairs of numbers, but it is {came}")
    return tuple(_point(point, action) for point in value)


def _point(value: Any, action: str) -> Point:
    right = isinstance(value, list) and len(value) == 2
    if not right or not all(_is_number(number) and abs(number) < 1e6 for number in value):
        raise ValueError(f"{action}: a point should be two numbers, but it is {_cut(value)}")
    return float(value[0]), float(value[1])


def _number(value: Any, name: str, least: float, most: float) -> float:
    if not _is_number(value) or not least <= value <= most:
        most_there_is = "" if most == math.inf else f", at most {most}"
        raise ValueError(
            f"{name} should be a number of {least} or more{most_there_is}, but it is {_cut(value)}"
        )
    return float(value)


def _is_number(value: Any) -> bool:
    # false for NaN and infinity, and for numbers that no float holds
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        raise ValueError(f"{name} should be text, but it is {_cut(value)}")
    return value


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
