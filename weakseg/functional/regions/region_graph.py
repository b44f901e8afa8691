"""An image as a graph: superpixels, which of them touch, and how differently the two sides of each
border look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import torch
from annotated_types import Ge, doc
from numpy.typing import NDArray
from torch import Tensor

from weakseg.functional.colour import colour_unit, is_grey
from weakseg.functional.regions.superpixels import (
    colour_histograms,
    felzenszwalb,
    gradient_histograms,
    neighbours,
    slic,
)
from weakseg.functional.resolution import downsample, resize_labels
from weakseg.utils.lengths import AreaShare, Share, area_in_pixels, in_pixels
from weakseg.utils.limits import Count, NotNegative, Positive, check_limits

SMALLEST = 10
"""pixels that the histograms of a piece need"""
LEAST_BLUR = 0.5
"""pixels: against noise, which any photograph has"""


@dataclass(frozen=True)
class Superpixels:
    """How an image is cut into superpixels: by felzenszwalb, which follows edges closely, or by
    slic, whose pieces are of one size.

    scale: of felzenszwalb; larger for larger pieces. With the same share of the long side, an image
        and its enlarged copy have the same pieces.
    sigma: of felzenszwalb; how many pixels the image is blurred by before, a standard deviation. A
        share of the long side is half a pixel at least.
    smallest: of felzenszwalb; pieces of fewer pixels are merged with a neighbour. A share is one of
        all pixels of the image, 10 at least.
    count: of slic; about how many pieces.
    compactness: of slic; larger for squarer pieces.
    long_side: a larger image is cut at so many pixels of its long side, in a fraction of the time:
        in tens of megapixels colours change so slowly from pixel to pixel that felzenszwalb finds
        no edge. Lengths in pixels remain those of the image. null cuts it as it is.
    """

    method: Literal["felzenszwalb", "slic"] = "felzenszwalb"
    scale: Positive | Share = Share(0.15)
    sigma: NotNegative | Share = Share(0.001)
    smallest: Count | AreaShare = AreaShare(0.0003)
    count: Count = 600
    compactness: Positive = 10.0
    long_side: Annotated[int, Ge(32), doc("a number of pixels, or null")] | None = 640

    def __post_init__(self) -> None:
        check_limits(self, "superpixels.{}")

    def __call__(self, image: Tensor) -> Tensor:
        """The superpixel of each pixel of an image uint8 [3,H,W], int64 [H,W], from 0 without
        gaps."""
        return resize_labels(self.cut(image)[1], (image.shape[1], image.shape[2]))

    def cut(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The image as it is seen, uint8 [3,h,w], and the superpixel of each pixel of that, int64
        [h,w]."""
        seen = downsample(image, self.long_side)
        if self.method == "slic":
            return seen, slic(seen, self.count, self.compactness)
        height, width = seen.shape[1:]
        factor = max(height, width) / max(image.shape[1:])
        return seen, felzenszwalb(
            seen,
            in_pixels(_times(self.scale, factor), height, width) * colour_unit(seen),
            in_pixels(_times(self.sigma, factor), height, width, LEAST_BLUR),
            round(area_in_pixels(_times(self.smallest, factor**2), height, width, SMALLEST)),
        )


Size = TypeVar("Size", Share, AreaShare)


def _times(size: float | Size, factor: float) -> float | Size:
    """In an image that has been downsampled; a share stays what it is."""
    return size * factor if isinstance(size, float | int) else size


class Regions(NamedTuple):
    """The superpixels of an image, what they look like, and their borders."""

    segments: Tensor
    """int64 [H,W]: the superpixel of each pixel, from 0 without gaps"""
    histograms: Tensor
    """float32 [N,D]: of the colours of each superpixel; of a grey image there is one channel"""
    edges: Tensor
    """int64 [E,2]: superpixels that touch"""
    colour: Tensor
    """float32 [E]: the squared distance of the colour histograms of the two"""
    texture: Tensor
    """float32 [E]: the squared distance of the histograms of their gradients"""


def regions(image: Tensor, superpixels: Superpixels) -> Regions:
    """The graph of an image uint8 [3,H,W], as it is seen at the size at which it is cut."""
    seen, segments = superpixels.cut(image)
    edges = neighbours(segments)
    colours = _colours(seen, segments)
    return Regions(
        resize_labels(segments, (image.shape[1], image.shape[2])),
        colours,
        edges,
        _apart(colours, edges),
        _apart(gradient_histograms(seen, segments), edges),
    )


def _colours(image: Tensor, segments: Tensor) -> Tensor:
    """Histograms of red, green and blue or, of a grey image, of its one channel."""
    colours = colour_histograms(image, segments)
    if not is_grey(image):
        return colours
    return colours.view(len(colours), 3, -1).mean(1)


def _apart(histograms: Tensor, edges: Tensor) -> Tensor:
    return (histograms[edges[:, 0]] - histograms[edges[:, 1]]).square().sum(1)


def edge_similarity(
    graph: Regions, colour: float | None = None, texture: float | None = None
) -> Tensor:
    """The similarity of the two superpixels at each border, from 0 to 1: float32 [E].

    exp(-distance of colours / colour^2 - distance of textures / texture^2), as in ScribbleSup. None
    takes the median of the image's own borders, those aside that do not differ at all, so that
    strong borders differ from weak ones whatever the histograms.
    """
    return torch.exp(
        -_measured(graph.colour, colour, graph.colour)
        - _measured(graph.texture, texture, graph.texture)
    )


def to_arrays(graph: Regions) -> dict[str, NDArray[Any]]:
    """As arrays that take little space."""
    small = graph._replace(
        segments=graph.segments.int(), edges=graph.edges.int(), histograms=graph.histograms.half()
    )
    return {name: value.numpy() for name, value in small._asdict().items()}


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Regions:
    """The counterpart of `to_arrays`."""
    graph = Regions(*(torch.from_numpy(arrays[name]) for name in Regions._fields))
    return graph._replace(
        segments=graph.segments.long(),
        edges=graph.edges.long(),
        histograms=graph.histograms.float(),
    )


def _measured(apart: Tensor, reach: float | None, of: Tensor) -> Tensor:
    scale = median_distance(of) if reach is None else reach**2
    return apart / scale if scale > 0 else torch.zeros_like(apart)


def median_distance(apart: Tensor) -> float:
    """The median of the squared distances that are not 0; 0 if there are none."""
    differ = apart[apart > 0]
    return float(differ.median()) if len(differ) else 0.0
