"""The picture of docs/explanation/corrections.md: what its script draws is on the page, and shows
what the page says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from weakseg.evidence import IGNORE
from weakseg.strategies.base import Context
from weakseg.training.targets import correct_target, target_of

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "explanation" / "corrections.md").read_text()


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        return runpy.run_path(str(DOCS / "draw_corrections.py"))


def test_the_page_shows_the_picture_that_is_drawn(script: dict[str, Any]) -> None:
    assert script["PICTURE"].parent == DOCS / "explanation"
    assert re.findall(r"!\[.*?\]\((.*?)\)", PAGE) == [script["PICTURE"].name]
    assert script["PICTURE"].stat().st_size < 160_000


def test_strokes_carry_on_as_the_picture_shows(script: dict[str, Any]) -> None:
    for scene in script["scenes"]():
        strokes = script["strokes_of"](scene)
        evidence = script["evidence_of"](scene)
        evidence.check(script["OBJECT"] + 1)
        target = target_of(scene.strategy, evidence, Context(), script["OBJECT"] + 1).labels
        found = correct_target(target, evidence._replace(strokes=strokes))
        drawn = (strokes != IGNORE).sum()
        assert 0 < drawn < 0.02 * strokes.numel()
        assert bool((found[strokes != IGNORE] == scene.label).all())
        assert set(found[found != target].tolist()) == {scene.label}
        assert (found != target).sum() > 2 * drawn


def test_a_stroke_has_a_dark_rim(script: dict[str, Any]) -> None:
    strokes = torch.full((20, 30), IGNORE, dtype=torch.uint8)
    strokes[9:11, 10:20] = script["OBJECT"]
    drawn = script["overdrawn"](Image.new("RGB", (30, 20), "white"), strokes)
    assert drawn.getpixel((15, 9)) == (0, 130, 255)
    assert max(drawn.getpixel((15, 8))) < 100
    assert drawn.getpixel((2, 2)) == (255, 255, 255)
