"""The list of images: five thousand of them scroll without delay."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image

from tests.reviewing.browser.pages import Serve, Visit, Visitor
from weakseg.reviewing.material import Material

pytestmark = pytest.mark.slow

MANY = 5000


def row(number: int) -> dict[str, Any]:
    status = ("accepted", "skipped", "excluded")[number % 3] if number % 10 == 0 else None
    return {
        "number": number,
        "name": f"photo-{number:05d}.jpg",
        "score": 1 - number / MANY,
        "reasons": ["target and prediction disagree", "a box without its class"],
        "status": status,
        "edits": int(number % 7 == 0),
        "broken": None,
    }


@pytest.fixture
def page(visit: Visitor, serve: Serve, small_toy: Material) -> Visit:
    """A page whose queue has five thousand rows, of which the first eight are real."""
    visited = visit(serve(small_toy).url)
    queue = json.dumps({"images": [row(number) for number in range(MANY)], "counts": {}})
    thumbnail = io.BytesIO()
    Image.new("RGB", (160, 120), "#456").save(thumbnail, "JPEG")
    picture = thumbnail.getvalue()
    visited.page.route("**/api/queue", lambda route: route.fulfill(body=queue))
    visited.page.route(
        "**/thumbnail*", lambda route: route.fulfill(body=picture, content_type="image/jpeg")
    )
    return visited.open()


SCROLL = """async () => {
  const list = document.querySelector("#gallery");
  const frames = [];
  let most = 0;
  let before = performance.now();
  for (let frame = 0; frame < 120; frame++) {
    list.scrollTop += 900;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    frames.push(now - before);
    before = now;
    most = Math.max(most, document.querySelectorAll("[role=option]").length);
  }
  frames.sort((one, other) => one - other);
  return { middle: frames[60], most, top: list.scrollTop };
}"""


def test_five_thousand_images_scroll_without_delay(page: Visit) -> None:
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url))
    measured = page.page.evaluate(SCROLL)
    assert measured["top"] > 100_000
    assert measured["most"] < 40
    # half of the frames come in time for 20 per second even on a busy machine; 60 on a free one
    assert measured["middle"] < 50
    page.page.wait_for_timeout(500)
    # thumbnails that fly by are not asked for
    assert 0 < len([url for url in asked if "thumbnail" in url]) < 120
    assert page.page.locator("[role=option] img[src]").count() > 5


def test_the_list_follows_the_keys_the_search_and_the_filter(page: Visit) -> None:
    page.may_fail = True  # most of the images are not there
    page.page.focus("#gallery")
    page.press("End")
    page.until("#name", "photo-04999.jpg")
    chosen = page.page.locator("[role=option][aria-selected=true]")
    assert chosen.get_attribute("aria-posinset") == str(MANY)
    assert chosen.is_visible()
    rows = page.page.locator("[role=option]")
    page.page.fill("#search", "00123")
    page.wait(lambda: rows.count() == 1, "the search finds more")
    page.page.fill("#search", "nothing like that")
    assert page.page.locator("#gallery-empty").is_visible()
    page.page.fill("#search", "")
    page.page.click("[data-filter=excluded]")
    page.wait(lambda: rows.count() > 3, "the filter finds too few")
    marks = page.page.locator("[role=option] .status .mark.excluded").count()
    assert marks == rows.count()
    count = len([1 for number in range(MANY) if row(number)["status"] == "excluded"])
    assert page.text("[data-filter=excluded] b") == str(count)


@pytest.mark.parametrize("size", [(1300, 850), (1024, 768), (500, 850)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_its_place_at_any_width(
    size: tuple[int, int], scheme: str, visit: Visitor, serve: Serve, small_toy: Material
) -> None:
    viewport = {"width": size[0], "height": size[1]}
    page = visit(serve(small_toy).url, viewport=viewport, color_scheme=scheme).open()
    outside = page.page.evaluate(
        """() => [...document.querySelectorAll("header *, main *")].filter((element) => {
          const { left, right, width } = element.getBoundingClientRect();
          const isShown = element.checkVisibility() && width > 1;
          const isOutside = left < -1 || right > innerWidth + 1;
          return isShown && isOutside && !element.closest("svg, select");
        }).map((element) => element.id || element.className || element.tagName)"""
    )
    assert outside == []
    stage = page.page.locator("#stage").bounding_box()
    assert stage is not None
    assert stage["width"] * stage["height"] > 0.4 * size[0] * size[1]


CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (css) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = css;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const linear = (v) => (v <= 10 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map(linear);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const weak = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const isShown = element.checkVisibility() && !element.closest(".off, .hidden");
    if (!text || !isShown || element.matches(":disabled, :disabled *, option")) continue;
    const [one, other] = [light(rgba(getComputedStyle(element).color)), light(behind(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) weak.push(`${element.id || element.className}: ${contrast.toFixed(2)}`);
  }
  return weak;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(
    scheme: str, visit: Visitor, serve: Serve, small_toy: Material
) -> None:
    page = visit(serve(small_toy).url, hint=True, color_scheme=scheme).open()
    page.press("Shift+?")
    assert page.page.evaluate(CONTRAST) == []
