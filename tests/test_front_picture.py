"""The picture at the top of the README and of the docs' front page."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from tests.small import TinyNet
from weakseg import Evidence, Segmenter
from weakseg.config.recipe import load, resolve
from weakseg.data.toy import Toy

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "front.svg"
SVG = "{http://www.w3.org/2000/svg}"
TILES = 15


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "draw_front.py"))


def words_of(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_readme_and_docs_begin_with_it_and_say_what_it_shows() -> None:
    readme = (ROOT / "README.md").read_text().split("\n## ")[0]
    index = (ROOT / "docs" / "index.md").read_text().split("\n## ")[0]
    [first] = re.findall(r"!\[(.*?)\]\(docs/front\.svg\)", readme, re.DOTALL)
    [second] = re.findall(r"!\[(.*?)\]\(front\.svg\)", index, re.DOTALL)
    assert first.split() == second.split()
    assert [
        kind
        for kind in ("tags", "clicks", "scribbles", "boxes", "pseudo-label", "prediction")
        if kind not in first
    ] == []


def test_it_is_small_and_needs_nothing_from_elsewhere() -> None:
    assert PICTURE.stat().st_size < 300_000
    elements = list(ElementTree.parse(PICTURE).iter())
    assert not {element.tag for element in elements} & {
        f"{SVG}script",
        f"{SVG}foreignObject",
        f"{SVG}style",
    }
    links = [element.attrib["href"] for element in elements if "href" in element.attrib]
    assert [link for link in links if not link.startswith(("#", "data:image/jpeg;base64,"))] == []


def test_it_names_every_kind_with_the_seconds_that_the_benchmark_counts(
    script: dict[str, Any],
) -> None:
    source = (ROOT / "weakseg" / "evaluation" / "annotation_cost.py").read_text()
    seconds = dict(
        re.findall(
            r'"(\w+)": ([\d.]+)', re.search(r"^SECONDS = \{(.*?)\}", source, re.MULTILINE)[1]
        )
    )  # type: ignore[index]
    words = words_of(PICTURE.read_text())
    for kind in script["KINDS"]:
        assert kind.seconds == f"{float(seconds[kind.evidence]):.0f} s"
        assert {kind.name, f"{kind.seconds} per image"} <= set(words)
    assert "full mask: 240 s" in words
    assert len([word for word in words if re.fullmatch(r"mIoU 0\.\d\d", word)]) == len(
        script["KINDS"]
    )
    assert len(re.findall(r'clip-path="url\(#tile\)"', PICTURE.read_text())) == TILES


def test_labels_become_areas_and_what_is_ignored_is_hatched(script: dict[str, Any]) -> None:
    labels = torch.zeros(script["SIZE"], script["SIZE"], dtype=torch.uint8)
    labels[28:84, 28:56] = 2
    labels[100:] = 255
    area, hatched = script["regions"](labels)
    assert script["COLOURS"][2] in area
    assert "url(#ignored)" in hatched
    places = torch.tensor(
        [
            [float(number) for number in pair.split(",")]
            for pair in re.findall(r"[\d.]+,[\d.]+", area)
        ]
    )
    scale = script["TILE"] / script["SIZE"]
    expected = torch.tensor([[28, 28], [56, 84]]) * scale
    assert (torch.stack([places.amin(0), places.amax(0)]) - expected).abs().max() < 0.5
    assert list(script["legend"](labels)) == []  # an eighth
    assert "ignored" in "".join(script["legend"](torch.full_like(labels, 255)))


def test_evidence_is_drawn_where_it_is(script: dict[str, Any]) -> None:
    image = torch.zeros(3, script["SIZE"], script["SIZE"], dtype=torch.uint8)
    names = ("background", "leaf", "wheel", "fish", "umbrella")
    box = "".join(
        script["annotations"](
            Evidence(
                "", image, boxes=torch.tensor([[28.0, 14, 84, 56]]), box_classes=torch.tensor([3])
            ),
            names,
        )
    )
    assert 'x="54.0" y="27.0" width="108.0" height="81.0"' in box
    assert script["COLOURS"][3] in box
    marks = torch.full(image.shape[1:], 255, dtype=torch.uint8)
    marks[27, 55] = 1
    click = "".join(script["annotations"](Evidence("", image, marks=marks), names))
    assert 'cx="107.0" cy="53.0"' in click
    marks[60:63, 20:100] = 0
    assert "<path" in "".join(script["annotations"](Evidence("", image, marks=marks), names))
    tags = "".join(
        script["annotations"](
            Evidence("", image, tags=torch.tensor([True, False, True, False, True])), names
        )
    )
    assert re.findall(r">(\w+)<", tags) == ["umbrella", "wheel"]


def test_the_finer_scenes_are_the_scenes_that_networks_see(script: dict[str, Any]) -> None:
    sizes = (script["TRAIN"], script["VAL"], script["SIZE"])
    factor = script["FINER"]
    for index in (script["ANNOTATED"], script["UNSEEN"]):
        _, seen = Toy(*sizes).sample(index)
        _, fine = Toy(sizes[0], sizes[1], sizes[2] * factor).sample(index)
        assert (
            seen != fine[factor // 2 :: factor, factor // 2 :: factor]
        ).double().mean() < 0.05  # their rims


def test_every_kind_has_a_target(script: dict[str, Any]) -> None:
    for kind in (script["FULL"], *script["KINDS"]):
        toy = Toy(1, 0, 64, evidence=kind.evidence)
        strategy = resolve(load([f"recipe={kind.recipe}"])).build("strategy", classes=5)
        segmenter = Segmenter(TinyNet(classes=5), strategy, toy.classes)
        with torch.no_grad():
            labels = script["target"](segmenter, toy.sample(0)[0])
        assert labels.dtype == torch.uint8
        assert labels.shape == (64, 64)


@pytest.mark.slow
def test_the_script_trains_and_draws(script: dict[str, Any], tmp_path: Path) -> None:
    script["main"].__globals__["PICTURE"] = tmp_path / "front.svg"
    small = [
        "data.train=8",
        "data.val=2",
        "data.size=64",
        "data.batch_size=4",
        "rounds.workers=0",
        "trainer.max_steps=1",
    ]
    script["main"](tmp_path, *small)
    drawn = (tmp_path / "front.svg").read_text()
    titles = [
        word
        for word in words_of(PICTURE.read_text())
        if word.startswith(("weakseg", "and trains", "annotate"))
    ]
    assert len(titles) == 3
    assert set(titles) <= set(words_of(drawn))
    assert drawn.count('clip-path="url(#tile)"') == TILES
    runs = sorted(tmp_path.glob("*/*/report.html"))
    script["main"](tmp_path, *small)  # from the runs that are there
    assert sorted(tmp_path.glob("*/*/report.html")) == runs
    assert (tmp_path / "front.svg").read_text() == drawn
