"""Evaluations on common images, the figures and keys in which they differ, and the files of a
comparison."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from weakseg.config.recipe import RecipeError
from weakseg.evaluation.annotation_cost import AnnotationCost
from weakseg.evaluation.common_images import find_common
from weakseg.evaluation.compared import Comparison, Draws, compare_sides
from weakseg.evaluation.comparison_files import (
    SUMMARY,
    TABLE,
    print_comparison,
    write_comparison,
)
from weakseg.evaluation.comparison_page import write_comparison_page
from weakseg.evaluation.comparison_pictures import Pictures
from weakseg.evaluation.results import Evaluation
from weakseg.evaluation.sides import Side, differing_keys
from weakseg.trained.model import Origin

BAD = "<script>alert(1)</script>"
CLASSES = ("background", "cat")
ORIGIN = Origin("net.onnx", "onnx", "0" * 64, "boxes", 7, "random")
# what an image shows: pixels per class of the truth and class predicted
RIGHT = {(0, 0): 6, (1, 1): 2}
HALF = {(0, 0): 6, (1, 1): 1, (1, 0): 1}


def side(
    letter: str,
    images: Mapping[str, Mapping[tuple[int, int], int]],
    classes: Sequence[str] = CLASSES,
    figures: Mapping[str, float] | None = None,
    recipe: Mapping[str, str] | None = None,
    cost: AnnotationCost = AnnotationCost(None, None),  # noqa: B008
) -> Side:
    cells = [
        [place, *pair, pixels]
        for place, counts in enumerate(images.values())
        for pair, pixels in counts.items()
    ]
    evaluation = Evaluation(
        tuple(classes),
        dict(figures or {}),
        [],
        [{"name": name, "number": place} for place, name in enumerate(images)],
        f"images of {letter}",
        ORIGIN._asdict(),
        {},
        [],
        torch.tensor(cells, dtype=torch.int64).reshape(-1, 4),
    )
    recipe = recipe or {}
    name = f"run-{letter}"
    return Side(letter, name, evaluation, Path("gone"), recipe, frozenset(recipe), cost)


def many(counts: Mapping[tuple[int, int], int], count: int = 8) -> dict[str, Any]:
    return {f"image{number}": counts for number in range(count)}


def test_only_images_that_all_have_are_compared() -> None:
    first = side("A", {"a": RIGHT, "b": HALF, "c": RIGHT})
    common = find_common([first, side("B", {"c": HALF, "x": RIGHT, "a": RIGHT})])
    assert common.images == ["a", "c"]
    assert common.places == [[0, 2], [2, 0]]
    assert [counts.right[:, 1].tolist() for counts in common.counts] == [[2, 2], [2, 1]]
    assert not common.whole
    assert "compared on the 2 images that all have: of their own, A 3, B 3" in common.notes


def test_no_image_in_common_is_an_error_that_says_what_each_has() -> None:
    with pytest.raises(RecipeError, match=r"no image in common: run-A: images of A; run-B: ima"):
        find_common([side("A", {"a": RIGHT}), side("B", {"b": RIGHT})])


def test_an_image_of_the_same_name_with_another_truth_is_another_image() -> None:
    larger = {(0, 0): 12, (1, 1): 4}
    first = side("A", {"a": RIGHT, "b": RIGHT})
    common = find_common([first, side("B", {"a": HALF, "b": larger})])
    assert common.images == ["a"]
    assert "without 1 image of the same name with another truth: b" in common.notes
    with pytest.raises(RecipeError, match=r"2 images of the same name with another truth \(a, b\)"):
        find_common([first, side("B", {"a": larger, "b": larger})])


def test_classes_are_matched_by_their_names_and_others_are_named() -> None:
    swapped = {(0, 0): 6, (2, 2): 1, (2, 0): 1}
    other = side("B", {"a": swapped}, ("background", "dog", "cat"))
    common = find_common([side("A", {"a": RIGHT}), other])
    assert common.classes == ["background", "cat"]
    assert [counts.right.tolist() for counts in common.counts] == [[[6, 2]], [[6, 1]]]
    assert "compared on the 2 classes that all have; B also dog" in common.notes
    with pytest.raises(RecipeError, match="hardly a class in common"):
        find_common([side("A", {"a": RIGHT}), side("B", {"a": RIGHT}, ("background", "dog"))])


def test_an_evaluation_without_any_mask_cannot_be_compared() -> None:
    with pytest.raises(RecipeError, match="run-B was measured on no image with a mask"):
        find_common([side("A", {"a": RIGHT}), side("B", {})])


def test_figures_and_differences_are_those_of_all_pixels() -> None:
    compared = compare_sides([side("A", many(HALF)), side("B", many(RIGHT))], Draws(20))
    figures = {figure.name: figure for figure in compared.figures}
    assert list(figures) == ["miou", "pixel_accuracy", "iou/background", "iou/cat"]
    assert [value.value for value in figures["iou/cat"].values] == [0.5, 1.0]
    # all images are alike, so no draw differs
    assert figures["iou/cat"].differences[0] == pytest.approx((0.5, 0.5, 0.5))
    assert figures["iou/cat"].differences[0].excludes_zero
    assert figures["pixel_accuracy"].differences[0].value == pytest.approx(1 / 8)
    assert figures["miou"].differences[0].value == pytest.approx((1 + 1 - 6 / 7 - 0.5) / 2)


def test_a_class_that_few_images_show_has_no_interval() -> None:
    without = {(0, 0): 8}
    images = many(without) | {"shows": RIGHT}
    compared = compare_sides([side("A", images), side("B", images)], Draws(20))
    figures = {figure.name: figure for figure in compared.figures}
    assert math.isnan(figures["iou/cat"].differences[0].low)
    assert not math.isnan(figures["miou"].differences[0].low)
    assert "no interval for cat: fewer than 5 images show it" in compared.common.notes
    assert any(
        note.startswith("intervals from 9 images are rough") for note in compared.common.notes
    )


def test_further_figures_are_compared_where_all_measured_the_same_images() -> None:
    figures = {"boundary_iou": 0.5, "calibration_error": 0.25}
    first = side("A", many(RIGHT), figures=figures)
    same = side("B", many(HALF), figures={"boundary_iou": 0.75})
    names = [figure.name for figure in compare_sides([first, same], Draws(5)).figures]
    assert names[:3] == ["miou", "pixel_accuracy", "boundary_iou"]
    assert "calibration_error" not in names
    fewer = side("B", many(HALF, 7), figures=figures)
    names = [figure.name for figure in compare_sides([first, fewer], Draws(5)).figures]
    assert "boundary_iou" not in names


def test_images_stand_in_the_order_of_how_far_the_sides_are_apart() -> None:
    first = side("A", {"same": RIGHT, "apart": HALF})
    compared = compare_sides([first, side("B", {"same": RIGHT, "apart": RIGHT})], Draws(5))
    assert [image.name for image in compared.apart] == ["apart", "same"]
    assert compared.apart[0].distance == pytest.approx((1 + 1 - 6 / 7 - 0.5) / 2)
    assert compared.apart[1].distance == 0


def test_only_keys_that_differ_and_that_a_recipe_says_are_listed() -> None:
    sides = [
        side("A", {}, recipe={"seed": "0", "optimizer.lr": "0.1", "strategy.crf": "5"}),
        side("B", {}, recipe={"seed": "0", "optimizer.lr": "0.2"}),
        side("C", {}),
    ]
    assert differing_keys(sides) == {
        "optimizer.lr": ["0.1", "0.2", "-"],
        "strategy.crf": ["5", "-", "-"],
    }
    assert differing_keys(sides[1:]) == {}


@pytest.fixture
def compared() -> Comparison:
    sides = [
        side("A", many(HALF), ("background", BAD), recipe={"data.root": BAD, "seed": "0"}),
        side("B", many(RIGHT), ("background", BAD), cost=AnnotationCost(36.0, 100)),
        side("C", many(HALF), ("background", BAD), recipe={"data.root": "b", "seed": "0"}),
    ]
    return compare_sides(sides, Draws(20, 0.9, 3))


def test_files_hold_every_figure_of_every_side(compared: Comparison, tmp_path: Path) -> None:
    write_comparison(tmp_path, compared, "python -m weakseg.compare", {"weakseg": "1"})
    with (tmp_path / TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 4
    (row,) = [row for row in rows if row["figure"] == f"iou/{BAD}" and row["run"] == "run-B"]
    assert [float(row[name]) for name in ("value", "difference", "difference_low")] == [1, 0.5, 0.5]
    content = json.loads((tmp_path / SUMMARY).read_text())
    assert content["bootstrap"] == {"samples": 20, "level": 0.9, "seed": 3}
    assert content["differences_from"] == "run-A"
    assert [run["name"] for run in content["runs"]] == ["run-A", "run-B", "run-C"]
    assert content["runs"][0]["differences"] == {}
    assert content["runs"][1]["differences"]["pixel_accuracy"]["value"] == pytest.approx(1 / 8)
    assert content["runs"][1]["seconds_per_image"] == 36
    assert content["recipes"] == [{"key": "data.root", "values": [BAD, "-", "b"]}]
    assert len(content["images"]) == 8


def test_the_page_is_escaped_and_says_why_there_are_no_pictures(
    compared: Comparison, tmp_path: Path
) -> None:
    pictures = Pictures([], ["background", BAD], [f"no pictures: {BAD}"])
    page = tmp_path / "page.html"
    write_comparison_page(page, compared, pictures, f"python {BAD}", {"weakseg": "1"})
    text = page.read_text()
    assert "<script" not in text
    assert "no pictures: &lt;script&gt;" in text
    assert "run-A and 2 others" in text
    assert text.count("<svg") == 2
    assert '<td class="sure">+0.500 (+0.500 to +0.500)</td>' in text
    assert "<td>1.00</td>" in text  # hours of annotation


def test_the_table_on_the_screen_shows_each_side_and_its_difference(
    compared: Comparison, capsys: pytest.CaptureFixture[str]
) -> None:
    print_comparison(compared, Console(width=160))
    printed = capsys.readouterr().out
    assert "A = run-A" in printed
    assert "B - A (90 % interval)" in printed
    assert "+0.125 (+0.125 to +0.125)" in printed
    assert "hours of annotation: A -, B 1.00, C -" in printed
