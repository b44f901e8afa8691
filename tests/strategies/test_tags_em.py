from __future__ import annotations

from math import exp, log

import pytest
import torch

from tests.small import loss_of
from tests.strategies.parts import a_batch, padded
from weakseg.strategies.tags_em import TagsEM

ROW = torch.tensor([[[[3.0, 2.0, 5.0, 4.0]], [[0.0, 0.0, 0.0, 0.0]]]])
"""two classes at four pixels; with portions of .4 and .2 the second pixel is the one that class 1
wins"""


def test_adapt_by_hand_with_the_scores_as_they_are() -> None:
    strategy, logits = TagsEM(foreground=0.4), ROW.clone().requires_grad_()
    returned = loss_of(strategy, logits, a_batch(1, 4, [[1, 1]]))
    (loss,) = returned.terms.values()
    assert returned.labels.tolist() == [[[0, 1, 0, 0]]]
    expected = (log(1 + exp(-3)) + log(1 + exp(2)) + log(1 + exp(-5)) + log(1 + exp(-4))) / 4
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    (gradient,) = torch.autograd.grad(loss, logits)
    label = torch.tensor([[[[1.0, 0, 1, 1]], [[0.0, 1, 0, 0]]]])
    torch.testing.assert_close(gradient, (ROW.softmax(1) - label) / 4)


def test_fixed_by_hand() -> None:
    strategy = TagsEM(mode="fixed")
    logits = torch.tensor([[[[0.0, 2.0]], [[1.5, 1.5]], [[0.0, 0.0]]]])
    returned = loss_of(strategy, logits, a_batch(1, 2, [[1, 0, 1]]))
    (loss,) = returned.terms.values()
    assert returned.labels.tolist() == [[[2, 0]]]  # 1 1.5 2 and 3 1.5 2
    assert loss.item() == pytest.approx(
        (log(2 + exp(1.5)) + log(exp(2) + exp(1.5) + 1) - 2) / 2, rel=1e-6
    )


def test_numbers_of_the_sources() -> None:
    for mode, source, numbers in [
        ("adapt", "wssl_code", (0.2, 0.2)),
        ("adapt", "wssl_paper", (0.2, 0.4)),
        ("fixed", "wssl_code", (2, 1)),
        ("fixed", "wssl_paper", (5, 3)),
    ]:
        strategy = TagsEM(mode=mode, source=source)  # type: ignore[arg-type]
        assert (strategy.foreground, strategy.background) == numbers
    assert (TagsEM(foreground=0.1).foreground, TagsEM(foreground=0.1).background) == (0.1, 0.2)
    assert TagsEM(background=0).background == 0


def test_the_numbers_reach_the_labels() -> None:
    """Scores that fall with the number of the class: background wins all, until others are
    raised."""
    torch.manual_seed(0)
    logits = torch.randn(1, 3, 10, 10) * 0.01 - torch.arange(3).view(1, 3, 1, 1)
    shares = []
    for foreground in (0.0, 0.3, 0.9):
        strategy = TagsEM(foreground=foreground)
        returned = loss_of(strategy, logits, a_batch(10, 10, [[1, 1, 0]]))
        shares.append(int((returned.labels == 1).sum()))
    assert shares == pytest.approx([0, 30, 90], abs=1)  # the pixel at the border ends in a tie
    strategy = TagsEM(mode="fixed", foreground=4, background=0.1)
    returned = loss_of(strategy, logits, a_batch(10, 10, [[1, 1, 0]]))
    assert (returned.labels == 1).all()
    assert len({TagsEM(sweeps=sweeps).sweeps for sweeps in (1, 3)}) == 2


def test_sweeps_reach_the_labels() -> None:
    logits = torch.randn(2, 4, 9, 9)
    found = []
    for sweeps in (1, 6):
        torch.manual_seed(1)
        strategy = TagsEM(foreground=0.3, background=0.3, sweeps=sweeps)
        returned = loss_of(strategy, logits, a_batch(9, 9, [[1, 1, 1, 1]] * 2))
        found.append(returned.labels)
    assert not torch.equal(*found)


def test_the_order_of_classes_is_chance_that_a_resumed_run_repeats() -> None:
    logits, batch, found = torch.randn(6, 5, 8, 8), a_batch(8, 8, [[1, 1, 1, 1, 1]] * 6), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        strategy = TagsEM(foreground=0.3)
        returned = loss_of(strategy, logits, batch)
        found.append(returned.labels)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("mode", ["adapt", "fixed"])
def test_padding_is_not_learned_and_does_not_count(mode: str) -> None:
    logits = torch.randn(1, 3, 6, 7)
    wide, valid = padded(logits)
    alone, within = TagsEM(mode=mode), TagsEM(mode=mode)  # type: ignore[arg-type]
    small = loss_of(alone, logits, a_batch(6, 7, [[1, 0, 1]]))
    (expected,) = small.terms.values()
    returned = loss_of(within, wide, a_batch(7, 9, [[1, 0, 1]], valid=valid))
    (loss,) = returned.terms.values()
    torch.testing.assert_close(loss, expected)
    assert (returned.labels[~valid] == 255).all()
    assert torch.equal(returned.labels[0, 1:, :7], small.labels[0])


def test_labels_at_the_scores() -> None:
    strategy = TagsEM(resolution="scores", foreground=0.5)
    valid = torch.ones(1, 16, 24).bool()
    valid[:, :, 16:] = False
    returned = loss_of(strategy, torch.randn(1, 3, 2, 3), a_batch(16, 24, [[1, 1, 0]], valid=valid))
    assert returned.labels.shape == (1, 2, 3)
    assert (returned.labels[:, :, 2] == 255).all()
    assert (returned.labels[:, :, :2] == 1).sum() >= 2


def test_the_middle_of_the_photograph() -> None:
    """A network without an opinion, and a photograph that fills the left three of four columns: a
    cross, corners and padding."""
    valid = torch.ones(1, 3, 4, dtype=torch.bool)
    valid[:, :, 3] = False
    logits = torch.zeros(1, 2, 3, 4, requires_grad=True)
    for mode in ("adapt", "fixed"):
        strategy = TagsEM(mode=mode, foreground=0, background=0, prior_sigma=0.8)
        returned = loss_of(strategy, logits, a_batch(3, 4, [[1, 1]], valid=valid))
        (loss,) = returned.terms.values()
        # .05 + .9 exp(-(4/9) / 1.28) = .686 beside the middle, .05 + .9 exp(-(8/9) / 1.28) = .499
        # in the corners
        assert returned.labels.tolist() == [[[0, 1, 0, 255], [1, 1, 1, 255], [0, 1, 0, 255]]]
        # the network learns from its scores as they are
        assert loss.item() == pytest.approx(log(2))


def test_impossible_settings_are_named_at_once() -> None:
    with pytest.raises(ValueError, match="mode should be adapt or fixed, but it is 'soft'"):
        TagsEM(mode="soft")  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match="source should be wssl_code or wssl_paper, but it is 'paper'"
    ):
        TagsEM(source="paper")  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match="foreground should lie from 0 to 1, a share of the pixels, but it is 5"
    ):
        TagsEM(foreground=5)
    with pytest.raises(
        ValueError,
        match="foreground should be 0 or more and finite, a number of logits, but it is -1",
    ):
        TagsEM(mode="fixed", foreground=-1)
    with pytest.raises(ValueError, match="sweeps should be at least 1"):
        TagsEM(sweeps=0)
    with pytest.raises(ValueError, match="prior_sigma should be more than 0 and finite"):
        TagsEM(prior_sigma=0)
    with pytest.raises(ValueError, match="foreground should be 0 or more and finite"):
        TagsEM(mode="fixed", foreground=float("inf"))
