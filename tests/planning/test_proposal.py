"""The recipe that fits what is annotated, and the plan by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.layouts import photo, text
from tests.small import Squares
from weakseg.check import main
from weakseg.config.recipe import RecipeError, load, resolve
from weakseg.data.base import WeakData
from weakseg.data.files.folder import Folder
from weakseg.data.toy.dataset import Toy
from weakseg.evidence import Evidence
from weakseg.planning.plan import plan_of, plan_text
from weakseg.planning.proposal import proposal

SHAPES = {
    "box": ("rectangle", [[2, 2], [8, 7]]),
    "polygon": ("polygon", [[2, 2], [8, 2], [8, 7]]),
    "line": ("linestrip", [[2, 2], [8, 7]]),
    "point": ("point", [[3, 3]]),
}


def folder(root: Path, images: list[str]) -> Folder:
    """Images with shapes of these kinds."""
    for number, kinds in enumerate(images):
        photo(root / "images" / f"{number}.png")
        shapes = [
            {"label": "dog", "shape_type": SHAPES[kind][0], "points": SHAPES[kind][1]}
            for kind in kinds.split()
        ]
        content = json.dumps({"shapes": shapes, "imagePath": f"../images/{number}.png"})
        text(root / "annotations" / f"{number}.json", content)
    return Folder(root, format="labelme", val_share=0.0)


@pytest.mark.parametrize(
    ("images", "recipes"),
    [
        (["box"] * 3, ("boxes",)),
        (["polygon"] * 3, ("full",)),
        # outlines, and the boxes around them, as files of COCO have them
        (["polygon box"] * 3, ("full",)),
        (["line line", "line point"], ("scribbles",)),
        (["point"] * 2, ("points_coseg", "points")),
        # each image has something, but not all have the same
        (["box", "box", "polygon"], ("mixed_coseg", "mixed")),
        (["box", "box", "polygon box"], ("mixed_coseg", "mixed")),
        (["point", "line"], ("mixed_coseg", "mixed")),
        # an image without any shape counts for nothing
        (["box", ""], ("boxes",)),
    ],
)
def test_recipes_by_what_files_hold(
    tmp_path: Path, images: list[str], recipes: tuple[str, ...]
) -> None:
    found = proposal(folder(tmp_path, images))
    assert found is not None
    assert found.recipes == recipes


def test_how_many_images_have_it(tmp_path: Path) -> None:
    found = proposal(folder(tmp_path, ["box", "box polygon", "box"]))
    assert found is not None
    assert found.reason == "masks on 1 and boxes on 3 of the 3 annotated images that were looked at"


class Marked(Squares):
    def sample(self, index: int) -> tuple[Evidence, Any]:
        evidence, truth = super().sample(index)
        marks = truth.clone()
        marks[4:] = 255
        return evidence._replace(boxes=None, box_classes=None, marks=marks), truth


class Bare(Squares):
    def sample(self, index: int) -> tuple[Evidence, Any]:
        evidence, truth = super().sample(index)
        return evidence._replace(boxes=None, box_classes=None), truth


@pytest.mark.parametrize(
    ("data", "first"),
    [
        (Toy(train=4, val=1, size=32, evidence="masks"), "full"),
        (Toy(train=4, val=1, size=32, evidence="instances"), "boxes"),
        (Toy(train=4, val=1, size=32, evidence="scribbles"), "scribbles"),
        (Toy(train=4, val=1, size=32, evidence="tags"), "tags_coseg"),
        (Toy(train=4, val=1, size=32, evidence="boxes", mask_share=0.25), "mixed_coseg"),
        (Squares(train=3), "boxes"),
        (Marked(train=3), "scribbles"),
    ],
    ids=["masks", "instances", "scribbles", "tags", "mixture", "own boxes", "own marks"],
)
def test_recipes_of_data_sets_without_files(data: WeakData, first: str) -> None:
    found = proposal(data)
    assert found is not None
    assert found.recipes[0] == first


def test_no_recipe_fits_what_is_not_there() -> None:
    assert proposal(Bare(train=3)) is None


def test_check_without_a_recipe_prints_the_plan_of_the_one_that_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder(tmp_path / "photos", ["box"] * 3)
    words = ["data=folder", f"data.root={tmp_path / 'photos'}", "network.weights=null"]
    assert main([*words, "out=null", "cost=false"]) == 0
    out = capsys.readouterr().out
    line, plan = out[out.index("recipe=boxes is proposed: boxes on 3 of the 3 ") :].split("\n", 1)
    assert "plan" not in line
    recipe = resolve(load(["recipe=boxes", *words]))
    assert plan.splitlines() == plan_text(recipe, plan_of(recipe))


def test_without_trained_weights_the_recipe_that_needs_none_is_proposed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder(tmp_path / "photos", ["point"] * 3)
    words = ["data=folder", f"data.root={tmp_path / 'photos'}", "out=null", "cost=false"]
    main([*words, "network.weights=null"])
    assert "recipe=points is proposed" in capsys.readouterr().out


def test_all_that_is_annotated_is_still_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder(tmp_path / "photos", ["polygon box"] * 3)
    words = ["data=folder", f"data.root={tmp_path / 'photos'}", "network.weights=null"]
    main([*words, "out=null", "cost=false"])
    out = capsys.readouterr().out
    assert "recipe=full is proposed" in out
    row = next(line for line in out.splitlines() if "dog" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")][1:4] == ["3", "3", "3"]


def test_words_about_the_strategy_are_those_of_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder(tmp_path / "photos", ["box"] * 3)
    words = ["data=folder", f"data.root={tmp_path / 'photos'}", "network.weights=null"]
    main([*words, "out=null", "cost=false", "strategy.terms.dice=1"])
    assert "plan for full on " in capsys.readouterr().out
    with pytest.raises(RecipeError, match=r"strategy\.share: no such key"):
        resolve(load(["recipe=full", *words, "strategy.share=0.3"], keep=False))


def test_images_that_would_be_held_out_are_looked_at(tmp_path: Path) -> None:
    """How many are, is planned only later; those with masks are to be measured on, and are not."""
    folder(tmp_path / "a", ["box"] * 8 + ["line"] * 2)
    data = Folder(tmp_path / "a", format="labelme", val_share=0.5)
    found = proposal(data)
    assert found is not None
    assert found.reason.startswith("boxes on 8 and scribbles on 2 of the 10 annotated images")
