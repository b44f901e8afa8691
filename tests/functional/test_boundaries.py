"""Boundary IoU against bands drawn by hand, by scipy's erosion and pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import find_boundaries
from torch import Tensor

from weakseg.functional.agreement import overlap
from weakseg.functional.boundaries import boundary_pixels, boundary_width, count_boundaries


def blobs(height: int, width: int, classes: int, ignored: float = 0.0) -> Tensor:
    """Smooth regions of several classes, and some pixels of no class."""
    scores = torch.nn.functional.avg_pool2d(torch.randn(classes, height, width), 9, 1, 4)
    labels = scores.argmax(0).to(torch.uint8)
    labels[torch.rand(height, width) < ignored] = 255
    return labels


def eroded_band(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """The band as the paper has it: the mask less what is left of it after so many erosions, with
    nothing around the image."""
    padded = np.pad(mask, 1)
    left = ndimage.binary_erosion(padded, np.ones((3, 3)), iterations=width, border_value=1)
    return mask & ~left[1:-1, 1:-1]


def test_bands_by_hand() -> None:
    truth = torch.zeros(12, 20, dtype=torch.uint8)
    truth[3:9, 4:12] = 1
    assert boundary_width(12, 20) == 1  # round(0.02 * 23.3) is 0
    prediction = truth.roll(1, 1)
    both, predicted, true = count_boundaries(prediction, truth, 2)
    # the rim of 8 x 6 pixels, and two rows of 7 that both rims share
    assert (int(true[1]), int(predicted[1]), int(both[1])) == (24, 24, 14)
    # around the object, corners too (10 x 8 - 8 x 6 = 32), and along the image (60)
    assert (int(true[0]), int(predicted[0])) == (92, 92)
    assert overlap(torch.stack([both, predicted, true])).tolist()[1] == pytest.approx(14 / 34)


@pytest.mark.parametrize("ratio", [0.02, 0.06, 0.5])
def test_against_erosion(ratio: float) -> None:
    for size in ((40, 61), (17, 9), (1, 30)):
        truth, prediction = blobs(*size, 4), blobs(*size, 4)
        width = boundary_width(*size, ratio)
        counts = count_boundaries(prediction, truth, 4, ratio)
        for label in range(4):
            true = eroded_band((truth == label).numpy(), width)
            predicted = eroded_band((prediction == label).numpy(), width)
            expected = [(true & predicted).sum(), predicted.sum(), true.sum()]
            assert counts[:, label].tolist() == expected


def test_one_pixel_is_what_skimage_calls_a_boundary() -> None:
    labels = blobs(30, 40, 3)
    found = boundary_pixels(labels, 1)[1:-1, 1:-1].numpy()
    thick = find_boundaries(labels.numpy().astype(int) + 1, connectivity=2, mode="thick")
    assert (found == thick[1:-1, 1:-1]).all()
    assert 0 < found.sum() < found.size


def test_pixels_without_truth_count_nowhere_and_make_no_boundary() -> None:
    """Pixel by pixel: near is what has a known pixel of another class in its window."""
    labels = blobs(21, 26, 3, ignored=0.3)
    width = 3
    found = boundary_pixels(labels, width)
    for y in range(21):
        for x in range(26):
            window = labels[max(0, y - width) : y + width + 1, max(0, x - width) : x + width + 1]
            other = ((window != labels[y, x]) & (window != 255)).any()
            rim = min(y, x, 20 - y, 25 - x) < width
            assert bool(found[y, x]) == bool((other or rim) and labels[y, x] != 255)


def test_what_is_predicted_where_there_is_no_truth_changes_nothing() -> None:
    truth = blobs(30, 30, 3, ignored=0.2)
    prediction = blobs(30, 30, 3)
    other = torch.where(truth == 255, 2 - prediction, prediction)
    assert count_boundaries(prediction, truth, 3).equal(count_boundaries(other, truth, 3))


def test_a_perfect_prediction_has_one_and_a_blunt_one_less_than_its_iou() -> None:
    truth = torch.zeros(60, 60, dtype=torch.uint8)
    truth[10:50, 10:50] = 1
    blunt = torch.zeros(60, 60, dtype=torch.uint8)
    blunt[13:47, 13:47] = 1
    assert overlap(count_boundaries(truth, truth, 3)).tolist() == pytest.approx(
        [1, 1, math.nan], nan_ok=True
    )
    assert float(overlap(count_boundaries(blunt, truth, 2))[1]) < 0.1 < (34 / 40) ** 2


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"one size, but they are \[2, 2\] and \[2, 3\]"):
        count_boundaries(torch.zeros(2, 2), torch.zeros(2, 3), 2)
