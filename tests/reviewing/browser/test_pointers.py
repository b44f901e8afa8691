"""Mouse, pen and fingers on the canvas, and exact positions whatever the zoom."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.reviewing.browser.pages import Point, Serve, Visit, Visitor, events_in
from weakseg.reviewing.material import Material

pytestmark = pytest.mark.slow

RED = (255, 0, 0)


@pytest.fixture
def one_red_pixel(photos: Path, make_unannotated: Callable[[], Material]) -> Material:
    """A photo whose pixel (37, 21) alone is red."""
    image = Image.new("RGB", (64, 48), "#808080")
    image.putpixel((37, 21), RED)
    for path in photos.iterdir():
        path.unlink()
    image.save(photos / "a.png")
    return make_unannotated()


def place_of_red(page: Visit) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what is red on the screen, in CSS pixels."""
    ratio = page.page.evaluate("devicePixelRatio")
    shot = Image.open(io.BytesIO(page.page.screenshot(scale="device"))).convert("RGB")
    red = (np.asarray(shot) == RED).all(-1)
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    # one block, without a soft rim
    assert red.sum() == len(rows) * len(columns)
    edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    left, top, right, bottom = (float(edge) / ratio for edge in edges)
    return left, top, right, bottom


@pytest.mark.parametrize("ratio", [1, 1.5, 2])
@pytest.mark.parametrize("zoom", [0, 4, 9])
def test_a_click_means_the_pixel_that_is_seen_there(
    ratio: float, zoom: int, visit: Visitor, serve: Serve, one_red_pixel: Material
) -> None:
    page = visit(serve(one_red_pixel).url, device_scale_factor=ratio).open()
    page.page.fill("#new-class-name", "disc")
    page.page.press("#new-class-name", "Enter")
    page.until("#classes", "disc")
    page.press("c")
    if zoom:
        left, top, right, bottom = place_of_red(page)
        page.page.mouse.move(left + 3, top + 5)
        for _ in range(zoom):
            page.page.mouse.wheel(0, -100)
        page.page.wait_for_timeout(100)
    page.page.mouse.move(2, 2)
    page.page.wait_for_timeout(100)
    left, top, right, bottom = place_of_red(page)
    inside = 1.01 / ratio
    corners = [(left + inside, top + inside), (right - inside, bottom - inside)]
    for x, y in [*corners, ((left + right) / 2, (top + bottom) / 2)]:
        page.page.mouse.click(x, y)
        page.settled()
        page.press("Control+z")
        page.settled()
    clicks = [event["points"][0] for event in page.posted if event["action"] == "click"]
    assert all(37 <= x <= 38 and 21 <= y <= 22 for x, y in clicks)
    assert clicks[-1] == pytest.approx([37.5, 21.5], abs=0.11)
    pixel = right - left
    assert clicks[0] == pytest.approx([37, 21], abs=0.06 + 2 / pixel)


def pen(page: Visit, kind: str, point: Point, where: str = "pen") -> None:
    x, y = page.at(point)
    page.send(
        "Input.dispatchMouseEvent",
        {
            "type": kind,
            "x": x,
            "y": y,
            "button": "left",
            "buttons": 0 if kind == "mouseReleased" else 1,
            "clickCount": 1,
            "pointerType": where,
        },
    )


def touch(page: Visit, kind: str, *points: Point) -> None:
    places = [page.at(point) for point in points]
    touches = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
    page.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})


def test_a_pen_draws_and_fingers_move_the_image(
    visit: Visitor, serve: Serve, small_toy: Material
) -> None:
    served = serve(small_toy)
    page = visit(served.url, has_touch=True).open()
    page.press("s", "1")
    # a finger draws as long as there is no pen
    touch(page, "touchStart", (10, 10))
    touch(page, "touchMove", (20, 12))
    touch(page, "touchEnd")
    page.settled()
    assert events_in(served.corrections) == ["scribble"]

    pen(page, "mousePressed", (10, 40))
    pen(page, "mouseMoved", (20, 42))
    touch(page, "touchStart", (40, 50))  # the palm
    touch(page, "touchMove", (44, 52))
    pen(page, "mouseMoved", (30, 44))
    pen(page, "mouseReleased", (30, 44))
    touch(page, "touchEnd")
    page.settled()
    assert events_in(served.corrections) == ["scribble", "scribble"]
    points = np.array(page.posted[-1]["points"])
    assert points[0] == pytest.approx([10, 40], abs=0.2)
    assert points[-1] == pytest.approx([30, 44], abs=0.2)

    # from now on, a finger moves the image
    before = page.page.locator("#canvas").screenshot()
    touch(page, "touchStart", (10, 10))
    touch(page, "touchMove", (20, 12))
    touch(page, "touchMove", (30, 20))
    touch(page, "touchEnd")
    page.page.wait_for_timeout(150)
    assert page.page.locator("#canvas").screenshot() != before
    assert len(events_in(served.corrections)) == 2


def test_two_fingers_zoom_and_draw_nothing(
    visit: Visitor, serve: Serve, one_red_pixel: Material
) -> None:
    served = serve(one_red_pixel)
    page = visit(served.url, has_touch=True).open()
    page.page.fill("#new-class-name", "disc")
    page.page.press("#new-class-name", "Enter")
    page.until("#classes", "disc")
    page.press("p")
    left, _, right, _ = place_of_red(page)
    touch(page, "touchStart", (30, 21))
    touch(page, "touchMove", (31, 21))
    touch(page, "touchStart", (31, 21), (45, 21))
    for step in range(4):
        touch(page, "touchMove", (31 - step, 21), (45 + step, 21))
    touch(page, "touchEnd")
    page.page.wait_for_timeout(150)
    wider_left, _, wider_right, _ = place_of_red(page)
    assert wider_right - wider_left > 1.2 * (right - left)
    assert events_in(served.corrections) == []


BROKEN_OFF: dict[str, Callable[[Any], None]] = {
    "the system takes the pointer": lambda page: page.evaluate(
        "document.querySelector('#canvas').dispatchEvent("
        "new PointerEvent('pointercancel', {pointerId: 1, bubbles: true}))"
    ),
    "the person gives up": lambda page: page.keyboard.press("Escape"),
    "the page is loaded again": lambda page: page.reload(),
    "the page is closed": lambda page: page.close(),
}


@pytest.mark.parametrize("how", BROKEN_OFF)
def test_a_stroke_that_breaks_off_leaves_nothing(
    how: str, visit: Visitor, serve: Serve, small_toy: Material
) -> None:
    served = serve(small_toy)
    page = visit(served.url).open()
    page.press("p", "1")
    page.drag([(10, 10), (20, 20), (30, 20)], up=False)
    BROKEN_OFF[how](page.page)
    if not page.page.is_closed():
        page.page.mouse.up()
        page.ready().settled()
    assert events_in(served.corrections) == []


def test_space_and_the_middle_button_move_the_image(
    visit: Visitor, serve: Serve, one_red_pixel: Material
) -> None:
    served = serve(one_red_pixel)
    page = visit(served.url).open()
    page.press("p")
    left, top, _, _ = place_of_red(page)
    page.page.keyboard.down(" ")
    page.drag([(10, 10), (14, 12)])
    page.page.keyboard.up(" ")
    page.page.mouse.down(button="middle")
    x, y = page.at((10, 10))
    page.page.mouse.move(x, y)
    page.page.mouse.up(button="middle")
    page.page.mouse.move(2, 2)
    page.page.wait_for_timeout(150)
    assert place_of_red(page)[:2] == pytest.approx((left, top), abs=1)
    page.page.keyboard.down(" ")
    page.drag([(10, 10), (14, 12)])
    page.page.keyboard.up(" ")
    page.page.mouse.move(2, 2)
    page.page.wait_for_timeout(150)
    moved = np.subtract(page.at((14, 12)), page.at((10, 10)))
    assert place_of_red(page)[:2] == pytest.approx((left + moved[0], top + moved[1]), abs=1)
    assert events_in(served.corrections) == []
