from __future__ import annotations

from math import exp, inf

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.functional.regions.region_graph import (
    Regions,
    Superpixels,
    edge_similarity,
    from_arrays,
    median_distance,
    regions,
    to_arrays,
)
from weakseg.functional.regions.superpixels import neighbours
from weakseg.functional.resolution import downsample, resize_labels


def striped(colours: list[int], width: int = 4) -> torch.Tensor:
    """Grey stripes, uint8 [3,6,W]."""
    return (
        torch.tensor(colours, dtype=torch.uint8)
        .repeat_interleave(width)
        .expand(3, 6, -1)
        .contiguous()
    )


STRIPES = Superpixels(scale=1, sigma=0, smallest=1)


def test_the_graph_of_three_stripes() -> None:
    image = striped([0, 100, 255])
    image[2] = 50
    graph = regions(image, STRIPES)
    assert graph.segments[0].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert graph.edges.tolist() == [[0, 1], [1, 2]]
    # in each of two channels, one bin less by 1 and another one more by 1
    assert graph.colour.tolist() == [4, 4]
    assert graph.histograms.shape == (3, 75)


def test_edge_similarity_by_hand() -> None:
    graph = Regions(
        *(torch.zeros(0) for _ in range(3)),
        colour=torch.tensor([0.0, 1.0, 2.0, 4.0]),
        texture=torch.tensor([0.0, 0.0, 0.0, 3.0]),
    )
    torch.testing.assert_close(
        edge_similarity(graph, colour=2.0, texture=inf),
        torch.tensor([1, exp(-0.25), exp(-0.5), exp(-1)]),
    )
    # of the borders that differ: 2 and 3
    by_median = torch.tensor([1, exp(-0.5), exp(-1), exp(-2 - 1)])
    torch.testing.assert_close(edge_similarity(graph), by_median)


def test_an_image_of_one_colour_has_no_borders_that_differ() -> None:
    graph = regions(
        torch.full((3, 9, 9), 7, dtype=torch.uint8), Superpixels(method="slic", count=4)
    )
    assert len(graph.edges)
    assert (edge_similarity(graph) == 1).all()
    assert median_distance(torch.zeros(0)) == median_distance(torch.zeros(3)) == 0


def test_a_grey_image_has_one_channel_of_evidence() -> None:
    graph = regions(striped([0, 100, 255]), STRIPES)
    # one bin less by 1, another one more by 1, once
    assert graph.colour.tolist() == [2, 2]
    assert graph.histograms.shape == (3, 25)
    coloured = striped([0, 100, 255])
    coloured[0] = 50
    assert regions(coloured, STRIPES).histograms.shape == (3, 75)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 9), (30, 17)])
@pytest.mark.parametrize("method", ["felzenszwalb", "slic"])
def test_any_size_and_back_from_arrays(size: tuple[int, int], method: str) -> None:
    graph = regions(
        torch.randint(0, 256, (3, *size), dtype=torch.uint8), Superpixels(method=method, smallest=1)
    )  # type: ignore[arg-type]
    assert graph.segments.shape == size
    again = from_arrays(to_arrays(graph))
    for one, other in zip(graph, again, strict=True):
        assert one.dtype == other.dtype
        # histograms are kept in half precision
        torch.testing.assert_close(one, other, atol=5e-4, rtol=1e-3)
    assert torch.equal(graph.segments, again.segments)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"method": "watershed"},
            "superpixels.method should be felzenszwalb or slic, but it is 'watershed'",
        ),
        (
            {"scale": 0},
            "superpixels.scale should be more than 0 and finite, or a share of .*, but it is 0",
        ),
        (
            {"sigma": -1},
            "superpixels.sigma should be 0 or more and finite, or a share of .*, but it is -1",
        ),
        ({"scale": inf}, "superpixels.scale"),
        (
            {"smallest": 0},
            "superpixels.smallest should be at least 1, or a share of .*, but it is 0",
        ),
        (
            {"compactness": 0},
            "superpixels.compactness should be more than 0 and finite, but it is 0",
        ),
    ],
)
def test_impossible_settings_are_named_at_once(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Superpixels(**wrong)  # type: ignore[arg-type]


def soft(times: int) -> Tensor:
    """A picture without any hard edge, so many times as large."""
    coarse = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(0)) * 255
    size = (6 * times, 8 * times)
    return F.interpolate(coarse, size, mode="bicubic").clamp(0, 255).round().byte()[0]


def test_a_large_picture_has_as_many_pieces_as_a_small_one() -> None:
    usual = int(Superpixels()(soft(80)).max()) + 1
    large = int(Superpixels()(soft(160)).max()) + 1
    assert large == pytest.approx(usual, rel=0.1)
    # pixel by pixel nothing changes there
    assert int(Superpixels(long_side=None)(soft(160)).max()) + 1 < usual / 2


def test_lengths_in_pixels_are_those_of_the_large_picture() -> None:
    large = soft(128)
    found = Superpixels(scale=60, sigma=2, smallest=400, long_side=512)(large)
    small = Superpixels(scale=30, sigma=1, smallest=100)(downsample(large, 512))
    assert torch.equal(found, small.repeat_interleave(2, 0).repeat_interleave(2, 1))


def test_the_graph_of_a_large_picture_is_that_of_the_small_one() -> None:
    large = soft(128)
    graph = regions(large, Superpixels(long_side=256))
    small = regions(downsample(large, 256), Superpixels())
    assert graph.segments.shape == large.shape[1:]
    assert torch.equal(graph.segments, resize_labels(small.segments, (768, 1024)))
    for name in ("histograms", "edges", "colour", "texture"):
        assert torch.equal(getattr(graph, name), getattr(small, name))
    assert torch.equal(neighbours(graph.segments), graph.edges)
