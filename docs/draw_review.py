"""Draws the pictures of docs/how-to/review.md: one session on the review page, in a real browser.

    python docs/draw_review.py [folder]

The recipe `boxes` is trained on the toy set for a minute, so that there is a network to disagree
with. A person's keys and strokes follow, with a picture after each step. Needs the packages of the
extras `review` and `browser`, and a Chromium. A run that is already in the folder is used again;
without a folder it is thrown away.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from weakseg.fit import main as fit
from weakseg.reviewing.material import material_of_run
from weakseg.reviewing.serving import serving
from weakseg.reviewing.session import ReviewSession

PICTURES = Path(__file__).resolve().parent / "how-to" / "pictures"
RUN = Path("runs", "boxes", "latest")
MOST_BYTES = 150_000
WINDOW = (1240, 800)
SIZE = 256  # of the images
MARGIN = 16  # CSS pixels around an image that is shown whole
# strokes on the background of the image that comes first
BACKGROUND = (
    [(106, 160), (118, 200), (126, 240)],
    [(205, 175), (225, 205), (240, 235)],
    [(50, 160), (58, 172), (50, 186)],
)
WORDS = [
    "recipe=boxes",
    "data.train=48",
    "data.val=8",
    f"data.size={SIZE}",
    "data.batch_size=4",
    "rounds.workers=0",
    "trainer.max_steps=150",
]


def main(folder: Path) -> None:
    """Draw all pictures anew, with the run in a folder."""
    os.chdir(folder)  # the pictures show paths as a reader would type them
    if not (RUN / "checkpoints" / "best.ckpt").exists():
        fit(WORDS)
    shutil.rmtree(RUN / "corrections", ignore_errors=True)
    material = material_of_run(str(RUN), "best", None, {}, "cpu")
    with serving(ReviewSession(material, who="a person")) as address, browser() as page:
        page.goto(address.url)
        draw(page)


@contextmanager
def browser() -> Iterator[Page]:
    """A page without a window."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    width, height = WINDOW
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = started.new_page(viewport={"width": width, "height": height})
        page.add_init_script("localStorage.setItem('weakseg-review-hint-seen', 'yes')")
        yield page
        started.close()


def draw(page: Page) -> None:
    """One session, picture by picture."""
    page.wait_for_selector("html[data-ready]", state="attached")
    settle(page)
    picture(page, "review-open")
    keys(page, "s", "0")  # background, where the target has taken it for an object
    for stroke in BACKGROUND:
        drag(page, stroke)
        settle(page)
    picture(page, "review-scribble")
    page.emulate_media(color_scheme="dark")
    keys(page, "d", "u")
    settle(page)
    picture(page, "review-difference")
    page.emulate_media(color_scheme="light")
    keys(page, "d", "u", "a")
    settle(page)
    for verdict in ("a", "n", "x", "a"):
        keys(page, verdict)
        settle(page)
    keys(page, "b", "2")
    page.click("#train-button")
    page.wait_for_timeout(300)
    picture(page, "review-train")


def keys(page: Page, *pressed: str) -> None:
    """Press one key after the other."""
    for key in pressed:
        page.keyboard.press(key)


def drag(page: Page, points: Sequence[tuple[float, float]]) -> None:
    """Draw through points of the image, which is shown whole."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    scale = min(box["width"] - 2 * MARGIN, box["height"] - 2 * MARGIN) / SIZE
    left = box["x"] + (box["width"] - SIZE * scale) / 2
    top = box["y"] + (box["height"] - SIZE * scale) / 2
    places = [(left + x * scale, top + y * scale) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def settle(page: Page) -> None:
    """Wait until everything is saved and shown."""
    page.wait_for_selector('#saving[data-state="saved"]')
    page.wait_for_load_state("networkidle")
    page.wait_for_selector("#estimating", state="hidden", timeout=60_000)
    page.wait_for_timeout(300)


def picture(page: Page, name: str) -> None:
    """A picture of the page as it is."""
    shot: Any = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = PICTURES / f"{name}.webp"
    shot.save(path, quality=82, method=6)
    size = path.stat().st_size
    assert size <= MOST_BYTES, f"{path} has {size} bytes"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with TemporaryDirectory() as scratch:
            main(Path(scratch))
