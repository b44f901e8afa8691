from __future__ import annotations

from math import log

import pytest
import torch
import torch.nn.functional as F

from weakseg.functional.losses import cross_entropy


def test_hard_target_by_hand() -> None:
    logits = torch.tensor([1.0, 3.0]).log().view(1, 2, 1, 1).expand(1, 2, 1, 3)  # probabilities 1/4 and 3/4
    target = torch.tensor([[[0, 1, 255]]])
    assert cross_entropy(logits, target).item() == pytest.approx((log(4) + log(4 / 3)) / 2)


def test_hard_target_is_the_mean_over_pixels_with_an_opinion() -> None:
    logits, target = torch.randn(3, 5, 4, 6), torch.randint(0, 5, (3, 4, 6))
    target[torch.rand(3, 4, 6) < 0.5] = 255
    torch.testing.assert_close(cross_entropy(logits, target), F.cross_entropy(logits, target, ignore_index=255))


def test_soft_target_that_is_sure_equals_the_hard_one() -> None:
    logits, target = torch.randn(2, 5, 4, 6), torch.randint(0, 5, (2, 4, 6))
    soft = F.one_hot(target, 5).permute(0, 3, 1, 2).float()
    torch.testing.assert_close(cross_entropy(logits, soft), cross_entropy(logits, target))
    soft[:, :, 1] = 0  # no trust in this row
    target[:, 1] = 255
    torch.testing.assert_close(cross_entropy(logits, soft), cross_entropy(logits, target))


def test_soft_target_weighs_pixels_by_their_trust() -> None:
    logits = torch.tensor([1.0, 3.0]).log().view(1, 2, 1, 1).expand(1, 2, 1, 2)
    soft = torch.tensor([[[[0.5, 0.0]], [[0.5, 0.25]]]])  # pixel 0: both, trust 1; pixel 1: class 1, trust 1/4
    expected = (0.5 * log(4) + 0.5 * log(4 / 3) + 0.25 * log(4 / 3)) / 1.25
    assert cross_entropy(logits, soft).item() == pytest.approx(expected)


@pytest.mark.parametrize("target", [torch.full((1, 2, 2), 255), torch.zeros(1, 3, 2, 2)], ids=["hard", "soft"])
def test_no_opinion_at_all_is_zero_with_zero_gradient(target: torch.Tensor) -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = cross_entropy(logits, target)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_gradient(kind: str) -> None:
    target = torch.randint(0, 3, (2, 3, 2)) if kind == "hard" else torch.rand(2, 3, 3, 2, dtype=torch.float64)
    if kind == "hard":
        target[0, 0, 0] = 255
    logits = torch.randn(2, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda logits: cross_entropy(logits, target), [logits])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_summed_in_single(dtype: torch.dtype) -> None:
    logits, target = torch.randn(1, 2, 300, 300), torch.randint(0, 2, (1, 300, 300))  # a sum of 90,000 terms overflows float16
    loss = cross_entropy(logits.to(dtype), target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, cross_entropy(logits, target), rtol=0.01, atol=0)
