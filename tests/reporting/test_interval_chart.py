"""Differences with intervals as SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise

from weakseg.reporting.interval_chart import Difference, interval_chart

NAN = float("nan")
ROWS = [
    Difference("better", 0.2, 0.1, 0.3),
    Difference("worse", -0.2, -0.3, -0.1),
    Difference("a class with quite a long <name>", 0.0, -0.1, 0.1),
    Difference("alone", 0.1, NAN, NAN),
    Difference("unknown", NAN, NAN, NAN),
]


def test_each_row_with_a_value_has_a_dot_and_those_with_ends_a_line() -> None:
    picture = ET.fromstring(interval_chart(ROWS))
    groups = picture.findall("g")
    assert [str(group.findtext("title")).partition(":")[0] for group in groups] == [
        row.name for row in ROWS[:4]
    ]
    assert [len(group.findall("line")) for group in groups] == [1, 1, 1, 0]
    dots = [circle for group in groups if (circle := group.find("circle")) is not None]
    assert [dot.attrib["style"] for dot in dots] == [
        "fill:var(--c0)",
        "fill:var(--c1)",
        "fill:var(--soft)",
        "fill:var(--soft)",
    ]
    places = [float(dot.attrib["cx"]) for dot in dots]
    assert places[1] < places[2] < places[3] < places[0]


def test_long_names_take_several_lines_and_more_room() -> None:
    picture = ET.fromstring(interval_chart(ROWS))
    names = [group.findall("text")[0].findall("tspan") for group in picture.findall("g")]
    assert [span.text for span in names[2]] == ["a class with quite a", "long <name>"]
    places = [float(span.attrib["y"]) for spans in names for span in spans]
    assert places == sorted(places)
    assert min(b - a for a, b in pairwise(places)) >= 15
    _, _, _, height = map(float, picture.attrib["viewBox"].split())
    assert max(places) < height - 24  # above the numbers of the axis


def test_zero_is_always_in_sight() -> None:
    for row in (Difference("a", 0.2, 0.1, 0.3), Difference("a", -0.2, -0.3, -0.1)):
        picture = ET.fromstring(interval_chart([row]))
        assert "0" in [text.text for text in picture.findall("text")]


def test_nothing_for_no_value() -> None:
    assert interval_chart(ROWS[4:]) == ""
