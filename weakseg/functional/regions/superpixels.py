"""Superpixels: small regions of like colour, who borders on whom, and what their pixels look like
in sum.

Segments are int64 [H,W], the number of each pixel's region, 0 to N - 1. Everything here takes time
for the pixels, not for the regions.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from skimage.measure import label
from skimage.segmentation import slic as slic_of_skimage
from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.functional.regions import felzenszwalb_compiled as compiled


def felzenszwalb(
    image: Tensor, scale: float = 75.0, sigma: float = 0.5, smallest: int = 30
) -> Tensor:
    """Regions of uint8 [3,H,W] that end where colours change (Felzenszwalb and Huttenlocher, IJCV
    2004): int64 [H,W].

    Sizes differ much: a plain sky is one region, fur is many. A region is connected, in places
    only by the corners of pixels. Regions and their numbers are those of scikit-image, as long as
    no two costs are so near that single precision cannot tell them apart.

    scale: how much colours may change inside of a region; more makes regions larger.
    sigma: standard deviation in pixels of the Gaussian that first smoothes the image, against
        noise; 0 leaves it as it is.
    smallest: regions of fewer pixels are joined with a neighbour.

    >>> felzenszwalb(
    ...     torch.tensor([[[0, 0, 0, 200, 200, 200]] * 2] * 3, dtype=torch.uint8),
    ...     sigma=0,
    ...     smallest=1,
    ... )
    tensor([[0, 0, 0, 1, 1, 1],
            [0, 0, 0, 1, 1, 1]])
    """
    _check_image(image)
    if not scale > 0 or not sigma >= 0:
        raise ValueError(
            f"scale should be more than 0 and sigma at least 0, but they are {scale} and {sigma}"
        )
    smooth = gaussian_filter(image.numpy(), (0, sigma, sigma), output=np.float32)
    return torch.from_numpy(compiled.regions(smooth, float(scale), int(smallest)))


def slic(image: Tensor, count: int = 600, compactness: float = 10.0) -> Tensor:
    """About `count` regions of uint8 [3,H,W] of like size (Achanta et al., TPAMI 2012), as
    scikit-image makes them: int64 [H,W].

    compactness: how much nearness weighs against colour; more makes regions squarer.
    """
    _check_image(image)
    if count < 1 or not compactness > 0:
        raise ValueError(
            f"count should be at least 1 and compactness more than 0, but they are {count} and "
            f"{compactness}"
        )
    pixels = image.permute(1, 2, 0).numpy().astype(np.float32) / 255
    found = slic_of_skimage(
        pixels, min(count, pixels[..., 0].size), compactness, start_label=0, channel_axis=-1
    )
    connected = label(found, background=-1, connectivity=1)  # type: ignore[no-untyped-call]
    return torch.from_numpy(connected.astype(np.int64)) - 1


def neighbours(segments: Tensor) -> Tensor:
    """Regions that share a side of a pixel: int64 [E,2], every pair once, the smaller number first,
    in order.

    >>> neighbours(torch.tensor([[0, 0, 1], [2, 2, 1]]))
    tensor([[0, 1],
            [0, 2],
            [1, 2]])
    """
    count = _regions(segments)
    across = torch.stack([segments[:, :-1].flatten(), segments[:, 1:].flatten()])
    along = torch.stack([segments[:-1].flatten(), segments[1:].flatten()])
    pairs = torch.cat([across, along], 1)
    low, high = pairs[:, pairs[0] != pairs[1]].sort(0).values
    codes = torch.unique(low * count + high)
    return torch.stack([codes // count, codes % count], 1)


def colour_histograms(image: Tensor, segments: Tensor, bins: int = 25) -> Tensor:
    """How often each region of uint8 [3,H,W] has each shade of red, of green and of blue: float32
    [N,3 bins].

    Bins are equal parts of 0 to 256. Each of the three blocks sums to one.

    >>> colour_histograms(
    ...     torch.tensor([[[0, 127, 200]], [[0, 0, 0]], [[255, 255, 0]]]).byte(),
    ...     torch.tensor([[0, 0, 1]]),
    ...     bins=2,
    ... )
    tensor([[1., 0., 1., 0., 0., 1.],
            [0., 1., 1., 0., 1., 0.]])
    """
    _check_image(image)
    return _histograms((image.int() * bins) >> 8, segments, bins)


def gradient_histograms(
    image: Tensor, segments: Tensor, bins: int = 10, steepest: int = 32
) -> Tensor:
    """How often grey gets so much brighter or darker to the right, and to the bottom, in each
    region: float32 [N,2 bins].

    Grey is the mean of the three colours. Its change at a pixel is half of the difference between
    the pixels on either side of it, where those at the border also stand in for those beyond. Bins
    are equal parts of -steepest to steepest, in levels of 255 per pixel; what is steeper counts to
    the first or the last bin. Each of the two blocks sums to one.
    """
    _check_image(image)
    grey = image.int().sum(0)
    # three colours, over two pixels
    steps = torch.stack([_differences(grey, 1), _differences(grey, 0)]) + 6 * steepest
    return _histograms(
        (steps * bins).div(12 * steepest, rounding_mode="floor").clamp(0, bins - 1), segments, bins
    )


def appearance(image: Tensor, segments: Tensor, colours: int = 16, gradients: int = 10) -> Tensor:
    """Appearance and position of each region of uint8 [3,H,W], as features of a linear classifier:
    float32 [N,3 colours + 2 gradients + 2].

    Square roots of `colour_histograms` and `gradient_histograms` with so many bins, each of which
    is of length one, and the middle of the region from the left to the right and from the top to
    the bottom, -1/2 to 1/2.
    """
    height, width = segments.shape
    rows, columns = ((torch.arange(size) + 0.5) / size - 0.5 for size in (height, width))
    places = torch.stack(
        [
            columns.expand(height, width),
            rows[:, None].expand(height, width),
            torch.ones(height, width),
        ]
    )
    x, y, sizes = region_sums(places, segments).T
    middles = torch.stack([x / sizes, y / sizes], 1).float()
    return torch.cat(
        [
            colour_histograms(image, segments, colours).sqrt(),
            gradient_histograms(image, segments, gradients).sqrt(),
            middles,
        ],
        1,
    )


def pooled(features: Tensor, segments: Tensor) -> Tensor:
    """Mean features float [D,h,w] of each region of an image [H,W] of another size, made of length
    one: float32 [N,D].

    A pixel has the features of the cell of the grid that it lies in.

    >>> pooled(torch.tensor([[[3.0, 0.0]], [[4.0, 2.0]]]), torch.tensor([[0, 0, 1, 1]] * 4))
    tensor([[0.6000, 0.8000],
            [0.0000, 1.0000]])
    """
    count = _regions(segments)
    rows, columns = (
        torch.arange(size) * cells // size
        for size, cells in zip(segments.shape, features.shape[1:], strict=True)
    )
    cells = features.shape[1] * features.shape[2]
    codes, pixels = torch.unique(
        segments * cells + rows[:, None] * features.shape[2] + columns, return_counts=True
    )
    sums = torch.zeros(count, len(features), dtype=torch.double)
    sums.index_add_(
        0, codes // cells, features.flatten(1).T[codes % cells].double() * pixels[:, None]
    )
    return torch.nn.functional.normalize(sums, dim=1).float()


def region_sums(values: Tensor, segments: Tensor) -> Tensor:
    """Sum of values float [C,H,W] over the pixels of each region, in double precision: float64
    [N,C]."""
    count = _regions(segments)
    places = segments.flatten()
    _check_size("values", values, segments)
    return torch.stack(
        [torch.bincount(places, channel.flatten().double(), minlength=count) for channel in values],
        1,
    )


def region_counts(marks: Tensor, segments: Tensor, classes: int) -> Tensor:
    """Pixels of each class in each region: int64 [N,C] from marks [H,W], where 255 is no class.

    >>> region_counts(torch.tensor([[0, 1, 255, 1]]), torch.tensor([[0, 0, 0, 1]]), classes=2)
    tensor([[1, 1],
            [0, 1]])
    """
    count = _regions(segments)
    marked = marks != IGNORE
    _check_size("marks", marks, segments)
    labels = marks[marked]
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"marks should be classes from 0 to {classes - 1} or 255, but they go from "
            f"{labels.min()} to {labels.max()}"
        )
    return torch.bincount(segments[marked] * classes + labels, minlength=count * classes).view(
        count, classes
    )


def spread_marks(marks: Tensor, segments: Tensor) -> Tensor:
    """Marks uint8 [H,W], 255 = not marked, spread over the regions with marks of one class alone;
    where classes meet they stay as they are.

    >>> spread_marks(torch.tensor([[1, 255, 0, 255, 2]]).byte(), torch.tensor([[0, 0, 1, 1, 1]]))
    tensor([[  1,   1,   0, 255,   2]], dtype=torch.uint8)
    """
    counts = region_counts(marks, segments, int(marks.masked_fill(marks == IGNORE, 0).max()) + 1)
    alone = (counts > 0).sum(1) == 1
    labels = torch.where(alone, counts.max(1).indices, IGNORE).to(torch.uint8)
    return torch.where(marks == IGNORE, labels[segments], marks)


def _histograms(values: Tensor, segments: Tensor, bins: int) -> Tensor:
    """Of whole numbers [K,H,W] from 0 to bins - 1, each K by itself, as parts of one: float32 [N,K
    bins]."""
    count = _regions(segments)
    places = segments.flatten() * bins
    _check_size("image", values, segments)
    counts = torch.stack(
        [
            torch.bincount(places + row, minlength=count * bins).view(count, bins)
            for row in values.flatten(1)
        ],
        1,
    )
    return (counts / counts.sum(2, keepdim=True).clamp(min=1)).flatten(1)


def _differences(grey: Tensor, dimension: int) -> Tensor:
    """The pixel after minus the pixel before each one along a dimension; the outermost stand in for
    those beyond them."""
    size = grey.shape[dimension]
    padded = torch.cat(
        [grey.narrow(dimension, 0, 1), grey, grey.narrow(dimension, -1, 1)], dimension
    )
    return padded.narrow(dimension, 2, size) - padded.narrow(dimension, 0, size)


def _regions(segments: Tensor) -> int:
    if (
        segments.dtype != torch.int64
        or segments.ndim != 2
        or segments.numel() == 0
        or int(segments.min()) < 0
    ):
        raise ValueError(
            "segments should be int64 [H,W], numbers of regions from 0, but it is "
            f"{segments.dtype} {list(segments.shape)}"
        )
    return int(segments.max()) + 1


def _check_size(name: str, values: Tensor, segments: Tensor) -> None:
    if values.shape[-2:] != segments.shape:
        raise ValueError(
            f"{name} and segments should have one size, but they are {list(values.shape)} and "
            f"{list(segments.shape)}"
        )


def _check_image(image: Tensor) -> None:
    if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != 3 or image.numel() == 0:
        raise ValueError(
            f"image should be uint8 [3,H,W] with at least one pixel, but it is {image.dtype} "
            f"{list(image.shape)}"
        )
