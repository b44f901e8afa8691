from __future__ import annotations

from functools import partial
from math import exp, inf, log, nan
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.functional import losses
from weakseg.functional.crf.permutohedral import lattice
from weakseg.functional.losses import (
    GatedKernel,
    cross_entropy,
    dense_crf_loss,
    gated_crf_loss,
    rarity_weights,
)

# small reaches, so that something is decided within a few pixels
dense = partial(dense_crf_loss, xy=3, rgb=40)
gated = partial(
    gated_crf_loss, kernels=[GatedKernel(rgb=40), GatedKernel(weight=0.5, xy=2, rgb=inf)], radius=2
)
PAIRWISE = pytest.mark.parametrize(
    "loss", [dense, partial(dense, scaling="rloss"), gated], ids=["pairs", "rloss", "gated"]
)


def test_hard_target_by_hand() -> None:
    # probabilities 1/4 and 3/4
    logits = torch.tensor([1.0, 3.0]).log().view(1, 2, 1, 1).expand(1, 2, 1, 3)
    target = torch.tensor([[[0, 1, 255]]])
    assert cross_entropy(logits, target).item() == pytest.approx((log(4) + log(4 / 3)) / 2)


def test_hard_target_is_the_mean_over_pixels_with_an_opinion() -> None:
    logits, target = torch.randn(3, 5, 4, 6), torch.randint(0, 5, (3, 4, 6))
    target[torch.rand(3, 4, 6) < 0.5] = 255
    torch.testing.assert_close(
        cross_entropy(logits, target), F.cross_entropy(logits, target, ignore_index=255)
    )


def test_soft_target_that_is_sure_equals_the_hard_one() -> None:
    logits, target = torch.randn(2, 5, 4, 6), torch.randint(0, 5, (2, 4, 6))
    soft = F.one_hot(target, 5).permute(0, 3, 1, 2).float()
    torch.testing.assert_close(cross_entropy(logits, soft), cross_entropy(logits, target))
    soft[:, :, 1] = 0  # no trust in this row
    target[:, 1] = 255
    torch.testing.assert_close(cross_entropy(logits, soft), cross_entropy(logits, target))


def test_soft_target_weighs_pixels_by_their_trust() -> None:
    logits = torch.tensor([1.0, 3.0]).log().view(1, 2, 1, 1).expand(1, 2, 1, 2)
    # pixel 0: both, trust 1; pixel 1: class 1, trust 1/4
    soft = torch.tensor([[[[0.5, 0.0]], [[0.5, 0.25]]]])
    expected = (0.5 * log(4) + 0.5 * log(4 / 3) + 0.25 * log(4 / 3)) / 1.25
    assert cross_entropy(logits, soft).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    "target", [torch.full((1, 2, 2), 255), torch.zeros(1, 3, 2, 2)], ids=["hard", "soft"]
)
def test_no_opinion_at_all_is_zero_with_zero_gradient(target: torch.Tensor) -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = cross_entropy(logits, target)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_gradient(kind: str) -> None:
    target = (
        torch.randint(0, 3, (2, 3, 2))
        if kind == "hard"
        else torch.rand(2, 3, 3, 2, dtype=torch.float64)
    )
    if kind == "hard":
        target[0, 0, 0] = 255
    logits = torch.randn(2, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda logits: cross_entropy(logits, target), [logits])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_summed_in_single(dtype: torch.dtype) -> None:
    # a sum of 90,000 terms overflows float16
    logits, target = torch.randn(1, 2, 300, 300), torch.randint(0, 2, (1, 300, 300))
    loss = cross_entropy(logits.to(dtype), target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, cross_entropy(logits, target), rtol=0.01, atol=0)


# losses that pull alike pixels together -----------------------------------------------------------


def scene(height: int, width: int, labels: int = 3, batch: int = 1) -> tuple[Tensor, Tensor]:
    """Random probabilities, float64, and images of smooth blobs."""
    blobs = F.interpolate(
        torch.rand(batch, 3, 3, 3) * 255, size=(height, width), mode="bilinear"
    ).byte()
    coarse = torch.randn(batch, labels, height // 4 + 1, width // 4 + 1, dtype=torch.float64) * 3
    return F.interpolate(coarse, size=(height, width), mode="bilinear").softmax(1), blobs


def padding(batch: int, height: int, width: int) -> Tensor:
    """Valid pixels: image 0 lacks its last two rows and its last column, the others are whole."""
    valid = torch.ones(batch, height, width, dtype=torch.bool)
    valid[0, -2:] = valid[0, :, -1] = False
    return valid


def place_and_colour(images: Tensor) -> tuple[Tensor, Tensor]:
    """Of every pixel, float64 [B,HW,2] and [B,HW,3]."""
    batch, _, height, width = images.shape
    place = torch.cartesian_prod(torch.arange(height), torch.arange(width)).double()
    return place.expand(batch, -1, 2), images.flatten(2).transpose(1, 2).double()


def exactly(features: Tensor, groups: Tensor, values: Tensor) -> Tensor:
    """What the lattice comes near to: every point against every other."""
    kernel = (-(features[:, None] - features).square().sum(2) / 2).exp()
    return kernel * (groups[:, None] == groups) @ values


def two_pixels() -> tuple[Tensor, Tensor]:
    """Probabilities .9 .1 and .2 .8; one step apart, and 15 steps of colour. They agree with chance
    .9 x .2 + .1 x .8 = .26."""
    images = torch.tensor([10, 25, 7, 7, 9, 9], dtype=torch.uint8).view(1, 3, 1, 2)
    return torch.tensor([0.9, 0.2, 0.1, 0.8]).view(1, 2, 1, 2), images


def test_dense_crf_loss_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the two pixels there is an image of one pixel, sure of itself, and one without any."""
    monkeypatch.setattr(losses, "_affinity", exactly)
    (probs, images), sure = two_pixels(), torch.tensor([1.0, 0.5, 0, 0.5]).view(1, 2, 1, 2)
    probs, images = torch.cat([probs, sure, sure]).double(), images.repeat(3, 1, 1, 1)
    valid = torch.tensor([[[True, True]], [[True, False]], [[False, False]]])
    # the affinity is exp(-1/2) for the place and exp(-1/2) for the colour
    agreement = 0.82 + 0.68 + 2 * exp(-1) * 0.26
    pairs = dense_crf_loss(probs, images, xy=1, rgb=15, valid=valid)
    assert pairs.item() == pytest.approx((1 - agreement / (2 + 2 * exp(-1)) + 0) / 2)
    rloss = dense_crf_loss(probs, images, xy=1, rgb=15, valid=valid, scaling="rloss")
    assert rloss.item() == pytest.approx(-(agreement + 1 + 0) / 3)


@pytest.mark.parametrize(("xy", "rgb"), [(12, 15), (12, 40), (100, 15)])
def test_dense_crf_loss_is_near_the_exact_one(
    xy: float, rgb: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lattice gives about half of the exact sum in five dimensions, as the original does.
    Pairs, a ratio, are right within .01."""
    probs, images = scene(32, 40)
    probs.requires_grad_()
    pairs, rloss = (
        dense_crf_loss(probs, images, xy=xy, rgb=rgb),
        dense_crf_loss(probs, images, xy=xy, rgb=rgb, scaling="rloss"),
    )
    monkeypatch.setattr(losses, "_affinity", exactly)
    exact = dense_crf_loss(probs, images, xy=xy, rgb=rgb)
    assert abs(pairs.item() - exact.item()) < 0.01
    ratio = rloss / dense_crf_loss(probs, images, xy=xy, rgb=rgb, scaling="rloss")
    assert ratio.item() == pytest.approx(0.5, abs=0.04)
    (found,), (expected,) = torch.autograd.grad(pairs, probs), torch.autograd.grad(exact, probs)
    assert F.cosine_similarity(found.flatten(), expected.flatten(), 0) > 0.98


def test_gradient_of_the_dense_crf_loss_is_that_of_the_lattice() -> None:
    """Kept from the way there, or through the lattice and back: the same."""
    probs, images = scene(9, 11, batch=2)
    valid = padding(2, 9, 11)
    probs.requires_grad_()
    shares = []
    for values, image, here in zip(
        probs.flatten(2).transpose(1, 2),
        zip(*place_and_colour(images), strict=True),
        valid.flatten(1),
        strict=True,
    ):
        found = lattice(torch.cat([image[0].flip(1) / 3, image[1] / 40], 1)[here])
        near = found.filter(
            torch.cat([values, torch.ones_like(values[:, :1])], 1)[here], both_ways=True
        )
        shares.append(1 - (values[here] * near[:, :-1]).sum() / near[:, -1].sum())
    expected = torch.stack(shares).mean()
    loss = dense(probs, images, valid=valid)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, probs), torch.autograd.grad(expected, probs)
    )


def test_scale_and_crop_change_pairs_little() -> None:
    """Everything twice as large, and a crop of four times the area that shows more of the same (xy
    being well inside of either)."""
    small, crop = scene(36, 44), []
    large = [part.repeat_interleave(2, 2).repeat_interleave(2, 3) for part in small]
    for part in small:
        wide = torch.cat([part, part.flip(3)], 3)
        crop.append(torch.cat([wide, wide.flip(2)], 2))
    pairs = dense_crf_loss(*small, xy=6, rgb=30)
    assert dense_crf_loss(*large, xy=12, rgb=30).item() == pytest.approx(pairs.item(), rel=0.01)
    assert dense_crf_loss(*crop, xy=6, rgb=30).item() == pytest.approx(pairs.item(), rel=0.05)
    rloss = dense_crf_loss(*small, xy=6, rgb=30, scaling="rloss")
    assert dense_crf_loss(*large, xy=12, rgb=30, scaling="rloss").item() == pytest.approx(
        16 * rloss.item(), rel=0.03
    )
    # both are less than 0
    assert dense_crf_loss(*crop, xy=6, rgb=30, scaling="rloss").item() < 4 * rloss.item()


def test_gated_crf_loss_by_hand() -> None:
    probs, images = two_pixels()
    kernels = [GatedKernel(weight=2, xy=1, rgb=15), GatedKernel(weight=0.5, xy=1, rgb=inf)]
    expected = (2 * exp(-1) + 0.5 * exp(-0.5)) * (1 - 0.26)  # both ways round, over two pixels
    assert gated_crf_loss(probs, images, kernels=kernels).item() == pytest.approx(expected)
    alone = torch.tensor([[[True, False]]])
    assert gated_crf_loss(probs, images, kernels=kernels, valid=alone).item() == 0


@pytest.mark.parametrize("radius", [1, 3, 5, 50])
def test_gated_crf_loss_is_the_sum_over_all_pairs(radius: int) -> None:
    """Radius 5 is as far as pixels of this image are apart in one direction only, 50 is further
    than any."""
    probs, images = scene(6, 9, batch=2)
    valid = padding(2, 6, 9)
    place, colour = place_and_colour(images)
    apart = place[:, :, None] - place[:, None]
    unlike = (colour[:, :, None] - colour[:, None]).square().sum(-1)
    inside = (
        (apart.abs().amax(-1) <= radius)
        & (apart != 0).any(-1)
        & valid.flatten(1)[:, None]
        & valid.flatten(1)[:, :, None]
    )
    kernel = (
        2 * (-apart.square().sum(-1) / 18 - unlike / 800).exp()
        + 0.5 * (-apart.square().sum(-1) / 2).exp()
    )
    agree = probs.flatten(2).transpose(1, 2) @ probs.flatten(2)
    expected = (kernel * inside * (1 - agree)).sum() / valid.sum()
    kernels = [GatedKernel(weight=2, xy=3, rgb=20), GatedKernel(weight=0.5, xy=1, rgb=inf)]
    torch.testing.assert_close(
        gated_crf_loss(probs, images, kernels=kernels, radius=radius, valid=valid), expected
    )


@PAIRWISE
def test_gradient_of_pairwise_losses(loss: Any) -> None:
    probs, images = scene(4, 5, batch=2)
    assert torch.autograd.gradcheck(
        partial(loss, images=images, valid=padding(2, 4, 5)), [probs.requires_grad_()]
    )
    with pytest.raises(
        RuntimeError, match="no second derivative: call backward without create_graph"
    ):
        torch.autograd.grad(loss(probs, images), probs, create_graph=True)


@PAIRWISE
def test_padding_takes_no_part(loss: Any) -> None:
    probs, images = scene(10, 12)
    valid = padding(1, 10, 12)
    bare = loss(probs[..., :-2, :-1], images[..., :-2, :-1])
    for seed in range(2):
        torch.manual_seed(seed)
        rubbish = torch.where(valid[:, None], probs, torch.randn_like(probs)).requires_grad_()
        padded = loss(
            rubbish,
            torch.where(valid[:, None], images, torch.randint(0, 256, images.shape).byte()),
            valid=valid,
        )
        torch.testing.assert_close(padded, bare)
        (gradient,) = torch.autograd.grad(padded, rubbish)
        assert (gradient[~valid[:, None].expand_as(gradient)] == 0).all()
        assert (gradient[valid[:, None].expand_as(gradient)] != 0).all()


@PAIRWISE
def test_no_valid_pixel_is_zero_with_zero_gradient(loss: Any) -> None:
    probs, images = scene(4, 5)
    value = loss(probs.requires_grad_(), images, valid=torch.zeros(1, 4, 5, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert probs.grad is not None
    assert (probs.grad == 0).all()


@PAIRWISE
def test_classes_that_end_where_colours_end_cost_less(loss: Any) -> None:
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    images[..., 4:] = 200
    left = torch.zeros(1, 8, 8, dtype=torch.int64)
    left[..., 4:] = 1
    right, wrong = (
        F.one_hot(labels, 2).movedim(-1, 1).float() for labels in (left, left.transpose(1, 2))
    )
    assert loss(right, images) < loss(wrong, images) - 0.1


@PAIRWISE
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_probabilities_are_summed_in_single(loss: Any, dtype: torch.dtype) -> None:
    probs, images = scene(40, 40)
    half = probs.to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(half, images)
    value.backward()
    assert value.dtype == torch.float32
    assert half.grad is not None
    assert half.grad.dtype == dtype
    torch.testing.assert_close(value, loss(half.detach().float(), images), rtol=1e-5, atol=0)
    torch.testing.assert_close(value.double(), loss(probs, images), rtol=0.01, atol=0)


@PAIRWISE
def test_a_nan_is_not_hidden(loss: Any) -> None:
    probs, images = scene(4, 5)
    probs[0, 0, 1, 1] = nan
    assert loss(probs, images).isnan()


@PAIRWISE
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"images": torch.rand(1, 3, 4, 5)},
            r"images should be uint8 \[B,3,H,W\], but it is float32 .* neither scaled nor "
            r"normalised",
        ),
        (
            {"images": torch.zeros(1, 3, 8, 10, dtype=torch.uint8)},
            r"probs should be float \[1,C,8,10\], the size of the images, but .*4, 5",
        ),
        (
            {"probs": torch.randn(1, 3, 4, 5)},
            "probs should sum to 1 .* but are off by up to .* give a softmax",
        ),
        (
            {"probs": torch.zeros(1, 4, 5, dtype=torch.int64)},
            r"probs should be float \[1,C,4,5\], .* int64 \[1, 4, 5\]",
        ),
        ({"valid": torch.ones(1, 4, 5)}, r"valid should be bool \[1,4,5\], but it is float32"),
        (
            {"valid": torch.ones(1, 8, 10, dtype=torch.bool)},
            r"valid should be bool \[1,4,5\], but it is bool \[1, 8, 10\]",
        ),
    ],
)
def test_what_cannot_be_meant(loss: Any, wrong: dict[str, Any], message: str) -> None:
    probs, images = scene(4, 5)
    with pytest.raises(ValueError, match=message):
        loss(**{"probs": probs, "images": images, **wrong})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(dense_crf_loss, xy=0), "xy should be a number, more than 0, but it is 0"),
        (partial(dense_crf_loss, rgb=inf), "rgb should be a number, more than 0, but it is inf"),
        (
            partial(dense_crf_loss, scaling="mean"),
            "scaling of dense_crf_loss should be pairs or rloss, but it is 'mean'",
        ),
        (
            partial(gated_crf_loss, radius=0),
            "radius of gated_crf_loss should be a whole number, 1 or more, but it is 0",
        ),
        (
            partial(gated_crf_loss, kernels=[]),
            "kernels of gated_crf_loss should be at least one GatedKernel",
        ),
        (
            partial(gated_crf_loss, kernels=[GatedKernel(weight=inf)]),
            "weight of a kernel should be a number, more than 0, but it is inf",
        ),
        (
            partial(gated_crf_loss, kernels=[GatedKernel(rgb=nan)]),
            r"rgb of a kernel should be .* \(inf for no limit\), but it is nan",
        ),
    ],
)
def test_numbers_that_cannot_be(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(*scene(4, 5))


def test_class_weights_by_hand() -> None:
    """Two pixels with losses log 2 and log 3, of which the second counts four times."""
    logits = torch.tensor([[0.0, 0.0], [0.0, log(2)]]).view(1, 2, 1, 2)
    target = torch.tensor([[[1, 0]]])
    wanted = (log(2) + 4 * log(3)) / 5
    assert float(cross_entropy(logits, target, torch.tensor([4.0, 1.0]))) == pytest.approx(wanted)
    soft = F.one_hot(target, 2).movedim(-1, 1).float()
    assert float(cross_entropy(logits, soft, torch.tensor([4.0, 1.0]))) == pytest.approx(wanted)


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]])
def test_equal_class_weights_change_nothing(weights: list[float]) -> None:
    logits, target = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    target[0, 0] = 255
    torch.testing.assert_close(
        cross_entropy(logits, target, torch.tensor(weights)), cross_entropy(logits, target)
    )
    soft = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(
        cross_entropy(logits, soft, torch.tensor(weights)), cross_entropy(logits, soft)
    )


def test_pixels_that_weigh_nothing_teach_nothing() -> None:
    logits = torch.randn(1, 2, 2, 2, requires_grad=True)
    loss = cross_entropy(logits, torch.zeros(1, 2, 2, dtype=torch.int64), torch.tensor([0.0, 1.0]))
    assert float(loss) == 0
    assert not torch.autograd.grad(loss, logits)[0].any()


def test_rarity_weights_by_hand() -> None:
    assert rarity_weights(torch.tensor([0.81, 0.09, 0.01, 0.0])).tolist() == pytest.approx(
        [1 / 3, 1, 3, 1]
    )
    assert rarity_weights(torch.zeros(3)).tolist() == [1, 1, 1]
