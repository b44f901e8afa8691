"""A browser for all tests here, and pages to visit with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from tests.reviewing.browser.pages import PATIENCE, Served, Visit, Visitor
from weakseg.reviewing.material import Material, material_of_recipe
from weakseg.reviewing.serving import serving
from weakseg.reviewing.session import ReviewSession

NAMES = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1300, "height": 850}


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window; tests skip themselves where there is none."""
    pytest.importorskip("starlette", reason="needs the review extra")
    pytest.importorskip("uvicorn", reason="needs the review extra")
    api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"needs a browser: none of {', '.join(NAMES)} is on the PATH")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Visitor]:
    """Visit an address. At the end, no page may have had an error, or asked another host."""
    contexts = []
    visits = []

    def visited(url: str, context: Any = None, hint: bool = False, **options: Any) -> Visit:
        if context is None:
            context = browser.new_context(**{"viewport": SIZE, **options})
            context.set_default_timeout(PATIENCE)
            contexts.append(context)
        if not hint:
            seen = "localStorage.setItem('weakseg-review-hint-seen', 'yes')"
            context.add_init_script(f"try {{ {seen} }} catch {{}}")
        visits.append(Visit(context.new_page(), url))
        return visits[-1]

    yield visited
    complaints = [complaint for each in visits for complaint in each.complaints()]
    for context in contexts:
        context.close()
    assert complaints == []


def photo(path: Path, colour: str, shape: tuple[int, int, int, int]) -> None:
    """A grey photo of 64x48 pixels with a disc of a colour."""
    image = Image.new("RGB", (64, 48), "#9aa0a6")
    ImageDraw.Draw(image).ellipse(shape, fill=colour)
    image.save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three photos with nothing annotated."""
    root = tmp_path / "photos"
    root.mkdir()
    photo(root / "a.png", "#d03030", (10, 10, 30, 30))
    photo(root / "b.png", "#3050d0", (30, 12, 50, 32))
    photo(root / "c.png", "#30a040", (20, 20, 44, 44))
    return root


@pytest.fixture
def small_toy(tmp_path: Path) -> Material:
    """Eight images of the toy set with boxes, reviewed before any training."""
    sections = {
        "data": {"train": 8, "val": 2, "size": 64},
        "rounds": {"folder": str(tmp_path / "labels")},
    }
    return material_of_recipe("boxes_rect", tmp_path / "corrections", sections, "cpu")


@pytest.fixture
def make_unannotated(photos: Path, tmp_path: Path) -> Callable[[], Material]:
    """Photos without any annotation, as they are when it is called."""
    sections = {
        "data": {"name": "folder", "root": str(photos)},
        "rounds": {"folder": str(tmp_path / "labels")},
    }
    return lambda: material_of_recipe(None, None, sections, "cpu")


@pytest.fixture
def unannotated(make_unannotated: Callable[[], Material]) -> Material:
    """Photos without any annotation."""
    return make_unannotated()


@pytest.fixture
def serve() -> Iterator[Callable[[Material], Served]]:
    """Serve what is reviewed, in this process, until the test ends."""
    with ExitStack() as stack:

        def served(material: Material) -> Served:
            session = ReviewSession(material, who="tester")
            address = stack.enter_context(serving(session))
            return Served(address.url, session, material.corrections)

        yield served
