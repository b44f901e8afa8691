from __future__ import annotations

from math import exp

import pytest
import torch
from torch import Tensor

from weakseg.functional.refinement import confident, pixel_adaptive

DILATIONS = (1, 2, 3)


def around(y: int, x: int, valid: Tensor, dilations: tuple[int, ...]) -> list[tuple[int, int]]:
    """The neighbours of a pixel that lie in the image."""
    height, width = valid.shape
    places = [
        (y + d * i, x + d * j) for d in dilations for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j
    ]
    return [
        (row, column)
        for row, column in places
        if 0 <= row < height and 0 <= column < width and valid[row, column]
    ]


def weights_of(
    image: Tensor, y: int, x: int, places: list[tuple[int, int]], dilations: tuple[int, ...]
) -> list[float]:
    """How much of each neighbour a pixel takes over, one pixel at a time."""
    away = [0.0] * len(places)
    for channel in image.double():
        colours = torch.stack(
            [channel[y, x]] * len(dilations) + [channel[place] for place in places]
        )
        for n, place in enumerate(places):
            away[n] += (
                float((channel[place] - channel[y, x]).abs() / (1e-8 + 0.1 * colours.std())) / 3
            )
    strengths = [exp(-gap) for gap in away]
    return [strength / sum(strengths) for strength in strengths]


def one_by_one(
    image: Tensor, scores: Tensor, valid: Tensor, dilations: tuple[int, ...], iterations: int
) -> Tensor:
    """The refinement of one image, pixel by pixel, as it is written down."""
    for _ in range(iterations):
        before = scores.clone()
        for y, x in valid.nonzero().tolist():
            if places := around(y, x, valid, dilations):
                weights = weights_of(image, y, x, places, dilations)
                scores[:, y, x] = sum(
                    weight * before[:, *place]
                    for weight, place in zip(weights, places, strict=True)
                )
    return scores


def batch(
    size: tuple[int, int] = (6, 7), dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    images[0, :, :, :3] = 90  # a flat region, where all differences are 0
    valid = torch.ones(2, *size, dtype=torch.bool)
    valid[1, -1] = valid[1, :, -2:] = False
    return images, torch.rand(2, 2, *size, dtype=dtype), valid


def test_equals_the_refinement_of_one_pixel_after_the_other() -> None:
    images, scores, valid = batch()
    scores.masked_fill_(~valid[:, None], torch.inf)  # nobody may look there
    expected = torch.stack(
        [
            one_by_one(image, score.clone(), inside, DILATIONS, 2)
            for image, score, inside in zip(images, scores, valid, strict=True)
        ]
    )
    refined = pixel_adaptive(images, scores, dilations=DILATIONS, iterations=2, valid=valid)
    torch.testing.assert_close(refined, expected, rtol=1e-9, atol=1e-12)
    # something happened everywhere
    assert (refined - scores)[:, :, valid.all(0)].abs().amin() > 1e-6


def test_padding_changes_nothing() -> None:
    images, scores, valid = batch()
    padded = pixel_adaptive(images, scores, dilations=DILATIONS, valid=valid)
    cropped = pixel_adaptive(images[1:, :, :-1, :-2], scores[1:, :, :-1, :-2], dilations=DILATIONS)
    torch.testing.assert_close(padded[1:, :, :-1, :-2], cropped, rtol=1e-12, atol=1e-12)
    assert torch.equal(padded[:, :, ~valid.all(0)][1], scores[:, :, ~valid.all(0)][1])


def test_probabilities_stay_probabilities() -> None:
    images, scores, _ = batch()
    refined = pixel_adaptive(images, scores.softmax(1))
    torch.testing.assert_close(refined.sum(1), torch.ones_like(refined[:, 0]))


def test_scores_do_not_cross_an_edge() -> None:
    image = torch.full((1, 3, 16, 16), 40, dtype=torch.uint8)
    image[..., 7:] = 200
    scores = torch.zeros(1, 1, 16, 16)
    scores[..., 2:9, :5] = 1  # a part of the left side is found
    refined = pixel_adaptive(image, scores, dilations=[1, 2], iterations=40)[0, 0]
    assert refined[:, :7].amin() > 0.1
    assert refined[:, 7:].amax() < 1e-3


def test_a_pixel_without_neighbours_keeps_its_scores() -> None:
    scores = torch.rand(2, 3, 1, 1)
    assert torch.equal(pixel_adaptive(torch.zeros(2, 3, 1, 1, dtype=torch.uint8), scores), scores)
    images, scores, valid = batch()
    assert torch.equal(pixel_adaptive(images, scores, valid=valid & False), scores)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_comes_out_in_float32_and_nothing_has_a_gradient(dtype: torch.dtype) -> None:
    images, scores, _ = batch(dtype=dtype)
    refined = pixel_adaptive(images, scores.requires_grad_())
    assert refined.dtype == torch.float32
    assert not refined.requires_grad
    torch.testing.assert_close(
        refined, pixel_adaptive(images, scores.double()).float(), rtol=1e-4, atol=1e-5
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_agrees() -> None:
    images, scores, valid = batch(size=(40, 50), dtype=torch.float32)
    refined = pixel_adaptive(images.cuda(), scores.cuda(), valid=valid.cuda())
    torch.testing.assert_close(
        refined.cpu(), pixel_adaptive(images, scores, valid=valid), rtol=1e-4, atol=1e-5
    )


class TestConfident:
    """Bars by hand: .7 x .9 = .63 for background, .6 x .5 = .3 for class 1, and class 2 never
    reaches .2."""

    probs = torch.tensor(
        [[0.9, 0.62, 0.64, 0.40, 0.65], [0.1, 0.30, 0.17, 0.5, 0.31], [0.0, 0.08, 0.19, 0.1, 0.04]]
    ).view(1, 3, 1, 5)

    def test_shares_of_the_most_in_the_image(self) -> None:
        labels = confident(self.probs, torch.tensor([[True, True, True]]))
        assert labels.tolist() == [[[0, 255, 0, 1, 255]]]  # sure, of nothing, sure, sure, of two

    def test_options(self) -> None:
        tags = torch.tensor([[True, True, True]])
        assert confident(self.probs, tags, foreground=0.5, background=0.5).tolist() == [
            [[0, 255, 0, 1, 255]]
        ]
        assert confident(self.probs, tags, lowest=0.45).tolist() == [[[0, 255, 0, 1, 0]]]
        assert confident(self.probs, tags, lowest=0.18).tolist() == [[[0, 255, 255, 1, 255]]]

    def test_tags_and_padding(self) -> None:
        assert confident(self.probs, torch.tensor([[False, True, True]])).tolist() == [
            [[255, 255, 255, 1, 1]]
        ]
        assert (confident(self.probs, torch.tensor([[False, False, False]])) == 255).all()
        # the most of background is .65 now
        valid = torch.tensor([[[False, True, True, True, True]]])
        assert confident(
            self.probs, torch.tensor([[True, False, False]]), valid=valid
        ).tolist() == [[[255, 0, 0, 255, 0]]]


def test_what_does_not_fit_is_named() -> None:
    images, scores, valid = batch()
    with pytest.raises(
        ValueError, match=r"scores should be float \[B,C,H,W\], but it is int64 \[2,"
    ):
        pixel_adaptive(images, scores.long())
    with pytest.raises(
        ValueError,
        match=(
            r"images should be colours \[2, 3, 6, 7\], of the size of the scores, but it is uint8 "
            r"\[2, 3, 6, 6\]"
        ),
    ):
        pixel_adaptive(images[..., :6], scores)
    with pytest.raises(
        ValueError,
        match=(
            r"valid should be bool \[2, 6, 7\], the size of the scores, but it is bool \[1, 6, 7\]"
        ),
    ):
        pixel_adaptive(images, scores, valid=valid[:1])
    with pytest.raises(
        ValueError,
        match="dilations should be at least one whole number, each 1 or more, but they are ",
    ):
        pixel_adaptive(images, scores, dilations=[0])
    with pytest.raises(ValueError, match="iterations should be 0 or more, but it is -1"):
        pixel_adaptive(images, scores, iterations=-1)
