"""The pages about the dense CRF and the networks: their scripts draw what they should, and the pages show what the scripts draw."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from weakseg.functional.crf import DenseCRF
from weakseg.networks import NAMES, DeepLabV1, FCN32s
from weakseg.networks.gridding import check_dilation
from weakseg.recipe import build_section
from weakseg.recipe import load as load_recipe

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


# the page about the networks ---------------------------------------------------------------------------------------------------------

FAMILY_PAGE = (DOCS / "explanation" / "networks.md").read_text()
FAMILY = [name for name in NAMES if name != "maskrcnn"]
"""what has a figure; instances are another family"""


@pytest.fixture(scope="module")
def family() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "draw_networks.py"))


@pytest.mark.parametrize("name", FAMILY)
def test_the_page_says_what_is_measured_on_the_network(family: dict[str, Any], name: str) -> None:
    assert family["with_figure"](FAMILY_PAGE, name) == FAMILY_PAGE, "run python docs/draw_networks.py"
    assert family["with_row"](FAMILY_PAGE, name) == FAMILY_PAGE, "run python docs/draw_networks.py"


def test_a_figure_is_measured_and_not_typed(family: dict[str, Any]) -> None:
    thin = FCN32s(classes=5, width=1 / 8, output_stride=16).eval()
    drawn = family["measure"](thin, ["image", "encoder.features[24:31]", "encoder.fc.0.fc6", "head", "@"])
    assert drawn == {
        "image": ["3 /1"],
        "encoder.features[24:31]": ["64 /16"],
        "encoder.fc.0.fc6": ["512 /16", "7x7", "rate 2"],
        "head": ["5 /16", "1x1"],
        "@": ["5 /16"],
    }


def test_the_least_crop_of_the_page_is_where_the_warning_ends() -> None:
    least = int(re.search(r"^\| \[`deeplabv1`\].* (\d+) \|$", FAMILY_PAGE, re.MULTILINE)[1])  # type: ignore[index]
    network = DeepLabV1(classes=2, width=1 / 16)
    assert not check_dilation(network, (least, least))
    assert check_dilation(network, (least - 8, least - 8))


def test_the_tree_is_the_one_that_is_drawn_and_has_every_network(family: dict[str, Any]) -> None:
    drawn = family["tree"]()
    assert (DOCS / "explanation" / "networks.svg").read_text() == drawn, "run python docs/draw_networks.py"
    assert sorted(re.findall(r'class="name">(\w+)<', drawn)) == sorted(FAMILY)


def commands(page: str) -> set[str]:
    """Every `network=name` with its keys; keys that stand alone in the part about a network are keys of that one."""
    found = set(re.findall(r"(network=\w+(?: network\.[^\s`)]+)*)", page))
    for part in page.split("\n### ")[1:]:
        name, text = part.split("\n## ")[0].split("\n", 1)
        found |= {f"network={name} {words}" for words in re.findall(r"`(network\.\w+=[^`]+)`", text)}
    return found


def test_every_command_of_the_page_makes_a_network() -> None:
    found = commands(FAMILY_PAGE)
    assert len(found) > 20
    for words in found:
        recipe = load_recipe(["recipe=boxes", *words.split()])
        with torch.device("meta"):
            build_section(recipe, "network", classes=2)


def test_the_python_of_the_page_about_networks_runs(capsys: pytest.CaptureFixture[str]) -> None:
    [block] = re.findall(r"```python\n(.*?)```", FAMILY_PAGE, re.DOTALL)
    exec(block.replace("0.125", "1 / 64"), {})
    assert "head" in capsys.readouterr().out
