from __future__ import annotations

from math import log

import pytest
import torch
from torch import Tensor

from tests.strategies.parts import a_batch
from weakseg.evidence import IGNORE, Batch, Evidence
from weakseg.functional.regions.region_graph import Superpixels
from weakseg.strategies.base import Context
from weakseg.strategies.points import Points
from weakseg.utils.fingerprint import module_fingerprint

NAMES = ("background", "cat", "dog")
NO = IGNORE


def clicked(
    clicks: dict[tuple[int, int], int],
    tags: list[bool] | None = None,
    size: tuple[int, int] = (5, 9),
) -> Evidence:
    """A black image with clicks, classes by row and column."""
    marks = torch.full(size, NO, dtype=torch.uint8)
    for place, label in clicks.items():
        marks[place] = label
    image = torch.zeros(3, *size, dtype=torch.uint8)
    return Evidence("garden", image, marks=marks, tags=None if tags is None else torch.tensor(tags))


def colours(columns: list[int], images: int = 1) -> Tensor:
    """Grey columns, one row."""
    return torch.tensor(columns, dtype=torch.uint8).expand(images, 3, 1, -1).contiguous()


def test_the_target_is_a_disc_around_each_click() -> None:
    target = Points(2, None).estimate(clicked({(2, 1): 2, (2, 7): 0}), Context())
    assert target.tolist() == [
        [NO, 2, NO, NO, NO, NO, NO, 0, NO],
        [2, 2, 2, NO, NO, NO, 0, 0, 0],
        [2, 2, 2, 2, NO, 0, 0, 0, 0],
        [2, 2, 2, NO, NO, NO, 0, 0, 0],
        [NO, 2, NO, NO, NO, NO, NO, 0, NO],
    ]


def test_where_discs_meet_the_nearer_click_wins() -> None:
    target = Points(3, None).estimate(clicked({(0, 0): 1, (0, 3): 2}, size=(1, 9)), Context())
    assert target.tolist() == [[1, 1, 2, 2, 2, 2, 2, NO, NO]]


def test_a_radius_of_zero_is_the_clicks() -> None:
    evidence = clicked({(2, 1): 2, (4, 7): 0})
    target = Points(0, None).estimate(evidence, Context())
    assert torch.equal(target, evidence.marks)  # type: ignore[arg-type]
    assert target is not evidence.marks


def test_a_click_spreads_over_its_superpixel() -> None:
    """Dark, light and middling columns; the light ones have clicks of two classes, the middling
    ones none."""
    evidence = clicked({(3, 4): 2, (1, 20): 1, (8, 26): 0}, size=(12, 48))
    columns = torch.arange(48)
    grey = torch.where(columns < 16, 20, torch.where(columns < 32, 230, 120)).byte()
    target = Points(0, Superpixels(sigma=0, smallest=5)).estimate(
        evidence._replace(image=grey.expand(3, 12, 48).contiguous()), Context()
    )
    assert (target[:, :16] == 2).all()
    expected = torch.full((12, 32), NO, dtype=torch.uint8)
    expected[1, 4], expected[8, 10] = 1, 0
    assert torch.equal(target[:, 16:], expected)


def test_a_disc_may_leave_its_superpixel_but_not_reach_into_one_of_another_click() -> None:
    image = torch.zeros(3, 8, 20, dtype=torch.uint8)
    image[..., 10:] = 200
    points = Points(2, Superpixels(sigma=0, smallest=5))
    target = points.estimate(clicked({(4, 9): 1}, size=(8, 20))._replace(image=image), Context())
    assert (target[:, :10] == 1).all()
    assert target[4, 10:].tolist() == [1, 1, *[NO] * 8]
    both = points.estimate(
        clicked({(4, 9): 1, (4, 19): 2}, size=(8, 20))._replace(image=image), Context()
    )
    assert (both[:, :10] == 1).all()
    assert (both[:, 10:] == 2).all()


def test_the_loss_by_hand() -> None:
    """Two pixels of one colour, .9 .1 0 and .2 .3 .5, one clicked on; tags leave out the last
    class."""
    probs = torch.tensor([[0.9, 0.1, 1e-30], [0.2, 0.3, 0.5]])
    batch = a_batch(1, 2, [[1, 1, 0]], target=torch.tensor([[[0, NO]]]))
    terms = Points(weight=0.5, absent=2, shrink=1, xy=1e6, rgb=1e6).loss(
        probs.log().T.reshape(1, 3, 1, 2), batch
    )
    assert list(terms) == ["cross_entropy", "absent", "crf"]
    assert terms["cross_entropy"].item() == pytest.approx(-log(0.9))
    assert terms["absent"].item() == pytest.approx(2 * (-log(1.0) - log(0.5)) / 2)
    # everything is near and alike: the chance that two pixels drawn at random, the same one twice
    # included, differ
    agree = (0.82 + 0.38 + 2 * (0.9 * 0.2 + 0.1 * 0.3)) / 4
    assert terms["crf"].item() == pytest.approx(0.5 * (1 - agree), rel=1e-3)


def test_what_is_near_and_alike_is_pulled_together() -> None:
    """The click says class 1; the pixels of its colour are drawn along, those of the other are
    not."""
    logits = torch.zeros(1, 3, 1, 6)
    logits[0, 1, 0, :1] = 4
    logits.requires_grad_()
    batch = a_batch(1, 6)._replace(
        image=colours([50, 50, 50, 200, 200, 200]), target=torch.tensor([[[1, *[NO] * 5]]])
    )
    terms = Points(shrink=1, xy=20, absent=0).loss(logits, batch)
    terms["crf"].backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    towards = -logits.grad[0, 1, 0]
    assert (towards[1:3] > 0.01).all()
    assert towards[3:].abs().max() < 1e-4


def test_without_tags_or_without_their_weight_nothing_is_said_of_absent_classes() -> None:
    batch = a_batch(1, 2, target=torch.tensor([[[0, NO]]]))
    assert list(Points(shrink=1).loss(torch.zeros(1, 3, 1, 2), batch)) == ["cross_entropy", "crf"]
    tagged = batch._replace(tags=torch.tensor([[True, False, False]]))
    assert list(Points(shrink=1, absent=0, weight=0).loss(torch.zeros(1, 3, 1, 2), tagged)) == [
        "cross_entropy"
    ]


def test_a_batch_with_and_without_tags() -> None:
    """Only images with tags count: of the second, whose tags leave out one of three classes, a
    third goes there."""
    batch = a_batch(1, 2, [[0, 0, 0], [1, 1, 0]], target=torch.full((2, 1, 2), NO))
    assert Points(shrink=1, absent=1).loss(torch.zeros(2, 3, 1, 2), batch)[
        "absent"
    ].item() == pytest.approx(-log(2 / 3))


@pytest.mark.parametrize("shrink", [1, 2])
def test_padding_takes_no_part(shrink: int) -> None:
    logits, image = (
        torch.randn(2, 3, 6, 9) * 3,
        torch.randint(0, 256, (2, 3, 6, 9), dtype=torch.uint8),
    )
    target, valid = torch.randint(0, 3, (2, 6, 9)), torch.zeros(2, 6, 9, dtype=torch.bool)
    valid[:, :5, :7] = True
    target[~valid | (torch.rand(2, 6, 9) < 0.7)] = NO
    batch = a_batch(6, 9, [[1, 1, 0], [1, 1, 1]], target=target, valid=valid)._replace(image=image)
    bare = batch._replace(image=image[..., :5, :7], target=target[:, :5, :7], valid=None)
    expected = Points(shrink=shrink).loss(logits[..., :5, :7], bare)
    for name, value in Points(shrink=shrink).loss(logits, batch).items():
        torch.testing.assert_close(value, expected[name], msg=name)


def test_everything_is_compared_so_many_times_smaller() -> None:
    """Pairs of equal pixels at shrink=2 are the single pixels at shrink=1, with half the reach."""
    logits, image = torch.randn(1, 3, 2, 3), torch.randint(0, 256, (1, 3, 2, 3), dtype=torch.uint8)
    twice = [values.repeat_interleave(2, 2).repeat_interleave(2, 3) for values in (logits, image)]
    small = Points(shrink=1, xy=3).loss(
        logits, Batch(["a"], image, target=torch.full((1, 2, 3), NO))
    )
    large = Points(shrink=2, xy=6).loss(
        twice[0], Batch(["a"], twice[1], target=torch.full((1, 4, 6), NO))
    )
    torch.testing.assert_close(small["crf"], large["crf"])


def test_only_superpixels_and_radius_make_new_targets() -> None:
    same = {
        module_fingerprint(Points(**{name: 2}))
        for name in ("weight", "xy", "rgb", "shrink", "absent")
    }  # type: ignore[arg-type]
    assert same == {module_fingerprint(Points())}
    assert module_fingerprint(Points(radius=2)) not in same
    assert module_fingerprint(Points(superpixels=Superpixels(scale=2))) not in same


def test_clicks_that_the_tags_leave_out_are_named() -> None:
    wrong = clicked({(0, 0): 2, (1, 1): 0, (4, 4): 1}, tags=[True, True, False])
    with pytest.raises(
        ValueError,
        match=(
            r"image garden has clicks on dog, which its tags leave out; add it to the tags, or "
            r".*absent=0"
        ),
    ):
        Points().check(wrong, NAMES)
    Points(absent=0).check(wrong, NAMES)
    # no tags at all
    Points().check(wrong._replace(tags=torch.tensor([False, False, False])), NAMES)
    Points().check(wrong._replace(tags=None), NAMES)
    Points().check(clicked({(0, 0): 1}, tags=[True, True, True]), NAMES)


def test_no_click_at_all_is_named() -> None:
    for ask in (
        lambda: Points().check(clicked({}), NAMES),
        lambda: Points().estimate(clicked({}), Context()),
    ):
        with pytest.raises(
            ValueError,
            match=(
                r"image garden has no marked pixel .* mark something on it, leave it out, or, .* "
                r"data\.evidence"
            ),
        ):
            ask()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"radius": -1}, "radius should be 0 or more and finite, or a share of"),
        (
            {"weight": float("inf")},
            "weight should be 0 or more and finite, what a loss is multiplied by, but it is inf",
        ),
        (
            {"absent": -1},
            "absent should be 0 or more and finite, what a loss is multiplied by, but it is -1",
        ),
        ({"xy": 0}, "xy should be more than 0 and finite, how far a pixel reaches, or a share of"),
        ({"shrink": 0}, "shrink should be at least 1, but it is 0"),
    ],
)
def test_impossible_settings_are_named_at_once(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Points(**wrong)  # type: ignore[arg-type]
