"""The images that a trained network is measured on: which data set, and which of its images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor

from weakseg.config.recipe import Recipe, RecipeError, Resolved, changed, load, resolve
from weakseg.data.base import WeakData
from weakseg.functional.class_matching import match_classes
from weakseg.trained.model import TrainedModel
from weakseg.utils.secrets import scrub

Subset = Literal["auto", "validation", "training", "all"]
# what they read beside the masks would have to be there, too
MASKS = {"voc": "masks", "coco": "masks", "cityscapes": "masks", "toy": "masks", "folder": None}


class Measured(NamedTuple):
    """A data set, and what of it is measured on."""

    data: WeakData
    indices: list[int]
    """of the images"""
    subset: str
    """validation, training or all"""
    table: Tensor | None
    """the numbers that its classes have in the network, int64 [256]; None for the same"""
    section: dict[str, Any]
    """what a recipe would say of it, without secrets; empty for one that was made in Python"""
    own: bool
    """whether the network was trained with this data set"""

    @property
    def name(self) -> str:
        """The data set in a word or two."""
        name = str(self.section.get("name") or type(self.data).__name__)
        root = self.section.get("root")
        return f"{name} {root}" if root else name

    @property
    def short_name(self) -> str:
        """The data set in a word that can be part of a file's name."""
        return re.sub(r"[^\w.-]+", "-", Path(self.name.partition(" ")[2]).name or self.name)

    @property
    def sentence(self) -> str:
        """Which images these are, and how many."""
        count = len(self.indices)
        which = {"all": "all", "validation": "the", "training": "the"}[self.subset]
        kind = "" if self.subset == "all" else f"{self.subset} "
        return f"{which} {count} {kind}image{'s' * (count != 1)} of {self.name}"


def open_data(
    model: TrainedModel, data: WeakData | Mapping[str, Any] | None, subset: Subset
) -> Measured:
    """The data set to measure a network on.

    Args:
        model: the network, which knows the data set of its own training.
        data: a data set; or values for keys of the section `data`, above those that the network was
            trained with, or with a `name` among them those of another data set; None for the one
            that it was trained with.
        subset: which of its images.
    """
    section: dict[str, Any] = {}
    own = False
    if not isinstance(data, WeakData):
        resolved = _resolved(model, dict(data or {}))
        section = scrub(resolved.sections["data"])
        trained = trained_on(model)
        own = all(str(section.get(key)) == str(scrub(trained.get(key))) for key in ("name", "root"))
        data = resolved.build("data")
        assert isinstance(data, WeakData)
    data.setup("test")
    table = match(data, model)
    indices, chosen = choose(data, subset, own)
    return Measured(data, indices, chosen, table, section, own)


def _resolved(model: TrainedModel, values: dict[str, Any]) -> Resolved:
    """The section `data`, with its class imported."""
    section = trained_on(model)
    if not section and "name" not in values:
        raise RecipeError(
            f"data: missing; {model.origin.path} does not say which data set it was trained on: "
            "write data=folder data.root=<folder> data.format=mask_png, or another data set"
        )
    if "name" in values and values["name"] in MASKS:
        values = {"evidence": MASKS[values["name"]], **values}
    # a recipe has more sections than are looked at here: any will do for those
    any_will_do = {"strategy": {"name": "full"}, "network": {"name": "unet"}}
    recipe = Recipe(model.origin.recipe, {**any_will_do, "data": section})
    return resolve(changed(recipe, "data", values), ["data"])


def trained_on(model: TrainedModel) -> dict[str, Any]:
    """The section `data` of the recipe that a network was trained with; of an exported one, that of
    the run in whose folder its file lies. Nothing where that is not known."""
    section = model.recipe_section("data")
    for folder in () if section else Path(model.origin.path).absolute().parents[:3]:
        if (folder / "recipe.yaml").is_file():
            return load([f"resume={folder}"]).sections["data"]
    return section


def match(data: WeakData, model: TrainedModel) -> Tensor | None:
    """The numbers in the network of the data set's classes, which are matched by their names."""
    try:
        return match_classes(data.classes, model.classes)
    except ValueError as error:
        raise RecipeError(
            f"data: the network cannot be measured on this data set: {error}; give classes the "
            "names that the network knows (data.rename), or leave others out (data.others=ignore)"
        ) from None


def choose(data: WeakData, subset: Subset, own: bool) -> tuple[list[int], str]:
    """The indices of the images that a word means, and which these are.

    `auto` is the validation images where the data set itself or a word says which ones these are,
    or where it is the one that the network was trained with; else all.

    Args:
        data: the data set.
        subset: the word.
        own: whether the network was trained with this data set.
    """
    if subset == "auto":
        subset = "validation" if own or not data.default_split else "all"
        subset = subset if len(data.validation) else "all"
    found = {
        "validation": data.validation,
        "training": data.training,
        "all": range(len(data)),
    }[subset]
    if not len(found):
        raise RecipeError(
            f"subset: the data set has no {subset} images, but {len(data)} others; subset=all "
            "measures on these"
        )
    return list(found), subset
