"""Settings chosen by the evidence itself: what is tried, what is chosen, what is written, and that
nothing is estimated twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tuning.methods import Contrast
from weakseg import tune
from weakseg.config.recipe import RecipeError, load, resolve
from weakseg.labelling.source import source_of_recipe
from weakseg.strategies.base import fits_together
from weakseg.tuning.results import Tuned
from weakseg.tuning.strategy import _trials, tune_strategy

METHODS = "tests.tuning.methods"


@pytest.fixture(autouse=True)
def nothing_estimated() -> None:
    Contrast.estimated.clear()


def tuned(folder: Path, strategy: str = "Contrast", **given: Any) -> Tuned:
    sections: dict[str, Any] = {
        "data": {"name": "tests.small.Squares", "train": "20"},
        "strategy": {"name": strategy if "." in strategy else f"{METHODS}.{strategy}"},
        "network": {"name": f"{METHODS}.Sees"},
        "rounds": {"workers": "0", "folder": str(folder / "labels")},
    }
    return tune_strategy("boxes_rect", **{"out": folder / "out", **sections, **given})


def test_what_others_images_predict_best_is_chosen(tmp_path: Path) -> None:
    found = tuned(tmp_path)
    assert found.measures == ("consistency",)
    assert [row.setting for row in found.rows] == [
        {},
        {"least": "0"},
        {"least": "40"},
        {"least": "90"},
    ]
    # 200 leaves nothing and 0 the whole box; the discs differ by 100 and more
    assert found.words in ({"least": "40"}, {"least": "90"})
    assert found.rows[found.chosen].difference.low > 0
    truth = [row.truth for row in found.rows]
    assert truth[found.best] == max(truth)
    assert found.worst == 0
    assert "use strategy.least=" in found.verdict


def test_what_was_chosen_is_a_recipe_and_a_summary_and_a_page(tmp_path: Path) -> None:
    found = tuned(tmp_path)
    folder = tmp_path / "out"
    recipe = resolve(load([f"recipe={folder / 'tuned.yaml'}"]))
    assert recipe.build("strategy", classes=3).least == float(found.words["least"])
    assert recipe.sections["data"]["name"] == "tests.small.Squares"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["strategy"] == found.words
    assert summary["verdict"] == found.verdict
    assert len(summary["settings"]) == 4
    assert set(summary["settings"][0]["classes"]) == {"bright", "dark"}
    page = (folder / "index.html").read_text()
    assert found.verdict in page
    assert "truth, not used" in page
    assert page.count("<article") == 8
    assert not list(folder.glob(".new"))


def test_a_second_call_estimates_nothing_and_a_new_value_only_itself(tmp_path: Path) -> None:
    tuned(tmp_path)
    assert len(Contrast.estimated) == 4 * 20
    tuned(tmp_path)
    assert len(Contrast.estimated) == 4 * 20
    tuned(tmp_path, grid={"least": "[40,50]"})
    assert len(Contrast.estimated) == 5 * 20


def test_images_are_some_of_the_training_images_with_evidence(tmp_path: Path) -> None:
    data = {"name": f"{METHODS}.WithoutTruth", "train": "40"}
    found = tuned(tmp_path, data=data, images=14)
    # spread over 40, of which those with an index that is a multiple of 4 have no boxes
    assert (found.images, found.left_out) == (10, 4)
    assert "truth_miou_not_used" not in (tmp_path / "out" / "summary.json").read_text()
    assert "truth" not in (tmp_path / "out" / "index.html").read_text().replace("&", "")


def test_as_many_images_are_tried_as_were_wanted(tmp_path: Path) -> None:
    tuned(tmp_path, images=15)
    assert len(set(Contrast.estimated)) == 15


def test_hidden_marks_count_as_much_where_there_are_some(tmp_path: Path) -> None:
    given: dict[str, Any] = {"data": {"name": f"{METHODS}.Lines", "train": "12"}}
    found = tuned(tmp_path, "Nearest", grid={"colours": "[true]"}, **given)
    assert found.measures == ("consistency", "hidden")
    assert found.words == {"colours": "true"}
    plain, colours = found.rows
    # one class of two, and nearly all
    assert plain.scores["hidden"] == pytest.approx(0.5, abs=0.2)
    assert colours.scores["hidden"] > 0.9
    leads = []
    for by in ("consistency", "hidden"):
        alone = tuned(tmp_path, "Nearest", grid={"colours": "[true]"}, by=by, **given)
        assert list(alone.rows[0].scores) == [by]
        leads.append(alone.rows[1].difference.value)
    assert colours.difference.value == pytest.approx(sum(leads) / 2)


@pytest.mark.parametrize("data", ["Lines", "Clicks"])
def test_what_has_no_label_counts_as_if_it_were_drawn_by_lot(tmp_path: Path, data: str) -> None:
    given: dict[str, Any] = {"data": {"name": f"{METHODS}.{data}", "train": "12"}}
    found = tuned(tmp_path, "OnlyMarks", grid={"unused": "[1]"}, by="hidden", **given)
    assert found.measures == ("hidden",)
    # images have a background and one class, and no hidden mark has a label
    assert found.rows[0].scores["hidden"] == pytest.approx(0.5)
    assert len(found.classes) == 3


def test_the_only_click_of_a_class_is_hidden_where_tags_name_it(tmp_path: Path) -> None:
    """What is left of an image is the click of the other class."""
    given: dict[str, Any] = {"data": {"name": f"{METHODS}.Clicks", "train": "12"}}
    found = tuned(tmp_path, "Nearest", grid={"colours": "[true]"}, by="hidden", **given)
    assert [row.scores["hidden"] for row in found.rows] == [0, 0]


def test_a_strategy_fitted_to_features_is_not_chosen_for_by_a_probe_of_them(
    tmp_path: Path,
) -> None:
    found = tuned(tmp_path, "Fitted")
    assert found.rows[found.best].difference.low > 0
    assert found.words == {}
    assert found.verdict.startswith("keep the recipe as it is: the probe agrees better with ")
    assert "which may err as the probe does" in (tmp_path / "out" / "index.html").read_text()
    # whoever wants it all the same
    named = tuned(tmp_path, "Fitted", by="consistency")
    assert named.words == found.rows[found.best].setting
    marked: dict[str, Any] = {"data": {"name": f"{METHODS}.Lines", "train": "12"}}
    assert tuned(tmp_path, "Fitted", **marked).measures == ("hidden",)


def test_all_settings_have_what_is_planned() -> None:
    sections = {
        "data": {"name": "tests.small.Squares", "train": "4"},
        "network": {"name": "tests.small.TinyNet", "classes": "3"},
    }
    source = source_of_recipe("boxes", sections, None, None, "cpu")
    assert source.options["together"] is False
    source = replace(source, options={**source.options, "together": True})
    trials = _trials("boxes", sections, source, {"share": "[0.35,0.5]"}, 3)
    fitted = [fits_together(trial.strategy) for trial in trials]
    assert fitted == [False, True, True]  # the first is that of the source itself


def test_few_candidates_are_those_with_the_fewest_changes(tmp_path: Path) -> None:
    found = tuned(tmp_path, candidates=2)
    assert [row.setting for row in found.rows] == [{}, {"least": "0"}]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"strategy": f"{METHODS}.Nothing"}, "there is nothing to try"),
        ({"grid": {"least": "[200]"}}, "there is nothing to try"),
        ({"by": "hidden"}, "no image has marks"),
        ({"images": 2}, "no class is in five images"),
    ],
)
def test_what_cannot_be_compared_is_said(tmp_path: Path, given: Any, line: str) -> None:
    with pytest.raises(RecipeError, match=line):
        tuned(tmp_path, **given)


def test_with_random_weights_the_probe_sees_colours(tmp_path: Path) -> None:
    network = {"name": "unet", "encoder": "tu-regnetx_002", "weights": "null"}
    found = tuned(tmp_path, network=network, candidates=3)
    assert found.features.startswith("colours and their spread")
    assert found.words == {"least": "40"}


def test_a_strategy_without_pseudo_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"estimates no pseudo-labels.*tune compares"):
        tuned(tmp_path, strategy="weakseg.strategies.ScribblesCRF")


def test_files_of_something_else_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.json").write_text("{}")
    with pytest.raises(RecipeError, match="no tuning has written"):
        tuned(tmp_path)


WORDS = [
    "recipe=boxes_rect",
    "data=tests.small.Squares",
    "data.train=12",
    f"strategy={METHODS}.Contrast",
    f"network={METHODS}.Sees",
    "rounds.workers=0",
]


def test_the_command_prints_a_table_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, f"rounds.folder={tmp_path / 'labels'}", f"out={tmp_path / 'out'}"]
    assert tune.command([*words, "grid.least=[40]"]) == 0
    shown = capsys.readouterr().out
    assert "least=40" in shown
    assert "use strategy.least=40: its score is higher" in shown
    assert f"recipe: {tmp_path / 'out'}/tuned.yaml" in shown


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["recipe=boxes", "out=x", "grid.crf.bilateral_rgb=[3,x]"], "grid: strategy.crf.bilat"),
        (["recipe=boxes", "out=x", "grid.shre=[0.2]"], "did you mean share?"),
        (["recipe=boxes", "out=x", "grid=[0.2]"], "grid: expected keys below it"),
        (["recipe=boxes", "out=x", "gird.share=[0.2]"], "did you mean grid?"),
        (["recipe=boxes", "out=x", "grid.share=[]"], "expected a list of values to try"),
        (["recipe=boxes", "out=x", "images=1"], "images: it should be at least 2"),
        (["recipe=boxes"], "out: missing"),
    ],
)
def test_mistakes_are_answered_before_torch(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        tune.main(words)
    assert ended.value.code == 2
    assert line in capsys.readouterr().err
