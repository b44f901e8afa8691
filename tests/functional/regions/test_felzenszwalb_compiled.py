from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.segmentation import felzenszwalb as by_skimage

from tests.functional.photos import large_photo, photo
from weakseg.functional.regions import felzenszwalb_compiled as compiled

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
SIZES = [(1, 1), (1, 2), (2, 1), (2, 2), (1, 30), (30, 1), (2, 17), (17, 3), (23, 31)]


def smooth(image: NDArray[np.uint8], sigma: float) -> Floats:
    found: Floats = gaussian_filter(image, (0, sigma, sigma), output=np.float32)
    return found


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (3, height, width), np.uint8)


def few_colours(height: int, width: int) -> NDArray[np.uint8]:
    """Many edges of the same cost."""
    return np.random.default_rng(1).integers(0, 3, (3, height, width), np.uint8) * 40


def in_python(image: Floats, scale: float, smallest: int) -> Labels:
    """The algorithm as it is told, with sets of pixels and without any haste."""
    height, width = image.shape[1:]
    edges = []
    for y in range(height):
        for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
            for x in range(width):
                if y + down < height and 0 <= x + across < width:
                    cost = np.square(
                        image[:, y + down, x + across] - image[:, y, x], dtype=np.float64
                    ).sum()
                    edges.append(
                        (float(cost) ** 0.5, y * width + x, (y + down) * width + x + across)
                    )
    edges.sort(key=lambda edge: edge[0])  # equal ones stay as they are
    region = {pixel: [pixel] for pixel in range(height * width)}
    inside = dict.fromkeys(range(height * width), 0.0)

    def join(one: int, other: int) -> int:
        kept, gone = region[one], region[other]
        kept.extend(gone)
        region.update(dict.fromkeys(gone, kept))
        return kept[0]

    for cost, one, other in edges:
        a, b = region[one], region[other]
        if a is not b and cost < min(inside[a[0]] + scale / len(a), inside[b[0]] + scale / len(b)):
            inside[join(one, other)] = cost
    for _, one, other in edges:
        a, b = region[one], region[other]
        if a is not b and min(len(a), len(b)) < smallest:
            join(one, other)
    numbers: dict[int, int] = {}
    return np.array(
        [numbers.setdefault(id(region[pixel]), len(numbers)) for pixel in range(height * width)]
    ).reshape(height, width)


@pytest.mark.parametrize("name", ["coffee", "astronaut", "chelsea"])
def test_photos_as_by_skimage(name: str) -> None:
    """The very same labels, since there, too, regions are numbered by their first pixels."""
    image = large_photo(name).numpy()
    expected = by_skimage(image, 50, 0.8, 50, channel_axis=0)
    assert expected.max() > 300
    np.testing.assert_array_equal(compiled.regions(smooth(image, 0.8), 50.0, 50), expected)


@pytest.mark.parametrize(
    ("scale", "sigma", "smallest"),
    [(75.0, 0.5, 30), (20.0, 0.8, 1), (200.0, 0.8, 20), (150.0, 1.5, 30)],
)
def test_any_options_as_by_skimage(scale: float, sigma: float, smallest: int) -> None:
    image = photo().numpy()
    expected = by_skimage(image, scale, sigma, smallest, channel_axis=0)
    assert expected.max() >= 5
    np.testing.assert_array_equal(compiled.regions(smooth(image, sigma), scale, smallest), expected)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize(("scale", "smallest"), [(30.0, 1), (300.0, 1), (300.0, 5), (5000.0, 2)])
def test_noise_as_by_skimage(height: int, width: int, scale: float, smallest: int) -> None:
    image = noise(height, width)
    expected = by_skimage(image, scale, 0.8, smallest, channel_axis=0)
    np.testing.assert_array_equal(compiled.regions(smooth(image, 0.8), scale, smallest), expected)


@pytest.mark.parametrize(
    ("scale", "smallest"), [(1.0, 1), (40.0, 1), (90.0, 4), (500.0, 1), (2000.0, 30)]
)
@pytest.mark.parametrize(
    "image",
    [noise(19, 23), few_colours(21, 18), photo(24, 31).numpy()],
    ids=["noise", "few colours", "photo"],
)
def test_as_in_python(image: NDArray[np.uint8], scale: float, smallest: int) -> None:
    """Equal costs, too, which come in the order of rows and directions. The squares of whole
    numbers are exact on both sides."""
    as_it_is = image.astype(np.float32)
    np.testing.assert_array_equal(
        compiled.regions(as_it_is, scale, smallest), in_python(as_it_is, scale, smallest)
    )


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_pair_of_pixels_that_touch_is_one_edge(height: int, width: int) -> None:
    image = noise(height, width).astype(np.float32) / 512
    edges = compiled._edges(image)
    steps, seen = (1, width, width + 1, width - 1), {}
    for edge in edges.tolist():
        pixel, direction = divmod(edge % 2**32, 4)
        seen[pixel, pixel + steps[direction]] = np.uint32(edge >> 32).view(np.float32)
    assert len(seen) == len(edges)
    places = [divmod(pixel, width) for pixel in range(height * width)]
    touching = {
        (p, q)
        for p, (y, x) in enumerate(places)
        for q, (v, u) in enumerate(places[p + 1 : p + width + 2], p + 1)
        if abs(y - v) <= 1 and abs(x - u) <= 1
    }
    assert {(min(pair), max(pair)) for pair in seen} == touching
    flat = image.reshape(3, -1)
    for (p, q), cost in seen.items():
        assert cost == pytest.approx(np.square(flat[:, p] - flat[:, q]).sum(), rel=1e-6)


def test_sorting_keeps_the_order_of_equal_costs() -> None:
    generator = np.random.default_rng(0)
    costs = np.concatenate(
        [generator.random(3000), generator.choice([0.0, 1e-30, 1e-9, 0.5, 1.9999999], 3000)]
    ).astype(np.float32)
    edges = costs.view(np.uint32).astype(np.uint64) << np.uint64(32) | np.arange(
        6000, dtype=np.uint64
    )
    expected = np.argsort(costs, kind="stable")
    assert (compiled._sorted(edges.copy()) % 2**32).tolist() == expected.tolist()


def test_the_greatest_differences_can_be_sorted() -> None:
    """Black beside white is the dearest edge there is. Whatever came before it, it comes last."""
    image = np.zeros((3, 1, 6), np.float32)
    image[:, 0] = [0, 0, 255, 255, 255, 250]
    assert compiled.regions(image, 30.0, 1).tolist() == [[0, 0, 1, 1, 1, 1]]
    assert (compiled._edges(image * compiled._UNIT) >> np.uint64(32)).max() < 2 ** (
        compiled._DIGIT * compiled._DIGITS
    )
