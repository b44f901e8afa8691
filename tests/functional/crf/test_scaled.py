"""The dense CRF at a part of the resolution."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.functional.photos import beliefs, photo
from weakseg.functional.boxes import box_unary
from weakseg.functional.crf import DenseCRF, dense_crf, meanfield, scaled
from weakseg.functional.crf.kernels import Kernel
from weakseg.utils import memory

HALF = DenseCRF(scale=0.5)


def by_hand(image: Tensor, probs: Tensor, crf: DenseCRF) -> Tensor:
    """What `scale` stands for, for sides that it divides: means of squares, the CRF there, its
    result enlarged."""
    side = round(1 / crf.scale)
    small = F.avg_pool2d(image[None].double(), side)[0].round().to(torch.uint8)
    few = F.avg_pool2d(probs[None].double(), side)[0]
    kernels = [each._replace(xy=max(1.0, each.xy / side)) for each in crf.kernels_on(image)]
    (found,) = meanfield.refine([small], [few], kernels, crf.normalization, crf.iterations)
    enlarged = F.interpolate(found[None], probs.shape[1:], mode="bilinear")[0]
    strength = crf.smooth_weight + crf.bilateral_weight
    sure = probs.amax(0) >= 1 / (1 + torch.exp(torch.tensor(-strength)))
    return torch.where(sure, probs.double(), enlarged)


@pytest.mark.parametrize(("scale", "size"), [(0.5, (42, 54)), (0.25, (44, 52)), (1 / 3, (42, 51))])
def test_is_the_crf_of_a_smaller_image(scale: float, size: tuple[int, int]) -> None:
    image, probs = photo(*size), beliefs(3, *size)
    crf = DenseCRF(bilateral_xy=30, scale=scale)
    found = dense_crf(image, probs, crf)
    expected = by_hand(image, probs, crf)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-3)
    assert (found - dense_crf(image, probs, replace(crf, scale=1))).abs().max() > 0.1


def test_of_one_is_what_it_was() -> None:
    """Not a bit of it changes."""
    image, probs = photo(41, 53), beliefs(3, 41, 53)
    found = dense_crf(image, probs, DenseCRF(scale=1))
    assert torch.equal(found, dense_crf(image, probs))
    assert DenseCRF(scale=1) == DenseCRF()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.5, 0.3, 0.99, 1e-6])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (7, 1), (2, 3), (37, 41)])
def test_any_size(size: tuple[int, int], scale: float, dtype: torch.dtype) -> None:
    image, probs = photo(*size), beliefs(3, *size).to(dtype)
    found = dense_crf(image, probs, DenseCRF(scale=scale))
    assert found.shape == probs.shape
    assert found.dtype == dtype
    assert bool((found >= 0).all())
    torch.testing.assert_close(found.sum(0), torch.ones(size, dtype=dtype))


def test_a_border_stays_where_the_photo_has_it() -> None:
    image = torch.zeros(3, 32, 48, dtype=torch.uint8)
    image[:, :, 24:] = 200
    probs = torch.full((2, 32, 48), 0.5)
    probs[:, 12:18, 4:8] = torch.tensor([0.9, 0.1])[:, None, None]
    probs[:, 12:18, 36:40] = torch.tensor([0.1, 0.9])[:, None, None]
    for scale in (1, 0.5):
        labels = dense_crf(image, probs, DenseCRF(scale=scale)).argmax(0)
        assert (labels[:, :24] == 0).all()
        assert (labels[:, 24:] == 1).all()


def test_a_border_within_a_pixel_of_the_smaller_image_is_off_by_one_at_most() -> None:
    image = torch.zeros(3, 33, 49, dtype=torch.uint8)
    image[:, :, 25:] = 200
    probs = torch.full((2, 33, 49), 0.5)
    probs[:, :, 4:8] = torch.tensor([0.9, 0.1])[:, None, None]
    probs[:, :, 36:40] = torch.tensor([0.1, 0.9])[:, None, None]
    labels = dense_crf(image, probs, HALF).argmax(0)
    assert (labels[:, :24] == 0).all()
    assert (labels[:, 26:] == 1).all()


@pytest.mark.parametrize("box", [[11.0, 9, 30, 24], [10, 8, 31, 25]])
def test_no_object_grows_out_of_its_box(box: list[float]) -> None:
    """Outside of boxes the background is sure; of the smaller image, a pixel may lie on both sides
    of an edge."""
    image = torch.full((3, 35, 43), 90, dtype=torch.uint8)
    probs = box_unary(torch.tensor([box]), torch.tensor([1]), 2, 35, 43)
    labels = dense_crf(image, probs, HALF).argmax(0)
    left, top, right, bottom = (int(edge) for edge in box)
    inside = torch.zeros(35, 43, dtype=torch.bool)
    inside[top:bottom, left:right] = True
    assert (labels[~inside] == 0).all()
    certain = dense_crf(image, probs, HALF)[:, ~inside]
    assert torch.equal(certain, probs[:, ~inside])


def test_sure_labels_are_kept_and_others_are_not() -> None:
    """A single pixel against all others: weights of 7 in all move odds by e^7 at most."""
    image = torch.full((3, 21, 21), 90, dtype=torch.uint8)
    probs = torch.full((2, 21, 21), 0.05)
    probs[0] = 0.95
    for odds, label in ((1500.0, 1), (100.0, 0)):
        probs[:, 10, 10] = torch.tensor([1 / (1 + odds), odds / (1 + odds)])
        assert int(dense_crf(image, probs, HALF).argmax(0)[10, 10]) == label


def test_impossible_labels_stay_impossible() -> None:
    image, probs = photo(21, 30), beliefs(3, 21, 30)
    none = torch.zeros(21, 30)
    padded = torch.stack([none, probs[0], none, probs[1], probs[2]])
    found = dense_crf(image, padded, HALF)
    assert (found[[0, 2]] == 0).all()
    torch.testing.assert_close(found[[1, 3, 4]], dense_crf(image, probs, HALF), rtol=0, atol=1e-6)


def test_a_list_is_what_is_done_one_by_one() -> None:
    sizes = ((21, 30), (16, 9), (1, 1))
    images = [photo(*size) for size in sizes]
    probs = [beliefs(labels, *size) for labels, size in zip((2, 5, 3), sizes, strict=True)]
    for found, *both in zip(dense_crf(images, probs, HALF), images, probs, strict=True):
        assert torch.equal(found, dense_crf(*both, HALF))


def test_in_tensors_as_on_a_gpu() -> None:
    """Double precision takes the way of a GPU."""
    image, probs = photo(40, 52), beliefs(3, 40, 52)
    exact = dense_crf(image, probs.double(), HALF)
    torch.testing.assert_close(dense_crf(image, probs, HALF).double(), exact, rtol=0, atol=1e-3)


def test_most_labels_of_a_photo_are_the_same_with_pydensecrf_too() -> None:
    pytest.importorskip("pydensecrf")
    image, probs = photo(60, 80), beliefs(3, 60, 80)
    ours = dense_crf(image, probs, HALF)
    theirs = dense_crf(image, probs, replace(HALF, backend="pydensecrf"))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)


def test_takes_the_memory_of_the_smaller_image(monkeypatch: pytest.MonkeyPatch) -> None:
    image, probs = photo(40, 40), beliefs(3, 40, 40)
    monkeypatch.setattr(memory, "free", lambda device: 400 * 300)
    dense_crf(image, probs, HALF)
    with pytest.raises(MemoryError, match="compute at a part of the resolution"):
        dense_crf(image, probs)


def test_reaches_shrink_but_not_below_a_pixel() -> None:
    full = (Kernel(3, 1, None), Kernel(3, 1.5, None), Kernel(3, 0.2, None), Kernel(4, 67, 5))
    half = scaled.kernels(full, 0.5)
    assert [kernel.xy for kernel in half] == [1, 1, 0.2, 33.5]
    assert [kernel.rgb for kernel in half] == [None, None, None, 5]
    assert [kernel.strength for kernel in half] == [3, 3, 3, 4]


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        (0, "a part of the resolution, more than 0 and at most 1, but it is 0"),
        (1.5, "a part of the resolution, more than 0 and at most 1, but it is 1.5"),
        ("half", "a part of the resolution, more than 0 and at most 1, but it is 'half'"),
    ],
)
def test_what_is_no_part_of_it_is_refused(scale: object, said: str) -> None:
    with pytest.raises(ValueError, match=f"scale of the dense CRF should be {said}"):
        DenseCRF(scale=scale)  # type: ignore[arg-type]
