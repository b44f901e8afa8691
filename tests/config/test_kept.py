"""A recipe's kind of evidence is part of the experiment: it stays, whatever the data set, unless
somebody says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

import weakseg.config.recipe
import weakseg.config.sections
import weakseg.config.words
from tests.config.parts import errors
from weakseg.config.recipe import Recipe, Resolved, list_recipes, load, resolve, show
from weakseg.data import NAMES

# before the small classes take their place
SECTIONS, built_in = weakseg.config.recipe.SECTIONS, weakseg.config.words.built_in
NEEDED = {"folder": ["data.root=photos", "data.format=coco"], "toy": []}
RECIPES = [
    file.name.removesuffix(".yaml") for file in built_in().iterdir() if file.name.endswith(".yaml")
]


@pytest.fixture(autouse=True)
def all_of_weakseg(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weakseg.config.sections, "SECTIONS", SECTIONS)
    monkeypatch.setattr(weakseg.config.words, "built_in", built_in)
    monkeypatch.syspath_prepend(here)


def asked(recipe: Recipe) -> dict[str, object]:
    return {
        key: value
        for key, value in recipe.sections["data"].items()
        if key in ("evidence", "mask_share")
    }


def ready(*words: str) -> Resolved:
    return resolve(load(words))


def test_all_recipes_are_here() -> None:
    assert sorted(RECIPES) == sorted(list_recipes())
    assert len(RECIPES) > 20


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_keeps_its_kind_of_evidence_on_every_data_set(name: str) -> None:
    alone = asked(load([f"recipe={name}"]))
    for data in NAMES:
        moved = asked(
            ready(f"recipe={name}", f"data={data}", *NEEDED.get(data, ["data.root=photos"]))
        )
        # takes all that its files hold, which may be a mixture
        mixture = data == "folder" and "mask_share" in alone
        assert moved == ({} if mixture else alone), data


def test_a_word_changes_it_and_the_origin_is_shown() -> None:
    assert asked(ready("recipe=tags_coseg", "data=voc", "data.root=x", "data.evidence=points")) == {
        "evidence": "points"
    }
    assert asked(
        ready(
            "recipe=tags_coseg",
            "data=folder",
            "data.root=x",
            "data.format=csv",
            "data.evidence=null",
        )
    ) == {"evidence": None}
    assert asked(ready("recipe=mixed", "data=voc", "data.root=x", "data.mask_share=0.5")) == {
        "evidence": "boxes",
        "mask_share": 0.5,
    }
    line = next(
        line
        for line in show(ready("recipe=tags_coseg", "data=voc", "data.root=x")).splitlines()
        if "evidence: tags" in line
    )
    assert line.endswith("# recipe")


def test_a_set_without_such_a_key_says_itself_what_it_gives(here: Path) -> None:
    (here / "plain.py").write_text(
        "from weakseg import WeakData\n"
        "\n"
        "\n"
        "class Plain(WeakData):\n"
        "    def __init__(self, folder: str = ''): ...\n"
    )
    assert asked(ready("recipe=tags_coseg", "data=plain.Plain")) == {}


def test_a_set_that_cannot_give_it_is_refused_with_the_line_of_the_recipe(here: Path) -> None:
    code = "from typing import Literal\nfrom weakseg import WeakData\n\n\nclass Clicks(WeakData):\n"
    (here / "clicked.py").write_text(
        f"{code}    def __init__(self, evidence: Literal['points'] = 'points'): ...\n"
    )
    expected = "data.evidence: expected points, but it is 'tags' (tags_coseg.yaml line 10)"
    assert errors("recipe=tags_coseg", "data=clicked.Clicks") == [expected]
    ready("recipe=tags_coseg", "data=clicked.Clicks", "data.evidence=points")


def test_who_only_looks_at_a_data_set_sees_all_of_it() -> None:
    assert asked(load(["recipe=full", "data=folder", "data.root=photos"], keep=False)) == {}
