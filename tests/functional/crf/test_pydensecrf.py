from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.functional.photos import beliefs, by_pydensecrf, large_photo, photo
from weakseg.config.recipe import RecipeError, load, resolve
from weakseg.evidence import Evidence
from weakseg.functional.crf import DenseCRF, dense_crf
from weakseg.strategies.base import Context
from weakseg.strategies.boxes_crf import BoxesCRF

OTHER_REACHES = DenseCRF(smooth_xy=3, bilateral_weight=10, bilateral_xy=80, bilateral_rgb=13)
NEEDED = "pydensecrf is not installed (pip install weakseg[pydensecrf])"
WIDE = {
    "smooth_weight": 2,
    "smooth_xy": 3,
    "bilateral_weight": 10,
    "bilateral_xy": 80,
    "bilateral_rgb": 13,
    "iterations": 4,
}


IN_PIXELS = DenseCRF(smooth_xy=1, bilateral_xy=67)


def expect_agreement(image: Tensor, probs: Tensor, crf: DenseCRF) -> None:
    """As much as is promised of the argmax, and more of the mean: 1e-6 was seen."""
    ours, theirs = dense_crf(image, probs, crf), by_pydensecrf(image, probs, crf)
    assert (ours.argmax(0) == theirs.argmax(0)).float().mean() >= 0.999
    assert (ours - theirs).abs().mean() < 1e-5
    # and that is not because nothing happened
    assert (ours.argmax(0) != probs.argmax(0)).float().mean() > 0.1


class TestAgainstPydensecrf:
    @pytest.mark.parametrize(
        "crf",
        [IN_PIXELS, OTHER_REACHES, replace(IN_PIXELS, normalization="after")],
        ids=["deeplab", "wide", "after"],
    )
    @pytest.mark.parametrize("labels", [2, 3, 21])
    def test_agrees_on_a_photo(self, labels: int, crf: DenseCRF) -> None:
        expect_agreement(photo(), beliefs(labels), crf)

    @pytest.mark.parametrize("labels", [2, 3, 5, pytest.param(21, marks=pytest.mark.slow)])
    @pytest.mark.parametrize(
        ("name", "crf"),
        [("coffee", IN_PIXELS), ("astronaut", OTHER_REACHES)],
        ids=["deeplab", "wide"],
    )
    def test_agrees_on_a_large_photo(self, name: str, crf: DenseCRF, labels: int) -> None:
        expect_agreement(large_photo(name), beliefs(labels, 375, 500), crf)

    @pytest.mark.parametrize(
        "strengths", [(35, 15), (60, 40)], ids=["compiled", "too strong for that"]
    )
    def test_agrees_where_pulls_are_strong(self, strengths: tuple[float, float]) -> None:
        expect_agreement(photo(), beliefs(3), DenseCRF(strengths[0], 12, strengths[1], 40, 10))

    def test_agrees_on_a_crop_that_is_no_multiple_of_four(self) -> None:
        image, probs = photo()[:, 30:53, 40:67], beliefs(3, 23, 27)
        assert (
            dense_crf(image, probs, IN_PIXELS) - by_pydensecrf(image, probs, IN_PIXELS)
        ).abs().max() < 1e-3


@pytest.mark.parametrize(
    "settings", [{}, WIDE, {"normalization": "after"}], ids=["deeplab", "wide", "after"]
)
def test_every_argument_reaches_it(settings: dict[str, Any]) -> None:
    pytest.importorskip("pydensecrf", reason=NEEDED)
    image, probs = photo(40, 50), beliefs(3, 40, 50)
    crf = replace(IN_PIXELS, backend="pydensecrf", **settings)
    assert torch.equal(dense_crf(image, probs, crf), by_pydensecrf(image, probs, crf))


def test_a_pull_that_is_off() -> None:
    pytest.importorskip("pydensecrf", reason=NEEDED)
    image, probs = photo(20, 30), beliefs(3, 20, 30)
    for off in ({"smooth_weight": 0}, {"bilateral_weight": 0}):
        theirs = dense_crf(image, probs, DenseCRF(backend="pydensecrf", **off))
        assert (theirs - dense_crf(image, probs, DenseCRF(**off))).abs().max() < 1e-3
        assert (theirs - dense_crf(image, probs)).abs().max() > 0.01
    neither = DenseCRF(backend="pydensecrf", smooth_weight=0, bilateral_weight=0)
    torch.testing.assert_close(dense_crf(image, probs, neither), probs)


def test_labels_impossible_everywhere_stay_so() -> None:
    pytest.importorskip("pydensecrf", reason=NEEDED)
    image, probs = photo(20, 30), torch.zeros(5, 20, 30)
    probs[[1, 3, 4]] = beliefs(3, 20, 30)
    refined = dense_crf(image, probs, DenseCRF(backend="pydensecrf"))
    assert (refined[[0, 2]] == 0).all()
    assert torch.equal(
        refined[[1, 3, 4]], dense_crf(image, probs[[1, 3, 4]], DenseCRF(backend="pydensecrf"))
    )
    assert (refined - dense_crf(image, probs)).abs().max() < 1e-3


def test_a_list_layouts_precision_and_gradients() -> None:
    pytest.importorskip("pydensecrf", reason=NEEDED)
    crf = DenseCRF(backend="pydensecrf")
    image, probs = photo(20, 30), beliefs(3, 20, 30)
    expected = dense_crf(image, probs, crf)
    turned = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    first, second = dense_crf(
        [turned, photo(9, 8)], [probs.double().requires_grad_(), beliefs(2, 9, 8)], crf
    )
    torch.testing.assert_close(first, expected, check_dtype=False, rtol=0, atol=1e-5)
    assert not first.requires_grad
    assert second.shape == (2, 9, 8)


def test_without_the_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    monkeypatch.delitem(sys.modules, "pydensecrf.densecrf", raising=False)
    with pytest.raises(
        ImportError,
        match=(
            r"backend=pydensecrf needs the package pydensecrf2.*pip install "
            r"'weakseg\[pydensecrf\]'"
        ),
    ):
        dense_crf(photo(20, 30), beliefs(3, 20, 30), DenseCRF(backend="pydensecrf"))
    assert dense_crf(photo(20, 30), beliefs(3, 20, 30), IN_PIXELS).isfinite().all()


def test_a_recipe_may_ask_for_it() -> None:
    pytest.importorskip("pydensecrf", reason=NEEDED)
    recipe = resolve(
        load(["recipe=boxes", "strategy=boxes_crf", "strategy.crf.backend=pydensecrf"])
    )
    strategy = recipe.build("strategy")
    assert isinstance(strategy, BoxesCRF)
    assert strategy.crf.backend == "pydensecrf"
    evidence = Evidence(
        "photo",
        photo(30, 40),
        boxes=torch.tensor([[5.0, 5, 30, 25]]),
        box_classes=torch.tensor([7]),
    )
    same = strategy.estimate(evidence, Context()) == BoxesCRF(
        crf=replace(strategy.crf, backend="weakseg")
    ).estimate(evidence, Context())
    assert same.float().mean() > 0.999


def test_a_recipe_that_asks_for_another_is_told_so() -> None:
    with pytest.raises(RecipeError, match=r"strategy\.crf\.backend: .*pydensecrf"):
        resolve(load(["recipe=boxes", "strategy=boxes_crf", "strategy.crf.backend=cpp"])).build(
            "strategy"
        )
