from __future__ import annotations

from math import inf

import pytest
import torch

from tests.small import loss_of
from tests.strategies.parts import a_batch, padded
from weakseg.evidence import Evidence
from weakseg.functional.prior import centre_prior
from weakseg.strategies.tags_ccnn import TagsCCNN

FIVE_PIXELS = torch.tensor([[4.0, 0, 1, 0], [5, 1, 0, 0], [3, 0, 0, 2], [6, 0, 1, 0], [4, 2, 0, 0]])
LOGITS = FIVE_PIXELS.T.reshape(1, 4, 1, 5)
"""with tags 0, 1, 2 only the upper bound of background binds, at +- 1.988635 logits"""


def test_golden_case_and_its_gradient() -> None:
    strategy, logits = TagsCCNN(), LOGITS.clone().requires_grad_()
    returned = loss_of(strategy, logits, a_batch(1, 5, [[1, 1, 1, 0]]))
    (loss,) = returned.terms.values()
    assert loss.item() == pytest.approx(0.342935, abs=1e-5)
    assert returned.labels.mean((2, 3))[0].tolist() == pytest.approx(
        [0.7, 0.179159, 0.120841, 0], abs=1e-5
    )
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(gradient, (LOGITS.softmax(1) - returned.labels) / 5)
    figures = {name: figure.item() for name, figure in returned.figures.items()}
    # background, 1 and 2 have bounds
    assert figures == {"active": pytest.approx(1 / 3), "unmet": 0, "converged": 1}


def test_bounds_that_slack_does_not_reach_are_unmet() -> None:
    strategy = TagsCCNN(foreground_lower=0.3)
    returned = loss_of(strategy, LOGITS, a_batch(1, 5, [[1, 1, 1, 0]]))
    assert returned.labels.mean((2, 3))[0].tolist() == pytest.approx(
        [0.697941, 0.180325, 0.121734, 0], abs=1e-5
    )
    assert {name: figure.item() for name, figure in returned.figures.items()} == {
        "active": pytest.approx(2 / 3),
        "unmet": pytest.approx(2 / 3),
        "converged": 1,
    }


def test_the_numbers_reach_the_bounds() -> None:
    logits, batch = torch.randn(1, 4, 8, 8), a_batch(8, 8, [[1, 1, 1, 0]])
    strategy = TagsCCNN(
        background_lower=0.6, background_upper=0.6, foreground_lower=0.2, foreground_slack=inf
    )
    returned = loss_of(strategy, logits, batch)
    assert returned.labels.mean((2, 3))[0].tolist() == pytest.approx([0.6, 0.2, 0.2, 0], abs=2e-5)
    certain = TagsCCNN(inverse_temperature=1000)
    returned = loss_of(certain, logits, batch)
    assert returned.labels.amax(1).mean() > 0.99


def test_the_middle_of_the_photograph() -> None:
    """Without bounds that bind, a network that tells no places apart is believed to have said the
    prior."""
    strategy, logits = (
        TagsCCNN(background_lower=0, background_upper=1, foreground_lower=0, prior_sigma=0.7),
        torch.zeros(1, 3, 5, 8),
    )
    returned = loss_of(strategy, logits, a_batch(5, 8, [[1, 1, 0]]))
    (loss,) = returned.terms.values()
    prior = centre_prior(5, 8, sigma=0.7)
    torch.testing.assert_close(returned.labels[0, :2], torch.stack([1 - prior, prior]))
    kl = (
        prior * (3 * prior).log() + (1 - prior) * (3 * (1 - prior)).log()
    )  # from a third each: the network learns from its scores as they are
    assert loss.item() == pytest.approx(kl.mean().item(), rel=1e-5)


def test_only_background_is_all_background() -> None:
    strategy = TagsCCNN()
    returned = loss_of(strategy, LOGITS, a_batch(1, 5, [[1, 0, 0, 0]]))
    assert returned.labels[0, 0].tolist() == [[1] * 5]


def test_padding_is_not_learned_and_does_not_count() -> None:
    wide, valid = padded(LOGITS)
    strategy = TagsCCNN()
    returned = loss_of(strategy, wide, a_batch(2, 7, [[1, 1, 1, 0]], valid=valid))
    (loss,) = returned.terms.values()
    assert loss.item() == pytest.approx(0.342935, abs=1e-5)
    assert returned.labels.sum(1)[~valid].tolist() == [0] * 9
    assert returned.labels.sum(1)[valid].tolist() == pytest.approx([1] * 5)


def test_contradictions_are_refused_before_training() -> None:
    evidence = Evidence(
        "a", torch.zeros(3, 4, 4, dtype=torch.uint8), tags=torch.tensor([True, True, True])
    )
    names = ("background", "cat", "dog")
    with pytest.raises(
        ValueError,
        match=(
            "the classes background, cat, dog should together cover at least 110 % of the image; "
            "lower stra"
        ),
    ):
        TagsCCNN(foreground_lower=0.4, foreground_slack=inf).check(evidence, names)
    with pytest.raises(ValueError, match="at least 110 % of the image"):
        # slack gives way in training, but nobody can have meant this
        TagsCCNN(foreground_lower=0.4).check(evidence, names)
    TagsCCNN(foreground_lower=0.3).check(evidence, names)


def test_impossible_settings_are_named_at_once() -> None:
    with pytest.raises(
        ValueError,
        match=r"background_lower should be at most background_upper, but they are 0.9 and 0.7",
    ):
        TagsCCNN(background_lower=0.9)
    with pytest.raises(
        ValueError,
        match="foreground_lower should lie from 0 to 1, a share of the pixels, but it is 5",
    ):
        TagsCCNN(foreground_lower=5)
    with pytest.raises(ValueError, match="foreground_slack should be 0 or more"):
        TagsCCNN(foreground_slack=-1)
    with pytest.raises(ValueError, match="inverse_temperature should be more than 0 and finite"):
        TagsCCNN(inverse_temperature=0)
