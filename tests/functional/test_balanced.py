from __future__ import annotations

from math import log

import pytest
import torch
from torch import Tensor

from weakseg.functional.losses import balanced_cross_entropy


def a_row(*labels: int) -> Tensor:
    return torch.tensor([[labels]])


def test_by_hand() -> None:
    """Three pixels of background and one of class 1 are known, two are not: each of the three
    weighs 1/4, the one 3/4."""
    probs = torch.tensor([[0.5, 0.8, 0.9, 0.2, 0.3, 0.4], [0.5, 0.2, 0.1, 0.8, 0.7, 0.6]])
    loss = balanced_cross_entropy(
        probs.log()[None, :, None], a_row(0, 0, 0, 1, 255, 255), torch.tensor([[True, True]])
    )
    expected = -(log(0.5) + log(0.8) + log(0.9)) / 4 - 3 * log(0.8) / 4
    assert loss.item() == pytest.approx(expected / (3 / 4 + 3 / 4))


def test_three_classes_by_hand() -> None:
    """Four, two and one pixel of seven: they weigh 3/7, 5/7 and 6/7 each."""
    probs = torch.tensor([0.6, 0.3, 0.1])
    logits = probs.log()[None, :, None, None].expand(1, 3, 1, 7)
    loss = balanced_cross_entropy(
        logits, a_row(0, 0, 0, 0, 1, 1, 2), torch.tensor([[True, True, True]])
    )
    expected = -(12 * log(0.6) + 10 * log(0.3) + 6 * log(0.1)) / 28
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("background", [1, 8, 99])
def test_what_is_small_pulls_as_strongly_as_what_is_large(background: int) -> None:
    logits = torch.zeros(1, 3, 1, background + 4, requires_grad=True)
    labels = a_row(*[0] * background, 1, 1, 1, 255)
    balanced_cross_entropy(logits, labels, torch.tensor([[True, True, False]])).backward()
    assert logits.grad is not None
    towards = -logits.grad[0].gather(0, labels[0].clamp(max=2)[None])[0, 0]
    torch.testing.assert_close(towards[:background].sum(), towards[background:-1].sum())
    assert (logits.grad[..., -1] == 0).all()


def test_an_image_counts_once_all_of_its_classes_have_a_pixel() -> None:
    logits, tags = torch.randn(1, 3, 1, 4), torch.tensor([[True, True, True]])
    assert balanced_cross_entropy(logits, a_row(0, 1, 1, 255), tags) == 0
    assert balanced_cross_entropy(logits, a_row(0, 1, 1, 2), tags) > 0
    assert balanced_cross_entropy(logits, a_row(255, 255, 255, 255), tags) == 0


def test_images_with_little_of_a_class_count_little_and_those_without_tags_nothing() -> None:
    """Four pixels weigh 1/2; one weighs 3/4 and three 1/4; four of the one class that is possible
    weigh 1/2."""
    logits, both = torch.randn(4, 2, 1, 4), [True, True]
    labels = torch.tensor([[[0, 1, 1, 0]], [[1, 0, 0, 0]], [[0, 0, 0, 0]], [[255] * 4]])
    tags = torch.tensor([both, both, [True, False], [False, False]])
    alone = [
        balanced_cross_entropy(logits[i, None], labels[i, None], tags[i, None]) for i in range(3)
    ]
    together = balanced_cross_entropy(logits, labels, tags)
    torch.testing.assert_close(together, (2 * alone[0] + 1.5 * alone[1] + 2 * alone[2]) / 5.5)


def test_half_precision() -> None:
    logits, labels, tags = (
        torch.randn(1, 2, 1, 9).bfloat16(),
        torch.arange(9).view(1, 1, 9) % 2,
        torch.tensor([[True, True]]),
    )
    rough = balanced_cross_entropy(logits, labels, tags)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, balanced_cross_entropy(logits.float(), labels, tags))
