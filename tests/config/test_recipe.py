"""What a recipe and a command line become, and that it is written so that it is read again as the
same."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

import weakseg.config.words
from tests.config.parts import PLAIN, SECTIONS, errors, ready
from weakseg.config.recipe import SECTIONS as OURS
from weakseg.config.recipe import (
    RecipeError,
    check_spelling,
    list_recipes,
    load,
    resolve,
    show,
    to_yaml,
    usage,
)
from weakseg.fit import main

# what a recipe becomes


def test_defaults_below_recipe_below_command_line() -> None:
    recipe = ready("strategy.crf.srgb=5", "network.rates=6,12,18")
    strategy = recipe.build("strategy", classes=3)
    assert (strategy.share, strategy.rule) == (0.3, "fill")
    # steps: the constructor's own default
    assert (strategy.crf.srgb, strategy.crf.bilateral_rgb, strategy.crf.steps) == (5.0, 5.0, 7)
    assert strategy.extra is None
    network = recipe.build("network", classes=3)
    assert (network.rates, network.classes) == ([6, 12, 18], 3)
    assert (recipe.name, recipe.seed) == ("boxes", 7)
    assert recipe.origins["strategy.crf.srgb"] == "command line"
    assert recipe.origins["strategy.share"] == "recipe"
    assert "strategy.rule" not in recipe.origins


def test_short_name_drops_the_recipes_keys_of_that_section() -> None:
    recipe = ready("data=toy", "data.flip=no")
    assert recipe.sections["data"] == {"name": "toy", "flip": False}
    assert ready("data.name=voc").sections["data"] == {"name": "voc", "root": "/data/voc"}


def test_keyword_arguments_reach_the_parent_class() -> None:
    data = ready("data.batch_size=2", "data.scale=0.5,2").build("data")
    assert (data.root, data.batch_size, data.scale, data.flip) == (
        Path("/data/voc"),
        2,
        (0.5, 2.0),
        True,
    )


def test_sections_that_no_recipe_names_have_defaults() -> None:
    recipe = ready()
    assert recipe.build("rounds").when == "once"
    assert recipe.build("optimizer").lr == 1e-3
    trainer = recipe.build("trainer", default_root_dir="runs", logger="ours")
    assert (trainer.max_steps, trainer.default_root_dir, trainer.logger) == (100, "runs", "ours")


def test_a_recipe_may_set_what_the_program_would_give() -> None:
    recipe = ready("network.classes=9", "trainer.default_root_dir=elsewhere")
    assert recipe.build("network", classes=3).classes == 9
    assert recipe.build("trainer", default_root_dir="runs").default_root_dir == "elsewhere"


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("trainer.devices=2", 2),
        ("trainer.devices=auto", "auto"),
        ("trainer.devices=0,1", "0,1"),
        ("trainer.devices=[0,1]", [0, 1]),
        ("trainer.limit_train_batches=0.5", 0.5),
        ("trainer.limit_train_batches=3", 3),
        ("trainer.limit_train_batches=none", None),
        ("trainer.max_steps=1e4", 10000),
        ("optimizer.lr=1e-3", 0.001),
        ("optimizer.betas=0.9,0.99,1", [0.9, 0.99, 1.0]),
        ("optimizer.betas=[]", []),
        ("network.rates=null", None),
        ("network.rates=6", [6]),
        ("network.rates=[6, 12,]", [6, 12]),
        ("network.name_of_weights=2008_000008", "2008_000008"),
        ("network.name_of_weights=5", "5"),
        ("network.name_of_weights=none", "none"),
        ("network.name_of_weights=a=b", "a=b"),
        ("data.flip=off", False),
        ("data.flip=Yes", True),
    ],
)
def test_text_becomes_what_the_type_asks_for(word: str, value: Any) -> None:
    section, _, key = word.partition("=")[0].partition(".")
    found = ready(word).sections[section][key]
    assert found == value
    assert type(found) is type(value)


def test_values_in_lists_and_mappings_stay_text_where_text_is_asked_for() -> None:
    recipe = ready(
        "strategy=tags",
        "strategy.images=2008_000008,7",
        "strategy.weights.cat=2",
        "strategy.note=null",
    )
    tags = recipe.build("strategy", classes=3)
    assert (tags.images, tags.weights, tags.note, tags.classes) == (
        ["2008_000008", "7"],
        {"cat": 2.0},
        None,
        3,
    )
    assert ready("strategy=tags", "strategy.weights={cat: 2, dog: 1e-1}").sections["strategy"][
        "weights"
    ] == {"cat": 2.0, "dog": 0.1}


def test_yaml_values_convert_like_those_of_the_command_line(here: Path) -> None:
    (here / "mine.yaml").write_text(
        PLAIN + "optimizer: {name: sgd, lr: 1e-3, betas: [0.9]}\nrounds:\nlogger: none\n"
    )
    recipe = resolve(load(["recipe=mine.yaml"]))
    assert recipe.name == "mine"
    assert recipe.sections["optimizer"] == {"name": "sgd", "lr": 0.001, "betas": [0.9]}


# YAML and back


def test_to_yaml_loads_to_the_same_values(here: Path) -> None:
    recipe = ready(
        "strategy.crf.grid.offsets=0,1",
        "strategy.extra.srgb=1e-7",
        "network.name_of_weights=1e-3",
        "data.split=yes",
        "logger=none",
        "seed=3",
    )
    for defaults in (False, True):
        text = to_yaml(recipe, defaults)
        (here / "again.yaml").write_text(text)
        again = resolve(load(["recipe=again.yaml"]))
        assert to_yaml(again, defaults).split("\n")[1:] == text.split("\n")[1:]
        assert yaml.safe_load(text)["data"]["split"] == "yes"
        assert again.seed == 3
        if not defaults:
            assert again.sections == recipe.sections
    assert "name_of_weights: '1e-3'" in text
    assert "steps: 7" in text
    assert "name: none" in to_yaml(recipe)


def test_random_values_survive_yaml(here: Path) -> None:
    pieces = [
        "2008_000008",
        "yes",
        "1e-3",
        "null",
        "~",
        "a: b",
        "#",
        "'",
        '"',
        "[",
        "- x",
        "\n",
        "\t",
        "é",
        " ",
        "1",
        ".5",
        "0x1f",
        "1:30",
        "=",
        "<<",
    ]
    draw = random.Random(0)
    for _ in range(60):
        texts = ["".join(draw.choices(pieces, k=draw.randint(1, 3))) for _ in range(4)]
        node = {
            "name": "tags",
            "images": texts,
            "note": draw.choice([None, texts[0]]),
            "weights": {
                text: draw.choice([1e-7, 2.0, float("inf"), 123456789.25]) for text in texts[1:]
            },
        }
        recipe = load(["recipe=boxes", "strategy=tags"])
        recipe.sections["strategy"] = node
        (here / "again.yaml").write_text(to_yaml(resolve(recipe)), encoding="utf-8", newline="")
        again = resolve(load(["recipe=again.yaml"]))
        assert again.sections["strategy"] == node


def test_show_says_where_every_value_comes_from() -> None:
    lines = [line.split() for line in show(ready("strategy.crf.srgb=5", "data=toy")).splitlines()]
    assert ["share:", "0.3", "#", "recipe"] in lines
    assert ["srgb:", "5.0", "#", "command", "line"] in lines
    assert ["steps:", "7", "#", "default"] in lines
    assert ["name:", "toy", "#", "command", "line"] in lines
    assert ["extra:", "null", "#", "default"] in lines
    assert ["lr:", "0.001", "#", "default"] in lines
    assert len({line.index("#") for line in show(ready()).splitlines() if "#" in line}) == 1
    # the trainer's own; weakseg sets it
    assert not any(line[0] == "logger:" and len(line) > 1 for line in lines)


def test_usage_and_list() -> None:
    assert list_recipes() == {
        "boxes": "boxes, painted and refined",
        "points": "points, grown and refined",
    }
    assert "  boxes   boxes, painted and refined" in usage().splitlines()
    assert all(flag in usage() for flag in ("--help", "--list", "--show"))


def test_a_package_without_its_recipes_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weakseg.config.words, "built_in", lambda: here / "nowhere")
    for words in (["--list"], [], ["--help"], ["recipe=boxes"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 2
        assert capsys.readouterr().err == "the recipes of weakseg are missing: install it again\n"
    (here / "weakseg").mkdir()
    hidden = (
        f"the folder {here / 'weakseg'} may hide it, so start in another one, or install it again"
    )
    assert errors("recipe=boxes") == [f"the recipes of weakseg are missing: {hidden}"]


def test_lightnings_own_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECTIONS, "trainer", OURS["trainer"])
    words = (
        "devices=2 val_check_interval=0.25 limit_train_batches=3 precision=bf16-mixed "
        "strategy=ddp max_time=00:01:00:00 accelerator=cpu"
    )
    recipe = ready(*(f"trainer.{word}" for word in words.split()))
    typed = {
        "max_steps": 100,
        "devices": 2,
        "val_check_interval": 0.25,
        "limit_train_batches": 3,
        "precision": "bf16-mixed",
    }
    assert recipe.sections["trainer"] == {
        **typed,
        "strategy": "ddp",
        "max_time": "00:01:00:00",
        "accelerator": "cpu",
    }
    assert ready("trainer.accelerator=cpu").build("trainer", logger=False).max_steps == 100
    assert ready("trainer.max_steps=null", "trainer.max_time=null").sections["trainer"] == {
        "max_steps": -1,
        "max_time": None,
    }
    found = errors(
        "recipe=boxes",
        "trainer.callbacks=x",
        "trainer.mx_steps=5",
        "trainer.precision=32-tru",
        "trainer.deterministic=warm",
    )
    hints = [
        "did you mean 32-true?",
        "did you mean warn?",
        "did you mean max_steps?",
    ]
    first, *others = found
    assert first == (
        "trainer.callbacks: write callbacks.<name>.<key>=<value>, a section of its own"
    )
    assert [line.partition("; ")[2] for line in others] == hints
    assert errors("recipe=boxes", "trainer.zzz=1")[0].startswith(
        "trainer.zzz: no such key; leave it out, and --show lists all "
    )
    with pytest.raises(RecipeError, match=r"^trainer: "):
        ready("trainer.accelerator=gpux").build("trainer")


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("val_check_interval=0", "should be more than 0, but it is 0"),
        ("val_check_interval=-0.5", "should be more than 0, but it is -0.5"),
        ("check_val_every_n_epoch=0", "should be at least 1, but it is 0"),
        ("accumulate_grad_batches=0", "should be at least 1, but it is 0"),
        ("gradient_clip_val=-1", "should be 0 or more, but it is -1"),
        ("log_every_n_steps=-1", "should be at least 0, but it is -1"),
    ],
)
def test_numbers_that_lightning_would_divide_by_or_count_with_are_refused_at_once(
    word: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SECTIONS, "trainer", OURS["trainer"])
    key = f"trainer.{word.partition('=')[0]}"
    with pytest.raises(RecipeError) as caught:
        check_spelling(load(["recipe=boxes", f"trainer.{word}"]))
    assert caught.value.errors == [f"{key}: it {sentence}"]
    times = ("val_check_interval=00:00:05:00", "check_val_every_n_epoch=null")
    assert ready(*(f"trainer.{word}" for word in times)).sections["trainer"]["max_steps"] == 100
