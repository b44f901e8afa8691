from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.small import Squares, TinyNet, loss_of, trainer
from weakseg.data.transforms import Item, collate
from weakseg.evidence import IGNORE, Batch, Evidence
from weakseg.functional.losses import cross_entropy
from weakseg.functional.rare_classes import dice_loss, focal_cross_entropy, label_shares
from weakseg.functional.tags import em_adapt, em_fixed
from weakseg.strategies.base import Context, Strategy
from weakseg.strategies.boxes_crf import BoxesCRF
from weakseg.strategies.boxes_rect import BoxesRect
from weakseg.strategies.common_keys import LossTerms
from weakseg.strategies.mixed import Mixed, Weights
from weakseg.strategies.scribbles_graphcut import ScribblesGraphCut
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter
from weakseg.utils.fingerprint import module_fingerprint

HEIGHT, WIDTH, CLASSES = 8, 12, 4
KINDS = ["masks", "boxes", "marks", "tags"]
EVEN = Weights(1, 1, 1, 1)
BOX = {"boxes": torch.tensor([[2.0, 1, 9, 7]]), "box_classes": torch.tensor([2])}
NO_BOX = {"boxes": torch.zeros(0, 4), "box_classes": torch.zeros(0, dtype=torch.int64)}
TAGS = {"tags": torch.tensor([True, False, True, True])}


def image(name: str, **fields: Any) -> Evidence:
    evidence = Evidence(
        name, torch.randint(0, 256, (3, HEIGHT, WIDTH), dtype=torch.uint8), **fields
    )
    evidence.check(CLASSES)
    return evidence


def scribble() -> Tensor:
    marks = torch.full((HEIGHT, WIDTH), IGNORE, dtype=torch.uint8)
    marks[3, 2:7], marks[0, :4] = 3, 0
    return marks


def mask(rim: int = 1) -> Tensor:
    marks = torch.randint(0, CLASSES, (HEIGHT, WIDTH), dtype=torch.uint8)
    marks[:rim] = IGNORE
    return marks


def batch_of(strategy: Strategy, *evidence: Evidence) -> Batch:
    return collate([Item(each, strategy.estimate(each, Context())) for each in evidence], CLASSES)


def scores(count: int) -> Tensor:
    return torch.randn(count, CLASSES, HEIGHT, WIDTH, requires_grad=True)


def by_hand(logits: Tensor, labels: Tensor) -> float:
    """Mean cross-entropy of one image, pixel by pixel."""
    places = [
        (row, column)
        for row in range(HEIGHT)
        for column in range(WIDTH)
        if labels[row, column] != IGNORE
    ]
    scores = logits.double().log_softmax(0)
    return -sum(scores[int(labels[place]), place[0], place[1]].item() for place in places) / len(
        places
    )


# the target


def test_only_boxes_are_what_the_strategies_of_boxes_make_of_them() -> None:
    evidence = image("a", **BOX)
    assert torch.equal(
        Mixed(share=0.5).estimate(evidence, Context()),
        BoxesCRF(share=0.5).estimate(evidence, Context()),
    )
    assert torch.equal(
        Mixed(boxes="rect").estimate(evidence, Context()), BoxesRect().estimate(evidence, Context())
    )
    assert (Mixed().estimate(image("b", **NO_BOX, **TAGS), Context()) == 0).all()


def test_marks_are_written_over_boxes_and_stand_alone_without_them() -> None:
    marks, strategy = scribble(), Mixed(boxes="rect")
    both = strategy.estimate(image("a", **BOX, marks=marks), Context())
    filled = BoxesRect().estimate(image("b", **BOX), Context())
    marked = marks != IGNORE
    assert torch.equal(both[marked], marks[marked])
    assert torch.equal(both[~marked], filled[~marked])
    assert not torch.equal(both, filled)
    assert torch.equal(strategy.estimate(image("c", marks=marks, **TAGS), Context()), marks)
    assert (strategy.estimate(image("d", **TAGS), Context()) == IGNORE).all()


def test_a_graph_cut_carries_marks_of_two_classes_over_the_image() -> None:
    strategy = Mixed(marks="graphcut")
    drawn = image("drawn", marks=scribble())
    found = strategy.estimate(drawn, Context())
    assert torch.equal(found, ScribblesGraphCut().estimate(drawn, Context()).labels)
    assert not (found == IGNORE).any()
    one_class = scribble().masked_fill(scribble() == 0, IGNORE)
    assert torch.equal(strategy.estimate(image("one class", marks=one_class), Context()), one_class)
    masked = image("masked", marks=mask())
    assert torch.equal(strategy.estimate(masked, Context()), masked.marks)


def test_a_mask_is_believed_alone_and_its_rim_stays_open() -> None:
    marks = mask(rim=2)
    assert torch.equal(Mixed().estimate(image("a", marks=marks, **BOX), Context()), marks)
    nearly = mask(rim=3)  # 5 of 8 rows: less than three quarters
    assert (Mixed().estimate(image("a", marks=nearly, **BOX), Context())[:3] != IGNORE).all()


# the loss


def test_each_kind_is_the_mean_over_its_pixels_times_its_share_of_images_times_its_weight() -> None:
    strategy = Mixed(boxes="rect", weights=Weights(masks=2, boxes=3, marks=5, tags=7))
    evidence = [
        image("mask", marks=mask()),
        image("box", **BOX),
        image("marks", marks=scribble()),
        image("tags", **TAGS),
    ]
    logits = scores(4)
    torch.manual_seed(3)
    terms = loss_of(strategy, logits, batch_of(strategy, *evidence)).terms
    torch.manual_seed(3)
    generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
    guessed = em_adapt(logits.detach()[3:], TAGS["tags"][None], generator=generator)[0]
    labels = [strategy.estimate(each, Context()) for each in evidence[:3]] + [guessed]
    expected = [
        weight * by_hand(logits[place], own) / 4
        for place, (weight, own) in enumerate(zip((2, 3, 5, 7), labels, strict=True))
    ]
    assert list(terms) == KINDS
    assert [term.item() for term in terms.values()] == pytest.approx(expected, rel=1e-5)


def test_images_labelled_throughout_have_the_plain_cross_entropy() -> None:
    strategy = Mixed(boxes="rect")
    batch = batch_of(
        strategy,
        image("a", **BOX),
        image("b", marks=mask(0)),
        image("c", **NO_BOX),
        image("d", marks=mask(0), **TAGS),
    )
    logits = scores(4)
    terms = loss_of(strategy, logits, batch).terms
    assert batch.target is not None
    torch.testing.assert_close(
        torch.stack(list(terms.values())).sum(), cross_entropy(logits, batch.target)
    )
    assert terms["masks"] > 0
    assert terms["boxes"] > 0
    assert terms["marks"] == terms["tags"] == 0


def test_class_weights_and_focal_are_in_the_mean_of_each_kind() -> None:
    strategy = Mixed(boxes="rect", weights=Weights(boxes=3, masks=2))
    strategy.terms = LossTerms(cross_entropy=0.5, focal=2)
    evidence = [image("box", **BOX), image("mask", marks=mask())]
    batch = batch_of(strategy, *evidence)
    weights, logits = torch.tensor([1.0, 2, 5, 0.5]), scores(2)
    terms = loss_of(strategy, logits, batch._replace(class_weights=weights)).terms
    assert batch.target is not None
    for place, kind in enumerate(("boxes", "masks")):
        here = slice(place, place + 1)
        alone = focal_cross_entropy(logits[here], batch.target[here], 2.0, weights)
        expected = 0.5 * getattr(strategy.weights, kind) * alone / 2
        torch.testing.assert_close(terms[kind], expected)
    assert terms["marks"] == terms["tags"] == 0


def test_dice_trusts_a_pixel_as_much_as_its_kind_weighs() -> None:
    strategy = Mixed(boxes="rect", weights=Weights(boxes=0.5, masks=2))
    strategy.terms = LossTerms(cross_entropy=0, dice=3)
    batch = batch_of(strategy, image("box", **BOX), image("mask", marks=mask()))
    logits = scores(2)
    terms = loss_of(strategy, logits, batch).terms
    assert batch.target is not None
    shares = label_shares(batch.target, CLASSES) * torch.tensor([0.5, 2])[:, None, None, None]
    torch.testing.assert_close(terms, {"dice": 3 * dice_loss(logits, shares)})


def test_an_image_of_several_kinds_teaches_each_on_its_own_pixels() -> None:
    strategy, marks = Mixed(boxes="rect", weights=EVEN), scribble()
    evidence = image("a", **BOX, **TAGS, marks=marks)
    logits = scores(1)
    terms = loss_of(strategy, logits, batch_of(strategy, evidence)).terms
    filled = BoxesRect().estimate(evidence, Context())
    assert terms["marks"].item() == pytest.approx(by_hand(logits[0], marks), rel=1e-5)
    assert terms["boxes"].item() == pytest.approx(
        by_hand(logits[0], filled.where(marks == IGNORE, IGNORE)), rel=1e-5
    )
    assert terms["masks"] == terms["tags"] == 0


@pytest.mark.parametrize("em", ["adapt", "fixed"])
def test_tags_label_the_unmarked_pixels_and_only_these_from_the_scores_of_the_whole_image(
    em: str,
) -> None:
    strategy, marks = Mixed(em=em, foreground=0.3, background=0.1, weights=EVEN), scribble()
    # one class beside background: there is only one order
    tags = torch.tensor([True, False, False, True])
    logits = scores(1)
    batch = batch_of(strategy, image("a", marks=marks, tags=tags))
    terms, labels, *_ = loss_of(strategy, logits, batch)
    label = em_adapt if em == "adapt" else em_fixed
    guessed = label(logits.detach(), tags[None], 0.3, 0.1)[0].where(marks == IGNORE, IGNORE)
    assert terms["marks"].item() == pytest.approx(by_hand(logits[0], marks), rel=1e-5)
    assert terms["tags"].item() == pytest.approx(by_hand(logits[0], guessed), rel=1e-5)
    assert torch.equal(labels[0], guessed)


def test_the_network_learns_from_its_scores_as_they_are() -> None:
    strategy, logits = Mixed(weights=EVEN), scores(1)
    terms, labels, *_ = loss_of(strategy, logits, batch_of(strategy, image("a", **TAGS)))
    (gradient,) = torch.autograd.grad(terms["tags"], logits)
    wanted = logits.softmax(1) - F.one_hot(labels, CLASSES).permute(0, 3, 1, 2)
    torch.testing.assert_close(gradient, wanted / (HEIGHT * WIDTH))


def test_padding_and_the_rims_of_masks_are_labelled_by_nobody() -> None:
    strategy = Mixed(weights=EVEN)
    small = Evidence("small", torch.zeros(3, HEIGHT // 2, WIDTH, dtype=torch.uint8), **TAGS)
    batch = batch_of(strategy, small, image("mask", marks=mask(), **TAGS))
    logits = scores(2)
    terms, labels, *_ = loss_of(strategy, logits, batch)
    assert terms["tags"].item() == pytest.approx(by_hand(logits[0], labels[0]) / 2, rel=1e-5)
    assert (labels[0, : HEIGHT // 2] != IGNORE).all()
    assert (labels[0, HEIGHT // 2 :] == IGNORE).all()
    assert (labels[1] == IGNORE).all()


def test_a_small_mask_in_padding_is_still_a_mask() -> None:
    strategy = Mixed()
    small = Evidence(
        "small",
        torch.zeros(3, 2, 2, dtype=torch.uint8),
        marks=torch.ones(2, 2, dtype=torch.uint8),
        **TAGS,
    )
    terms = loss_of(strategy, scores(2), batch_of(strategy, small, image("box", **BOX))).terms
    assert terms["masks"] > 0
    assert terms["marks"] == terms["tags"] == 0


@pytest.mark.parametrize(
    "fields",
    [{"marks": mask()}, BOX, NO_BOX, {"marks": scribble()}, TAGS],
    ids=["mask", "box", "no box", "marks", "tags"],
)
def test_every_batch_has_the_same_finite_terms(fields: dict[str, Any]) -> None:
    strategy, logits = Mixed(), scores(2)
    terms = loss_of(
        strategy, logits, batch_of(strategy, image("a", **fields), image("b", **fields))
    ).terms
    assert list(terms) == KINDS
    assert all(torch.isfinite(term) and term.requires_grad for term in terms.values())
    (gradient,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), logits)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0
    assert sum(bool(term) for term in terms.values()) == 1


def test_half_precision_scores_do_not_overflow() -> None:
    strategy = Mixed(weights=EVEN)
    batch = batch_of(strategy, image("a", marks=mask()), image("b", **TAGS))
    terms = loss_of(strategy, (scores(2).detach() * 300).half().requires_grad_(), batch).terms
    assert all(term.dtype == torch.float32 and torch.isfinite(term) for term in terms.values())


def test_a_crop_that_lost_its_tags_is_told() -> None:
    strategy, logits = Mixed(), scores(2)
    whole, lost = image("a", **TAGS), image("b", **TAGS)
    targets = [strategy.estimate(each, Context()) for each in (whole, lost)]
    with pytest.warns(UserWarning, match="images that have tags alone need data.crop=null"):
        strategy.loss(
            logits,
            collate([Item(whole, targets[0]), Item(lost._replace(tags=None), targets[1])], CLASSES),
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        strategy.loss(logits, collate([Item(whole, targets[0]), Item(lost, targets[1])], CLASSES))


def test_without_targets_it_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"images a have no targets.*callbacks=\[weakseg.Rounds"):
        Mixed().loss(scores(1), collate([Item(image("a", **TAGS), None)], CLASSES))


# before training


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"marks": torch.full((HEIGHT, WIDTH), IGNORE, dtype=torch.uint8)},
        {"tags": torch.zeros(CLASSES, dtype=torch.bool)},
    ],
    ids=["nothing", "marks nothing", "tags name nothing"],
)
def test_an_image_that_can_teach_nothing_is_refused_by_name(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="image a has nothing to learn from"):
        Mixed().check(image("a", **fields), "abcd")


def test_tags_must_name_background_where_they_are_to_label() -> None:
    tags = {"tags": torch.tensor([False, True, False, False])}
    with pytest.raises(ValueError, match="leave out"):
        Mixed().check(image("a", **tags, marks=scribble()), ("ground", "b", "c", "d"))
    for fields in (BOX, {"marks": mask()}):
        Mixed().check(image("a", **tags, **fields), "abcd")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"boxes": "seg"}, "boxes should be one of crf, rect, sam, but it is 'seg'"),
        ({"em": "soft"}, "em should be adapt or fixed, but it is 'soft'"),
        ({"source": "paper"}, "source should be wssl_code or wssl_paper, but it is 'paper'"),
        ({"foreground": 1.5}, "foreground should lie from 0 to 1"),
        ({"em": "fixed", "background": -1}, "background should be 0 or more"),
        ({"share": 0}, "share should be more than 0"),
    ],
)
def test_impossible_settings_are_named_at_once(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Mixed(**options)


@pytest.mark.parametrize(
    "weights", [{"tags": -1}, {"marks": float("nan")}, {"boxes": float("inf")}]
)
def test_impossible_weights_are_named(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"weights.{next(iter(weights))} should be 0 or more"):
        Weights(**weights)
    with pytest.raises(ValueError, match="not all be 0"):
        Weights(0, 0, 0, 0)


def test_only_what_changes_a_target_asks_for_new_ones() -> None:
    usual = module_fingerprint(Mixed())
    assert module_fingerprint(Mixed(weights=EVEN, em="fixed", foreground=3)) == usual
    assert module_fingerprint(Mixed(boxes="rect")) != usual
    assert module_fingerprint(Mixed(share=0.3)) != usual


# in a run


class Told(Squares):
    """The discs with tags, marks of every pixel, or boxes, in turn."""

    kinds: tuple[str, ...] = ("tags", "masks", "boxes")

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        assert truth is not None
        assert evidence.box_classes is not None
        bare = evidence._replace(boxes=None, box_classes=None)
        tags = torch.zeros(3, dtype=torch.bool)
        tags[0] = tags[evidence.box_classes] = True
        told = {
            "tags": bare._replace(tags=tags),
            "masks": bare._replace(marks=truth),
            "boxes": evidence,
        }
        return told[self.kinds[index % len(self.kinds)]], truth


class OnlyTags(Told):
    kinds = ("tags",)


@pytest.mark.parametrize("data", [Told, OnlyTags])
def test_a_run_with_any_mixture(data: type[Told], tmp_path: Path) -> None:
    torch.manual_seed(1)
    segmenter = Segmenter(TinyNet(), Mixed(), data.classes)
    before = [parameter.clone() for parameter in segmenter.network.parameters()]
    fitter = trainer(tmp_path, 3, callbacks=[Rounds(workers=0)])
    fitter.fit(segmenter, data())
    assert {f"loss/{kind}" for kind in KINDS} < set(fitter.callback_metrics)
    assert any(
        not torch.equal(now, then)
        for now, then in zip(segmenter.network.parameters(), before, strict=True)
    )
