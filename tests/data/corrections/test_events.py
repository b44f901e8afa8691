from __future__ import annotations

import math
from typing import Any

import pytest

from weakseg.data.corrections.events import (
    ACTIONS,
    LONGEST_LOOK,
    MOST_POINTS,
    Event,
    read_event,
    written_event,
)

CLASSES = ("background", "cat", "dog")
POINTS: dict[str, list[list[float]]] = {
    "add_box": [[1, 2], [3, 4]],
    "remove_box": [[1, 2], [3, 4]],
    "click": [[1, 2]],
    "scribble": [[1, 2], [3, 4]],
    "paint": [[1, 2], [3, 4]],
    "erase": [[1, 2], [3, 4]],
    "fill": [[1, 2], [3, 4], [1, 4]],
}


def right(action: str, **fields: Any) -> dict[str, Any]:
    content = {"action": action, "class": "cat", "width": 4, "points": POINTS.get(action)}
    return {**content, "when": "2026-01-01T00:00:00Z", "who": "a", "seconds": 2.5, **fields}


@pytest.mark.parametrize("action", ACTIONS)
def test_every_event_is_read_as_it_was_written(action: str) -> None:
    event = read_event(right(action), CLASSES)
    assert event.action == action
    assert (event.label is None) == (action in ("erase", *ACTIONS[9:]))
    assert [list(point) for point in event.points] == POINTS.get(action, [])
    assert event.width == (4 if action in ("click", "scribble", "paint", "erase") else 0)
    assert event.seconds == 2.5
    assert read_event(written_event(event)) == event


def test_numbers_are_rounded_in_files_alone() -> None:
    event = Event("scribble", "cat", ((1.23456, 2.0), (3.0, 4.999)), 1.23456, seconds=1.23456)
    assert written_event(event) == {
        "action": "scribble",
        "class": "cat",
        "points": [[1.23, 2.0], [3.0, 5.0]],
        "width": 1.23,
        "when": "",
        "who": "",
        "seconds": 1.23,
    }


def test_corners_of_a_box_come_in_any_order() -> None:
    assert read_event(right("add_box", points=[[5, 1], [2, 7]])).box == (2, 1, 5, 7)


def test_nobody_works_for_days_between_two_events() -> None:
    assert read_event(right("look", seconds=1e9)).seconds == LONGEST_LOOK


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([], "an event should be an object"),
        ({}, "action should be one of"),
        ({"action": "explode"}, "action should be one of"),
        ({"action": ["undo"]}, "action should be one of"),
        (right("click", **{"class": None}), "class should be the name of one"),
        (right("click", **{"class": ""}), "class should be the name of one"),
        (right("click", **{"class": "x" * 201}), "class should be the name of one"),
        (right("click", **{"class": "cow"}), "one of background, cat, dog, but it is 'cow'"),
        (right("add_box", **{"class": "background"}), "background is the background"),
        (right("click", points=[]), "points should be 1 pairs"),
        (right("click", points=[[1, 2], [3, 4]]), "it is 2 of them"),
        (right("click", points="1 2"), "points should be 1 pairs"),
        (right("fill", points=[[1, 2], [3, 4]]), "points should be 3 to"),
        (right("scribble", points=[[0, 0]] * (MOST_POINTS + 1)), "it is 20001 of them"),
        (right("click", points=[[1, "2"]]), "a point should be two numbers"),
        (right("click", points=[[1, math.nan]]), "a point should be two numbers"),
        (right("click", points=[[1, math.inf]]), "a point should be two numbers"),
        (right("click", points=[[1, 10**400]]), "a point should be two numbers"),
        (right("click", points=[[1, True]]), "a point should be two numbers"),
        (right("click", points=[[1e7, 0]]), "a point should be two numbers"),
        (right("click", width=-1), "width should be a number of 0 or more, at most 10000"),
        (right("click", width=20_000), "at most 10000, but it is 20000"),
        (right("click", width="4"), "width should be a number"),
        (right("look", seconds=-1), "seconds should be a number of 0 or more, but"),
        (right("look", seconds=math.nan), "seconds should be a number"),
        (right("look", seconds=10**400), "seconds should be a number"),
        (right("look", who=5), "who should be text"),
        (right("look", who="x" * 201), "who should be text"),
        (right("look", when=None), "when should be text"),
        (right("add_box", points=[[1, 2], [1, 4]]), "wider and higher than 0"),
    ],
)
def test_what_is_wrong_with_an_event_is_one_short_line(content: Any, what: str) -> None:
    with pytest.raises(ValueError, match=r"should|goes around") as error:
        read_event(content, CLASSES)
    assert what in str(error.value)
    assert len(str(error.value)) < 250
    assert "\n" not in str(error.value)
