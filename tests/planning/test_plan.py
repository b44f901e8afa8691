"""A plan from end to end: photographs in a folder, the words that stay, and what is printed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.data.layouts import photo, text, voc_xml
from weakseg.config.auto import KEYS, is_auto
from weakseg.config.recipe import RecipeError, Resolved, list_recipes, load, resolve, show, to_yaml
from weakseg.config.schema import arguments
from weakseg.data.toy.dataset import Toy
from weakseg.fit import main
from weakseg.networks import NAMES as NETWORKS
from weakseg.networks.base import encoder_of
from weakseg.planning.plan import HANDED_ON, Plan, plan_of, planned, word


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "abcd":
        photo(tmp_path / "photos" / "images" / f"{name}.png")
        text(tmp_path / "photos" / "annotations" / f"{name}.xml", voc_xml("dog", (3, 2, 8, 7)))
    return tmp_path / "photos"


def ready(folder: Path, *words: str) -> Resolved:
    start = [] if any(word.startswith("recipe=") for word in words) else ["recipe=boxes"]
    return resolve(load([*start, "data=folder", f"data.root={folder}", *words]))


def test_photographs_need_no_word(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = planned(ready(folder))
    assert recipe.left_to_plan == []
    assert recipe.sections["data"]["format"] == "voc_xml"
    assert recipe.sections["data"]["val_share"] == 0
    assert recipe.sections["data"]["evidence"] == "boxes"
    assert recipe.sections["optimizer"]["lr"] == 1e-3
    assert recipe.sections["trainer"]["max_steps"] == 200  # 800 images, by four
    assert recipe.sections["network"]["weights"] is None
    data = recipe.build("data")
    assert (data.batch_size, data.long_side, len(data.training)) == (4, None, 4)
    err = capsys.readouterr().err
    assert f"plan for boxes on {folder}, each value to be changed by such a word:" in err
    lines = [line.split()[0] for line in err.splitlines() if line.startswith("  ")]
    assert "optimizer.lr=0.001" in lines
    assert "data.scale=[1.0,1.0]" in lines
    assert "network.weights=null" in lines


def test_words_stay_and_what_depends_on_them_follows(folder: Path) -> None:
    recipe = planned(ready(folder, "data.batch_size=2", "optimizer.lr=0.5", "data.val_share=0.5"))
    assert recipe.sections["data"]["batch_size"] == 2
    assert recipe.sections["optimizer"]["lr"] == 0.5
    assert recipe.sections["trainer"]["max_steps"] == 200


def test_what_stands_in_a_run_is_a_number_and_loads_again(folder: Path, tmp_path: Path) -> None:
    recipe = planned(ready(folder))
    content = to_yaml(recipe)
    assert ": auto" not in content
    (tmp_path / "again.yaml").write_text(content)
    again = resolve(load([f"recipe={tmp_path / 'again.yaml'}"]))
    assert planned(again) is again
    assert again.sections == recipe.sections


def test_values_are_shown_with_their_reasons(folder: Path) -> None:
    lines = [" ".join(line.split()) for line in show(planned(ready(folder))).splitlines()]
    assert "lr: 0.001 # auto: adamw from random weights" in lines
    assert "batch_size: 4 # auto: there are only 4 images" in lines


def test_what_is_not_planned_yet_is_auto(folder: Path) -> None:
    recipe = ready(folder, "data.format=voc_xml")
    assert "lr: auto" in to_yaml(recipe)
    assert recipe.build("data").batch_size == 8  # the default of its class


@pytest.mark.parametrize("name", list_recipes())
def test_the_toy_set_knows_all_that_suits_it(name: str) -> None:
    recipe = resolve(load([f"recipe={name}", *(["data.root=."] * name.startswith("voc"))]))
    assert recipe.left_to_plan == []
    assert not any(
        is_auto(value)
        for section in ("data", "network", "optimizer", "strategy", "rounds")
        for value in recipe.sections[section].values()
    )


def test_the_numbers_of_the_toy_set() -> None:
    def numbers(*words: str) -> tuple[float, int, int]:
        sections = resolve(load(words)).sections
        trainer = sections["trainer"]
        return (
            sections["optimizer"]["lr"],
            trainer["max_steps"],
            trainer["check_val_every_n_epoch"],
        )

    assert numbers("recipe=boxes") == (6e-3, 250, 2)
    assert numbers("recipe=tags") == (6e-3, 400, 2)
    assert numbers("recipe=boxes_instances") == (1e-3, 250, 8)
    assert numbers("recipe=distil") == (6e-3, 250, 10)
    assert numbers("recipe=boxes", "optimizer=sgd") == (1e-3, 250, 2)
    assert numbers("recipe=boxes", "optimizer.lr=0.5", "trainer.max_steps=3") == (0.5, 3, 2)


def test_a_data_set_of_ones_own_knows_what_suits_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("knowing.py").write_text(
        "from tests.small import Squares\n\n\n"
        "class Knowing(Squares):\n"
        "    known_settings = {'optimizer.lr': 0.25, 'network=unet': {'optimizer.lr': 0.125}}\n"
    )
    words = ["recipe=boxes", "data=knowing.Knowing"]
    assert resolve(load(words)).sections["optimizer"]["lr"] == 0.25
    assert resolve(load([*words, "network=unet"])).sections["optimizer"]["lr"] == 0.125
    monkeypatch.setattr("knowing.Knowing.known_settings", {"optimizer.lr": -1})
    with pytest.raises(RecipeError, match=r"optimizer\.lr: it should be more than 0"):
        resolve(load(words))


def test_a_data_set_without_files_is_looked_at() -> None:
    recipe = planned(resolve(load(["recipe=boxes", "data=tests.small.Squares"])), quiet=True)
    assert recipe.sections["data"]["crop"] is None
    assert recipe.sections["data"]["batch_size"] == 8
    assert "long_side" not in recipe.sections["data"]
    assert recipe.sections["trainer"]["max_steps"] == 300


def test_other_ranks_take_the_plan_of_the_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = ready(folder)
    first = plan_of(recipe)
    content = json.loads(os.environ[HANDED_ON])
    content[1]["data.batch_size"] = 3  # as on a machine with less memory
    monkeypatch.setenv(HANDED_ON, json.dumps(content))
    monkeypatch.setattr("weakseg.planning.plan.rank", lambda: 1)
    assert plan_of(recipe).values == {**first.values, "data.batch_size": 3}
    assert plan_of(ready(folder, "optimizer.lr=0.5")).values["data.batch_size"] == 4


def test_first_weights_of_another_run_are_pretrained_ones(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "start.ckpt").touch()
    recipe = planned(ready(folder, f"init_from={tmp_path / 'start.ckpt'}"), quiet=True)
    assert recipe.sections["network"]["weights"] is None
    assert recipe.sections["optimizer"]["lr"] == 1e-4
    assert recipe.sections["optimizer"]["freeze_batchnorm"] is True


def test_a_plan_in_words() -> None:
    plan = Plan({"data.crop": None, "optimizer.lr": 1e-4}, {"data.crop": "a", "optimizer.lr": "b"})
    assert plan.lines() == ["  data.crop=null       a", "  optimizer.lr=0.0001  b"]
    assert word("imagenet") == "imagenet"


def test_a_folder_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="data: root should be a folder"):
        planned(ready(tmp_path / "nowhere"))


def test_known_settings_are_of_keys_that_may_be_auto() -> None:
    for key, value in Toy.known_settings.items():
        assert key in KEYS or ("=" in key and set(value) <= set(KEYS)), key


def test_a_run_keeps_the_numbers_and_goes_on_with_them(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        *("recipe=boxes_rect", "data=folder", f"data.root={folder}", "network=tests.small.TinyNet"),
        *("network.classes=2", "rounds.workers=0", "trainer.accelerator=cpu"),
        f"trainer.default_root_dir={tmp_path / 'runs'}",
    ]
    run = main([*words, "trainer.max_steps=2"])
    err = capsys.readouterr().err
    assert err.index("plan for boxes_rect on ") < err.index("run folder: ")
    content = (run / "recipe.yaml").read_text()
    assert ": auto" not in content
    assert "  batch_size: 4\n" in content
    (folder / "images" / "b.png").unlink()  # what the plan was made from has changed
    (folder / "annotations" / "b.xml").unlink()
    assert main([f"resume={run}", "trainer.max_steps=3"]) == run
    assert "plan for" not in capsys.readouterr().err
    assert (run / "recipe.yaml").read_text() == content


def test_networks_of_ours_tell_their_body_from_their_head() -> None:
    for name in NETWORKS:
        part = resolve(load(["recipe=boxes", f"network={name}"]), ["network"]).parts["network"]
        known = arguments(part.constructor)
        if "weights" in known:
            small: dict[str, Any] = {"width": 0.125} if "width" in known else {}
            with torch.device("meta"):
                assert encoder_of(part.constructor(classes=2, **small)) is not None, name
