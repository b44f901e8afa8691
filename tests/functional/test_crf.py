from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import inf, nan
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data, transform
from torch import Tensor

from weakseg.functional.crf import DEEPLAB_V2, DenseCRF, dense_crf
from weakseg.functional.meanfield import Normalization, mean_field, normalize
from weakseg.functional.permutohedral import lattice

GOLDEN = {
    ("after", 1): [0.937552, 0.505817, 0.488122, 0.669510],
    ("after", 10): [0.991977, 0.900486, 0.899636, 0.952456],
    ("symmetric", 1): [0.938408, 0.515011, 0.496444, 0.672756],
    ("symmetric", 10): [0.991668, 0.908108, 0.907248, 0.950655],
}
OTHER_REACHES = DenseCRF(smooth_xy=3, bilateral_weight=10, bilateral_xy=80, bilateral_rgb=13)


@cache
def photo(height: int = 94, width: int = 125) -> Tensor:
    small = transform.resize(data.coffee(), (height, width), anti_aliasing=True)
    return torch.from_numpy(np.ascontiguousarray((small * 255).astype(np.uint8).transpose(2, 0, 1)))


def beliefs(labels: int, height: int = 94, width: int = 125) -> Tensor:
    """Random blobs of labels with noise on top, so that the CRF has something to decide."""
    blobs = F.interpolate(torch.randn(1, labels, height // 8 + 1, width // 8 + 1) * 2, size=(height, width), mode="bilinear")
    return (blobs[0] + torch.randn(labels, height, width) * 0.3).softmax(0)


def by_pydensecrf(image: Tensor, probs: Tensor, crf: DenseCRF) -> Tensor:
    densecrf: Any = pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf is not installed (pip install weakseg[pydensecrf])")
    normalization = densecrf.NORMALIZE_SYMMETRIC if crf.normalization == "symmetric" else densecrf.NORMALIZE_AFTER
    labels, height, width = probs.shape
    model = densecrf.DenseCRF2D(width, height, labels)
    model.setUnaryEnergy(np.ascontiguousarray(-probs.log().flatten(1).numpy()))
    model.addPairwiseGaussian(sxy=crf.smooth_xy, compat=crf.smooth_weight, normalization=normalization)
    model.addPairwiseBilateral(
        sxy=crf.bilateral_xy,
        srgb=crf.bilateral_rgb,
        rgbim=np.ascontiguousarray(image.permute(1, 2, 0).numpy()),
        compat=crf.bilateral_weight,
        normalization=normalization,
    )
    return torch.from_numpy(np.array(model.inference(crf.iterations))).view_as(probs)


def by_brute_force(image: Tensor, probs: Tensor, crf: DenseCRF) -> Tensor:
    """Every pixel against every other, without the lattice."""
    _, height, width = image.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place, colour = torch.stack([x, y], -1).flatten(0, 1).double(), image.flatten(1).T.double()
    features = [place / crf.smooth_xy, torch.cat([place / crf.bilateral_xy, colour / crf.bilateral_rgb], 1)]
    ones = torch.ones(height * width, 1, dtype=torch.float64)
    kernels = [normalize(exactly(feature), ones, crf.normalization) for feature in features]
    unary = -probs.double().log().flatten(1).T
    return mean_field(unary, kernels, [crf.smooth_weight, crf.bilateral_weight], crf.iterations).T.reshape(probs.shape)


def exactly(features: Tensor) -> Callable[[Tensor], Tensor]:
    kernel = (-(features[:, None] - features).square().sum(2) / 2).exp()
    return lambda values: kernel @ values


class TestMeanField:
    """Four points on a line; the golden values were computed with the exact kernel, own point included."""

    features = torch.arange(4, dtype=torch.float64)[:, None] / 3
    unary = -torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.6, 0.4]], dtype=torch.float64).log()
    ones = torch.ones(4, 1, dtype=torch.float64)

    @pytest.mark.parametrize(("how", "iterations"), GOLDEN)
    def test_golden_values(self, how: Normalization, iterations: int) -> None:
        kernel = normalize(exactly(self.features), self.ones, how)
        marginals = mean_field(self.unary, [kernel], [3.0], iterations)
        assert marginals[:, 0].tolist() == pytest.approx(GOLDEN[how, iterations], abs=6e-7)  # they are printed with six digits

    @pytest.mark.parametrize(("how", "iterations"), GOLDEN)
    def test_the_lattice_comes_near_them(self, how: Normalization, iterations: int) -> None:
        kernel = normalize(lattice(self.features).filter, self.ones, how)
        marginals = mean_field(self.unary, [kernel], [3.0], iterations)
        assert marginals[:, 0].tolist() == pytest.approx(GOLDEN[how, iterations], abs=0.008)  # it is an approximation; .006 was seen

    def test_one_step_written_out(self) -> None:
        """Two points that see each other half as much as themselves, weight 2, normalised by 1.5."""
        kernel = normalize(lambda values: torch.tensor([[1, 0.5], [0.5, 1]]) @ values, torch.ones(2, 1), "after")
        unary = -torch.tensor([[0.8, 0.2], [0.5, 0.5]]).log()
        pull = 2 * (0.8 + 0.5 * 0.5) / 1.5 - 2 * (0.2 + 0.5 * 0.5) / 1.5
        expected = 0.8 / (0.8 + 0.2 * np.exp(-pull))
        assert mean_field(unary, [kernel], [2.0], 1)[0, 0].item() == pytest.approx(expected)

    def test_a_constant_added_to_a_points_energies_changes_nothing(self) -> None:
        kernel = normalize(exactly(self.features), self.ones, "symmetric")
        shifted = self.unary + torch.tensor([[5.0], [-3.0], [0.1], [100.0]])
        torch.testing.assert_close(mean_field(shifted, [kernel], [3.0], 10), mean_field(self.unary, [kernel], [3.0], 10))

    def test_many_labels_take_the_same_way_as_few(self) -> None:
        kernel = normalize(exactly(self.features), self.ones, "symmetric")
        few = mean_field(self.unary, [kernel], [3.0], 10)
        never = torch.full((4, 18), 200.0, dtype=torch.float64)
        torch.testing.assert_close(mean_field(torch.cat([self.unary, never], 1), [kernel], [3.0], 10)[:, :2], few)


class TestAgainstPydensecrf:
    @pytest.mark.parametrize("crf", [DEEPLAB_V2, OTHER_REACHES, DenseCRF(normalization="after")], ids=["deeplab", "wide", "after"])
    @pytest.mark.parametrize("labels", [2, 3, 21])
    def test_agrees_on_a_photo(self, labels: int, crf: DenseCRF) -> None:
        image, probs = photo(), beliefs(labels)
        ours, theirs = dense_crf(image, probs, crf), by_pydensecrf(image, probs, crf)
        assert (ours.argmax(0) == theirs.argmax(0)).float().mean() >= 0.999
        assert (ours - theirs).abs().mean() < 1e-5
        assert (ours.argmax(0) != probs.argmax(0)).float().mean() > 0.1  # and that is not because nothing happened

    def test_agrees_on_a_crop_that_is_no_multiple_of_four(self) -> None:
        image, probs = photo()[:, 30:53, 40:67], beliefs(3, 23, 27)
        assert (dense_crf(image, probs) - by_pydensecrf(image, probs, DEEPLAB_V2)).abs().max() < 1e-3


class TestAgainstBruteForce:
    @pytest.mark.parametrize("normalization", ["symmetric", "after"])
    @pytest.mark.parametrize("crf", [DEEPLAB_V2, OTHER_REACHES], ids=["deeplab", "wide"])
    def test_the_lattices_own_error(self, crf: DenseCRF, normalization: Normalization) -> None:
        """Ten iterations amplify it where labels are close: up to 4 % of the labels were seen to differ; the CRF changes 13 to 44 %."""
        crf = replace(crf, normalization=normalization)
        image, probs = photo()[:, 20:44, 50:82], beliefs(3, 24, 32)
        ours, exact = dense_crf(image, probs, crf), by_brute_force(image, probs, crf)
        assert (ours - exact).abs().mean() < 0.03  # .02 was seen
        assert (ours.argmax(0) == exact.argmax(0)).float().mean() > 0.94
        one = replace(crf, iterations=1)
        assert (dense_crf(image, probs, one) - by_brute_force(image, probs, one)).abs().mean() < 0.015  # .009 was seen


class TestDenseCRF:
    @pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 3)])
    def test_tiny_images(self, size: tuple[int, int]) -> None:
        image, probs = torch.randint(0, 256, (3, *size), dtype=torch.uint8), torch.rand(3, *size).softmax(0)
        refined = dense_crf(image, probs)
        assert refined.shape == probs.shape
        torch.testing.assert_close(refined.sum(0), torch.ones(size))

    def test_one_colour_leaves_only_the_place(self) -> None:
        """Without edges in the photo the majority around a pixel wins."""
        probs = torch.full((2, 20, 20), 0.4)
        probs[0] = 0.6
        probs[:, 10, 10] = torch.tensor([0.3, 0.7])
        refined = dense_crf(torch.full((3, 20, 20), 77, dtype=torch.uint8), probs)
        assert (refined.argmax(0) == 0).all()
        assert refined[0].min() > 0.9

    def test_an_edge_of_the_photo_stops_a_label(self) -> None:
        image = torch.zeros(3, 12, 20, dtype=torch.uint8)
        image[:, :, 10:] = 200
        probs = torch.full((2, 12, 20), 0.5)
        probs[:, 5:7, 2] = torch.tensor([[0.95], [0.05]])
        probs[:, 5:7, 17] = torch.tensor([[0.05], [0.95]])
        labels = dense_crf(image, probs, DenseCRF(smooth_weight=0)).argmax(0)
        assert (labels[:, :10] == 0).all()
        assert (labels[:, 10:] == 1).all()

    def test_labels_impossible_everywhere_are_left_out(self) -> None:
        image, probs = photo(20, 30), beliefs(3, 20, 30)
        none = torch.zeros(20, 30)
        padded = torch.stack([none, probs[0], none, probs[1], probs[2]])
        refined = dense_crf(image, padded)
        assert (refined[[0, 2]] == 0).all()
        assert torch.equal(refined[[1, 3, 4]], dense_crf(image, probs))

    def test_a_label_impossible_at_a_pixel_stays_so_against_its_neighbours(self) -> None:
        probs = torch.zeros(2, 9, 9)
        probs[0] = 1
        probs[:, 4, 4] = torch.tensor([0.0, 1.0])
        refined = dense_crf(torch.zeros(3, 9, 9, dtype=torch.uint8), probs)
        assert torch.isfinite(refined).all()
        assert refined.argmax(0).sum() == 1

    def test_less_than_1e_20_counts_as_1e_20(self) -> None:
        image, probs = photo(20, 30), beliefs(2, 20, 30)
        probs[:, 3, 4] = torch.tensor([1.0, 0.0])
        tiny = probs.clone()
        tiny[1, 3, 4] = 1e-35
        assert torch.equal(dense_crf(image, tiny), dense_crf(image, probs))

    def test_one_possible_label(self) -> None:
        probs = torch.zeros(4, 5, 6)
        probs[2] = 1
        assert torch.equal(dense_crf(photo(5, 6), probs), probs)

    def test_order_of_labels_does_not_matter(self) -> None:
        image, probs = photo(20, 30), beliefs(4, 20, 30)
        order = [2, 0, 3, 1]
        torch.testing.assert_close(dense_crf(image, probs[order]), dense_crf(image, probs)[order])

    def test_without_pulls_nothing_changes(self) -> None:
        image, probs = photo(20, 30), beliefs(3, 20, 30)
        torch.testing.assert_close(dense_crf(image, probs, DenseCRF(smooth_weight=0, bilateral_weight=0)), probs)

    def test_precision_inside_is_that_of_probs_and_at_least_single(self) -> None:
        image, probs = photo(20, 30), beliefs(3, 20, 30)
        assert dense_crf(image, probs).dtype == torch.float32
        assert dense_crf(image, probs.half()).dtype == torch.float32
        exact = dense_crf(image, probs.double())
        assert exact.dtype == torch.float64
        torch.testing.assert_close(dense_crf(image, probs).double(), exact, rtol=0, atol=1e-3)

    def test_inputs_stay_as_they_are(self) -> None:
        image, probs = photo(20, 30).clone(), beliefs(3, 20, 30)
        before = image.clone(), probs.clone()
        dense_crf(image, probs)
        assert torch.equal(image, before[0])
        assert torch.equal(probs, before[1])


class TestWrongInput:
    image = torch.zeros(3, 4, 5, dtype=torch.uint8)
    probs = torch.full((2, 4, 5), 0.5)

    @pytest.mark.parametrize(
        "image", [torch.rand(3, 4, 5), torch.zeros(4, 5, 3, dtype=torch.uint8), torch.zeros(3, 0, 5, dtype=torch.uint8)]
    )
    def test_image(self, image: Tensor) -> None:
        with pytest.raises(ValueError, match=r"image should be uint8 \[3,H,W\], but it is .*\]: give the colours as they are in the file"):
            dense_crf(image, self.probs)

    @pytest.mark.parametrize("probs", [torch.rand(2, 5, 4), torch.rand(4, 5), torch.ones(2, 4, 5, dtype=torch.int64), torch.rand(0, 4, 5)])
    def test_size_and_type_of_probs(self, probs: Tensor) -> None:
        with pytest.raises(ValueError, match=r"probs should be float \[C,4,5\], the size of the image, but it is .*\]: give one"):
            dense_crf(self.image, probs)

    @pytest.mark.parametrize("value", [nan, -0.1, inf])
    def test_values_of_probs(self, value: float) -> None:
        probs = self.probs.clone()
        probs[0, 1, 2] = value
        with pytest.raises(ValueError, match=r"probs should be numbers from 0 to 1, but they go from .*: give the softmax"):
            dense_crf(self.image, probs)

    def test_sum_of_probs(self) -> None:
        with pytest.raises(ValueError, match=r"probs should sum to 1 over the classes of each pixel, but are off by up to 0.5: divide"):
            dense_crf(self.image, self.probs * 1.5)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("smooth_weight", -1, "0 or more"),
        ("bilateral_weight", nan, "0 or more"),
        ("smooth_xy", 0, "more than 0"),
        ("bilateral_xy", inf, "more than 0"),
        ("bilateral_rgb", -3, "more than 0"),
        ("bilateral_rgb", "3", "more than 0"),
        ("iterations", 0, "a whole number, 1 or more"),
        ("iterations", 2.5, "a whole number, 1 or more"),
    ],
)
def test_impossible_settings_are_named(field: str, value: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=rf"{field} of the dense CRF should be {expected}.*, but it is {value!r}"):
        DenseCRF(**{field: value})


def test_impossible_normalization_is_named() -> None:
    with pytest.raises(ValueError, match="normalization of the dense CRF should be symmetric or after, but it is 'before'"):
        DenseCRF(normalization="before")  # type: ignore[arg-type]
