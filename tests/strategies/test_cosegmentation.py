from __future__ import annotations

from collections.abc import Sequence
from math import log
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.small import Squares, TinyNet, trainer
from weakseg.evidence import IGNORE, Evidence, Prediction
from weakseg.functional.boxes import fill_boxes
from weakseg.functional.confusion import confusion_matrix, mean_iou
from weakseg.functional.crf import DenseCRF
from weakseg.strategies.base import Context
from weakseg.strategies.cosegmentation import Cosegmentation
from weakseg.strategies.shared.one_against_rest import fit_against_rest, shown_together
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter

SIDE = 40
PLAIN = DenseCRF(bilateral_rgb=20.0)  # the images here are noisier than photographs
# what is of one colour is of one class
SWEEPING = DenseCRF(bilateral_weight=100.0, bilateral_xy=200.0)
COLOURS = torch.tensor([[90.0, 90, 90], [200, 60, 60], [60, 60, 200]])


class Tagged(Squares):
    """Tags for boxes."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        assert evidence.box_classes is not None
        label = int(evidence.box_classes)
        return Evidence(
            evidence.id, evidence.image, tags=torch.tensor([True, label == 1, label == 2])
        ), truth


def photo(number: int, label: int, place: tuple[int, int], side: int = 16) -> tuple[Tensor, Tensor]:
    """A noisy image with one square of a class's colour, and its truth."""
    truth = torch.zeros(SIDE, SIDE, dtype=torch.uint8)
    truth[place[0] : place[0] + side, place[1] : place[1] + side] = label
    noise = torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(number)) * 8
    return (COLOURS[truth.long()].movedim(-1, 0) + noise).clamp(0, 255).to(torch.uint8), truth


def queried(evidence: Evidence) -> Prediction:
    """Of an encoder that sees the colours of squares of 4 pixels."""
    return Prediction(
        torch.full((3, SIDE, SIDE), 1 / 3), intermediate=F.avg_pool2d(evidence.image.float(), 4)
    )


def album(**shared: Tensor) -> tuple[list[Evidence], list[Tensor]]:
    """Eighteen images of two classes whose squares lie anywhere, most of them near the middle."""
    random = torch.Generator().manual_seed(3)
    images, truths = [], []
    for number in range(18):
        label, reach = 1 + number % 2, 5 if number < 12 else 12
        place = (12 + torch.randint(-reach, reach + 1, (2,), generator=random)).tolist()
        image, truth = photo(number, label, (place[0], place[1]))
        images.append(
            Evidence(
                f"photo{number:02}",
                image,
                tags=torch.tensor([True, label == 1, label == 2]),
                **shared,
            )
        )
        truths.append(truth)
    return images, truths


def fit(strategy: Cosegmentation, images: Sequence[Evidence]) -> Tensor:
    """As a round does it."""
    fitted = None
    for _ in range(strategy.iterations):
        described = [
            strategy.describe(evidence, Context(queried(evidence), fitted)) for evidence in images
        ]
        fitted = strategy.continue_fit(fitted, strategy.fit(described))
    assert fitted is not None
    return fitted


def quality(
    strategy: Cosegmentation,
    images: Sequence[Evidence],
    truths: Sequence[Tensor],
    fitted: Tensor | None,
) -> float:
    counts = torch.zeros(3, 3, dtype=torch.int64)
    for evidence, truth in zip(images, truths, strict=True):
        target = strategy.estimate(evidence, Context(queried(evidence), fitted))
        counts += confusion_matrix(target, truth.masked_fill(target == IGNORE, IGNORE), 3)
    return mean_iou(counts)


def test_looking_at_all_images_finds_what_is_not_in_the_middle() -> None:
    images, truths = album()
    strategy = Cosegmentation(crf=PLAIN)
    guessed = quality(strategy, images, truths, None)
    fitted = fit(strategy, images)
    found = quality(strategy, images, truths, fitted)
    assert guessed < 0.9
    assert found > 0.97
    corner, truth = photo(99, 2, (0, 0))
    cornered = Evidence("corner", corner, tags=torch.tensor([True, False, True]))
    assert quality(strategy, [cornered], [truth], fitted) > 0.9


def test_only_classes_of_the_tags_are_found_whatever_was_fitted() -> None:
    images, _ = album()
    strategy = Cosegmentation(crf=PLAIN)
    fitted = fit(strategy, images)
    image, _ = photo(99, 2, (12, 12))
    for flags, found in (((True, True, False), {0, 1}), ((True, False, False), {0})):
        target = strategy.estimate(
            Evidence("x", image, tags=torch.tensor(flags)),
            Context(queried(images[0]), fitted),
        )
        assert set(target.unique().tolist()) <= found


def test_a_first_guess_does_not_tell_two_subjects_apart_and_a_second_does() -> None:
    images, _ = album()
    left, _ = photo(0, 1, (12, 2))
    right, _ = photo(1, 2, (12, 22))
    both = Evidence(
        "both",
        torch.cat([left[..., :20], right[..., 20:]], 2),
        tags=torch.tensor([True, True, True]),
    )
    strategy = Cosegmentation(crf=PLAIN)
    assert set(strategy.estimate(both, Context()).unique().tolist()) == {0, IGNORE}
    fitted = fit(strategy, [*images, both])
    target = strategy.estimate(both, Context(queried(both), fitted))
    assert target[20, 10] == 1
    assert target[20, 30] == 2


def test_marks_are_kept_and_spread_over_their_superpixel() -> None:
    image, truth = photo(0, 1, (2, 2))
    marks = torch.full((SIDE, SIDE), IGNORE, dtype=torch.uint8)
    marks[10, 10], marks[30, 30], marks[20, 20] = 1, 0, 2  # the last one is a mistake; it stays one
    target = Cosegmentation(crf=PLAIN).estimate(Evidence("x", image, marks=marks), Context())
    assert (target[10, 10], target[30, 30], target[20, 20]) == (1, 0, 2)
    # the middle of the photograph is elsewhere
    assert float((target == 1)[truth == 1].float().mean()) > 0.9
    without = Cosegmentation(crf=PLAIN, superpixels=None).estimate(
        Evidence("x", image, marks=marks), Context()
    )
    assert (without[10, 10], without[20, 20]) == (1, 2)


def test_nothing_lies_outside_of_the_boxes() -> None:
    images, truths = album()
    boxed = []
    for evidence, truth in zip(images, truths, strict=True):
        rows, columns = truth.nonzero().T
        corners = torch.tensor(
            [[columns.min() - 4.0, rows.min() - 4.0, columns.max() + 5.0, rows.max() + 5.0]]
        )
        boxed.append(
            Evidence(
                evidence.id,
                evidence.image,
                boxes=corners,
                box_classes=torch.tensor([int(truth.max())]),
            )
        )
    strategy = Cosegmentation(crf=PLAIN)
    fitted = fit(strategy, boxed)
    assert quality(strategy, boxed, truths, fitted) > 0.95
    wrong = boxed[0]._replace(boxes=torch.tensor([[0.0, 0.0, 6.0, 6.0]]))
    target = strategy.estimate(wrong, Context(queried(wrong), fitted))
    assert not (target != 0)[fill_boxes(wrong.boxes, wrong.box_classes, SIDE, SIDE) == 0].any()
    grey = torch.full((3, SIDE, SIDE), 90, dtype=torch.uint8)
    nearly = Evidence(
        "nearly all",
        grey,
        boxes=torch.tensor([[2.0, 2.0, 40.0, 40.0]]),
        box_classes=torch.tensor([1]),
    )
    swept = Cosegmentation(share=1, crf=SWEEPING).estimate(nearly, Context())
    assert swept[20, 20] == 1
    assert not swept[:2].any()
    nothing = Evidence(
        "nothing",
        wrong.image,
        boxes=torch.zeros(0, 4),
        box_classes=torch.zeros(0, dtype=torch.int64),
    )
    assert not strategy.estimate(nothing, Context(queried(nothing), fitted)).any()


def test_boxes_teach_what_is_in_and_around_them_and_images_without_any_all_of_themselves() -> None:
    images, _ = album()
    boxed = images[0]._replace(
        boxes=torch.tensor([[12.0, 12, 20, 20]]), box_classes=torch.tensor([1])
    )
    strategy = Cosegmentation(crf=PLAIN)
    near = strategy.describe(boxed, Context(queried(boxed)))
    assert len(near["features"]) == 4  # of 12 x 12 pixels from 10 on, in cells of 4
    empty = boxed._replace(boxes=torch.zeros(0, 4), box_classes=torch.zeros(0, dtype=torch.int64))
    assert len(strategy.describe(empty, Context(queried(empty)))["features"]) == 100


def test_colours_of_an_image_join_in_beside_boxes() -> None:
    """Half of the object has colours that the middle of the box does not have, but its other box
    has."""
    image = torch.full((3, SIDE, SIDE), 90, dtype=torch.uint8)
    red, blue = (
        torch.tensor(colour, dtype=torch.uint8)[:, None, None] for colour in COLOURS[1:].tolist()
    )
    image[:, 4:16, 2:18], image[:, 4:16, 22:38] = red, blue
    image[:, 24:36, 2:10], image[:, 24:36, 10:18] = red, blue
    boxes = torch.tensor([[2.0, 4, 18, 16], [22, 4, 38, 16], [2, 24, 18, 36]])
    evidence = Evidence("two", image, boxes=boxes, box_classes=torch.tensor([1, 1, 1]))
    fitted = torch.zeros(1, 3, 5)
    weak = DenseCRF(bilateral_weight=0.0, smooth_weight=0.0)
    found = [
        Cosegmentation(box_crf=weak, colours=colours).estimate(
            evidence, Context(queried(evidence), fitted)
        )
        for colours in (0.0, 1.0)
    ]
    assert (found[0] == 1).sum() < 0.5 * 3 * 12 * 16
    assert (found[1] == 1).sum() == 3 * 12 * 16


def test_a_mask_is_its_own_target_and_teaches_the_others() -> None:
    images, truths = album()
    masked = [
        evidence._replace(tags=None, marks=truth)
        for evidence, truth in zip(images[:4], truths[:4], strict=True)
    ]
    strategy = Cosegmentation(iterations=1, crf=PLAIN)
    assert torch.equal(strategy.estimate(masked[0], Context()), truths[0])
    fitted = fit(strategy, masked)
    assert quality(strategy, images[4:], truths[4:], fitted) > 0.95


def test_images_without_a_class_count_in_part_and_the_bias_makes_up_for_it() -> None:
    """All cells look alike, so only the bias is fitted, to the odds of what counts: for class 1 two
    cells, against it two of its own image, and of three other images a quarter of all of its
    image, one. The bias adds the log of the (2 + 1) cells to 2."""
    both, one = torch.tensor([True, True]), torch.tensor([True, False])
    none = torch.zeros(4, 2)
    few = {"features": none, "shares": torch.full((4, 2), 0.5), "possible": both}
    others = {"features": none, "shares": torch.tensor([[1.0, 0]] * 4), "possible": one}
    fitted = Cosegmentation(others=0.25).fit([few, others, others, others])
    assert fitted.shape == (1, 2, 4)
    assert not fitted[0, 0, :3].any()
    assert fitted[0, 1, :3].tolist() == pytest.approx([0, 0, log(2 / 3) + log(3 / 2)], abs=0.02)
    assert fitted[0, 1, 3] == pytest.approx(0)


def test_subjects_of_images_without_a_class_are_not_held_against_it() -> None:
    """Each image is half of its own subject, and all subjects look alike, all grounds, too."""
    features = torch.tensor([[0.0], [0], [1], [1]])
    ground, subject = torch.tensor([1.0, 0, 0]), torch.tensor([[0.0, 1, 0], [0, 0, 1]])
    described = [
        {
            "features": features,
            "shares": torch.stack([ground, ground, own, own]),
            "possible": torch.tensor([True, bool(own[1]), bool(own[2])]),
        }
        for own in subject
    ]
    cells = torch.tensor([[0.0, 1], [1, 1]])  # a ground and a subject, each with the bias
    together = fit_against_rest(described, 0.5)[:, :-1] @ cells
    alone = fit_against_rest(described[:1], 0.0)[:, :-1] @ cells
    assert torch.allclose(together[1], together[2], atol=1e-4)
    assert float(together[1, 0]) < 0
    assert float(together[1, 1]) > float(alone[1, 1])

    # where one image shows both, they have to be told apart
    both = {
        "features": torch.zeros(0, 1),
        "shares": torch.zeros(0, 3),
        "possible": torch.tensor([True, True, True]),
    }
    apart = fit_against_rest([*described, both], 0.5)[:, :-1] @ cells
    assert float(apart[1, 1]) < float(alone[1, 1])


def test_how_often_classes_are_shown_together() -> None:
    """Of eight images four show class 1, four class 2, two of them both, as chance would have it;
    one shows class 3, which is never beside class 1, and always beside class 2."""
    rows = ["110", "110", "100", "100", "010", "011", "000", "000"]
    described = [{"possible": torch.tensor([True, *(one == "1" for one in row)])} for row in rows]
    expected = [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 1, 1]]
    assert shown_together(described).tolist() == expected
    rare = shown_together([*described, described[2], described[2]])  # 2 of 10, by chance 6 * 4 / 10
    assert float(rare[1, 2]) == pytest.approx(2 / 2.4)


def test_cells_without_a_label_do_not_count_for_the_classes_of_their_image() -> None:
    possible = torch.tensor([True, True])
    shares = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    each = {"features": torch.zeros(4, 1), "shares": shares, "possible": possible}
    fitted = fit_against_rest([each], 0.0)
    assert fitted[1].tolist() == pytest.approx([0, 0, 0], abs=0.01)


def test_an_image_goes_through_the_classifiers_of_all_iterations() -> None:
    """The second classifier finds a red square and a yellow line far from it; the first has found
    the square alone, and so the line is not where the subject is."""
    image, truth = photo(5, 1, (12, 12), side=10)
    image[:, :, 36:] = torch.tensor([170, 200, 60], dtype=torch.uint8)[:, None, None]
    evidence = Evidence("line", image, tags=torch.tensor([True, True, False]))
    strategy = Cosegmentation(crf=PLAIN, place=1.0)
    second = torch.zeros(1, 3, 5)
    second[0, 1, 0], second[0, 1, 3] = 0.05, -0.05 * 145  # what is redder than 145
    second[0, 1, 4] = -2.0
    first = torch.zeros(1, 3, 5)
    first[0, 1, 0], first[0, 1, 3] = 0.2, -0.2 * 185
    alone = strategy.estimate(evidence, Context(queried(evidence), second))
    after = strategy.estimate(evidence, Context(queried(evidence), torch.cat([first, second])))
    assert (alone == 1)[:, 36:].float().mean() > 0.8
    assert (after == 1)[:, 36:].float().mean() < 0.2
    assert (after == 1)[truth == 1].float().mean() > 0.8


def test_classifiers_of_iterations_are_kept_in_order() -> None:
    strategy = Cosegmentation()
    first, second = torch.zeros(1, 2, 4), torch.ones(1, 2, 4)
    assert strategy.continue_fit(None, first) is first
    joined = strategy.continue_fit(first, second)
    assert joined is not None
    assert joined[:, 0, 0].tolist() == [0, 1]


def test_a_class_that_no_image_shows_is_known_nevertheless() -> None:
    images, _ = album()
    strategy = Cosegmentation(iterations=1, crf=PLAIN)
    fitted = fit(
        strategy,
        [
            image._replace(tags=image.tags[:2])
            for image in images
            if image.tags is not None and image.tags[1]
        ],
    )
    assert fitted.shape == (1, 3, 5)
    assert not strategy.estimate(images[1], Context(queried(images[1]), fitted)).any()


def test_what_is_missing_or_does_not_fit_is_named() -> None:
    images, _ = album()
    strategy = Cosegmentation(crf=PLAIN)
    with pytest.raises(ValueError, match=r"image photo00 comes without `prediction\.intermediate`"):
        strategy.describe(images[0], Context())
    fitted = fit(strategy, images)
    with pytest.raises(ValueError, match=r"image photo00 comes without `prediction\.intermediate`"):
        strategy.estimate(images[0], Context(fitted=fitted))
    other = queried(images[0])._replace(intermediate=torch.zeros(5, 10, 10))
    with pytest.raises(ValueError, match=r"fitted should be float \[C,6\]"):
        strategy.estimate(images[0], Context(other, fitted))
    with pytest.raises(ValueError, match="more than 3 classes"):
        strategy.estimate(
            images[0]._replace(tags=torch.tensor([True, False, False, True])),
            Context(queried(images[0]), fitted),
        )
    with pytest.raises(ValueError, match="has nothing to learn from"):
        strategy.check(Evidence("x", images[0].image), ("background", "a", "b"))
    with pytest.raises(ValueError, match="but not background"):
        strategy.check(
            images[0]._replace(tags=torch.tensor([False, True, False])), ("background", "a", "b")
        )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("prior_sigma", 0.0),
        ("iterations", 0),
        ("long_side", 16),
        ("samples", 0),
        ("share", 0.0),
        ("share", 1.5),
    ],
)
def test_impossible_options_are_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        Cosegmentation(**{option: value})  # type: ignore[arg-type]


def test_a_whole_training(tmp_path: Path) -> None:
    """With Squares, whose discs lie anywhere; their tags are those of the boxes."""
    data = Tagged()
    segmenter = Segmenter(
        TinyNet(), Cosegmentation(iterations=2, long_side=64, crf=PLAIN), data.classes
    )
    rounds = Rounds()
    trainer(tmp_path, 1, callbacks=[rounds]).fit(segmenter, datamodule=data)
    assert rounds.figures["label/miou"] > 0.5
    assert rounds.fitted is not None
    assert rounds.fitted.shape == (2, 3, 10)


def test_a_network_without_an_intermediate_stage_is_refused_at_once() -> None:
    with pytest.raises(
        TypeError, match=r"has no method `intermediate_features`; take a network that has it"
    ):
        Segmenter(torch.nn.Conv2d(3, 2, 1), Cosegmentation(), ["background", "a"])
