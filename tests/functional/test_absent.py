"""The loss of classes that the tags leave out, of weakseg.functional.losses."""

from __future__ import annotations

from math import log

import pytest
import torch
from torch import Tensor

from weakseg.functional.losses import absent_loss


def one_by_one(logits: Tensor, tags: Tensor, valid: Tensor) -> Tensor:
    """The same from its definition, pixel by pixel."""
    costs = []
    for image in range(len(logits)):
        for row in range(logits.shape[2]):
            for column in range(logits.shape[3]):
                if tags[image].any() and valid[image, row, column]:
                    probs = logits[image, :, row, column].softmax(0)
                    costs.append(-probs[tags[image]].sum().log())
    return torch.stack(costs).mean()


def test_by_hand() -> None:
    """The named classes have 3/4 of the first pixel and 1/4 of the second."""
    logits = torch.tensor([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]]).log().T[None, :, None]
    loss = absent_loss(logits, torch.tensor([[True, True, False]]))
    assert loss.item() == pytest.approx((log(4 / 3) + log(4)) / 2)


def test_is_its_definition() -> None:
    logits, tags = (
        torch.randn(3, 4, 3, 5, dtype=torch.float64) * 3,
        torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 1]]).bool(),
    )
    valid = torch.rand(3, 3, 5) < 0.7
    torch.testing.assert_close(absent_loss(logits, tags, valid), one_by_one(logits, tags, valid))
    torch.testing.assert_close(
        absent_loss(logits, tags), one_by_one(logits, tags, torch.ones_like(valid))
    )


def test_gradient() -> None:
    logits = torch.randn(3, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    tags, valid = (
        torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]]).bool(),
        torch.rand(3, 2, 3) < 0.8,
    )
    assert torch.autograd.gradcheck(lambda logits: absent_loss(logits, tags, valid), [logits])


def test_images_without_tags_and_padding_take_no_part() -> None:
    logits, tags = (
        torch.randn(2, 3, 2, 2, requires_grad=True),
        torch.tensor([[True, False, False], [False, False, False]]),
    )
    valid = torch.tensor([[True, False], [True, False]]).expand(2, 2, 2)
    loss = absent_loss(logits, tags, valid)
    torch.testing.assert_close(loss, absent_loss(logits[:1, :, :, :1], tags[:1]))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[0, :, :, 0].abs().min() > 0
    assert gradient[0, :, :, 1].abs().max() == 0
    assert gradient[1].abs().max() == 0


def test_nobody_to_count_is_zero_with_zero_gradient() -> None:
    for tags, valid in (
        (torch.zeros(1, 3).bool(), None),
        (torch.tensor([[True, False, False]]), torch.zeros(1, 2, 2).bool()),
    ):
        logits = torch.randn(1, 3, 2, 2, requires_grad=True)
        loss = absent_loss(logits, tags, valid)
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.item() == 0
        assert logits.grad is not None
        assert logits.grad.abs().max() == 0


def test_tags_that_name_every_class_ask_for_nothing() -> None:
    loss = absent_loss(torch.randn(1, 3, 2, 2) * 50, torch.ones(1, 3).bool())
    assert loss.item() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_scores_far_apart_stay_finite(dtype: torch.dtype) -> None:
    """Through probabilities the chance of the named class would be 0, and its logarithm
    infinite."""
    logits = (
        torch.tensor([-500.0, 500.0])
        .to(dtype)
        .view(1, 2, 1, 1)
        .expand(1, 2, 9, 9)
        .clone()
        .requires_grad_()
    )
    loss = absent_loss(logits, torch.tensor([[True, False]]))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1000, rel=1e-3)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.float().sum((2, 3)).flatten().tolist() == pytest.approx([-1, 1], rel=0.01)
