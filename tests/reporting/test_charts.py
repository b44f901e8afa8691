import itertools
import math
import xml.etree.ElementTree as ET

import pytest

from weakseg.reporting.charts import line_chart, read_series, thin_out, ticks


def svg(chart: str) -> ET.Element:
    return ET.fromstring(f"<div>{chart}</div>").find("svg")


def test_series_take_only_rows_that_have_the_figure_and_a_place() -> None:
    rows = [
        {"step": "0", "loss": "1.5"},
        {"step": "1", "loss": "nan"},
        {"step": "2", "loss": "inf"},
        {"step": "", "loss": "3"},
        {"step": "3", "loss": ""},
        {"step": "4"},
        {"step": "5", "loss": "0.25"},
    ]
    assert read_series(rows, "loss") == [(0.0, 1.5), (5.0, 0.25)]


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.0, 1.0), (0.013, 0.0871), (-3.0, 2500.0), (1e-7, 3e-7), (5.0, 5.0), (0.0, 0.0)],
)
def test_ticks_are_round_evenly_spaced_and_enclose(low: float, high: float) -> None:
    marks = ticks(low, high)
    assert marks[0] <= low
    assert marks[-1] >= high
    assert 3 <= len(marks) <= 8
    steps = [b - a for a, b in itertools.pairwise(marks)]
    assert all(math.isclose(step, steps[0], rel_tol=1e-6) for step in steps)
    assert round(steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-9), 6) in (1, 2, 5)


def test_points_lie_where_they_belong() -> None:
    polyline = svg(line_chart({"a": [(0.0, 0.0), (10.0, 1.0)]}, "step", low=0, high=1)).find(
        "polyline"
    )
    (x1, y1), (x2, y2) = (map(float, pair.split(",")) for pair in polyline.get("points").split())
    assert (x1, x2) == (52.0, 496.0)  # left and right end of the axis
    assert (y1, y2) == (206.0, 10.0)  # bottom and top: up is more


def test_few_points_say_their_value_and_names_are_escaped() -> None:
    picture = svg(line_chart({"loss/<b>&": [(0.0, 0.5), (7.0, 0.125)]}, "step"))
    assert [title.text for title in picture.iter("title")] == [
        "loss/<b>& 0.5 at step 0",
        "loss/<b>& 0.125 at step 7",
    ]


def test_many_points_are_averaged_and_cover_the_whole_run() -> None:
    points = [(float(x), float(x % 2)) for x in range(100_000)]
    thin = thin_out(points)
    assert len(thin) <= 240
    assert thin[0][0] < 500
    assert thin[-1][0] > 99_000
    assert all(y == pytest.approx(0.5, abs=0.01) for _, y in thin)
    assert len(line_chart({"a": points}, "step")) < 10_000


def test_nothing_to_show_is_no_chart() -> None:
    assert line_chart({"a": []}, "step") == ""
    assert svg(line_chart({"a": [], "b": [(1.0, 1.0)]}, "step")) is not None
