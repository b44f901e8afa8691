from __future__ import annotations

from math import exp, inf, log

import pytest
import torch

from tests.strategies.parts import a_batch
from weakseg.evidence import IGNORE, Evidence
from weakseg.strategies.scribbles_gated import ScribblesGated

NO = IGNORE
NAMES = ("background", "cat", "dog")


def test_the_loss_by_hand() -> None:
    """Pixels .9 .1 and .2 .8, one step apart, and 15 steps of red: K = exp(-1/2 - 1/2); they agree
    with .26. Per pixel, each pair twice."""
    logits = torch.tensor([[0.9, 0.1], [0.2, 0.8]]).log().T[None, :, None]
    batch = a_batch(1, 2, marks=torch.tensor([[[NO, 1]]]))
    batch.image[0, 0, 0, 1] = 15
    terms = ScribblesGated(weight=0.5, xy=1, rgb=15, shrink=1).loss(logits, batch)
    assert list(terms) == ["marks", "gated_crf"]
    assert terms["marks"].item() == pytest.approx(-log(0.8))
    assert terms["gated_crf"].item() == pytest.approx(0.5 * exp(-1) * (1 - 0.26))


@pytest.mark.parametrize(("radius", "pairs"), [(1, 2), (2, 3), (9, 3)])
def test_only_pixels_within_the_window_are_compared(radius: int, pairs: int) -> None:
    """Three pixels in a row: two pairs of neighbours, and the outer two. All disagree surely, as
    colours and reach leave all weights 1."""
    logits = torch.eye(3)[None, :, None] * 200
    batch = a_batch(1, 3, marks=torch.full((1, 1, 3), NO))
    found = ScribblesGated(weight=1, xy=1e4, rgb=1e4, radius=radius, shrink=1).loss(logits, batch)[
        "gated_crf"
    ]
    assert found.item() == pytest.approx(2 * pairs / 3)


def test_windows_and_reaches_are_in_shrunk_pixels() -> None:
    """Pairs of equal pixels at shrink=2 are the single pixels at shrink=1: unlike in scribbles_crf,
    xy does not shrink with them."""
    logits, image = torch.randn(1, 3, 3, 4), torch.randint(0, 256, (1, 3, 3, 4), dtype=torch.uint8)
    twice = [values.repeat_interleave(2, 2).repeat_interleave(2, 3) for values in (logits, image)]
    small = a_batch(3, 4, marks=torch.full((1, 3, 4), NO))._replace(image=image)
    large = a_batch(6, 8, marks=torch.full((1, 6, 8), NO))._replace(image=twice[1])
    one = ScribblesGated(shrink=1, rgb=60, radius=2).loss(logits, small)["gated_crf"]
    torch.testing.assert_close(
        ScribblesGated(shrink=2, rgb=60, radius=2).loss(twice[0], large)["gated_crf"], one
    )
    assert one > 0


def test_the_warm_up_learns_marks_alone() -> None:
    strategy, logits = ScribblesGated(warmup=1), torch.randn(1, 3, 8, 8)
    batch = a_batch(8, 8, marks=torch.ones(1, 8, 8, dtype=torch.int64))
    strategy.eval()
    assert list(strategy.loss(logits, batch)) == ["marks"]  # looking does not count
    strategy.train()
    assert [list(strategy.loss(logits, batch)) for _ in range(2)] == [
        ["marks"],
        ["marks", "gated_crf"],
    ]
    resumed = ScribblesGated(warmup=1)
    resumed.load_state_dict(strategy.state_dict())
    assert list(resumed.loss(logits, batch)) == ["marks", "gated_crf"]


@pytest.mark.parametrize("shrink", [1, 4])
def test_padding_takes_no_part(shrink: int) -> None:
    logits, image = (
        torch.randn(2, 3, 12, 13),
        torch.randint(0, 256, (2, 3, 12, 13), dtype=torch.uint8),
    )
    marks, valid = torch.randint(0, 3, (2, 12, 13)), torch.zeros(2, 12, 13, dtype=torch.bool)
    valid[:, :9, :10] = True
    marks[~valid] = NO
    batch = a_batch(12, 13, [[1], [1]], marks=marks, valid=valid)._replace(image=image)
    bare = batch._replace(image=image[..., :9, :10], marks=marks[:, :9, :10], valid=None)
    strategy, logits = ScribblesGated(shrink=shrink, rgb=60), logits.requires_grad_()
    terms, expected = strategy.loss(logits, batch), strategy.loss(logits[..., :9, :10], bare)
    for name, value in terms.items():
        torch.testing.assert_close(value, expected[name], msg=name)
    (gradient,) = torch.autograd.grad(terms["gated_crf"], logits)
    assert (gradient[~valid[:, None].expand_as(gradient)] == 0).all()
    assert gradient[:, :, :9, :10].abs().max() > 0


def test_what_a_mark_says_spreads_to_neighbours_of_its_colour() -> None:
    """Descending on the loss alone, from scores that know nothing but the marks at both ends,
    colours decide where classes meet."""
    image = torch.tensor([50] * 3 + [200] * 5, dtype=torch.uint8).expand(1, 3, 1, -1)
    batch = a_batch(1, 8, marks=torch.tensor([[[1, *[NO] * 6, 2]]]))._replace(image=image)
    logits, strategy = (
        torch.zeros(1, 3, 1, 8, requires_grad=True),
        ScribblesGated(weight=1, shrink=1, radius=2),
    )
    for _ in range(25):
        (gradient,) = torch.autograd.grad(
            torch.stack(list(strategy.loss(logits, batch).values())).sum(), logits
        )
        logits = (logits - 20 * gradient).detach().requires_grad_()
    assert logits[0, :, 0].argmax(0).tolist() == [1, 1, 1, 2, 2, 2, 2, 2]


def test_evidence_that_cannot_be_learned_is_named() -> None:
    evidence = Evidence(
        "a",
        torch.zeros(3, 2, 3, dtype=torch.uint8),
        marks=torch.full((2, 3), NO, dtype=torch.uint8),
    )
    with pytest.raises(
        ValueError,
        match=(
            r"image a has no marked pixel .* mark something on it, leave it out, or, .* "
            r"data\.evidence"
        ),
    ):
        ScribblesGated().check(evidence, NAMES)
    with pytest.raises(ValueError, match="ScribblesGated needs marks, but the images a have none"):
        ScribblesGated().loss(torch.zeros(1, 3, 1, 2), a_batch(1, 2))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"weight": inf},
            "weight should be 0 or more and finite, what a loss is multiplied by, but it is inf",
        ),
        ({"xy": 0}, "xy should be more than 0 and finite, how far a pixel reaches, but it is 0"),
        ({"radius": 0}, "radius should be at least 1, but it is 0"),
        ({"shrink": 0}, "shrink should be at least 1, but it is 0"),
        (
            {"warmup": -1},
            "warmup should be at least 0, how many batches learn the marks alone, but it is -1",
        ),
    ],
)
def test_impossible_settings_are_named_at_once(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScribblesGated(**wrong)  # type: ignore[arg-type]
