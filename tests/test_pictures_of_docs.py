"""The page about the dense CRF: its script draws what it should, it shows what the script draws, and its Python runs."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from weakseg.functional.crf import DenseCRF

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "explanation" / "dense-crf.md").read_text()


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "draw_crf.py"))


def test_a_tile_is_in_colour_where_the_crf_sees_the_object(script: dict[str, Any]) -> None:
    photo = torch.tensor([30, 60, 200], dtype=torch.uint8)[:, None, None].repeat(1, 40, 60)
    photo[:, 10:30, 15:45] = torch.tensor([250, 120, 20], dtype=torch.uint8)[:, None, None]
    scene = script["scene"](photo, (12, 8, 48, 32))
    drawn = script["draw"](scene, (0, 0, 60, 40), [[("left", DenseCRF()), ("right", DenseCRF(iterations=2))]])
    tile = (script["WIDTH"] - script["GAP"]) // 2
    assert drawn.size == (script["WIDTH"], script["CAPTION"] + round(40 * tile / 60))
    pixels = np.asarray(drawn.convert("RGB")).astype(int)
    middle, corner = pixels[script["CAPTION"] + 160, tile // 2], pixels[script["CAPTION"] + 10, 10]
    assert abs(middle - [250, 120, 20]).max() < 8
    assert np.ptp(corner) == 0
    assert (pixels[: script["CAPTION"], :tile] < 100).any()  # the caption


def test_the_page_shows_every_picture_that_is_drawn(script: dict[str, Any]) -> None:
    drawn = {"crf-start.png", *(f"crf-{name}.png" for name, _, _ in script["figures"]())}
    assert set(re.findall(r"\]\(pictures/(.*?)\)", PAGE)) == drawn == {path.name for path in script["PICTURES"].iterdir()}


def test_the_pictures_are_small(script: dict[str, Any]) -> None:
    assert sum(path.stat().st_size for path in script["PICTURES"].iterdir()) < 600_000


def test_the_python_of_the_page_runs() -> None:
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
    assert [mask.shape for mask in names["masks"]] == [(400, 600), (300, 451)]
    assert 0.6 < names["masks"][0][16:390, 76:480].double().mean() < 0.8
    assert names["logits"].grad.abs().sum() > 0
    assert 0 < names["gated"].item() < 121
    assert 0 < names["dense"].item() < 1
