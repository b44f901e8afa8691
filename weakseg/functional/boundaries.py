"""Boundary IoU: how well the contours of a prediction lie on those of the truth."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from weakseg.evidence import IGNORE

RATIO = 0.02  # of the image's diagonal, as in the paper


def boundary_width(height: int, width: int, ratio: float = RATIO) -> int:
    """How many pixels along a contour are compared in an image: a part of its diagonal, 1 at least.

    >>> boundary_width(375, 500), boundary_width(16, 16)
    (12, 1)
    """
    return max(1, round(ratio * math.hypot(height, width)))


def boundary_pixels(labels: Tensor, width: int) -> Tensor:
    """The pixels that are at most `width` pixels away from another class or from outside of the
    image, bool [H,W]; integers [H,W] from 0 to 255.

    The distance is counted in steps to any of the eight neighbours. Pixels without a label (255)
    are in no boundary and make none: a region beside them ends nobody knows where.

    >>> boundary_pixels(torch.tensor([[0, 0, 0, 0, 1]]), 1)
    tensor([[True, True, True, True, True]])
    >>> boundary_pixels(torch.zeros(5, 4, dtype=torch.uint8), 1).int().sum(1)
    tensor([4, 2, 2, 2, 4])
    """
    known = labels.cpu().numpy().astype(np.uint8)
    ignored = known == IGNORE
    # all classes in two passes: some other class is near where one with a higher or with a lower
    # number is; 255 is never the lowest, and must not be the highest
    highest = ndimage.maximum_filter(np.where(ignored, 0, known), 2 * width + 1)
    lowest = ndimage.minimum_filter(known, 2 * width + 1)
    near: NDArray[np.bool_] = (highest > known) | (lowest < known)
    for edge in (near[:width], near[-width:], near[:, :width], near[:, -width:]):
        edge[...] = True
    return torch.from_numpy(near & ~ignored)


def count_boundaries(
    prediction: Tensor, truth: Tensor, classes: int, ratio: float = RATIO
) -> Tensor:
    """Pixels along the contours of one image: int64 [3,C], in both, in the prediction and in the
    truth. Add up those of all images; `weakseg.functional.agreement.overlap` makes boundary IoU of
    them.

    Boundary IoU (Cheng and others, CVPR 2021) of a class is the IoU of two bands: the pixels of the
    class in the prediction that are near its contour, and the same in the truth. What is outside of
    the image is another class, as in the paper's own code. Pixels whose truth is 255 count in
    neither.

    Args:
        prediction: integers [H,W].
        truth: integers [H,W], 255 = not counted.
        classes: how many, background included.
        ratio: width of the bands as a part of the image's diagonal.

    >>> truth = torch.zeros(9, 9, dtype=torch.uint8)
    >>> truth[3:6, 3:6] = 1
    >>> count_boundaries(truth.roll(1, 1), truth, classes=2)
    tensor([[40,  4],
            [48,  8],
            [48,  8]])
    """
    if prediction.shape != truth.shape:
        raise ValueError(
            f"prediction and truth should have one size, but they are {list(prediction.shape)} "
            f"and {list(truth.shape)}: compare them at the image's own resolution"
        )
    width = boundary_width(truth.shape[0], truth.shape[1], ratio)
    prediction = torch.where(truth == IGNORE, IGNORE, prediction)
    predicted = boundary_pixels(prediction, width)
    true = boundary_pixels(truth, width)
    both = predicted & true & (prediction == truth)
    bands = ((truth, both), (prediction, predicted), (truth, true))
    return torch.stack(
        [torch.bincount(labels[band].long(), minlength=classes) for labels, band in bands]
    )
