"""The recipes for VOC 2012 train, unchanged but for size, on a small folder in its layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.layouts import voc
from weakseg.config.recipe import list_recipes, load
from weakseg.fit import main

RECIPES = [name for name in list_recipes() if name.startswith("voc_")]
SMALL = [
    "network.weights=null",
    "network.width=0.02",
    "data.batch_size=2",
    "data.workers=0",
    "trainer.max_steps=1",
    "trainer.log_every_n_steps=1",
]


def test_there_is_one_for_each_kind_of_annotation() -> None:
    assert RECIPES == ["voc_boxes", "voc_full", "voc_scribbles", "voc_tags"]


@pytest.mark.parametrize("name", RECIPES)
# far too small for the dilation of this network
@pytest.mark.filterwarnings("ignore:with images of")
def test_it_trains_and_is_measured_with_the_crf(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    voc(tmp_path)
    words = [*SMALL, "data.root=VOCdevkit", "data.train=train"]
    words += ["rounds.workers=0"] if name != "voc_tags" else []
    words += ["data.crop=16"] if name != "voc_tags" else []
    words += ["data.simulated=true"] if name == "voc_scribbles" else []
    run = main([f"recipe={name}", *words])
    assert "val/miou" in (run / "metrics.csv").read_text()
    assert (run / "report.html").is_file()


@pytest.mark.parametrize("name", RECIPES)
def test_its_schedule_is_the_papers(name: str) -> None:
    sections = load([f"recipe={name}", "data.root=VOCdevkit"]).sections
    epochs, last = 10582 // 8, sections["trainer"]["max_steps"]
    assert last == (3 * 45 * epochs if name == "voc_scribbles" else 6000)
    assert (
        "aims at"
        in (Path(__file__).parents[3] / "recipes" / f"{name}.yaml").read_text().partition("\n")[0]
    )
