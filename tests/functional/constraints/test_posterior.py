from __future__ import annotations

from math import inf

import numpy as np
import pytest
import torch

from weakseg.functional.constraints.bounds import (
    box_constraints,
    class_constraints,
    size_constraints,
    tag_constraints,
)
from weakseg.functional.constraints.posterior import constrained_posterior, kl_to_posterior

FIVE_PIXELS = torch.tensor(
    [[4, 0, 1, 0], [5, 1, 0, 0], [3, 0, 0, 2], [6, 0, 1, 0], [4, 2, 0, 0]], dtype=torch.float64
)
LOGITS = FIVE_PIXELS.T.reshape(1, 4, 1, 5)
TAGS = torch.tensor([[True, True, True, False]])


class TestGoldenCases:
    def test_tags(self) -> None:
        found = constrained_posterior(LOGITS, TAGS, tag_constraints(TAGS), tolerance=1e-9)
        assert found.multipliers[0].tolist() == pytest.approx([-1.988635, 0, 0, 0], abs=1e-6)
        assert found.probs.mean((2, 3))[0].tolist() == pytest.approx(
            [0.7, 0.179159, 0.120841, 0], abs=1e-6
        )
        assert found.probs[0, :, 0, 0].tolist() == pytest.approx(
            [0.667767, 0.089351, 0.242882, 0], abs=1e-6
        )
        assert found.probs[0, 3].abs().max() == 0
        assert kl_to_posterior(LOGITS, found.probs).item() == pytest.approx(0.342935, abs=1e-6)
        assert found.converged.tolist() == [True]
        assert found.violations.max() < 1e-9

    def test_slack_that_does_not_suffice(self) -> None:
        found = constrained_posterior(
            LOGITS, TAGS, tag_constraints(TAGS, foreground_lower=0.3), tolerance=1e-9
        )
        assert found.multipliers.tolist() == [[0, 2, 2, 0]]
        assert found.probs.mean((2, 3))[0].tolist() == pytest.approx(
            [0.697941, 0.180325, 0.121734, 0], abs=1e-6
        )
        assert found.violations[0].tolist() == pytest.approx(
            [0, 0.3 - 0.180325, 0.3 - 0.121734, 0], abs=1e-6
        )
        assert found.converged.tolist() == [True]  # unmet by design


class TestWhatCannotBe:
    @pytest.mark.parametrize("beta", [1.0, 1000.0])
    def test_more_than_everything(self, beta: float) -> None:
        torch.manual_seed(0)
        bounds = class_constraints(lower=torch.tensor([[0.0, 0.7, 0.6]]), inverse_temperature=beta)
        found = constrained_posterior(torch.randn(1, 3, 9, 9), torch.ones(1, 3).bool(), bounds)
        assert found.converged.tolist() == [False]
        # no more is missed than has to be
        assert found.violations.sum().item() == pytest.approx(0.3, abs=1e-3)
        assert found.probs.isfinite().all()
        assert found.multipliers.isfinite().all()

    def test_less_than_more(self) -> None:
        bounds = class_constraints(torch.tensor([[0.0, 0.5, 0.0]]), torch.tensor([[1.0, 0.2, 1.0]]))
        found = constrained_posterior(torch.zeros(1, 3, 4, 4), torch.ones(1, 3).bool(), bounds)
        assert found.converged.tolist() == [False]
        assert found.violations.max().item() == pytest.approx(0.3, abs=1e-3)

    def test_an_absent_class_that_should_be_there(self) -> None:
        for slack, converged in ((inf, False), (2.0, True)):
            bounds = class_constraints(torch.tensor([[0.0, 0.5, 0.0]]), slack_lower=slack)
            found = constrained_posterior(
                torch.zeros(1, 3, 4, 4), torch.tensor([[True, False, True]]), bounds
            )
            assert found.converged.tolist() == [converged]
            assert found.violations.tolist() == [[0, 0.5, 0]]
            assert found.probs[0, :, 0, 0].tolist() == [0.5, 0, 0.5]

    def test_a_pixel_keeps_its_classes_if_all_of_them_are_forbidden(self) -> None:
        bounds = class_constraints(upper=torch.zeros(1, 2))
        found = constrained_posterior(
            torch.tensor([0.0, 1.0]).view(1, 2, 1, 1), torch.ones(1, 2).bool(), bounds
        )
        assert found.converged.tolist() == [False]
        assert found.probs.sum().item() == pytest.approx(1)

    def test_a_bad_image_does_not_harm_the_others(self) -> None:
        logits, tags = LOGITS.expand(2, -1, -1, -1), TAGS.expand(2, -1)
        lower = torch.tensor([[0.3, 0.2, 0.1, 0], [0.9, 0.9, 0.9, 0.9]], dtype=torch.float64)
        both = constrained_posterior(logits, tags, class_constraints(lower))
        alone = constrained_posterior(LOGITS, TAGS, class_constraints(lower[:1]))
        assert both.converged.tolist() == [True, False]
        torch.testing.assert_close(both.probs[:1], alone.probs, rtol=0, atol=1e-12)

    def test_too_few_steps_are_admitted_and_what_they_miss_is_what_is_missing(self) -> None:
        bounds = tag_constraints(TAGS)
        found = constrained_posterior(LOGITS, TAGS, bounds, most_steps=1)
        assert (found.converged.tolist(), found.steps.tolist()) == ([False], [1])
        means = found.probs.mean((2, 3)).gather(1, bounds.label)
        missed = (bounds.lower - means).maximum(means - bounds.upper).clamp(min=0)
        torch.testing.assert_close(found.violations, missed.double(), rtol=0, atol=1e-9)


class TestExtremes:
    def test_only_background(self) -> None:
        tags = torch.tensor([[True, False, False, False]])
        found = constrained_posterior(LOGITS, tags, tag_constraints(tags))
        assert found.probs[0, 0].tolist() == [[1] * 5]
        assert (
            found.probs[0, 1:].abs().max().item(),
            found.steps.item(),
            found.converged.item(),
        ) == (0, 0, True)

    def test_one_class_that_is_not_background(self) -> None:
        tags = torch.tensor([[False, False, True, False]])
        assert constrained_posterior(LOGITS, tags, tag_constraints(tags)).probs[0, 2].tolist() == [
            [1] * 5
        ]

    def test_every_class(self) -> None:
        torch.manual_seed(0)
        tags = torch.ones(1, 21).bool()
        found = constrained_posterior(
            torch.randn(1, 21, 9, 9),
            tags,
            tag_constraints(tags, foreground_slack=inf, foreground_lower=0.03),
        )
        assert found.converged.item()
        means = found.probs.mean((2, 3))[0]
        assert means[0] >= 0.3 - 1e-5
        assert means[1:].min() >= 0.03 - 1e-5

    def test_an_image_without_tags_is_left_as_it_is(self) -> None:
        tags = torch.zeros(1, 4).bool()
        bounds = class_constraints(torch.tensor([[0.9, 0.9, 0.0, 0.0]]), inverse_temperature=7.0)
        found = constrained_posterior(LOGITS, tags, bounds)
        torch.testing.assert_close(found.probs, LOGITS.softmax(1))
        assert (
            found.converged.item(),
            found.violations.max().item(),
            found.multipliers.abs().max().item(),
        ) == (True, 0, 0)

    def test_one_pixel(self) -> None:
        """Then the mean is the pixel: background is cut to .7, and the rest is shared as before."""
        logits = torch.tensor([5.0, 1.0, 0.0]).view(1, 3, 1, 1)
        tags = torch.ones(1, 3).bool()
        found = constrained_posterior(logits, tags, tag_constraints(tags), tolerance=1e-7)
        share = np.e / (1 + np.e)
        assert found.probs.flatten().tolist() == pytest.approx(
            [0.7, 0.3 * share, 0.3 * (1 - share)], abs=1e-6
        )

    def test_constant_logits(self) -> None:
        tags = torch.ones(1, 3).bool()
        found = constrained_posterior(
            torch.zeros(1, 3, 6, 6), tags, class_constraints(torch.tensor([[0.2, 0.5, 0.1]]))
        )
        assert found.probs.mean((2, 3))[0].tolist() == pytest.approx([0.25, 0.5, 0.25], abs=2e-5)

    @pytest.mark.parametrize("beta", [1.0, 1000.0])
    def test_huge_logits(self, beta: float) -> None:
        torch.manual_seed(0)
        logits = torch.randn(2, 3, 9, 9)
        logits[0] *= 1e4
        logits[1] += torch.tensor([1e4, -1e4, 0])[:, None, None]
        tags = torch.ones(2, 3).bool()
        found = constrained_posterior(
            logits,
            tags,
            tag_constraints(tags, foreground_slack=inf, inverse_temperature=beta),
        )
        assert found.probs.isfinite().all()
        # which at such logits may take more steps than are allowed
        assert found.converged.all() or beta == 1000
        means = found.probs.mean((2, 3))
        missed = (
            (torch.tensor([0.3, 0.05, 0.05]) - means)
            .maximum(means - torch.tensor([0.7, 1, 1]))
            .clamp(min=0)
        )
        torch.testing.assert_close(found.violations, missed, rtol=0, atol=1e-6)
        # where it has not converged, rounding decides which bounds happen to be met
        assert (missed.amax(1)[found.converged] < 2e-5).all()

    def test_an_upper_bound_of_zero_leaves_exactly_nothing(self) -> None:
        upper = torch.tensor([[1.0, 0.0, 1.0, 1.0]])
        found = constrained_posterior(LOGITS, TAGS, class_constraints(upper=upper))
        expected = LOGITS.clone()
        expected[:, [1, 3]] = -inf
        torch.testing.assert_close(found.probs, expected.softmax(1))
        assert found.converged.item()
        soft = constrained_posterior(LOGITS, TAGS, class_constraints(upper=upper, slack_upper=1.0))
        assert soft.multipliers.tolist() == [[0, -1, 0, 0]]
        assert soft.probs[0, 1].min() > 0

    def test_a_lower_bound_of_one(self) -> None:
        found = constrained_posterior(
            LOGITS, TAGS, class_constraints(torch.tensor([[0.0, 1.0, 0.0, 0.0]]))
        )
        assert found.converged.item()
        assert found.probs[0, 1].mean().item() == pytest.approx(1, abs=2e-5)

    def test_nothing_but_padding(self) -> None:
        found = constrained_posterior(
            LOGITS, TAGS, tag_constraints(TAGS), torch.zeros(1, 1, 5).bool()
        )
        torch.testing.assert_close(found.probs, LOGITS.softmax(1))
        assert found.converged.item()


def test_padding_counts_for_nothing_and_keeps_its_softmax() -> None:
    padding = torch.full((1, 4, 1, 2), 3.0, dtype=torch.float64)
    padding[0, 2] = 99.0
    padding[..., 1] = torch.nan  # whatever stands there
    wide = torch.cat([padding, LOGITS], 3)
    valid = torch.tensor([[[False, False, True, True, True, True, True]]])
    found = constrained_posterior(wide, TAGS, tag_constraints(TAGS, inverse_temperature=2.0), valid)
    alone = constrained_posterior(LOGITS, TAGS, tag_constraints(TAGS, inverse_temperature=2.0))
    torch.testing.assert_close(found.probs[..., 2:], alone.probs)
    torch.testing.assert_close(found.multipliers, alone.multipliers)
    torch.testing.assert_close(found.probs[..., 0], padding.softmax(1)[..., 0])


def test_boxes_hold_their_class() -> None:
    torch.manual_seed(0)
    logits, tags = torch.randn(1, 4, 8, 8), torch.ones(1, 4).bool()
    bounds = box_constraints(
        [torch.tensor([[1.0, 1, 4, 5], [4, 4, 8, 8]])], [torch.tensor([1, 3])], 8, 8, inside=0.8
    )
    probs = constrained_posterior(logits, tags, bounds).probs[0]
    assert bounds.region is not None
    first, second = bounds.region[0, :2]
    assert (probs[1][first].mean() >= 0.8 - 1e-5, probs[3][second].mean() >= 0.8 - 1e-5) == (
        True,
        True,
    )
    assert (probs[1][~first].max().item(), probs[3][~second].max().item()) == (0, 0)
    assert probs.sum(0).flatten().tolist() == pytest.approx([1] * 64)


def test_small_classes_are_gone_with_the_released_code() -> None:
    torch.manual_seed(0)
    tags, large = torch.ones(1, 4).bool(), torch.tensor([[True, True, False, True]])
    logits = torch.randn(1, 4, 11, 11)
    means = constrained_posterior(
        logits, tags, size_constraints(tags, large, source="ccnn_code")
    ).probs.mean((2, 3))[0]
    assert means[2] == 0
    assert means[[1, 3]].min() >= 0.1 - 1e-5
    means = constrained_posterior(logits, tags, size_constraints(tags, large)).probs.mean((2, 3))[0]
    assert means[2].item() == pytest.approx(0.01, abs=2e-5)


class TestTypes:
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_half_precision_is_raised_and_double_stays(self, dtype: torch.dtype) -> None:
        # these logits are exact in all of them
        found = constrained_posterior(LOGITS.to(dtype), TAGS, tag_constraints(TAGS))
        expected = torch.float64 if dtype == torch.float64 else torch.float32
        assert {found.probs.dtype, found.multipliers.dtype, found.violations.dtype} == {expected}
        assert found.multipliers[0, 0].item() == pytest.approx(-1.988635, abs=1e-4)

    def test_no_gradient_comes_through(self) -> None:
        logits = LOGITS.clone().requires_grad_()
        assert not constrained_posterior(logits, TAGS, tag_constraints(TAGS)).probs.requires_grad

    def test_what_does_not_fit_is_named(self) -> None:
        bounds = tag_constraints(TAGS)
        with pytest.raises(
            ValueError,
            match=r"logits should be float \[B,C,H,W\] .*, but it is float64 \[4, 1, 5\]",
        ):
            constrained_posterior(LOGITS[0], TAGS, bounds)
        with pytest.raises(
            ValueError, match=r"tags should be bool \[1,4\], .*, but it is bool \[1, 3\]"
        ):
            constrained_posterior(LOGITS, TAGS[:, :3], bounds)
        with pytest.raises(
            ValueError, match=r"valid should be bool \[1,1,5\], .*, but it is float32 \[1, 1, 5\]"
        ):
            constrained_posterior(LOGITS, TAGS, bounds, torch.ones(1, 1, 5))
        with pytest.raises(
            ValueError, match=r"constraints should be for 1 images, .*, but it is for 2"
        ):
            constrained_posterior(LOGITS, TAGS, tag_constraints(TAGS.expand(2, -1)))
        with pytest.raises(
            ValueError, match=r"the regions of constraints should be 1x5, .*, but they are 3x3"
        ):
            constrained_posterior(
                LOGITS, TAGS, box_constraints([torch.zeros(0, 4)], [torch.zeros(0).long()], 3, 3)
            )
        with pytest.raises(ValueError, match=r"label of constraints should name classes 0 to 2"):
            constrained_posterior(LOGITS[:, :3], TAGS[:, :3], bounds)


class TestLoss:
    def test_the_gradient_is_q_minus_p_over_n(self) -> None:
        torch.manual_seed(0)
        logits = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
        target = torch.randn(2, 3, 4, 5, dtype=torch.float64).softmax(1)
        valid = torch.rand(2, 4, 5) < 0.7
        kl_to_posterior(logits, target, valid).backward()
        expected = (logits.detach().softmax(1) - target) * valid[:, None] / valid.sum()
        torch.testing.assert_close(logits.grad, expected)

    def test_gradcheck_with_certain_labels(self) -> None:
        torch.manual_seed(0)
        target = torch.randn(2, 3, 2, 2, dtype=torch.float64).softmax(1)
        target[0, :, 0, 0] = torch.tensor([0, 1, 0])
        valid = torch.tensor([[[True, True], [False, True]]]).expand(2, 2, 2)
        logits = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda logits: kl_to_posterior(logits, target, valid), [logits]
        )

    def test_agrees_with_torch(self) -> None:
        torch.manual_seed(0)
        logits, target = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5).softmax(1)
        expected = torch.nn.functional.kl_div(logits.log_softmax(1), target, reduction="none").sum(
            1
        )
        torch.testing.assert_close(kl_to_posterior(logits, target), expected.mean())

    def test_nothing_valid_is_zero_with_zero_gradient(self) -> None:
        logits = LOGITS.clone().requires_grad_()
        loss = kl_to_posterior(logits, torch.rand(1, 4, 1, 5), torch.zeros(1, 1, 5).bool())
        loss.backward()
        assert (loss.item(), logits.grad is not None and logits.grad.abs().max().item()) == (0, 0)

    def test_no_gradient_for_the_posterior_and_half_precision_is_raised(self) -> None:
        target = torch.rand(1, 4, 1, 5, requires_grad=True)
        loss = kl_to_posterior(LOGITS.half(), target)
        assert (loss.requires_grad, loss.dtype) == (False, torch.float32)
