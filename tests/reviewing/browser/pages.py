"""What tests in a browser share: a visited page, and what a person does on it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from weakseg.reviewing.material import Material
from weakseg.reviewing.session import ReviewSession

PATIENCE = 15_000  # ms for anything that a page waits for; a busy machine is slow
PAUSE = 40  # ms
MARGIN = 16  # CSS pixels around an image that is shown whole
FAILED = "Failed to load resource"  # what the console says of every answer with an error

Point = tuple[float, float]


class Visit:
    """A page in a browser, and everything that it should not have done.

    Args:
        page: of Playwright.
        url: the address with the secret.
    """

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.url = url
        self.origin = url.partition("/?")[0]
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.posted: list[dict[str, Any]] = []
        self._wire: Any = None
        self._sizes: dict[int, tuple[int, int]] = {}
        self.may_fail = False
        """whether answers with errors are what is tested"""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._request)

    def _console(self, message: Any) -> None:
        expected = self.may_fail and FAILED in message.text
        if message.type in ("error", "warning") and not expected:
            self.errors.append(message.text)

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.origin, "blob:", "data:")):
            self.elsewhere.append(request.url)
        if request.method == "POST" and request.url.endswith("/events"):
            self.posted.append(json.loads(request.post_data)["event"])

    def open(self, where: str = "") -> Visit:
        """Go to the page as the command prints it, or to a part of it."""
        self.page.goto(f"{self.origin}/{where}" if where else self.url)
        return self.ready()

    def ready(self) -> Visit:
        """Wait until the first image is there."""
        self.page.wait_for_selector("html[data-ready]", state="attached")
        return self

    def send(self, method: str, parameters: dict[str, Any]) -> None:
        """Speak to the browser's own interface, which knows pens and fingers."""
        if self._wire is None:
            self._wire = self.page.context.new_cdp_session(self.page)
        self._wire.send(method, parameters)

    def complaints(self) -> list[str]:
        """What is wrong with any page: errors, and requests to somebody else."""
        return [*self.errors, *(f"request to {address}" for address in self.elsewhere)]

    # what the server knows

    def state(self, number: int) -> dict[str, Any]:
        """An image as the server describes it now."""
        answer = self.page.request.get(f"{self.origin}/api/images/{number}")
        found: dict[str, Any] = answer.json()
        return found

    def layer(self, number: int, name: str) -> np.ndarray[Any, Any]:
        """A layer of an image, uint8 [H,W,4]."""
        answer = self.page.request.get(f"{self.origin}{self.state(number)['layers'][name]}")
        assert answer.ok, answer.text()
        return np.asarray(Image.open(io.BytesIO(answer.body())).convert("RGBA"))

    # what a person sees

    @property
    def number(self) -> int:
        """Of the image that is shown."""
        return int(self.page.evaluate("location.hash.slice(1)"))

    def text(self, selector: str) -> str:
        """The words in a part of the page."""
        found: str = self.page.inner_text(selector)
        return found.strip()

    def pixel(self, point: Point) -> tuple[int, ...]:
        """The colour on the screen at a position of the image."""
        x, y = self.at(point)
        content = self.page.screenshot(clip={"x": x, "y": y, "width": 1, "height": 1})
        return Image.open(io.BytesIO(content)).convert("RGB").getpixel((0, 0))

    # what a person does

    def press(self, *keys: str) -> None:
        """Press one key after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def at(self, point: Point) -> Point:
        """Where a position of the image is on the screen, while it is shown whole."""
        box = self.page.locator("#canvas").bounding_box()
        width, height = self._size()
        scale = min((box["width"] - 2 * MARGIN) / width, (box["height"] - 2 * MARGIN) / height, 64)
        left = box["x"] + (box["width"] - width * scale) / 2
        top = box["y"] + (box["height"] - height * scale) / 2
        return left + point[0] * scale, top + point[1] * scale

    def _size(self) -> tuple[int, int]:
        if self.number not in self._sizes:  # the server may be gone later
            state = self.state(self.number)
            self._sizes[self.number] = state["width"], state["height"]
        return self._sizes[self.number]

    def drag(self, points: Sequence[Point], up: bool = True) -> None:
        """Draw with the mouse through positions of the image."""
        places = [self.at(point) for point in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=3)
        if up:
            self.page.mouse.up()

    def retry(self) -> None:
        """Try at once what could not be saved; the page may have done so by itself already."""
        self.page.evaluate("document.querySelector('#retry').click()")

    def settled(self) -> None:
        """Wait until all is saved, and the target is there again."""
        self.page.wait_for_selector('#saving[data-state="saved"]')
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_selector("#estimating", state="hidden")

    def until(self, selector: str, words: str) -> None:
        """Wait until a part of the page says something."""
        self.wait(lambda: words in self.text(selector), f"{selector} never said {words!r}")

    def leaves(self, number: int) -> None:
        """Wait until another image is shown."""
        self.wait(lambda: self.number != number, f"image {number} is still shown")

    def wait(self, happened: Callable[[], bool], complaint: str) -> None:
        """Wait until something has happened. (What Playwright has for that needs a page without a
        content security policy.)"""
        for _ in range(PATIENCE // PAUSE):
            if happened():
                return
            self.page.wait_for_timeout(PAUSE)
        raise AssertionError(complaint)


class Served(NamedTuple):
    """A session that a server in this process shows."""

    url: str
    session: ReviewSession
    corrections: Path


Visitor = Callable[..., Visit]
Serve = Callable[[Material], Served]


def events_in(corrections: Path) -> list[str]:
    """The actions in all files of a folder of corrections, but for looks."""
    files = sorted((corrections / "images").rglob("*.json"))
    events: Iterable[Any] = (
        event for file in files for event in json.loads(file.read_text())["events"]
    )
    return [event["action"] for event in events if event["action"] != "look"]
