"""Focal, Dice and Tversky losses: by hand, against other libraries, and where nothing is
labelled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from segmentation_models_pytorch.losses import DiceLoss, TverskyLoss
from torch import Tensor
from torchmetrics.functional.segmentation import dice_score
from torchvision.ops import sigmoid_focal_loss

from weakseg.evidence import IGNORE
from weakseg.functional.losses import cross_entropy
from weakseg.functional.rare_classes import dice_loss, focal_cross_entropy, tversky_loss

Loss = Callable[..., Tensor]
LOSSES = {
    "focal": partial(focal_cross_entropy, gamma=2.0),
    "gentle focal": partial(focal_cross_entropy, gamma=0.5),
    "dice": dice_loss,
    "tversky": partial(tversky_loss, alpha=0.3, beta=0.7),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
CLASSES = 4


def logits_of(*probs: float) -> Tensor:
    """Of one pixel."""
    return torch.tensor(probs).log()[None, :, None, None]


def some(classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    """Logits and a target in which every class and 255 occur."""
    target = torch.randint(0, classes, (2, 5, 7))
    target[:, 0, :classes] = torch.arange(classes)
    target[:, 1, :2] = IGNORE
    return torch.randn(2, classes, 5, 7), target


def soft(target: Tensor, classes: int = CLASSES) -> Tensor:
    """The same as a soft target."""
    known = target != IGNORE
    return (F.one_hot(target.where(known, 0), classes) * known[..., None]).movedim(-1, 1).float()


def test_focal_by_hand() -> None:
    logits = torch.cat([logits_of(0.25, 0.75), logits_of(0.5, 0.5)], 3)
    target = torch.tensor([[[0, 1]]])
    each = -torch.tensor([0.25, 0.5]).log() * torch.tensor([0.75, 0.5]) ** 2
    torch.testing.assert_close(focal_cross_entropy(logits, target, 2.0), each.mean())
    weighted = focal_cross_entropy(logits, target, 2.0, torch.tensor([3.0, 1.0]))
    torch.testing.assert_close(weighted, (3 * each[0] + each[1]) / 4)


def test_dice_and_tversky_by_hand() -> None:
    """Two pixels of class 0 with .5 and .7, one of class 1 with .8; class 2 does not occur."""
    pixels = [logits_of(0.5, 0.4, 0.1), logits_of(0.7, 0.1, 0.2), logits_of(0.1, 0.8, 0.1)]
    logits, target = torch.cat(pixels, 3), torch.tensor([[[0, 0, 1]]])
    dice = torch.tensor([2 * 1.2 / (1.3 + 2), 2 * 0.8 / (1.3 + 1)])
    torch.testing.assert_close(dice_loss(logits, target), 1 - dice.mean())
    index = torch.tensor([1.2 / (1.2 + 0.2 * 0.1 + 0.9 * 0.8), 0.8 / (0.8 + 0.2 * 0.5 + 0.9 * 0.2)])
    torch.testing.assert_close(tversky_loss(logits, target, 0.2, 0.9), 1 - index.mean())
    weights = torch.tensor([1.0, 3.0, 100.0])
    expected = 1 - (dice[0] + 3 * dice[1]) / 4
    torch.testing.assert_close(dice_loss(logits, target, weights), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_of_two_classes_is_that_of_torchvision(gamma: float) -> None:
    logits, target = some(2)
    known = target != IGNORE
    expected = sigmoid_focal_loss(
        (logits[:, 1] - logits[:, 0])[known],
        target[known].float(),
        alpha=-1,
        gamma=gamma,
        reduction="mean",
    )
    torch.testing.assert_close(focal_cross_entropy(logits, target, gamma), expected)


def test_focal_with_an_exponent_of_zero_is_the_cross_entropy() -> None:
    logits, target = some()
    weights = torch.rand(CLASSES)
    for labels in (target, soft(target) * torch.rand(2, 1, 5, 7)):
        torch.testing.assert_close(
            focal_cross_entropy(logits, labels, 0.0, weights),
            cross_entropy(logits, labels, weights),
        )


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.3, 0.7), (1.0, 1.0), (0.0, 1.0)])
def test_tversky_is_that_of_segmentation_models(alpha: float, beta: float) -> None:
    """Where all classes occur: its mean counts others, too."""
    logits, target = some()
    theirs = TverskyLoss("multiclass", ignore_index=IGNORE, alpha=alpha, beta=beta)
    torch.testing.assert_close(tversky_loss(logits, target, alpha, beta), theirs(logits, target))


def test_dice_is_that_of_segmentation_models() -> None:
    logits, target = some()
    theirs = DiceLoss("multiclass", ignore_index=IGNORE)
    torch.testing.assert_close(dice_loss(logits, target), theirs(logits, target))
    target[target == 2] = 1
    torch.testing.assert_close(
        dice_loss(logits, target), theirs(logits, target) * CLASSES / (CLASSES - 1)
    )


def test_dice_of_sure_predictions_is_the_score_of_torchmetrics() -> None:
    target, found = (torch.randint(0, CLASSES, (1, 9, 9)) for _ in range(2))
    score = dice_score(found, target, CLASSES, average="macro", input_format="index")
    logits = F.one_hot(found, CLASSES).movedim(-1, 1) * 1000.0
    torch.testing.assert_close(dice_loss(logits, target), 1 - score.squeeze())


@every_loss
def test_a_hard_target_is_a_soft_one(loss: Loss) -> None:
    logits, target = some()
    weights = torch.rand(CLASSES)
    torch.testing.assert_close(
        loss(logits, target, weights=weights), loss(logits, soft(target), weights=weights)
    )


@every_loss
def test_gradients(loss: Loss) -> None:
    logits, target = some()
    labels = soft(target).double() * torch.rand(2, 1, 5, 7, dtype=torch.float64)
    exact = logits.double().requires_grad_()
    for each in (target, labels):
        assert torch.autograd.gradcheck(lambda values, each=each: loss(values, each), exact)


@every_loss
def test_nothing_labelled_is_zero_and_teaches_nothing(loss: Loss) -> None:
    logits = torch.randn(2, CLASSES, 5, 7, requires_grad=True)
    nothing = torch.full((2, 5, 7), IGNORE)
    for target, weights in (
        (nothing, None),
        (torch.zeros(2, CLASSES, 5, 7), None),
        (torch.ones_like(nothing), torch.tensor([1.0, 0.0, 1.0, 1.0])),
    ):
        value = loss(logits, target, weights=weights)
        assert value == 0
        (gradient,) = torch.autograd.grad(value, logits)
        assert torch.equal(gradient, torch.zeros_like(gradient))


@every_loss
def test_ignored_pixels_do_not_count(loss: Loss) -> None:
    logits, target = some()
    changed = logits.clone()
    changed.movedim(1, -1)[target == IGNORE] = torch.randn(CLASSES) * 50
    assert torch.equal(loss(logits, target), loss(changed, target))


@every_loss
@pytest.mark.parametrize("sure", [1e3, -1e3])
def test_sure_predictions_have_finite_gradients(loss: Loss, sure: float) -> None:
    target = torch.tensor([[[0, 1, IGNORE]]])
    right = F.one_hot(target.where(target != IGNORE, 0), 2).movedim(-1, 1).float()
    logits = (right * sure).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(logits, target), logits)
    assert torch.isfinite(gradient).all()


@every_loss
def test_half_precision_is_summed_in_single(loss: Loss) -> None:
    """Sums over so many pixels overflow the half."""
    logits = torch.randn(1, 2, 300, 300).to(torch.float16)
    target = torch.randint(0, 2, (1, 300, 300))
    torch.testing.assert_close(loss(logits, target), loss(logits.float(), target))


def test_to_miss_a_rare_class_costs_as_much_as_half_of_everything() -> None:
    target = torch.zeros(1, 100, 101, dtype=torch.int64)
    target[0, 0, :10] = 1
    all_background = torch.tensor([9.0, 0.0])[None, :, None, None].expand(1, 2, 100, 101)
    assert dice_loss(all_background, target).item() == pytest.approx(0.5, abs=2e-3)
    assert cross_entropy(all_background, target) < 0.01
