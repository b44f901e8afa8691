from __future__ import annotations

from math import log

import pytest
import torch
from torch import Tensor

from tests.strategies.parts import a_batch
from weakseg.evidence import IGNORE, Batch, Evidence
from weakseg.functional.losses import dense_crf_loss
from weakseg.strategies.scribbles_crf import ScribblesCRF

NO = IGNORE
NAMES = ("background", "cat", "dog")


def scribbled(labels: list[int], colours: list[int] | None = None) -> Batch:
    """One row of grey pixels with marks."""
    batch = a_batch(1, len(labels), marks=torch.tensor([[labels]]))
    return (
        batch
        if colours is None
        else batch._replace(image=torch.tensor(colours, dtype=torch.uint8).expand(1, 3, 1, -1))
    )


def scores(*probs: list[float]) -> Tensor:
    """Logits [1,C,1,W] of pixels with these probabilities."""
    return torch.tensor(probs).log().T[None, :, None].contiguous()


def test_the_loss_by_hand() -> None:
    """Two pixels of one colour at reaches so long that all belong together: what counts is the
    chance that two of them differ."""
    logits = scores([0.9, 0.1], [0.2, 0.8])
    terms = ScribblesCRF(weight=0.5, xy=1e6, rgb=1e6, shrink=1).loss(logits, scribbled([0, NO]))
    assert list(terms) == ["marks", "crf"]
    assert terms["marks"].item() == pytest.approx(-log(0.9))
    agree = (0.82 + 0.68 + 2 * (0.9 * 0.2 + 0.1 * 0.8)) / 4  # with itself, or with the other
    assert terms["crf"].item() == pytest.approx(0.5 * (1 - agree), rel=1e-3)


def test_the_mean_is_over_marked_pixels_of_the_whole_batch() -> None:
    """One image has one mark, the other three: each mark counts the same."""
    logits = scores([0.5, 0.5], [0.25, 0.75], [0.25, 0.75], [0.9, 0.1]).expand(2, -1, -1, -1)
    batch = a_batch(
        1, 4, [[1, 1], [1, 1]], marks=torch.tensor([[[0, NO, NO, NO]], [[NO, 0, 1, 1]]])
    )
    terms = ScribblesCRF().loss(logits, batch)
    expected = -torch.tensor([0.5, 0.25, 0.75, 0.1]).log().mean()
    torch.testing.assert_close(terms["marks"], expected)


def test_reaches_are_in_pixels_and_colours_of_the_image() -> None:
    """At shrink=2 the image of pairs is one of single pixels, and xy=6 reaches 3 of these."""
    probs, image = (
        torch.randn(1, 3, 3, 4).softmax(1),
        torch.randint(0, 256, (1, 3, 3, 4), dtype=torch.uint8),
    )
    logits, twice = (
        values.repeat_interleave(2, 2).repeat_interleave(2, 3) for values in (probs.log(), image)
    )
    batch = a_batch(6, 8, marks=torch.full((1, 6, 8), NO))._replace(image=twice)
    found = ScribblesCRF(weight=2, xy=6, rgb=40, shrink=2).loss(logits, batch)["crf"]
    torch.testing.assert_close(found, 2 * dense_crf_loss(probs, image, xy=3, rgb=40))


def test_what_is_shrunk_is_the_mean_of_probabilities() -> None:
    """Not of scores: .9 and .3 make .6. Beside a sure pixel, and of the same colour as it: they
    differ with chance .4."""
    logits = scores([0.9, 0.1], [0.3, 0.7], [1, 1e-30], [1, 1e-30])
    found = ScribblesCRF(xy=1e6, rgb=1e6, shrink=2).loss(logits, scribbled([NO] * 4))["crf"]
    assert found.item() == pytest.approx((2 * 0.6 * 0.4 + 2 * 0.4) / 4, rel=1e-3)


def test_the_warm_up_learns_marks_alone() -> None:
    strategy, batch, logits = ScribblesCRF(warmup=2), scribbled([0, NO, 1]), torch.randn(1, 3, 1, 3)
    strategy.eval()
    assert list(strategy.loss(logits, batch)) == ["marks"]  # looking does not count
    strategy.train()
    assert [list(strategy.loss(logits, batch)) for _ in range(3)] == [
        ["marks"],
        ["marks"],
        ["marks", "crf"],
    ]
    resumed = ScribblesCRF(warmup=2)
    resumed.load_state_dict(strategy.state_dict())
    assert list(resumed.loss(logits, batch)) == ["marks", "crf"]


@pytest.mark.parametrize("shrink", [1, 2])
def test_padding_takes_no_part(shrink: int) -> None:
    logits, image = (
        torch.randn(2, 3, 6, 9) * 3,
        torch.randint(0, 256, (2, 3, 6, 9), dtype=torch.uint8),
    )
    marks, valid = torch.randint(0, 3, (2, 6, 9)), torch.zeros(2, 6, 9, dtype=torch.bool)
    valid[:, :5, :7] = True
    marks[~valid] = NO
    batch = a_batch(6, 9, [[1], [1]], marks=marks, valid=valid)._replace(image=image)
    bare = batch._replace(image=image[..., :5, :7], marks=marks[:, :5, :7], valid=None)
    strategy, logits = ScribblesCRF(shrink=shrink), logits.requires_grad_()
    terms, expected = strategy.loss(logits, batch), strategy.loss(logits[..., :5, :7], bare)
    for name, value in terms.items():
        torch.testing.assert_close(value, expected[name], msg=name)
    (gradient,) = torch.autograd.grad(terms["crf"], logits)
    assert (gradient[~valid[:, None].expand_as(gradient)] == 0).all()
    assert gradient[:, :, :5, :7].abs().max() > 0


def test_a_batch_of_crops_without_marks_still_learns_to_agree() -> None:
    logits = torch.randn(1, 3, 1, 4, requires_grad=True)
    terms = ScribblesCRF().loss(logits, scribbled([NO] * 4))
    assert terms["marks"].item() == 0
    (gradient,) = torch.autograd.grad(terms["crf"], logits)
    assert gradient.abs().max() > 0


def test_a_batch_that_lost_its_marks_is_named() -> None:
    with pytest.raises(ValueError, match="ScribblesCRF needs marks, but the images a have none"):
        ScribblesCRF().loss(torch.zeros(1, 3, 1, 2), a_batch(1, 2))


def test_evidence_that_cannot_be_learned_is_named() -> None:
    image, marks = (
        torch.zeros(3, 2, 3, dtype=torch.uint8),
        torch.full((2, 3), NO, dtype=torch.uint8),
    )
    with pytest.raises(
        ValueError,
        match=(
            r"image a has no marked pixel .* mark something on it, leave it out, or, .* "
            r"data\.evidence"
        ),
    ):
        ScribblesCRF().check(Evidence("a", image, marks=marks), NAMES)
    with pytest.raises(ValueError, match="image a has no marks; it has tags"):
        ScribblesCRF().check(Evidence("a", image, tags=torch.ones(3).bool()), NAMES)
    marks[0, 0] = 3
    with pytest.raises(
        ValueError, match="image a: marks names class 3, but there are 3 classes, 0 to 2"
    ):
        Evidence("a", image, marks=marks).check(3)
    with pytest.raises(
        ValueError,
        match=(
            r"image a: marks should be uint8 \[2,3\], the size of the image, but it is uint8 \[3, "
            r"2\]"
        ),
    ):
        Evidence("a", image, marks=marks.T.contiguous()).check(3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"weight": -1},
            "weight should be 0 or more and finite, what a loss is multiplied by, but it is -1",
        ),
        ({"xy": 0}, "xy should be more than 0 and finite, how far a pixel reaches, or a share of"),
        (
            {"rgb": float("inf")},
            "rgb should be more than 0 and finite, how far a pixel reaches, but it is inf",
        ),
        ({"shrink": 0}, "shrink should be at least 1, but it is 0"),
        (
            {"warmup": -1},
            "warmup should be at least 0, how many batches learn the marks alone, but it is -1",
        ),
    ],
)
def test_impossible_settings_are_named_at_once(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScribblesCRF(**wrong)  # type: ignore[arg-type]
