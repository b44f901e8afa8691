"""A person's whole session in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.reviewing.browser.pages import Serve, Visitor, events_in
from weakseg.reviewing.material import Material

pytestmark = pytest.mark.slow


def test_a_session_on_the_toy_set(visit: Visitor, serve: Serve, small_toy: Material) -> None:
    served = serve(small_toy)
    page = visit(served.url).open()
    assert "secret" not in page.page.url
    first = page.number
    before = page.layer(first, "target")

    page.press("b", "2")
    page.drag([(4, 6), (30, 34)])
    page.settled()
    boxed = page.layer(first, "target")
    assert (boxed != before).any()
    box = page.state(first)["boxes"][-1]
    assert (box["class"], box["by"]) == ("wheel", "person")
    assert np.abs(np.array(box["points"]) - [[4, 6], [30, 34]]).max() <= 0.5

    page.press("s", "3")
    page.drag([(40, 50), (48, 54), (58, 60)])
    page.settled()
    scribbled = page.layer(first, "target")
    assert (scribbled != boxed).any()
    assert page.state(first)["strokes"][-1]["class"] == "fish"

    page.press("Control+z")
    page.settled()
    assert (page.layer(first, "target") == boxed).all()
    page.press("Control+Shift+Z")
    page.settled()
    assert (page.layer(first, "target") == scribbled).all()

    page.press("a")
    page.leaves(first)
    page.settled()
    assert page.text("#progress-text") == "1 of 8"
    second = page.number
    page.press("x")
    page.leaves(second)
    page.settled()

    page.page.reload()
    page.ready()
    row = page.page.locator(f"#image-{first}")
    row.scroll_into_view_if_needed()
    assert row.locator(".mark.accepted").is_visible()
    assert row.locator(".mark.edited").is_visible()
    assert page.page.locator(f"#image-{second} .mark.excluded").is_visible()
    row.click()
    page.until("#verdict", "accepted")
    assert (page.layer(first, "target") == scribbled).all()
    made = ["add_box", "scribble", "undo", "redo", "accept", "exclude"]
    # which of the two images is called what is up to the queue
    assert sorted(events_in(served.corrections)) == sorted(made)


def test_undo_after_a_verdict_goes_back_to_its_image(
    visit: Visitor, serve: Serve, small_toy: Material
) -> None:
    served = serve(small_toy)
    page = visit(served.url).open()
    first = page.number
    page.press("x")
    page.leaves(first)
    page.settled()
    page.press("Control+z")
    page.settled()
    assert page.number == first
    assert page.state(first)["status"] is None
    page.press("x")
    page.leaves(first)
    page.press("j", "Control+z")  # whoever goes elsewhere means that image
    page.settled()
    assert page.state(first)["status"] == "excluded"


def test_photos_with_nothing_annotated(visit: Visitor, serve: Serve, unannotated: Material) -> None:
    served = serve(unannotated)
    page = visit(served.url).open()
    page.press("s")
    page.drag([(20, 20), (24, 22)])
    page.until("#notices", "class")
    page.press("a")
    page.until("#notices", "could be accepted")
    assert page.posted == []

    page.page.fill("#new-class-name", "disc")
    page.page.press("#new-class-name", "Enter")
    page.until("#classes", "disc")
    page.drag([(-9, -9), (-8, -9)])  # beside the image
    page.drag([(18, 20.5), (22, 20.5)])
    page.settled()
    page.press("0")
    page.drag([(55.5, 6), (55.5, 40)])
    page.settled()
    drawn = [event["class"] for event in page.state(page.number)["strokes"]]
    assert drawn == ["disc", "background"]
    target = page.layer(page.number, "target")
    assert target[20, 20, 3] == 255
    assert target[20, 55, 3] == 0

    assert page.text("#train-button") == "Train"
    page.page.click("#train-button")
    assert "data.corrections=" in page.text("#train-command")
    assert page.text("#train-folder") == str(served.corrections)
    page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.page.click("#copy")
    page.until("#copy", "Copied")
    copied = page.page.evaluate("navigator.clipboard.readText()")
    assert copied == page.text("#train-command")


def test_the_keyboard_alone_is_enough(visit: Visitor, serve: Serve, small_toy: Material) -> None:
    served = serve(small_toy)
    page = visit(served.url).open()
    first = page.number
    page.press("b", "1", "Shift+ArrowLeft", "Enter")
    page.press(*["Shift+ArrowRight"] * 2, *["Shift+ArrowDown"] * 2, "ArrowDown", "Enter")
    page.settled()
    (left, top), (right, bottom) = page.state(first)["boxes"][-1]["points"]
    assert right > left
    assert bottom > top

    page.press("c", "0", "Shift+ArrowUp", "Enter")
    page.press("s", "2", "Enter", "ArrowRight", "ArrowRight", "Enter")
    page.press("f", "3", "Enter", "Shift+ArrowRight", "Enter", "Shift+ArrowDown", "Enter", "Enter")
    page.settled()
    drawn = [event["action"] for event in page.state(first)["strokes"]]
    assert drawn == ["click", "scribble", "fill"]

    count = len(page.state(first)["boxes"])
    page.press(".", "Delete")
    page.settled()
    assert len(page.state(first)["boxes"]) == count - 1
    assert events_in(served.corrections)[-1] == "remove_box"

    page.press("t", "4")
    page.settled()
    assert "umbrella" in page.state(first)["tags"]
    page.press("Escape", "n", "j", "k", "ArrowDown")
    page.settled()
    page.press("?")
    assert page.page.locator("#help").is_visible()
    page.press("Escape")
    assert page.page.locator("#help").is_hidden()

    page.page.locator("#train-button").focus()  # Enter draws, and does not press it
    page.press("s", "Enter", "ArrowRight", "Enter")
    page.settled()
    assert page.state(page.number)["strokes"][-1]["action"] == "scribble"


def test_the_focus_goes_round_and_is_seen(
    visit: Visitor, serve: Serve, small_toy: Material
) -> None:
    page = visit(serve(small_toy).url).open()
    seen = []
    for _ in range(60):
        page.press("Tab")
        place = page.page.evaluate(
            "(() => { const at = document.activeElement; const style = getComputedStyle(at);"
            "return [at.id || at.dataset.tool || at.className || at.tagName, style.outlineStyle,"
            " at.getAttribute('aria-label') || at.innerText || at.title || at.labels?.length] })()"
        )
        seen.append(place)
    names = [name for name, _, _ in seen]
    assert {"search", "gallery", "canvas", "scribble", "strategy", "opacity"} <= set(names)
    assert names.count("search") >= 1
    assert [name for name, outline, _ in seen if outline == "none" and name != "BODY"] == []
    assert [name for name, _, words in seen if not words and name != "BODY"] == []


def test_boxes_are_moved_by_their_corners_and_removed(
    visit: Visitor, serve: Serve, small_toy: Material
) -> None:
    page = visit(serve(small_toy).url).open()
    number = page.number
    page.press("b", "2")
    page.drag([(10, 10), (20, 20)])
    page.settled()
    page.page.mouse.click(*page.at((10, 15)))
    page.drag([(20, 20), (40, 30)])
    page.settled()
    box = page.state(number)["boxes"][-1]
    assert np.abs(np.array(box["points"]) - [[10, 10], [40, 30]]).max() <= 0.5
    count = len(page.state(number)["boxes"])
    page.page.mouse.click(*page.at((10, 15)))
    page.press("Delete")
    page.settled()
    assert len(page.state(number)["boxes"]) == count - 1


def test_the_next_images_are_made_ready(visit: Visitor, serve: Serve, small_toy: Material) -> None:
    page = visit(serve(small_toy).url)
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url))
    page.open().settled()
    page.wait(lambda: len([url for url in asked if "/target" in url]) == 3, "not made ready")
    page.settled()
    asked.clear()
    page.press("a")
    page.leaves(0)
    page.settled()
    shown = [url for url in asked if f"/images/{page.number}/" in url]
    assert [url for url in shown if "target" in url or "photo" in url] == []


def test_what_is_chosen_on_the_page_estimates_the_target(
    visit: Visitor, serve: Serve, small_toy: Material
) -> None:
    page = visit(serve(small_toy).url)
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url))
    page.open().settled()
    page.page.select_option("#strategy", "boxes_crf")
    page.settled()
    page.wait(lambda: any("strategy=boxes_crf" in url for url in asked), "nothing was asked")
    page.page.select_option("#strategy", "points")  # which needs clicks
    page.may_fail = True
    page.until("#notices", "No target")


def test_seconds_of_work_go_with_what_was_done(
    visit: Visitor, serve: Serve, small_toy: Material
) -> None:
    served = serve(small_toy)
    page = visit(served.url).open()
    number = page.number
    page.page.wait_for_timeout(600)
    page.press("s", "1")
    page.drag([(10, 10), (20, 20)])
    page.settled()
    assert 0.5 < page.posted[-1]["seconds"] < 30
    assert page.posted[-1]["who"] == "tester"
    page.page.wait_for_timeout(600)
    before = page.state(number)["seconds"]
    page.page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
    page.page.wait_for_load_state("networkidle")
    page.page.wait_for_timeout(200)
    assert page.state(number)["seconds"] >= before + 0.5
    page.drag([(10, 30), (20, 40)])
    page.settled()
    assert page.text("#notices") == ""


def test_a_pause_is_not_counted(visit: Visitor, serve: Serve, small_toy: Material) -> None:
    page = visit(serve(small_toy).url).open()
    counted = page.page.evaluate(
        """async () => {
          const { Timer } = await import("/static/timer.js");
          let now = 0;
          const timer = new Timer(() => now);
          const taken = [];
          now = 10; timer.active(); now = 15; taken.push(timer.take());
          now = 16; timer.active(); now = 500; taken.push(timer.take());
          now = 600; timer.active();
          now = 602; taken.push(timer.take());
          timer.pause(); now = 700; timer.active();
          timer.resume(); now = 701; taken.push(timer.take());
          return taken;
        }"""
    )
    assert counted == [15, 31, 2, 1]


def test_names_from_strangers_are_shown_as_text(
    visit: Visitor, serve: Serve, unannotated: Material, photos: Path
) -> None:
    evil = "<img src=x onerror=document.title='caught'>"
    (photos / "a.png").rename(photos / f"{evil}.png")
    unannotated.data.__dict__.pop("files", None)
    page = visit(serve(unannotated).url)
    queue = {
        "images": [
            {
                "number": 0,
                "name": evil,
                "score": 0.5,
                "reasons": [evil],
                "status": None,
                "edits": 0,
                "broken": None,
            }
        ],
        "counts": {},
    }
    page.page.route("**/api/queue", lambda route: route.fulfill(body=json.dumps(queue)))
    page.may_fail = True  # the file has another name now
    page.open()
    page.page.fill("#new-class-name", evil)
    page.page.press("#new-class-name", "Enter")
    page.until("#classes", evil)
    assert evil in page.text("#gallery")
    assert evil in page.text("#tags")
    assert "caught" not in page.page.title()
    assert page.page.locator("img[src=x]").count() == 0
