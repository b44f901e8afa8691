"""Names of classes: those of a home, and those of the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.config.parts import errors, ready
from weakseg.config.recipe import RecipeError, build

# classes of the user's


def test_a_class_of_the_users_from_the_current_folder(here: Path) -> None:
    code = (
        "from recipe_parts.all import Base\n"
        "class Mine(Base):\n"
        "    def __init__(self, width: int = 2):\n"
        "        self.width = width\n"
    )
    (here / "users_own.py").write_text(code)
    recipe = ready("strategy=users_own.Mine", "strategy.width=5")
    assert recipe.build("strategy", classes=3).width == 5
    assert errors("recipe=boxes", "strategy=users_own.Mien") == [
        "strategy.name: the module users_own has no Mien; did you mean Mine?"
    ]
    assert errors("recipe=boxes", "strategy=users_own.Mine", "strategy.widht=5") == [
        "strategy.widht: no such key; did you mean width?"
    ]


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        (
            "raises",
            "x = 1\n1 / 0\n",
            "importing raises failed with ZeroDivisionError: division by zero (raises.py line 2)",
        ),
        (
            "typo",
            "def f(:\n",
            "importing typo failed with SyntaxError: invalid syntax (typo.py, line 1)",
        ),
        (
            "needs",
            "import gone\n",
            "importing needs failed with ModuleNotFoundError: No module named 'gone' (needs.py "
            "line 1)",
        ),
        (
            "leaves",
            "import sys\nsys.exit(3)\n",
            "importing leaves failed with SystemExit: 3 (leaves.py line 2)",
        ),
        (
            "calls",
            "import json\njson.loads('3 4')\n",
            "importing calls failed with JSONDecodeError: Extra data: line 1 column 3 (char 2) "
            "(calls.py line 2)",
        ),
        ("number", "Mine = 3\n", "number.Mine is neither a class nor a function, but 3"),
    ],
)
def test_a_module_of_the_users_that_does_not_work(
    name: str, code: str, expected: str, here: Path
) -> None:
    (here / f"{name}.py").write_text(code)
    assert errors("recipe=boxes", f"strategy={name}.Mine") == [f"strategy.name: {expected}"]


def test_what_a_constructor_refuses_is_one_line(here: Path) -> None:
    code = (
        "from recipe_parts.all import Base\n"
        "class Mine(Base):\n"
        "    def __init__(self):\n"
        "        raise ValueError('too\\nwide')\n"
    )
    (here / "refusing.py").write_text(code)
    with pytest.raises(RecipeError, match=r"^strategy: too wide$"):
        ready("strategy=refusing.Mine").build("strategy")


# build, for nodes inside a section


def test_build() -> None:
    made = build({"name": "fcn", "classes": 5}, where="network", home="recipe_parts.networks")
    assert (made.classes, made.rates) == (5, None)
    made = build(
        {"name": "tags", "images": ["a"]},
        "strategy.parts.0",
        "recipe_parts.strategies",
        classes=4,
        other=1,
    )
    assert (made.classes, made.images) == (4, ["a"])


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"name": "fcn"}, "network.classes: missing; expected a whole number"),
        ({"name": "fnc"}, "network.name: there is no fnc; did you mean fcn?"),
        ({}, "network.name: missing; there are fcn"),
        (
            {"name": "fcn", "classes": 2, "rate": 1},
            "network.rate: no such key; did you mean rates?",
        ),
    ],
)
def test_build_says_what_is_wrong(node: dict[str, Any], expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build(node, where="network", home="recipe_parts.networks")
    assert caught.value.errors == [expected]


def test_a_function_must_make_what_the_section_needs() -> None:
    import recipe_parts.all

    with pytest.raises(RecipeError, match=r"expected a Boxes, but fcn makes a Base"):
        build(
            {"name": "fcn", "classes": 2},
            "network",
            "recipe_parts.networks",
            base=recipe_parts.all.Boxes,
        )
