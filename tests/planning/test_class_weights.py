"""Whether a plan weighs classes, and from what it knows how much of the images they cover."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.layouts import photo, text, voc_xml
from tests.small import Squares
from weakseg.config.recipe import Resolved, load, resolve, to_yaml
from weakseg.data.files.folder import Folder
from weakseg.data.formats.base import Place, Shape
from weakseg.data.toy.dataset import Toy
from weakseg.evidence import Evidence
from weakseg.planning.class_areas import of_evidence, of_mask, of_shapes, shares_of
from weakseg.planning.class_weights import class_weights
from weakseg.planning.facts import Machine, facts_of
from weakseg.planning.plan import plan_of


def test_areas_of_shapes() -> None:
    box = Shape("dog", "box", Place("a"), (np.array([[2.0, 1.0], [8.0, 6.0]]),))
    ring = Shape("cat", "polygon", Place("a"), (np.array([[0.0, 0], [4, 0], [4, 3]]),))
    line = Shape("cat", "line", Place("a"), (np.array([[0.0, 0], [9, 9]]),))
    assert of_shapes([box, ring, ring, line], (20, 10)) == {"dog": 30 / 200, "cat": 12 / 200}


def test_areas_of_a_mask_are_of_what_is_known() -> None:
    mask = torch.tensor([[0, 1, 1, 255], [0, 2, 3, 255]], dtype=torch.uint8)
    assert of_mask(mask, ("background", "dog", None, "cat")) == {"dog": 2 / 6, "cat": 1 / 6}


def test_marks_and_tags_tell_no_areas() -> None:
    evidence, _ = Toy(train=1, val=0, size=32, evidence="scribbles").sample(0)
    assert of_evidence(evidence, Toy.classes) is None
    evidence, _ = Toy(train=1, val=0, size=32, evidence="tags").sample(0)
    assert of_evidence(evidence, Toy.classes) is None
    evidence, truth = Toy(train=1, val=0, size=32, evidence="masks").sample(0)
    areas = of_evidence(evidence, Toy.classes)
    assert areas is not None
    assert sum(areas.values()) == pytest.approx((truth > 0).float().mean().item())


def test_boxes_that_overlap_leave_no_background() -> None:
    assert shares_of([{"cat": 0.7, "dog": 0.4}], "ground") == {"cat": 0.7, "dog": 0.4}


@pytest.mark.parametrize(
    ("areas", "value"),
    [
        ([{"cat": 0.2, "dog": 0.1}] * 9, None),
        # of three classes the middle one covers .2
        ([{"cat": 0.2, "dog": 0.01}] * 9, "auto"),
        ([{"cat": 0.2, "dog": 0.07}] * 900, None),
        ([{"cat": 0.2, "dog": 0.06}] * 900, "auto"),
        # so few images show it that another sample might show three times as much
        ([{"cat": 0.2}] * 8 + [{"cat": 0.2, "dog": 0.27}], None),
        ([{"cat": 0.2}] * 8 + [{"cat": 0.2, "dog": 0.09}], "auto"),
    ],
)
def test_rare_classes_are_weighed(areas: list[dict[str, float]], value: str | None) -> None:
    weighing = class_weights(areas, "background")
    assert weighing is not None
    assert weighing.value == value


def test_a_reason_in_words() -> None:
    weighing = class_weights([{"cat": 0.2, "dog": 0.01}, {"cat": 0.2}], "background")
    assert weighing is not None
    assert weighing.reason.startswith(
        "dog, the rarest class, covers 0.5% (in 1 image), the middle one 20.0%; weights"
    )
    assert class_weights([{}], "background") is None
    # nothing to compare the only class with
    assert class_weights([{"cat": 0.01}] * 9, "background") is None


@pytest.mark.parametrize(("kind", "value"), [("shapes", None), ("crowded", "auto")])
@pytest.mark.parametrize("evidence", ["masks", "boxes"])
def test_the_drawn_pictures_that_gain(kind: Any, evidence: Any, value: str | None) -> None:
    data = Toy(train=40, val=1, size=64, kind=kind, evidence=evidence)
    weighing = class_weights(facts_of(data, Machine(), {}).areas, "background")
    assert weighing is not None
    assert weighing.value == value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dog of 60 pixels in each image, a cat of 2 in each, and a mask that says otherwise."""
    (tmp_path / "masks").mkdir()
    for name in "abcdefgh":
        photo(tmp_path / "images" / f"{name}.png", 0, 30, 20)
        dog = voc_xml("dog", (3, 2, 12, 7))
        cat = voc_xml("cat", (14, 2, 15, 2))
        both = dog.replace("</annotation>", cat[cat.index("<object>") :])
        text(tmp_path / "annotations" / f"{name}.xml", both)
        Image.fromarray(np.full((20, 30), 2, np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    return tmp_path


def test_a_folder_tells_areas_by_what_is_learned_from(folder: Path) -> None:
    def areas(**keys: Any) -> dict[str, float]:
        data = Folder(folder, format="voc_xml", val_share=0.0, **keys)
        return shares_of(facts_of(data, Machine(), {}).areas, "background")

    boxes = {"background": 538 / 600, "dog": 60 / 600, "cat": 2 / 600}
    assert areas(evidence="boxes") == pytest.approx(boxes)
    # masks that only measure tell nothing
    assert areas(evidence="boxes", masks="masks", classes=["cat", "dog"]) == pytest.approx(boxes)
    assert areas(evidence="masks", masks="masks", classes=["cat", "dog"]) == {"dog": 1.0}
    assert areas(evidence="tags") == {}
    renamed = areas(evidence="boxes", rename={"cat": "dog"})
    assert renamed == pytest.approx({"background": 538 / 600, "dog": 62 / 600})


def ready(folder: Path, *words: str) -> Resolved:
    start = [] if any(word.startswith("recipe=") for word in words) else ["recipe=boxes"]
    return resolve(load([*start, "data=folder", f"data.root={folder}", *words]))


def test_a_plan_weighs_a_rare_class(folder: Path, tmp_path: Path) -> None:
    recipe = ready(folder)
    plan = plan_of(recipe)
    assert plan.values["strategy.class_weights"] == "auto"
    planned = recipe.with_plan(plan.values, plan.reasons)
    assert planned.build("strategy", classes=3).class_weights == "auto"
    (tmp_path / "again.yaml").write_text(to_yaml(planned))
    again = resolve(load([f"recipe={tmp_path / 'again.yaml'}"]))
    assert again.left_to_plan == []
    assert again.sections["strategy"]["class_weights"] == "auto"


@pytest.mark.parametrize(
    "words",
    [
        ["strategy.class_weights=null"],  # which is what was wanted
        ["strategy.class_weights.cat=3"],
        ["recipe=boxes_em"],  # whose labels are of each step
        ["recipe=boxes_ccnn"],  # whose loss has no weights
        ["recipe=boxes_instances"],  # whose network has losses of its own
        ["recipe=points"],  # points tell no areas
    ],
)
def test_what_stays_as_it_is(folder: Path, words: list[str]) -> None:
    assert "strategy.class_weights" not in plan_of(ready(folder, *words)).values


def test_even_classes_are_said_to_be(folder: Path) -> None:
    for name in "abcdefgh":
        file = folder / "annotations" / f"{name}.xml"
        file.write_text(file.read_text().replace("<xmax>15<", "<xmax>29<"))
    recipe = ready(folder)
    plan = plan_of(recipe)
    assert plan.values["strategy.class_weights"] is None
    assert "alike enough" in plan.reasons["strategy.class_weights"]
    assert recipe.with_plan(plan.values, {}).build("strategy", classes=3).class_weights is None


class Known(Squares):
    known_settings = Toy.known_settings

    def sample(self, index: int) -> tuple[Evidence, Any]:
        raise AssertionError("a data set whose numbers are known is not looked at")


def test_data_sets_that_know_what_suits_them_are_left_alone() -> None:
    recipe = resolve(load(["recipe=boxes", f"data={__name__}.Known"]))
    assert recipe.left_to_plan == []
    assert plan_of(recipe).values == {}
