"""Which settings are tried: words of a recipe, known before torch is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from weakseg.config.recipe import Recipe, RecipeError, changed
from weakseg.config.values import Text, plain, read, written

Setting = dict[str, str]
"""values by keys below `strategy`, as a command line has them; nothing for the recipe as it is"""
Grid = Mapping[str, Sequence[str]]


def read_grid(words: Mapping[str, Any]) -> dict[str, list[str]]:
    """The values of each key below `grid`, each as a command line would have it.

    >>> read_grid({"crf.bilateral_rgb": "[3, 4]"})
    {'crf.bilateral_rgb': ['3', '4']}
    """
    grid = {}
    for key, value in words.items():
        values = read(list[Any], Text(value)) if isinstance(value, str) else list(value)
        if not isinstance(values, list) or not values:
            raise RecipeError(
                f"grid.{key}: expected a list of values to try, such as grid.{key}=[1,2], but it "
                f"is {value}"
            )
        grid[key] = [text_of(each) for each in values]
    return grid


def text_of(value: Any) -> str:
    """A value as a command line has it.

    >>> text_of(3), text_of("13%"), text_of(None)
    ('3', '13%', 'null')
    """
    return value if isinstance(value, str) else written(plain(value))


def check_grid(recipe: Recipe, grid: Grid) -> None:
    """Raise a RecipeError with every key and every value that the strategy cannot have."""
    errors: list[str] = []
    for key, values in grid.items():
        for value in values:
            try:
                changed(recipe, "strategy", {key: Text(value)})
            except RecipeError as error:
                errors += [f"grid: {line}" for line in error.errors]
    if errors:
        raise RecipeError(list(dict.fromkeys(errors)))


def settings_of(grid: Grid, most: int) -> list[Setting]:
    """The settings to try: the recipe as it is, then all combinations, those with the fewest
    changes first, in the order of the grid.

    Args:
        grid: values by keys, none of which is what the recipe says.
        most: how many settings.

    >>> settings_of({"share": ["0.35"], "crf.bilateral_rgb": ["4", "5"]}, 5)[1:]
    [{'share': '0.35'}, {'crf.bilateral_rgb': '4'}, {'crf.bilateral_rgb': '5'}, \
{'share': '0.35', 'crf.bilateral_rgb': '4'}]
    """
    unchanged: list[str | None] = [None]
    combinations = product(*([*unchanged, *values] for values in grid.values()))
    found = [
        {key: value for key, value in zip(grid, each, strict=True) if value is not None}
        for each in combinations
    ]
    # sorting keeps the order of those with as many changes; keys that come first change first
    found.sort(key=lambda setting: (len(setting), [list(grid).index(key) for key in setting]))
    return found[:most]


def name_of(setting: Setting) -> str:
    """A setting in the words of a command line.

    >>> name_of({"crf.bilateral_rgb": "4"}), name_of({})
    ('strategy.crf.bilateral_rgb=4', 'the recipe as it is')
    """
    return " ".join(f"strategy.{key}={value}" for key, value in setting.items()) or (
        "the recipe as it is"
    )
