"""Inference against what can be added up by hand: windows, sizes, mirror images, the dense CRF, and
the words of a recipe."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.small import Refine, Squares, TinyNet, trainer
from weakseg.config.recipe import RecipeError, load, resolve, to_yaml
from weakseg.evidence import Example
from weakseg.functional.crf import DenseCRF, dense_crf
from weakseg.inference.multiscale import Inference, infer, infer_batch, strips
from weakseg.training.segmenter import Segmenter

CLASSES = ("background", "bright", "dark")
SIZES = [(1, 1), (1, 40), (17, 5), (33, 64)]


def photo(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8)


def per_pixel(images: Tensor) -> Tensor:
    """Logits of a 1x1 convolution."""
    return images.float() / 64


def leaning(images: Tensor) -> Tensor:
    """Logits that depend on where in the image a pixel is, so that windows, sizes and mirror images
    all differ."""
    columns = torch.linspace(0, 3, images.shape[-1])
    return torch.stack(
        [images[:, 0] / 64 * columns, images[:, 1] / 64 + columns, images[:, 2] / 64], 1
    )


def by_hand(network: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    return network(image[None])[0].softmax(0)


# windows


@pytest.mark.parametrize("window", [1, 2, 7, 64, 200])
@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("length", [1, 2, 7, 65, 130])
def test_windows_cover_every_pixel_and_count_one_in_all(
    length: int, window: int, overlap: float
) -> None:
    total = torch.zeros(length)
    found = strips(length, window, overlap)
    for place, weights in found:
        assert len(weights) == place.stop - place.start == min(window, length)
        assert weights.min() > 0
        total[place] += weights
    assert torch.allclose(total, torch.ones(length), atol=1e-6)
    shared = [left.place.stop - right.place.start for left, right in pairwise(found)]
    assert all(pixels >= int(min(window, length) * overlap) for pixels in shared)


def test_one_window_goes_over_smoothly_into_the_other() -> None:
    first, second = strips(48, 32, 0.5)
    assert (first.place, second.place) == (slice(0, 32), slice(16, 48))
    assert (first.weights[:16] == 1).all()
    falling = first.weights[16:]
    # half of a Hann window
    assert torch.allclose(
        falling, torch.cos((torch.arange(16) + 0.5) * torch.pi / 32).square(), atol=1e-6
    )
    assert torch.allclose(second.weights, first.weights.flip(0), atol=1e-6)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("window", [1, 8, 16, 64, 500])
def test_windows_change_nothing_for_a_network_that_sees_one_pixel(
    size: tuple[int, int], window: int
) -> None:
    image = photo(*size)
    assert torch.allclose(
        infer(image, per_pixel, Inference(window=window)), by_hand(per_pixel, image), atol=1e-6
    )


@pytest.mark.parametrize("window", [64, 65, 1000])
def test_a_window_that_holds_the_image_is_the_whole_image(window: int) -> None:
    image = photo(33, 64)
    assert torch.equal(infer(image, leaning, Inference(window=window)), by_hand(leaning, image))
    assert not torch.allclose(
        infer(image, leaning, Inference(window=63)), by_hand(leaning, image), atol=1e-2
    )


def test_two_windows_by_hand() -> None:
    image = photo(4, 6)
    left, right = by_hand(leaning, image[..., :4]), by_hand(leaning, image[..., 2:])
    late = torch.tensor([0.1464466, 0.8535534])  # sin^2 of 22.5 and 67.5 degrees
    expected = torch.cat(
        [left[..., :2], left[..., 2:] * (1 - late) + right[..., :2] * late, right[..., 2:]], 2
    )
    assert torch.allclose(
        infer(image, leaning, Inference(window=4, overlap=0.5)), expected, atol=1e-6
    )


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.0, 1.25, 2.0])
def test_no_window_is_larger_than_asked_at_any_scale(scale: float) -> None:
    seen: list[torch.Size] = []

    def look(images: Tensor) -> Tensor:
        seen.append(images.shape)
        return per_pixel(images)

    assert infer(photo(90, 70), look, Inference(scales=(scale,), window=32)).shape == (3, 90, 70)
    assert all(31 <= max(shape[-2:]) <= 32 for shape in seen)
    assert sum(shape[0] for shape in seen) > 1
    assert max(shape[0] for shape in seen) <= 4  # batches stay small


# sizes and mirror images


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_once_about_the_whole_image_is_the_networks_own_answer(size: tuple[int, int]) -> None:
    image = photo(*size)
    assert torch.equal(infer(image, leaning, Inference()), by_hand(leaning, image))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("window", [None, 24])
def test_sizes_do_not_matter_to_a_network_that_sees_one_pixel_of_one_colour(
    size: tuple[int, int], window: int | None
) -> None:
    image = photo(1, 1).expand(3, *size)
    probs = infer(
        image, per_pixel, Inference(scales=(0.5, 0.75, 1, 1.25, 2), flip=True, window=window)
    )
    assert probs.shape == (3, *size)
    assert torch.allclose(probs, by_hand(per_pixel, image), atol=1e-6)


def test_a_class_stays_on_its_half_at_every_size() -> None:
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    image[0, :, :16], image[1, :, 16:] = 255, 255
    probs = infer(image, per_pixel, Inference(scales=(0.5, 1, 1.5)))
    assert torch.equal(probs.argmax(0), (torch.arange(32) >= 16).long().expand(32, 32))
    assert torch.allclose(probs[0], probs[1].flip(1), atol=1e-6)  # no half of a pixel is lost
    assert torch.allclose(probs[..., :12], by_hand(per_pixel, image)[..., :12], atol=1e-4)


def test_probabilities_are_averaged_and_not_logits() -> None:
    image = photo(1, 1).expand(3, 8, 8)
    answers = {8: torch.tensor([4.0, 0.0]), 16: torch.tensor([0.0, 1.0])}

    def network(images: Tensor) -> Tensor:
        return answers[images.shape[-1]][None, :, None, None].expand(
            len(images), 2, *images.shape[-2:]
        )

    expected = (answers[8].softmax(0) + answers[16].softmax(0)) / 2
    assert torch.allclose(
        infer(image, network, Inference(scales=(1, 2))),
        expected[:, None, None].expand(2, 8, 8),
        atol=1e-6,
    )


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_mirror_image_by_hand(size: tuple[int, int]) -> None:
    image = photo(*size)
    mirrored = by_hand(leaning, image.flip(2)).flip(2)
    expected = (by_hand(leaning, image) + mirrored) / 2
    assert torch.allclose(infer(image, leaning, Inference(flip=True)), expected, atol=1e-6)
    assert size[1] == 1 or not torch.allclose(expected, mirrored, atol=1e-2)


def test_half_precision_is_averaged_in_full() -> None:
    probs = infer(
        photo(9, 9),
        lambda images: per_pixel(images).bfloat16(),
        Inference(scales=(1, 2), flip=True, window=4),
    )
    assert probs.dtype == torch.float32
    assert torch.allclose(probs.sum(0), torch.ones(9, 9), atol=1e-5)


# the dense CRF


def test_the_crf_refines_the_averaged_probabilities() -> None:
    image, crf = photo(12, 17), DenseCRF(bilateral_rgb=40, iterations=3)
    averaged = Inference(scales=(1, 1.5), flip=True)
    probs = infer(image, leaning, averaged)
    refined = infer(image, leaning, Inference(scales=(1, 1.5), flip=True, crf=crf))
    assert torch.equal(refined, dense_crf(image, probs, crf))
    assert not torch.allclose(refined, probs, atol=1e-2)


# the Segmenter


class Stripes(nn.Module):
    """Logits that know the image's width, at stride 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = leaning(image * 58 + 120) * self.weight
        return out


def test_the_segmenter_asks_as_told_unless_it_is_to_be_plain() -> None:
    inference = Inference(scales=(0.75, 1), flip=True, window=16)
    segmenter, image = Segmenter(Stripes(), Refine(), CLASSES, inference=inference), photo(20, 31)
    plain = segmenter(image[None])[0].softmax(0)
    probs = segmenter.predict(image).probs
    assert torch.equal(probs, infer(image, segmenter, inference))
    assert torch.equal(segmenter.predict(image, plain=True).probs, plain)
    assert not torch.allclose(probs, plain, atol=1e-2)
    (stepped,) = segmenter.predict_step(
        [Example(0, Squares().sample(0)[0]._replace(image=image), None)], 0
    )
    assert torch.equal(stepped.probs, probs)
    assert torch.equal(Segmenter(Stripes(), Refine(), CLASSES).predict(image).probs, plain)


@pytest.mark.parametrize("validation", [False, True])
def test_validation_uses_it_when_asked(tmp_path: Path, validation: bool) -> None:
    data = Squares(val=3)
    segmenter = Segmenter(
        Stripes(),
        Refine(),
        CLASSES,
        inference=Inference(flip=True, window=16, validation=validation),
    )
    trainer(tmp_path).validate(segmenter, datamodule=data, verbose=False)
    counts = torch.zeros(3, 3, dtype=torch.int64)
    for index in data.validation:
        evidence, truth = data.sample(index)
        assert truth is not None
        guess = segmenter.predict(evidence.image, plain=not validation).probs.argmax(0)
        counts += torch.bincount(truth.long().flatten() * 3 + guess.flatten(), minlength=9).view(
            3, 3
        )
    assert torch.equal(segmenter.confusion, counts)
    other = [
        segmenter.predict(data.sample(index)[0].image, plain=validation).probs.argmax(0)
        for index in data.validation
    ]
    assert not torch.equal(torch.stack(other).flatten().bincount(minlength=3), counts.sum(0))


def test_training_mode_comes_back_and_dropout_is_off() -> None:
    segmenter = Segmenter(
        TinyNet(dropout=0.5), Refine(), CLASSES, inference=Inference(flip=True, window=8)
    ).train()
    image = photo(20, 12)
    assert torch.equal(segmenter.predict(image).probs, segmenter.predict(image).probs)
    assert segmenter.training


# batches

EACH_WAY = [
    Inference(),
    Inference(flip=True),
    Inference(scales=(0.5, 1.25), flip=True),
    Inference(window=16, overlap=0.5),
    Inference(scales=(0.75, 1.5), flip=True, window=24),
    Inference(scales=(0.75, 1), window=16, crf=DenseCRF(bilateral_rgb=5)),
]


@pytest.mark.parametrize("inference", EACH_WAY, ids=str)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_images_of_one_size_are_predicted_together_as_each_alone(
    inference: Inference, count: int
) -> None:
    images = torch.stack([photo(33, 40) for _ in range(count)])
    together = infer_batch(images, leaning, inference)
    alone = torch.stack([infer(image, leaning, inference) for image in images])
    assert together.shape == (count, 3, 33, 40)
    assert torch.allclose(together, alone, atol=1e-5)


def test_bad_numbers_of_one_image_leave_the_others_of_its_batch_alone() -> None:
    images = torch.stack([photo(9, 7), torch.zeros(3, 9, 7, dtype=torch.uint8)])

    def network(images: Tensor) -> Tensor:
        return torch.where((images == 0).all((1, 2, 3), keepdim=True), torch.nan, images.float())

    refined = infer_batch(images, network, Inference(crf=DenseCRF(iterations=1)))
    assert refined[0].isfinite().all()
    assert refined[1].isnan().all()


# recipes


def words(*more: str) -> Any:
    return resolve(load(["recipe=full", *more]))


def test_a_recipe_describes_it(tmp_path: Path) -> None:
    assert words().build("predict") == Inference()
    more = [
        "predict.scales=[0.75,1,1.25]",
        "predict.flip=true",
        "predict.window=513",
        "predict.crf.bilateral_rgb=5",
        "predict.crf.scale=0.5",
    ]
    recipe = words(*more, "predict.validation=yes")
    crf = DenseCRF(bilateral_rgb=5.0, scale=0.5)
    expected = Inference((0.75, 1.0, 1.25), True, 513, crf=crf, validation=True)
    assert recipe.build("predict") == expected
    (tmp_path / "again.yaml").write_text(to_yaml(recipe))
    assert resolve(load([f"recipe={tmp_path / 'again.yaml'}"])).build("predict") == expected


def test_an_empty_crf_in_a_file_is_the_default_one(tmp_path: Path) -> None:
    text = to_yaml(words()) + "predict: {crf: {}}\n"
    (tmp_path / "mine.yaml").write_text(text)
    assert resolve(load([f"recipe={tmp_path / 'mine.yaml'}"])).build("predict") == Inference(
        crf=DenseCRF()
    )


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("predict.flop=true", "predict.flop: no such key; did you mean flip?"),
        ("predict.scale=2", "predict.scale: no such key; did you mean scales?"),
        (
            "predict.bilateral_rgb=2",
            "predict.bilateral_rgb: no such key; did you mean crf.bilateral_rgb?",
        ),
        (
            "predict.crf.bilateral_rbg=2",
            "predict.crf.bilateral_rbg: no such key; did you mean bilateral_rgb?",
        ),
        (
            "predict.crf=true",
            "predict.crf: expected keys below it, such as smooth_weight, but it is 'true'",
        ),
        ("predict=crf", "predict: expected keys below it, such as predict.<key>=crf"),
        ("predit.flip=true", "predit.flip: no such section; did you mean predict?"),
        ("window=513", "window: no such section; did you mean predict.window?"),
        ("predict.window=big", "predict.window: expected a whole number or none, but it is 'big'"),
        (
            "predict.scales=0,1",
            "predict: scales should be one or more numbers above 0, such as 0.75,1,1.25, but it "
            "is [0.0, 1.0]",
        ),
        (
            "predict.scales=[]",
            "predict: scales should be one or more numbers above 0, such as 0.75,1,1.25, but it "
            "is []",
        ),
        (
            "predict.window=0",
            "predict.window: it should be a number of pixels, at least 1, or null for whole "
            "images, but it is 0",
        ),
        (
            "predict.overlap=1",
            "predict.overlap: it should be a part of a window's side, from 0 to 0.9, but it is 1.0",
        ),
        (
            "predict.crf.iterations=0",
            "predict.crf.iterations: it should be at least 1, but it is 0",
        ),
    ],
)
def test_mistakes_are_said(word: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve(load(["recipe=full", word]))
    assert caught.value.errors == [message]
