"""Shares on the command line, in recipes, and what --show says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from weakseg.config.recipe import RecipeError, check_spelling, load, resolve, show, to_yaml
from weakseg.config.schema import arguments, make, validate
from weakseg.config.values import describe, plain, written
from weakseg.functional.crf import DenseCRF
from weakseg.utils.lengths import AreaShare, Share

REACH = "strategy.crf.bilateral_xy"
EXPECTED = "expected a number of pixels or a share of the image's long side, such as 13%"
RANGE = "a share of the image's long side should be more than 0% and at most 100%"


def crf_of(*words: str) -> DenseCRF:
    crf: DenseCRF = resolve(load(["recipe=boxes", *words])).build("strategy").crf
    return crf


def test_percent_is_a_share_and_a_number_is_pixels() -> None:
    assert crf_of(f"{REACH}=13%").bilateral_xy == Share(0.13)
    assert crf_of(f"{REACH}=67").bilateral_xy == 67
    assert crf_of(f"{REACH}=6.7e1").bilateral_xy == 67


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-3%", f"{RANGE}, but it is -3%; a number without % means pixels"),
        ("130%", f"{RANGE}, but it is 130%; a number without % means pixels"),
        ("0%", f"{RANGE}, but it is 0%; a number without % means pixels"),
        ("13 %", f"{EXPECTED}, but it is '13 %'"),
        ("67px", f"{EXPECTED}, but it is '67px'"),
        ("[13%]", EXPECTED),
        ("true", EXPECTED),
        ("-4", "it should be 0.001 or more and finite, a standard deviation, or a share of"),
        ("nan", "it should be a number, 0.001 or more and finite, a standard deviation, or a"),
    ],
)
def test_what_is_neither(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        check_spelling(load(["recipe=boxes", f"{REACH}={text}"]))
    (line,) = error.value.errors
    assert line.startswith(f"{REACH}: {message}")


def test_a_percentage_where_there_is_no_length() -> None:
    with pytest.raises(RecipeError, match=r"optimizer.lr: expected a number, but it is '3%'"):
        resolve(load(["recipe=boxes", "optimizer.lr=3%"]))


def test_python_refuses_with_the_same_words() -> None:
    with pytest.raises(ValueError, match=r"0\.001 or more and finite.*, or a share of the"):
        DenseCRF(bilateral_xy=0)


def test_a_share_of_the_area_is_no_share_of_the_side() -> None:
    with pytest.raises(ValueError, match="bilateral_xy of the dense CRF should"):
        DenseCRF(bilateral_xy=AreaShare(0.13))  # type: ignore[arg-type]


def test_the_recipe_of_a_run_says_the_same(tmp_path: Path) -> None:
    recipe = resolve(load(["recipe=boxes", f"{REACH}=12.5%"]))
    file = tmp_path / "recipe.yaml"
    file.write_text(to_yaml(recipe, defaults=True))
    assert "bilateral_xy: 12.5%\n" in file.read_text()
    again = resolve(load([f"recipe={file}"]))
    assert again.build("strategy").crf.bilateral_xy == Share(0.125)
    assert to_yaml(again, defaults=True).splitlines()[1:] == file.read_text().splitlines()[1:]


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (["data.size=200"], "26 pixels at 200"),
        (["data=folder", "data.root=photos", "data.long_side=256"], "33.3 pixels at 256"),
        (["data=folder", "data.root=photos"], "65 pixels at 500"),
    ],
)
def test_show_says_both(words: list[str], note: str) -> None:
    lines = show(resolve(load(["recipe=boxes", f"{REACH}=13%", *words]))).splitlines()
    (line,) = (line for line in lines if "bilateral_xy" in line)
    assert line.split("#")[0].strip() == "bilateral_xy: 13%"
    assert line.split("# ")[1] == f"command line; {note}"


def sized(reach: float | Share = Share(0.1), piece: int | AreaShare = AreaShare(0.01)) -> None:
    """Something with a length and an area."""


def test_areas_are_read_and_described_as_such() -> None:
    hint = arguments(sized)["piece"].hint
    wanted = "a number of pixels or a share of the image's pixels, such as 0.1%"
    assert describe(hint) == wanted
    assert validate(sized, {"reach": "3%", "piece": "3%"}) == {
        "reach": Share(0.03),
        "piece": AreaShare(0.03),
    }
    make(sized, {"reach": Share(0.03)})
    assert written(plain({"piece": AreaShare(0.001)})) == "{piece: 0.1%}"
