from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.segmentation import felzenszwalb as felzenszwalb_of_skimage
from skimage.segmentation import slic as slic_of_skimage
from torch import Tensor

from tests.functional.photos import photo
from weakseg.functional.regions.superpixels import (
    appearance,
    colour_histograms,
    felzenszwalb,
    gradient_histograms,
    neighbours,
    pooled,
    region_counts,
    region_sums,
    slic,
    spread_marks,
)

MAKERS: dict[str, Callable[[Tensor], Tensor]] = {"felzenszwalb": felzenszwalb, "slic": slic}
SIZES = [(1, 1), (2, 2), (1, 9), (9, 1), (2, 40), (13, 17)]


def noise(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8)


def scattered(height: int = 13, width: int = 17, regions: int = 6) -> Tensor:
    """Regions in many pieces, each with at least one pixel."""
    segments = torch.randint(0, regions, (height, width))
    segments.view(-1)[:regions] = torch.arange(regions)
    return segments


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
class TestBothMakers:
    @pytest.mark.parametrize(("height", "width"), SIZES)
    @pytest.mark.parametrize("colour", [0, 255, None])
    def test_any_size_of_image(
        self, make: Callable[[Tensor], Tensor], height: int, width: int, colour: int | None
    ) -> None:
        image = (
            noise(height, width)
            if colour is None
            else torch.full((3, height, width), colour, dtype=torch.uint8)
        )
        before = image.clone()
        segments = make(image)
        assert segments.dtype == torch.int64
        assert segments.shape == (height, width)
        assert torch.unique(segments).tolist() == list(range(int(segments.max()) + 1))
        assert torch.equal(image, before)

    def test_regions_of_a_photo_hang_together(self, make: Callable[[Tensor], Tensor]) -> None:
        """Those of Felzenszwalb by corners, too."""
        segments = make(photo()).numpy()
        touching = (
            np.ones((3, 3)) if make is felzenszwalb else ndimage.generate_binary_structure(2, 1)
        )
        assert segments.max() > 50
        for region in range(segments.max() + 1):
            assert ndimage.label(segments == region, touching)[1] == 1

    def test_the_same_for_a_view_of_an_image(self, make: Callable[[Tensor], Tensor]) -> None:
        image = photo(40, 50)
        assert torch.equal(make(image.permute(1, 2, 0).contiguous().permute(2, 0, 1)), make(image))

    @pytest.mark.parametrize(
        "image",
        [
            torch.zeros(3, 4, 5),
            torch.zeros(4, 5, dtype=torch.uint8),
            torch.zeros(3, 0, 5, dtype=torch.uint8),
        ],
    )
    def test_no_image(self, make: Callable[[Tensor], Tensor], image: Tensor) -> None:
        with pytest.raises(
            ValueError, match=r"image should be uint8 \[3,H,W\] with at least one pixel, but it is"
        ):
            make(image)


class TestFelzenszwalb:
    @pytest.mark.parametrize("options", [(75.0, 0.5, 30), (200.0, 1.0, 5)])
    def test_is_that_of_skimage(self, options: tuple[float, float, int]) -> None:
        expected = felzenszwalb_of_skimage(photo().numpy(), *options, channel_axis=0)
        np.testing.assert_array_equal(felzenszwalb(photo(), *options), expected)

    def test_two_by_two_by_hand(self) -> None:
        """In roots of three, colours differ by 10 from left to right, by 1 from top to bottom, and
        by 9 and 11 from corner to corner."""
        image = torch.tensor([[100, 110], [101, 111]], dtype=torch.uint8).expand(3, 2, 2)
        assert felzenszwalb(image, scale=1, sigma=0, smallest=1).tolist() == [[0, 1], [2, 3]]
        assert felzenszwalb(image, scale=10, sigma=0, smallest=1).tolist() == [[0, 1], [0, 1]]
        assert felzenszwalb(image, scale=10, sigma=0, smallest=3).tolist() == [[0, 0], [0, 0]]
        # the columns join as well once 1 + scale / 2 is more than 9, again in roots of three
        assert felzenszwalb(image, scale=27.7, sigma=0, smallest=1).tolist() == [[0, 1], [0, 1]]
        assert felzenszwalb(image, scale=27.8, sigma=0, smallest=1).tolist() == [[0, 0], [0, 0]]

    def test_none_is_smaller_than_allowed(self) -> None:
        assert torch.bincount(felzenszwalb(photo(), smallest=40).flatten()).min() >= 40

    @pytest.mark.parametrize(
        ("scale", "sigma"), [(0, 0.5), (-1, 0.5), (float("nan"), 0.5), (9, -1), (9, float("nan"))]
    )
    def test_impossible_options(self, scale: float, sigma: float) -> None:
        with pytest.raises(
            ValueError, match="scale should be more than 0 and sigma at least 0, but they are"
        ):
            felzenszwalb(photo(), scale, sigma)


class TestSlic:
    def test_is_that_of_skimage(self) -> None:
        """Of the picture that a person sees, in channels last and from 0 to 1; the numbers of
        regions are others."""
        pixels = photo().permute(1, 2, 0).double().numpy() / 255
        expected = torch.from_numpy(slic_of_skimage(pixels, 100, 20.0, start_label=0))
        found = slic(photo(), 100, 20.0)
        agreed = (
            region_counts(expected, found, int(expected.max()) + 1).amax(1).sum() / found.numel()
        )
        assert found.max() == expected.max()
        assert agreed > 0.99

    def test_about_so_many(self) -> None:
        assert 30 <= int(slic(photo(), 50).max()) + 1 <= 70

    @pytest.mark.parametrize(("count", "compactness"), [(0, 10), (5, 0), (5, float("nan"))])
    def test_impossible_options(self, count: int, compactness: float) -> None:
        with pytest.raises(
            ValueError, match="count should be at least 1 and compactness more than 0, but they are"
        ):
            slic(photo(), count, compactness)


class TestNeighbours:
    @pytest.mark.parametrize(("height", "width"), SIZES)
    @pytest.mark.parametrize("regions", [1, 4, 200])
    def test_by_brute_force(self, height: int, width: int, regions: int) -> None:
        segments = torch.randint(0, regions, (height, width))
        rows, expected = segments.tolist(), set()
        for y in range(height):
            for x in range(width):
                for v, u in ((y, x + 1), (y + 1, x)):
                    if v < height and u < width and rows[y][x] != rows[v][u]:
                        expected.add((min(rows[y][x], rows[v][u]), max(rows[y][x], rows[v][u])))
        found = neighbours(segments)
        assert found.dtype == torch.int64
        assert found.shape == (len(expected), 2)
        assert found.tolist() == [list(pair) for pair in sorted(expected)]

    def test_corners_are_no_borders(self) -> None:
        assert neighbours(torch.tensor([[0, 1], [2, 3]])).tolist() == [
            [0, 1],
            [0, 2],
            [1, 3],
            [2, 3],
        ]


class TestColourHistograms:
    @pytest.mark.parametrize("bins", [1, 2, 10, 25, 256])
    def test_by_numpy(self, bins: int) -> None:
        image, segments = noise(13, 17), scattered()
        found = colour_histograms(image, segments, bins)
        assert found.dtype == torch.float32
        assert found.shape == (6, 3 * bins)
        for region, row in enumerate(found.view(6, 3, bins)):
            for channel, block in enumerate(row):
                counts, _ = np.histogram(image[channel][segments == region].numpy(), bins, (0, 256))
                np.testing.assert_allclose(block, counts / counts.sum(), rtol=1e-6)

    def test_a_number_without_pixels_has_zeros(self) -> None:
        found = colour_histograms(noise(1, 2), torch.tensor([[0, 2]]))
        assert found.sum(1).tolist() == pytest.approx([3, 0, 3])

    def test_one_size(self) -> None:
        with pytest.raises(
            ValueError,
            match=r"image and segments should have one size, but they are \[3, 2, 2\] and \[2, 3\]",
        ):
            colour_histograms(noise(2, 2), torch.zeros(2, 3, dtype=torch.int64))


class TestGradientHistograms:
    @pytest.mark.parametrize(("bins", "steepest"), [(10, 32), (7, 100), (10, 255), (1, 5)])
    @pytest.mark.parametrize("picture", ["noise", "photo"])
    def test_by_numpy(self, bins: int, steepest: int, picture: str) -> None:
        image, segments = photo(13, 17) if picture == "photo" else noise(13, 17), scattered()
        found = gradient_histograms(image, segments, bins, steepest)
        assert found.dtype == torch.float32
        grey = np.pad(image.numpy().sum(0, dtype=np.float64), 1, mode="edge")
        across, along = (
            (grey[1:-1, 2:] - grey[1:-1, :-2]) / 6,
            (grey[2:, 1:-1] - grey[:-2, 1:-1]) / 6,
        )
        for region, row in enumerate(found.view(6, 2, bins)):
            for steps, block in zip((across, along), row, strict=True):
                clipped = steps[(segments == region).numpy()].clip(-steepest, steepest)
                counts, _ = np.histogram(clipped, bins, (-steepest, steepest))
                np.testing.assert_allclose(block, counts / counts.sum(), rtol=1e-6)

    @pytest.mark.parametrize(("height", "width"), SIZES)
    def test_nothing_changes_in_one_colour(self, height: int, width: int) -> None:
        image = torch.full((3, height, width), 77, dtype=torch.uint8)
        found = gradient_histograms(image, torch.zeros(height, width, dtype=torch.int64), bins=3)
        assert found.tolist() == [[0, 1, 0, 0, 1, 0]]

    def test_to_the_right_comes_first(self) -> None:
        image = (torch.arange(5) * 20).byte().expand(3, 4, 5)
        found = gradient_histograms(
            image, torch.zeros(4, 5, dtype=torch.int64), bins=3, steepest=33
        )
        assert found[0].tolist() == pytest.approx(
            [0, 0.4, 0.6, 0, 1, 0]
        )  # at the border the change is halved: 10 levels, where 11 begin the last bin


class TestRegionSums:
    def test_in_a_loop(self) -> None:
        values, segments = torch.randn(5, 13, 17), scattered()
        expected = torch.stack(
            [values[:, segments == region].double().sum(1) for region in range(6)]
        )
        found = region_sums(values, segments)
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)

    def test_many_small_ones_are_not_lost_beside_a_great_one(self) -> None:
        values = torch.ones(1, 300, 300)
        values[0, 0, 0] = 2.0**25
        assert (
            region_sums(values, torch.zeros(300, 300, dtype=torch.int64)).item()
            == 2**25 + 300 * 300 - 1
        )

    def test_one_size(self) -> None:
        with pytest.raises(
            ValueError,
            match=r"values and segments should have one size, but they are \[2, 6\] and \[3, 4\]",
        ):
            region_sums(torch.zeros(2, 2, 6)[0], torch.zeros(3, 4, dtype=torch.int64))


class TestRegionCounts:
    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
    def test_in_a_loop(self, dtype: torch.dtype) -> None:
        segments = scattered()
        marks = torch.tensor([0, 1, 3, 255])[torch.randint(0, 4, (13, 17))].to(dtype)
        expected = [
            [int((marks[segments == region] == label).sum()) for label in range(4)]
            for region in range(6)
        ]
        found = region_counts(marks, segments, 4)
        assert found.dtype == torch.int64
        assert found.tolist() == expected

    def test_nothing_marked(self) -> None:
        assert region_counts(
            torch.full((2, 3), 255), torch.zeros(2, 3, dtype=torch.int64), 2
        ).tolist() == [[0, 0]]

    def test_many_regions_do_not_overflow(self) -> None:
        """Numbers of regions times classes are far more than marks of 8 bits hold."""
        segments = torch.arange(40 * 50).view(40, 50)
        assert (
            region_counts(torch.full((40, 50), 20, dtype=torch.uint8), segments, 21)[:, 20].sum()
            == 2000
        )

    def test_a_class_that_is_none(self) -> None:
        with pytest.raises(
            ValueError, match="marks should be classes from 0 to 1 or 255, but they go from 0 to 2"
        ):
            region_counts(torch.tensor([[0, 2]]), torch.zeros(1, 2, dtype=torch.int64), 2)


@pytest.mark.parametrize(
    "segments", [torch.zeros(2, 2), torch.zeros(4, dtype=torch.int64), torch.tensor([[-1, 0]])]
)
def test_no_segments(segments: Tensor) -> None:
    with pytest.raises(
        ValueError, match=r"segments should be int64 \[H,W\], numbers of regions from 0, but it is"
    ):
        neighbours(segments)


def test_appearance_is_roots_of_histograms_and_the_middle() -> None:
    image = torch.zeros(3, 4, 6, dtype=torch.uint8)
    image[0, :, 3:] = 200
    image[0, 0, 3] = 0
    segments = torch.tensor([[0, 0, 0, 1, 1, 1]] * 4)
    found = appearance(image, segments, colours=2, gradients=4)
    assert found.shape == (2, 6 + 8 + 2)
    assert torch.allclose(found[1, :6], torch.tensor([1 / 12, 11 / 12, 1, 0, 1, 0]).sqrt())
    # five histograms of length one
    assert torch.allclose(found[:, :14].square().sum(1), torch.full((2,), 5.0))
    assert torch.allclose(found[:, -2:], torch.tensor([[-0.25, 0], [0.25, 0]]), atol=1e-6)


def test_pooled_against_enlarged_features() -> None:
    """The mean over pixels of the features enlarged to the image, cell by cell; sizes that do not
    divide each other."""
    features, segments = torch.randn(5, 3, 4), torch.randint(0, 6, (10, 9))
    rows, columns = torch.arange(10) * 3 // 10, torch.arange(9) * 4 // 9
    large = features[:, rows][:, :, columns]
    for number, found in enumerate(pooled(features, segments)):
        mean = large[:, segments == number].mean(1)
        assert torch.allclose(found, mean / mean.norm(), atol=1e-5)


def test_marks_spread_over_regions_of_one_class_alone() -> None:
    segments = torch.tensor([[0, 0, 1, 1, 1, 2, 2, 3]])
    marks = torch.tensor([[255, 3, 0, 255, 2, 255, 255, 254]], dtype=torch.uint8)
    found = spread_marks(marks, segments)
    assert found.tolist() == [[3, 3, 0, 255, 2, 255, 255, 254]]
    assert found.dtype == torch.uint8
    nothing = torch.full_like(marks, 255)
    assert torch.equal(spread_marks(nothing, segments), nothing)
    assert spread_marks(marks[:, 1:2], segments[:, :1]).tolist() == [[3]]
    with pytest.raises(ValueError, match="marks"):
        spread_marks(marks[:, 1:], segments)
