from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.functional.photos import beliefs, photo
from weakseg.functional.crf import DenseCRF, dense_crf
from weakseg.functional.crf.meanfield import Normalization, mean_field, normalize
from weakseg.utils import memory

OTHER_REACHES = DenseCRF(smooth_xy=3, bilateral_weight=10, bilateral_xy=80, bilateral_rgb=13)


def by_brute_force(image: Tensor, probs: Tensor, crf: DenseCRF) -> Tensor:
    """Every pixel against every other, without the lattice."""
    _, height, width = image.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place, colour = torch.stack([x, y], -1).flatten(0, 1).double(), image.flatten(1).T.double()
    features = [
        place / crf.smooth_xy,
        torch.cat([place / crf.bilateral_xy, colour / crf.bilateral_rgb], 1),
    ]
    ones = torch.ones(height * width, 1, dtype=torch.float64)
    kernels = [normalize(exactly(feature), ones, crf.normalization) for feature in features]
    unary = -probs.double().log().flatten(1).T
    return mean_field(
        unary, kernels, [crf.smooth_weight, crf.bilateral_weight], crf.iterations
    ).T.reshape(probs.shape)


def exactly(features: Tensor) -> Callable[[Tensor], Tensor]:
    kernel = (-(features[:, None] - features).square().sum(2) / 2).exp()
    return lambda values: kernel @ values


class TestAgainstBruteForce:
    @pytest.mark.parametrize("normalization", ["symmetric", "after"])
    @pytest.mark.parametrize(
        "crf", [DenseCRF(smooth_xy=1, bilateral_xy=67), OTHER_REACHES], ids=["deeplab", "wide"]
    )
    def test_the_lattices_own_error(self, crf: DenseCRF, normalization: Normalization) -> None:
        """Ten iterations amplify it where labels are close: up to 4 % of the labels were seen to
        differ; the CRF changes 13 to 44 %."""
        crf = replace(crf, normalization=normalization)
        image, probs = photo()[:, 20:44, 50:82], beliefs(3, 24, 32)
        ours, exact = dense_crf(image, probs, crf), by_brute_force(image, probs, crf)
        assert (ours - exact).abs().mean() < 0.03  # .02 was seen
        assert (ours.argmax(0) == exact.argmax(0)).float().mean() > 0.94
        one = replace(crf, iterations=1)
        # .009 was seen
        assert (
            dense_crf(image, probs, one) - by_brute_force(image, probs, one)
        ).abs().mean() < 0.015


class TestDenseCRF:
    @pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 3)])
    def test_tiny_images(self, size: tuple[int, int]) -> None:
        image, probs = (
            torch.randint(0, 256, (3, *size), dtype=torch.uint8),
            torch.rand(3, *size).softmax(0),
        )
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
        torch.testing.assert_close(
            dense_crf(image, probs, DenseCRF(smooth_weight=0, bilateral_weight=0)), probs
        )

    def test_precision_inside_is_that_of_probs_and_at_least_single(self) -> None:
        image, probs = photo(20, 30), beliefs(3, 20, 30)
        assert dense_crf(image, probs).dtype == torch.float32
        assert dense_crf(image, probs.half()).dtype == torch.float32
        exact = dense_crf(image, probs.double())
        assert exact.dtype == torch.float64
        torch.testing.assert_close(dense_crf(image, probs).double(), exact, rtol=0, atol=1e-3)

    def test_layout_in_memory_does_not_matter(self) -> None:
        image, probs = photo(21, 33), beliefs(3, 21, 33)
        turned, across = (
            image.permute(1, 2, 0).contiguous().permute(2, 0, 1),
            probs.permute(2, 0, 1).contiguous().permute(1, 2, 0),
        )
        assert not turned.is_contiguous()
        assert not across.is_contiguous()
        assert torch.equal(dense_crf(turned, across), dense_crf(image, probs))
        assert torch.equal(
            dense_crf(image.flip(2).flip(2), probs[:, ::2][:, [0]].expand(3, 21, 33)),
            dense_crf(image, probs[:, :1].repeat(1, 21, 1)),
        )

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_is_taken_as_it_is(self, dtype: torch.dtype) -> None:
        image, probs = photo(20, 30), beliefs(2, 20, 30).to(dtype)
        assert torch.equal(dense_crf(image, probs), dense_crf(image, probs.float()))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_gradients_end_here(self, dtype: torch.dtype) -> None:
        image, probs = photo(20, 30), beliefs(3, 20, 30).to(dtype)
        refined = dense_crf(image, probs.clone().requires_grad_())
        assert not refined.requires_grad
        assert torch.equal(refined, dense_crf(image, probs))

    def test_inputs_stay_as_they_are(self) -> None:
        image, probs = photo(20, 30).clone(), beliefs(3, 20, 30)
        before = image.clone(), probs.clone()
        dense_crf(image, probs)
        assert torch.equal(image, before[0])
        assert torch.equal(probs, before[1])


class TestLists:
    sizes = ((20, 30), (17, 9), (1, 1), (30, 20))
    labels = (2, 3, 21, 5)

    @pytest.fixture(params=[1, 2])
    def threads(self, request: pytest.FixtureRequest) -> Iterator[int]:
        before = torch.get_num_threads()
        torch.set_num_threads(request.param)
        yield request.param
        torch.set_num_threads(before)

    def test_equal_what_is_done_one_by_one(self, threads: int) -> None:
        images, probs = (
            [photo(*size) for size in self.sizes],
            [beliefs(labels, *size) for labels, size in zip(self.labels, self.sizes, strict=True)],
        )
        together = dense_crf(images, tuple(probs))
        assert isinstance(together, list)
        for image, belief, refined in zip(images, probs, together, strict=True):
            assert torch.equal(refined, dense_crf(image, belief))

    def test_many_of_the_same_image_at_once(self, threads: int) -> None:
        image, probs = photo(20, 30).flip(2), beliefs(3, 20, 30)
        alone = dense_crf(image, probs)
        assert all(torch.equal(refined, alone) for refined in dense_crf([image] * 9, [probs] * 9))

    def test_precisions_and_special_cases_side_by_side(self, threads: int) -> None:
        """Some are compiled, others are not; each result is at the place of its image."""
        image, probs = photo(20, 30), beliefs(3, 20, 30)
        only = torch.zeros(3, 20, 30)
        only[1] = 1
        first, exact, one, last = dense_crf(
            [image, image.flip(1), image, image.flip(2)],
            [probs, probs.double(), only, probs.half()],
        )
        assert torch.equal(first, dense_crf(image, probs))
        torch.testing.assert_close(exact, dense_crf(image.flip(1), probs.double()))
        assert torch.equal(one, only)
        assert torch.equal(last, dense_crf(image.flip(2), probs.half()))

    @pytest.mark.parametrize(
        "crf", [DenseCRF(), DenseCRF(smooth_weight=100)], ids=["compiled", "too strong for that"]
    )
    def test_different_numbers_of_labels(self, crf: DenseCRF) -> None:
        images, probs = (
            [photo(20, 30), photo(17, 9), photo(9, 8)],
            [beliefs(2, 20, 30), beliefs(3, 17, 9), beliefs(3, 9, 8)],
        )
        for image, belief, refined in zip(
            images, probs, dense_crf(images, probs, crf), strict=True
        ):
            torch.testing.assert_close(refined, dense_crf(image, belief, crf), rtol=0, atol=1e-4)

    def test_of_nothing(self) -> None:
        assert dense_crf([], []) == []
        assert dense_crf([], [], DenseCRF(backend="pydensecrf")) == []

    @pytest.mark.parametrize(
        ("image", "probs", "said"),
        [
            (
                [photo(4, 5)],
                [],
                "image and probs should be lists of the same length, but have 1 and 0 tensors",
            ),
            (
                [photo(4, 5)] * 2,
                [beliefs(2, 4, 5)] * 3,
                "image and probs should be lists of the same length, but have 2 and 3 tensors",
            ),
            (
                photo(4, 5),
                [beliefs(2, 4, 5)],
                "two torch.Tensor or two lists of them, but they are Tensor and list",
            ),
            (
                [photo(4, 5)] * 2,
                beliefs(2, 4, 5),
                "two torch.Tensor or two lists of them, but they are list and Tensor",
            ),
            (
                photo(4, 5).numpy(),
                beliefs(2, 4, 5),
                "two torch.Tensor or two lists of them, but they are ndarray and Tensor",
            ),
            (
                [photo(4, 5).numpy()],
                [beliefs(2, 4, 5)],
                "image and probs should be lists of torch.Tensor, but there is a ndarray in them",
            ),
            (
                photo(4, 5),
                None,
                "two torch.Tensor or two lists of them, but they are Tensor and NoneType",
            ),
        ],
    )
    def test_that_do_not_belong_together(self, image: Any, probs: Any, said: str) -> None:
        with pytest.raises((ValueError, TypeError), match=said):
            dense_crf(image, probs)

    def test_one_wrong_image_among_right_ones(self) -> None:
        with pytest.raises(ValueError, match="probs should sum to 1"):
            dense_crf([photo(4, 5)] * 3, [beliefs(2, 4, 5), beliefs(2, 4, 5) / 2, beliefs(2, 4, 5)])


class TestWrongInput:
    image = torch.zeros(3, 4, 5, dtype=torch.uint8)
    probs = torch.full((2, 4, 5), 0.5)

    @pytest.mark.parametrize(
        "image",
        [
            torch.rand(3, 4, 5),
            torch.zeros(4, 5, 3, dtype=torch.uint8),
            torch.zeros(3, 0, 5, dtype=torch.uint8),
        ],
    )
    def test_image(self, image: Tensor) -> None:
        with pytest.raises(
            ValueError,
            match=(
                r"image should be uint8 \[3,H,W\], but it is .*\]: give the colours as they are "
                r"in the file"
            ),
        ):
            dense_crf(image, self.probs)

    @pytest.mark.parametrize(
        "probs",
        [
            torch.rand(2, 5, 4),
            torch.rand(4, 5),
            torch.ones(2, 4, 5, dtype=torch.int64),
            torch.rand(0, 4, 5),
        ],
    )
    def test_size_and_type_of_probs(self, probs: Tensor) -> None:
        with pytest.raises(
            ValueError,
            match=(
                r"probs should be float \[C,4,5\], the size of the image, but it is .*\]: give one"
            ),
        ):
            dense_crf(self.image, probs)

    @pytest.mark.parametrize("value", [nan, -0.1, inf])
    def test_values_of_probs(self, value: float) -> None:
        probs = self.probs.clone()
        probs[0, 1, 2] = value
        with pytest.raises(
            ValueError,
            match=r"probs should be numbers from 0 to 1, but they go from .*: give the softmax",
        ):
            dense_crf(self.image, probs)

    def test_sum_of_probs(self) -> None:
        with pytest.raises(
            ValueError,
            match=(
                r"probs should sum to 1 over the classes of each pixel, but are off by up to 0.5: "
                r"divide"
            ),
        ):
            dense_crf(self.image, self.probs * 1.5)

    def test_different_devices(self) -> None:
        with pytest.raises(
            ValueError,
            match=(
                "image and probs should be on the same device, but they are on meta and cpu: move "
                "one"
            ),
        ):
            dense_crf(self.image.to("meta"), self.probs)

    @pytest.mark.parametrize(("images", "together"), [(1, ""), (2, ", 2 images at once")])
    def test_more_than_memory_allows(
        self, images: int, together: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(memory, "free", lambda device: 5_000)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
        many = (
            [torch.zeros(3, 4, 5, dtype=torch.uint8)] * images,
            [torch.full((3, 4, 5), 1 / 3)] * images,
        )
        said = (
            rf"probs of 3 possible labels at 5 x 4 pixels take about 0.0 GB{together}, but 0.0 GB "
            r"are free: set the prob"
        )
        with pytest.raises(MemoryError, match=said):
            dense_crf(*many)

    def test_labels_that_are_impossible_take_no_memory(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(memory, "free", lambda device: 5_200)  # enough for three labels
        probs = torch.zeros(50, 4, 5)
        probs[[0, 20, 49]] = 1 / 3
        assert dense_crf(self.image, probs).shape == (50, 4, 5)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("smooth_weight", -1, "0 or more"),
        ("bilateral_weight", nan, "0 or more"),
        ("smooth_xy", 0, "0.001 or more"),
        ("bilateral_xy", inf, "0.001 or more"),
        ("bilateral_rgb", -3, "0.001 or more"),
        ("bilateral_rgb", "3", "a number, 0.001 or more"),
        ("iterations", 0, "at least 1"),
        ("iterations", 2.5, "a whole number, at least 1"),
    ],
)
def test_impossible_settings_are_named(field: str, value: Any, expected: str) -> None:
    with pytest.raises(
        ValueError, match=rf"{field} of the dense CRF should be {expected}.*, but it is {value!r}"
    ):
        DenseCRF(**{field: value})


def test_impossible_normalization_is_named() -> None:
    with pytest.raises(
        ValueError,
        match="normalization of the dense CRF should be symmetric or after, but it is 'before'",
    ):
        DenseCRF(normalization="before")  # type: ignore[arg-type]


def test_impossible_backend_is_named() -> None:
    with pytest.raises(
        ValueError,
        match="backend of the dense CRF should be weakseg or pydensecrf, but it is 'c\\+\\+'",
    ):
        DenseCRF(backend="c++")  # type: ignore[arg-type]
