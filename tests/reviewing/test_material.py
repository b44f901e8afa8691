"""What the words of the command mean: a run, a recipe, or photographs alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.small import Squares
from weakseg.fit import main as fit
from weakseg.reviewing.material import material_of_recipe, material_of_run
from weakseg.reviewing.session import ReviewSession
from weakseg.strategies.mixed import Mixed

BOX = {"action": "add_box", "class": "dark", "points": [[1, 1], [8, 9]]}
SMALL = [
    "data=tests.small.Squares",
    "network=tests.small.TinyNet",
    "rounds.workers=0",
    "trainer.max_steps=4",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is trained once for all tests here."""
    folder = tmp_path_factory.mktemp("runs")
    return fit(["recipe=boxes_rect", *SMALL, f"trainer.default_root_dir={folder}"])


def test_a_run_has_its_data_set_strategy_and_network(run: Path) -> None:
    material = material_of_run(str(run), "best", None, {}, "cpu")
    assert material.corrections == run / "corrections"
    assert material.strategy_name == "boxes_rect"
    assert material.trained is True
    assert material.train_command == (
        f"python -m weakseg.fit recipe={run}/recipe.yaml data.corrections={run}/corrections"
    )
    review = ReviewSession(material)
    assert review.described()["has_prediction"] is True
    assert review.picture(0, "prediction").media_type == "image/png"
    # what the run has measured while it trained
    rows = review.queue()["images"]
    assert review.background.waiting == []
    assert len(rows) == 12


def test_corrections_belong_to_the_run_and_not_to_the_link(run: Path) -> None:
    link = run.parent / "latest"
    assert link.is_symlink()
    material = material_of_run(str(link), "best", None, {}, "cpu")
    assert material.corrections == run / "corrections"
    assert "latest" not in material.train_command
    checkpoint = run / "checkpoints" / "last.ckpt"
    assert material_of_run(str(checkpoint), "best", None, {}, "cpu").run == run


def test_a_folder_may_be_named(run: Path, tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", {"data": {"corrections": str(tmp_path / "other")}}
    assert material_of_run(str(run), "best", mine, {}, "cpu").corrections == mine
    assert material_of_run(str(run), "best", None, other, "cpu").corrections == tmp_path / "other"
    assert material_of_run(str(run), "best", mine, other, "cpu").corrections == mine
    small: dict[str, Any] = {"data": {"name": "tests.small.Squares"}}
    assert material_of_recipe("boxes_rect", mine, small, "cpu").corrections == mine


def test_the_printed_words_train_with_the_corrections(run: Path, tmp_path: Path) -> None:
    material = material_of_run(str(run), "best", tmp_path / "mine", {}, "cpu")
    review = ReviewSession(material)
    review.add(0, 0, BOX)
    review.add(1, 0, {"action": "exclude"})
    again = fit([*material.train, f"trainer.default_root_dir={tmp_path / 'runs'}"])
    assert Squares(corrections=tmp_path / "mine").training == [0, *range(2, 12)]
    # the next session goes on in the same folder
    later = material_of_run(str(again), "best", None, {}, "cpu")
    assert later.corrections == tmp_path / "mine"
    assert ReviewSession(later).image(0)["revision"] == 1


def test_self_training_goes_on_with_the_same_annotated_images(tmp_path: Path) -> None:
    words = [word for word in SMALL if "max_steps" not in word]
    words += ["data.annotated=0.5", "data.unlabelled=own", "trainer.max_steps=8"]
    rounds = ["rounds.when=epochs", "rounds.every=1", "rounds.count=2"]
    folder = f"trainer.default_root_dir={tmp_path / 'runs'}"
    first = fit(["recipe=boxes_rect", *words, *rounds, folder])
    before = Squares(annotated=0.5, unlabelled="own")
    material = material_of_run(str(first), "best", None, {}, "cpu")
    review = ReviewSession(material)
    assert review.picture(0, "target").media_type == "image/png"
    one, two, *others = before.training
    review.add(one, 0, BOX)
    review.add(two, 0, {"action": "exclude"})
    (unlabelled, *_) = set(range(12)) - set(before.training)
    review.add(unlabelled, 0, {"action": "exclude"})
    again = fit([*material.train, folder])
    assert (again / "report.html").exists()
    after = Squares(annotated=0.5, unlabelled="own", corrections=first / "corrections")
    assert after.training == [one, *others]
    assert after.unlabelled_images is not None
    assert before.unlabelled_images is not None
    left = set(before.unlabelled_images.sources) - {unlabelled}
    assert set(after.unlabelled_images.sources) == left


def test_a_recipe_needs_no_network(tmp_path: Path) -> None:
    sections: dict[str, Any] = {"data": {"name": "tests.small.Squares"}}
    material = material_of_recipe("boxes_rect", tmp_path, sections, "cpu")
    assert material.segmenter is None
    assert material.train_command == (
        "python -m weakseg.fit recipe=boxes_rect data=tests.small.Squares "
        f"data.corrections={tmp_path}"
    )


@pytest.mark.parametrize(
    ("recipe", "strategy"),
    [("boxes_coseg", "cosegmentation"), ("boxes", "boxes_crf"), ("mixed", "mixed")],
)
def test_features_of_a_network_are_there_for_a_strategy_that_wants_them(
    tmp_path: Path, recipe: str, strategy: str
) -> None:
    sections: dict[str, Any] = {
        "data": {"name": "toy", "train": "4", "val": "1", "size": "64"},
        "trainer": {"default_root_dir": str(tmp_path)},
        "strategy": {} if strategy == "cosegmentation" else {"together": "true"},
    }
    material = material_of_recipe(recipe, tmp_path / "corrections", sections, "cpu")
    assert material.segmenter is not None
    assert material.trained is False
    review = ReviewSession(material)
    assert review.described()["has_prediction"] is False
    assert review.targets.choices[0].name == strategy


def test_photographs_alone_are_reviewed_with_mixed(tmp_path: Path) -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    for name in ("a", "b"):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    sections = {"data": {"name": "folder", "root": str(tmp_path)}}
    material = material_of_recipe(None, None, sections, "cpu")
    assert material.strategy_name == "mixed"
    assert isinstance(material.strategy, Mixed)
    assert material.strategy.by_marks is not None  # a line has a target around it
    assert "strategy.marks=graphcut" in material.train
    assert material.corrections == tmp_path / "corrections"
    told = ReviewSession(material, "all").described()
    assert told["can_add_classes"] is True
    assert [entry["name"] for entry in told["classes"]] == ["background"]
    assert told["count"] == 2


def test_a_data_set_without_a_folder_keeps_corrections_beside_the_runs(tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "data": {"name": "tests.small.Squares"},
        "trainer": {"default_root_dir": str(tmp_path)},
    }
    material = material_of_recipe("boxes_rect", None, sections, "cpu")
    assert material.corrections == tmp_path / "corrections" / "boxes_rect"
