"""A section of several objects: each below its key in a file and on the command line, and one line
for each mistake."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.config.parts import PLAIN, SECTIONS, errors, ready, resolved
from weakseg.config.recipe import RecipeError, Section, check_spelling, load, resolve, show, to_yaml

OWN = """
from recipe_parts.all import Hook

class Mine(Hook):
    def __init__(self, level: float = 0.5):
        self.level = level

class Alien:
    pass
"""


@pytest.fixture(autouse=True)
def callbacks(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = Section("recipe_parts.callbacks", base="recipe_parts.all.Hook", several=True)
    monkeypatch.setitem(SECTIONS, "callbacks", hooks)
    (here / "own_hooks.py").write_text(OWN)


def written(here: Path, text: str, *words: str) -> dict[str, Any]:
    """What becomes of the section of a file."""
    (here / "mine.yaml").write_text(PLAIN + text)
    return resolved("recipe=mine.yaml", *words).sections["callbacks"]


BELL = {"bell": {"name": "bell", "every": 2}}
MINE = {"name": "own_hooks.Mine", "level": 2.0}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("callbacks:\n", {}),
        ("callbacks: []\n", {}),
        ("callbacks: {bell: {every: 2}}\n", BELL),
        ("callbacks: {bell: true}\n", {"bell": {"name": "bell"}}),
        ("callbacks: {bell: false}\n", {}),
        (
            "callbacks: {first: {name: bell, every: 2}, own: {name: own_hooks.Mine, level: 2}}\n",
            {"first": {"name": "bell", "every": 2}, "own": MINE},
        ),
        ("callbacks: {own: own_hooks.Mine}\n", {"own": {"name": "own_hooks.Mine"}}),
        (
            "callbacks:\n  - {name: bell, every: 2}\n  - {name: own_hooks.Mine, level: 2}\n",
            BELL | {"Mine": MINE},
        ),
        (
            "callbacks: [bell, own_hooks.Mine, bell]\n",
            {
                "bell": {"name": "bell"},
                "Mine": {"name": "own_hooks.Mine"},
                "bell_2": {"name": "bell"},
            },
        ),
    ],
)
def test_a_file_has_them_by_key_or_as_a_list(text: str, found: Any, here: Path) -> None:
    assert written(here, text) == found


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["callbacks.bell.every=2"], BELL),
        (["callbacks.bell=true"], {"bell": {"name": "bell"}}),
        (["callbacks.bell=bell", "callbacks.own=own_hooks.Mine"], None),
        (["callbacks.own.name=own_hooks.Mine", "callbacks.own.level=2"], {"own": MINE}),
        (["callbacks=bell"], {"bell": {"name": "bell"}}),
        (["callbacks=bell,own_hooks.Mine"], None),
        (["callbacks=[{name: bell, every: 2}]"], BELL),
        (["callbacks={bell: {every: 2}}"], BELL),
        (["callbacks=null"], {}),
    ],
)
def test_the_command_line_has_them_by_key_or_as_a_list(words: Sequence[str], found: Any) -> None:
    names = {node["name"] for node in ready(*words).sections["callbacks"].values()}
    if found is None:
        assert names == {"bell", "own_hooks.Mine"}
    else:
        assert ready(*words).sections["callbacks"] == found


def test_words_stand_above_the_file(here: Path) -> None:
    text = "callbacks: {bell: {every: 2}, own: own_hooks.Mine}\n"
    both = BELL | {"own": {"name": "own_hooks.Mine"}}
    assert written(here, text) == both
    assert written(here, text, "callbacks.bell=null") == {"own": both["own"]}
    assert written(here, text, "callbacks.bell=false") == {"own": both["own"]}
    assert written(here, text, "callbacks.own.level=2") == BELL | {"own": MINE}
    assert written(here, text, "callbacks.bell.tones=1,2") == both | {
        "bell": {"name": "bell", "every": 2, "tones": [1.0, 2.0]}
    }
    assert written(here, text, "callbacks=[]") == {}
    listed = "callbacks: [bell, own_hooks.Mine]\n"
    assert written(here, listed, "callbacks.Mine.level=2")["Mine"] == MINE


def test_the_objects_are_built_in_their_order() -> None:
    recipe = ready("callbacks.own=own_hooks.Mine", "callbacks.bell.every=3")
    built = recipe.build_all("callbacks")
    assert [(key, type(each).__name__) for key, each in built.items()] == [
        ("own", "Mine"),
        ("bell", "Bell"),
    ]
    assert built["bell"].every == 3


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            ["callbacks.bel.every=2"],
            [
                "callbacks.bel: there is no bel; did you mean bell? (one of your own: "
                "callbacks.bel.name=my_module.MyClass)"
            ],
        ),
        (
            ["callbacks.xyz=true"],
            [
                "callbacks.xyz: there is no xyz; there are bell, book (one of your own: "
                "callbacks.xyz.name=my_module.MyClass)"
            ],
        ),
        (
            ["callbacks.bell.evry=2", "callbacks.bell.tones=x"],
            [
                "callbacks.bell.tones: expected a list (each entry a number) or none, but it is "
                "'x'",
                "callbacks.bell.evry: no such key; did you mean every?",
            ],
        ),
        (["callbacks.book=true"], ["callbacks.book.path: missing; expected a path"]),
        (
            ["callbacks.own=own_hooks.Alien"],
            ["callbacks.own.name: own_hooks.Alien is not a subclass of recipe_parts.all.Hook"],
        ),
        (
            ["callbacks.own=own_hooks.Mnie"],
            ["callbacks.own.name: the module own_hooks has no Mnie; did you mean Mine?"],
        ),
        (
            ["callbacks.own.name=Mine"],
            ["callbacks.own.name: there is no Mine; there are bell, book"],
        ),
        (
            ["every=2", "callbacks=bell"],
            ["every: no such section; did you mean callbacks.bell.every?"],
        ),
        (
            ["callbacks=bell", "callbacks.bell.every=2"],
            [
                "callbacks: given as a value, and with a key below it (callbacks.bell.every); keep "
                "one"
            ],
        ),
    ],
)
def test_one_line_for_each_mistake(words: list[str], lines: list[str]) -> None:
    assert errors("recipe=boxes", *words) == lines


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("callbacks: {bell: {evry: 2}}\n", "callbacks.bell.evry: no such key; did you mean every?"),
        (
            "callbacks:\n  - {name: bell, every: x}\n",
            "callbacks.bell.every: expected a whole number, but it is 'x'",
        ),
        (
            "callbacks: {bell: }\n",
            "callbacks.bell: there is nothing below it; write bell: true, or false for none",
        ),
        ("callbacks: {bell: 5}\n", "callbacks.bell: expected keys below it, but it is 5"),
        (
            "callbacks: 5\n",
            "callbacks: expected keys below it, or a list of names, but it is 5",
        ),
        (
            "callbacks: {bell.every: 5}\n",
            "callbacks.bell.every: dots are for the command line; in a file indent what is below",
        ),
    ],
)
def test_a_mistake_in_a_file_comes_with_its_line(text: str, line: str, here: Path) -> None:
    (here / "mine.yaml").write_text(PLAIN + text)
    at = len((PLAIN + text).splitlines())
    assert errors("recipe=mine.yaml") == [f"{line} (mine.yaml line {at})"]


def test_mistyped_keys_are_found_without_an_import(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(here)  # as python -m does
    monkeypatch.delitem(sys.modules, "own_hooks", raising=False)  # that of a test before
    recipe = load(["recipe=boxes", "callbacks.own.name=own_hooks.Mine", "callbacks.own.levl=1"])
    monkeypatch.setattr("weakseg.config.resolution.imported", None)
    with pytest.raises(RecipeError) as caught:
        check_spelling(recipe)
    assert caught.value.errors == ["callbacks.own.levl: no such key; did you mean level?"]


def test_all_are_shown_with_their_defaults_and_origins(here: Path) -> None:
    (here / "mine.yaml").write_text(PLAIN + "callbacks:\n  - name: bell\n")
    lines = show(resolved("recipe=mine.yaml", "callbacks.own=own_hooks.Mine")).splitlines()
    shown = [" ".join(line.split()) for line in lines]
    start = shown.index("callbacks:")
    assert shown[start + 1 : start + 8] == [
        "bell:",
        "name: bell # recipe",
        "every: 1 # default",
        "tones: null # default",
        "own:",
        "name: own_hooks.Mine # command line",
        "level: 0.5 # default",
    ]


def test_what_is_written_is_read_as_the_same(here: Path) -> None:
    recipe = ready("callbacks.own=own_hooks.Mine", "callbacks.second.name=bell")
    for defaults in (False, True):
        (here / "again.yaml").write_text(to_yaml(recipe, defaults))
        again = resolve(load(["recipe=again.yaml"]))
        assert {key: node["name"] for key, node in again.sections["callbacks"].items()} == {
            "own": "own_hooks.Mine",
            "second": "bell",
        }
    assert "callbacks" not in to_yaml(ready(), defaults=True)
