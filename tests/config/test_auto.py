"""The word auto: where it may stand, where it stays, and what is said where it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

import weakseg.config.recipe
import weakseg.config.sections
import weakseg.config.words
from tests.config.parts import errors, resolved

SECTIONS, built_in = weakseg.config.recipe.SECTIONS, weakseg.config.words.built_in


@pytest.fixture(autouse=True)
def all_of_weakseg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weakseg.config.sections, "SECTIONS", SECTIONS)
    monkeypatch.setattr(weakseg.config.words, "built_in", built_in)


def test_a_key_without_a_rule_names_those_that_have_one() -> None:
    assert errors("recipe=boxes", "optimizer.weight_decay=auto") == [
        "optimizer.weight_decay: expected a number, but it is 'auto'; auto is for optimizer.lr, "
        "optimizer.head_multiplier and optimizer.freeze_batchnorm"
    ]
    assert errors("recipe=boxes", "rounds.count=auto") == [
        "rounds.count: expected a whole number or none, but it is 'auto'; auto is for rounds.every"
    ]
    (line,) = errors("recipe=boxes", "predict.flip=auto")
    assert line.endswith("; no key here may be auto")


def test_a_word_for_a_key_that_a_class_does_not_have_is_a_mistake() -> None:
    (line,) = errors("recipe=boxes", "data.long_side=auto")
    assert line.startswith("data.long_side: no such key")


def test_a_file_may_leave_more_to_a_plan_than_its_class_has(here: Path) -> None:
    (here / "mine.yaml").write_text(
        "strategy: full\nnetwork: fcn8s\ndata: {name: toy, long_side: auto, crop: auto}\n"
    )
    assert resolved("recipe=mine.yaml").sections["data"] == {"name": "toy", "crop": None}


def test_what_is_left_to_a_plan_stays_with_another_data_set_network_and_optimizer() -> None:
    words = ["data=folder", "data.root=x", "data.format=coco", "network=fcn8s", "optimizer=sgd"]
    recipe = resolved("recipe=boxes", *words)
    assert recipe.sections["data"]["long_side"] == "auto"
    assert recipe.sections["data"]["format"] == "coco"
    assert recipe.sections["network"] == {"name": "fcn8s", "weights": "auto"}
    assert recipe.sections["optimizer"]["lr"] == "auto"
    assert "data.val_share" in recipe.left_to_plan


def test_recipes_of_numbers_stay_as_they_are() -> None:
    recipe = resolved("recipe=voc_boxes", "data=folder", "data.root=x", "data.format=coco")
    assert recipe.left_to_plan == []


def test_classes_of_somebodys_own_are_given_what_the_user_says(here: Path) -> None:
    (here / "own_net.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Module):\n"
        "    def __init__(self, classes: int, weights: str = 'mine'): super().__init__()\n"
    )
    recipe = resolved("recipe=boxes", "network=own_net.Net")
    assert recipe.sections["network"] == {"name": "own_net.Net"}


def test_auto_as_a_value_of_its_own_stays(here: Path) -> None:
    recipe = resolved("recipe=boxes", "trainer.devices=auto", "strategy.class_weights=auto")
    assert recipe.sections["trainer"]["devices"] == "auto"
    assert recipe.sections["strategy"]["class_weights"] == "auto"
    assert recipe.left_to_plan == []
