"""Pages with pictures: their scripts draw what they should, they show what the scripts draw, and
their Python runs."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from tests.data.layouts import HEIGHT, WIDTH, indexed, photo, square
from tests.small import TinyNet
from weakseg.config.recipe import load as load_recipe
from weakseg.config.recipe import resolve
from weakseg.functional.crf import DenseCRF
from weakseg.networks import NAMES, DeepLabV1, FCN32s
from weakseg.networks.analysis.gridding import check_dilation

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "explanation" / "dense-crf.md").read_text()
HOW_TO = {name: (DOCS / "how-to" / f"{name}.md").read_text() for name in ("scribbles", "points")}


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "draw_crf.py"))


def test_a_tile_is_in_colour_where_the_crf_sees_the_object(script: dict[str, Any]) -> None:
    blue = torch.tensor([30, 60, 200], dtype=torch.uint8)[:, None, None].repeat(1, 40, 60)
    blue[:, 10:30, 15:45] = torch.tensor([250, 120, 20], dtype=torch.uint8)[:, None, None]
    scene = script["scene"](blue, (12, 8, 48, 32))
    drawn = script["draw"](
        scene, (0, 0, 60, 40), [[("left", DenseCRF()), ("right", DenseCRF(iterations=2))]]
    )
    tile = (script["WIDTH"] - script["GAP"]) // 2
    assert drawn.size == (script["WIDTH"], script["CAPTION"] + round(40 * tile / 60))
    pixels = np.asarray(drawn.convert("RGB")).astype(int)
    middle, corner = pixels[script["CAPTION"] + 160, tile // 2], pixels[script["CAPTION"] + 10, 10]
    assert abs(middle - [250, 120, 20]).max() < 8
    assert np.ptp(corner) == 0
    assert (pixels[: script["CAPTION"], :tile] < 100).any()  # the caption


def test_the_page_shows_every_picture_that_is_drawn(script: dict[str, Any]) -> None:
    drawn = {"crf-start.png", *(f"crf-{name}.png" for name, _, _ in script["figures"]())}
    assert (
        set(re.findall(r"\]\(pictures/(.*?)\)", PAGE))
        == drawn
        == {path.name for path in script["PICTURES"].iterdir()}
    )


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


# scribbles and points -----------------------------------------------------------------------------


@pytest.fixture
def scribbles(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(DOCS)  # it draws with the other script
    return runpy.run_path(str(DOCS / "draw_scribbles.py"))


def tile_of(
    drawn: Image.Image, script: dict[str, Any], row: int, column: int, columns: int, height: int
) -> np.ndarray:
    """The pixels of a square tile of a picture."""
    width = (drawn.width - script["GAP"] * (columns - 1)) // columns
    top, left = (
        row * (script["CAPTION"] + height + script["GAP"]) + script["CAPTION"],
        column * (width + script["GAP"]),
    )
    return np.asarray(drawn.convert("RGB")).astype(int)[top : top + height, left : left + width]


def test_rounds_are_cut_from_a_network_that_is_trained_in_between(
    scribbles: dict[str, Any], script: dict[str, Any]
) -> None:
    pl.seed_everything(0)
    album = scribbles["Album"](8, 48)
    scribbles["train"](album, TinyNet(classes=5), 1)
    assert len(album.rounds) == scribbles["ROUNDS"]
    assert album.rounds[0].keys() == {album.sample(index)[0].id for index in range(8)}
    assert any(
        not torch.equal(album.rounds[0][image], target) for image, target in album.rounds[1].items()
    )
    drawn = scribbles["draw_rounds"](album, (0, 3))
    size = (script["WIDTH"] - 5 * script["GAP"]) // 6
    assert drawn.size == (
        6 * (size + script["GAP"]) - script["GAP"],
        2 * (size + script["CAPTION"] + script["GAP"]) - script["GAP"],
    )
    for row, index in enumerate((0, 3)):
        colour = scribbles["COLOURS"][int(album.sample(index)[1].max())].numpy()
        truth = tile_of(drawn, script, row, 5, 6, size)
        towards = ((truth - truth.mean(-1, keepdims=True)) * (colour - colour.mean())).sum(
            -1
        ) > 1000
        inside = album.sample(index)[1] > 0
        assert towards.mean() == pytest.approx(inside.double().mean().item(), abs=0.03)


def test_what_is_near_and_alike_by_hand(scribbles: dict[str, Any]) -> None:
    image = torch.zeros(3, 2, 4, dtype=torch.uint8)
    image[0, :, 2:] = 30
    found = scribbles["pull"](image, 1, 1, 2, 30)
    assert found[1, 1] == 1
    assert found[0, 0].item() == pytest.approx(np.exp(-2 / 8))
    assert found[1, 3].item() == pytest.approx(np.exp(-4 / 8 - 1 / 2))


def test_scribbles_of_the_photo_are_lines_of_two_classes(scribbles: dict[str, Any]) -> None:
    few, many = map(scribbles["coffee"], scribbles["SCRIBBLES"].values())
    for evidence in (few, many):
        evidence.check(5)
        assert set(evidence.marks.unique().tolist()) == {0, 3, 255}
        assert 0.003 < (evidence.marks != 255).double().mean().item() < 0.05
    assert torch.equal(few.marks == 0, many.marks == 0)
    assert (few.marks[few.marks == 3] == many.marks[few.marks == 3]).all()


def test_the_pages_show_every_picture_that_is_drawn(scribbles: dict[str, Any]) -> None:
    shown = {
        picture for page in HOW_TO.values() for picture in re.findall(r"\]\(pictures/(.*?)\)", page)
    }
    saved = set(re.findall(r'PICTURES / "(.*?)"', (DOCS / "draw_scribbles.py").read_text()))
    assert shown == saved
    of_all_pages = {
        picture
        for page in scribbles["PICTURES"].parent.glob("*.md")
        for picture in re.findall(r"\]\(pictures/(.*?)\)", page.read_text())
    }
    assert of_all_pages == {path.name for path in scribbles["PICTURES"].iterdir()}
    assert all(path.stat().st_size < 150_000 for path in scribbles["PICTURES"].iterdir())


@pytest.mark.slow
def test_the_script_draws_all_of_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(DOCS)
    script = runpy.run_path(str(DOCS / "draw_scribbles.py"))
    saved = re.findall(r'PICTURES / "(.*?)"', (DOCS / "draw_scribbles.py").read_text())
    committed = {name: Image.open(script["PICTURES"] / name).size for name in saved}
    script["main"].__globals__["PICTURES"] = tmp_path / "pictures"
    script["main"]()
    assert {
        path.name: Image.open(path).size for path in (tmp_path / "pictures").iterdir()
    } == committed


def test_the_words_of_the_page_read_scribbles(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "tom.png")
    values = np.full((HEIGHT, WIDTH), 255)
    values[3, 2:9], values[8, 1:5] = 2, 0
    indexed(tmp_path / "scribbles" / "tom.png", values)
    indexed(tmp_path / "masks" / "tom.png", square(2))
    check, fit = re.findall(
        r"^python -m weakseg\.(?:check|fit) (.*data=folder(?:.*\\\n)?.*)$",
        HOW_TO["scribbles"],
        re.MULTILINE,
    )
    for words in (check, fit):
        one_line = words.replace("\\\n", " ").replace("data.root=photos", f"data.root={tmp_path}")
        at = shlex.split(one_line)
        recipe = resolve(load_recipe(at if "recipe=" in words else ["recipe=full", *at]))
        evidence, truth = recipe.build("data").sample(0)
        assert (evidence.marks.numpy() == values).all()
        assert (truth is None) == (words is check)


def test_the_python_of_the_pages_runs() -> None:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", "".join(HOW_TO.values()), re.DOTALL):
        exec(block, names)
    assert names["marks"].shape == (20, 30)
    assert (names["marks"][3, 10], names["marks"][0, 0]) == (1, 0)
    assert (names["marks"] != 255).sum() == 2


# the page about the networks ----------------------------------------------------------------------

FAMILY_PAGE = (DOCS / "explanation" / "networks.md").read_text()
FAMILY = [name for name in NAMES if name not in ("maskrcnn", "dpt")]
"""what has a figure; instances and transformers are other families"""


@pytest.fixture(scope="module")
def family() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "draw_networks.py"))


@pytest.mark.parametrize("name", FAMILY)
def test_the_page_says_what_is_measured_on_the_network(family: dict[str, Any], name: str) -> None:
    assert family["with_figure"](FAMILY_PAGE, name) == FAMILY_PAGE, (
        "run python docs/draw_networks.py"
    )
    assert family["with_row"](FAMILY_PAGE, name) == FAMILY_PAGE, "run python docs/draw_networks.py"


def test_a_figure_is_measured_and_not_typed(family: dict[str, Any]) -> None:
    thin = FCN32s(classes=5, width=1 / 8, output_stride=16).eval()
    drawn = family["measure"](
        thin, ["image", "encoder.features[24:31]", "encoder.fc.0.fc6", "head", "@"]
    )
    assert drawn == {
        "image": ["3 /1"],
        "encoder.features[24:31]": ["64 /16"],
        "encoder.fc.0.fc6": ["512 /16", "7x7", "rate 2"],
        "head": ["5 /16", "1x1"],
        "@": ["5 /16"],
    }


def test_the_least_crop_of_the_page_is_where_the_warning_ends() -> None:
    least = int(re.search(r"^\| \[`deeplabv1`\].* (\d+) \|$", FAMILY_PAGE, re.MULTILINE)[1])
    network = DeepLabV1(classes=2, width=1 / 16)
    assert not check_dilation(network, (least, least))
    assert check_dilation(network, (least - 8, least - 8))


def test_the_tree_is_the_one_that_is_drawn_and_has_every_network(family: dict[str, Any]) -> None:
    drawn = family["tree"]()
    assert (DOCS / "explanation" / "networks.svg").read_text() == drawn, (
        "run python docs/draw_networks.py"
    )
    assert sorted(re.findall(r'class="name">(\w+)<', drawn)) == sorted(FAMILY)


def commands(page: str) -> set[str]:
    """Every `network=name` with its keys; keys that stand alone in the part about a network are
    keys of that one."""
    found = set(re.findall(r"(network=\w+(?: network\.[^\s`)]+)*)", page))
    for part in page.split("\n### ")[1:]:
        name, text = part.split("\n## ")[0].split("\n", 1)
        found |= {
            f"network={name} {words}" for words in re.findall(r"`(network\.\w+=[^`]+)`", text)
        }
    return found


def test_every_command_of_the_page_makes_a_network() -> None:
    found = commands(FAMILY_PAGE)
    assert len(found) > 20
    for words in found:
        recipe = resolve(load_recipe(["recipe=boxes", *words.split()]))
        with torch.device("meta"):
            recipe.build("network", classes=2)


def test_the_python_of_the_page_about_networks_runs(capsys: pytest.CaptureFixture[str]) -> None:
    [block] = re.findall(r"```python\n(.*?)```", FAMILY_PAGE, re.DOTALL)
    exec(block.replace("0.125", "1 / 64"), {})
    assert "head" in capsys.readouterr().out
