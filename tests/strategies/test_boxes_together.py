"""What `boxes_crf` finds beyond the boxes: by the colours of an image, and by all images
together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.small import Squares, TinyNet, trainer
from weakseg.evidence import IGNORE, Evidence, Prediction
from weakseg.functional.boxes import box_unary, fill_boxes
from weakseg.functional.crf import DenseCRF, dense_crf
from weakseg.strategies.base import Context, Strategy, Wants, fits_together
from weakseg.strategies.boxes_crf import BoxesCRF
from weakseg.strategies.boxes_instances import BoxesInstances
from weakseg.strategies.mixed import Mixed
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter

SIDE = 64
RED = (220.0, 30, 30)
GREEN = (30.0, 200, 30)
GREY = (110.0, 110, 120)
# pairs of pixels this far apart in so noisy images are few, as in the texture of a photograph
CRF = DenseCRF(bilateral_rgb=6.0, bilateral_xy=8.0)
BODY = (28, 60, 16, 48)
BELT = (36, 46, 16, 48)
HEAD = (8, 20, 24, 40)
Part = tuple[int, int, int, int]
"""first row, end of rows, first column, end of columns"""


def picture(
    parts: Sequence[tuple[Part, tuple[float, float, float]]], number: int = 0, noise: float = 20
) -> Tensor:
    """Coloured rectangles on grey, with much noise or little: uint8 [3,64,64]."""
    image = torch.tensor(GREY).view(3, 1, 1).repeat(1, SIDE, SIDE)
    for part, colour in parts:
        image[:, where(part)] = torch.tensor(colour)[:, None]
    random = torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(number))
    return (image + noise * random).clamp(0, 255).to(torch.uint8)


def where(part: Part) -> Tensor:
    first, last, left, right = part
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[first:last, left:right] = True
    return inside


def boxed(name: str, image: Tensor, *boxes: tuple[float, float, float, float]) -> Evidence:
    corners = torch.tensor(boxes).view(-1, 4)
    return Evidence(name, image, boxes=corners, box_classes=torch.ones(len(boxes)).long())


def person(belt: bool) -> Evidence:
    """A green head above a red body, in one box; with a belt of the head's colour or without."""
    parts = [(BODY, RED), (HEAD, GREEN), *([(BELT, GREEN)] if belt else [])]
    return boxed("person", picture(parts), (16.0, 8, 48, 60))


def queried(evidence: Evidence) -> Prediction:
    """Of an encoder that sees how far the colours of squares of 4 pixels are from grey."""
    grey = torch.tensor(GREY)[:, None, None]
    colours = (F.avg_pool2d(evidence.image.float(), 4) - grey).abs()
    return Prediction(torch.full((2, SIDE, SIDE), 0.5), intermediate=colours)


def album() -> list[Evidence]:
    """Objects of one class, some of them red and some green."""
    images = []
    for number in range(8):
        part = (20, 44, 12 + number, 44 + number)
        image = picture([(part, (RED, GREEN)[number % 2])], number, noise=4)
        images.append(boxed(f"photo{number}", image, (12.0 + number, 20, 44 + number, 44)))
    return images


def fitted_to(strategy: BoxesCRF | Mixed, images: Sequence[Evidence]) -> Tensor:
    """As a round does it."""
    return strategy.fit([strategy.describe(each, Context(queried(each))) for each in images])


def covered(target: Tensor, part: Part) -> float:
    return float((target[where(part)] == 1).float().mean())


def test_alone_it_is_the_plain_crf_and_wants_nothing() -> None:
    strategy, evidence = BoxesCRF(crf=CRF), person(belt=True)
    assert evidence.boxes is not None
    assert not fits_together(strategy)
    assert strategy.wants == Strategy.wants
    probs = box_unary(evidence.boxes, torch.tensor([1]), 2, SIDE, SIDE)
    plain = dense_crf(evidence.image, probs, CRF).max(0).indices
    assert torch.equal(strategy.estimate(evidence, Context()).long(), plain)


def test_together_wants_features_and_fits_once() -> None:
    strategy = BoxesCRF(together=True, long_side=64)
    assert fits_together(strategy)
    assert strategy.wants == Wants(intermediate=64)
    assert strategy.colours > 0
    assert BoxesCRF(together=True, colours=0.0).colours == 0


def test_a_part_with_the_colour_of_another_part_is_covered_by_colours() -> None:
    evidence = person(belt=True)
    before = BoxesCRF(crf=CRF).estimate(evidence, Context())
    after = BoxesCRF(crf=CRF, colours=0.3).estimate(evidence, Context())
    assert covered(before, HEAD) < 0.8
    assert covered(after, HEAD) > 0.95
    assert covered(after, BODY) > 0.95
    beside_the_head = (8, 26, 16, 22)
    assert covered(after, beside_the_head) < 0.05


def test_a_part_is_covered_if_other_images_show_its_colour() -> None:
    evidence = person(belt=False)
    strategy = BoxesCRF(crf=CRF, together=True, colours=0.0)
    context = Context(queried(evidence), fitted_to(strategy, album()))
    assert covered(strategy.estimate(evidence, Context()), HEAD) < 0.8
    assert covered(strategy.estimate(evidence, context), HEAD) > 0.95
    assert covered(strategy.estimate(evidence, context), (8, 26, 16, 22)) < 0.05


def test_nothing_lies_outside_of_the_boxes() -> None:
    """However sure colours and classifier are."""
    strategy = BoxesCRF(crf=CRF, together=True, colours=2.0, classifier=5.0)
    images = album()
    image = picture([((10, 50, 4, 60), RED)])
    evidence = boxed("half of it", image, (4.0, 10, 32, 50))
    target = strategy.estimate(evidence, Context(queried(evidence), fitted_to(strategy, images)))
    outside = fill_boxes(evidence.boxes, evidence.box_classes, SIDE, SIDE) == 0
    assert covered(target, (10, 50, 4, 32)) > 0.9
    assert not target[outside].any()
    nothing = boxed("nothing", image)
    context = Context(queried(nothing), fitted_to(strategy, [nothing, *images]))
    assert not strategy.estimate(nothing, context).any()


def test_an_image_without_features_is_named() -> None:
    strategy = BoxesCRF(together=True)
    with pytest.raises(ValueError, match=r"image person comes without `prediction\.intermediate`"):
        strategy.describe(person(belt=True), Context())


def test_masks_for_each_box_are_not_refined_together() -> None:
    assert not fits_together(BoxesInstances())
    assert BoxesInstances().wants == Wants(box_masks=True)


class TestMixed:
    def test_boxes_profit_from_masks_and_boxes_of_other_images(self) -> None:
        """The classifier is fitted to images with masks, too."""
        strategy = Mixed(crf=CRF, together=True)
        assert fits_together(strategy)
        assert not fits_together(Mixed())
        masked = []
        for each in album():
            assert each.boxes is not None
            mask = fill_boxes(each.boxes, each.box_classes, SIDE, SIDE)
            masked.append(Evidence(each.id, each.image, marks=mask))
        evidence = person(belt=False)
        context = Context(queried(evidence), fitted_to(strategy, masked))
        assert covered(Mixed(crf=CRF).estimate(evidence, Context()), HEAD) < 0.8
        assert covered(strategy.estimate(evidence, context), HEAD) > 0.95
        assert torch.equal(strategy.estimate(masked[0], context), masked[0].marks)

    def test_images_without_boxes_and_masks_change_nothing_that_is_fitted(self) -> None:
        strategy = Mixed(crf=CRF, together=True)
        tagged = Evidence("tagged", picture([]), tags=torch.tensor([True, True]))
        described = strategy.describe(tagged, Context(queried(tagged)))
        assert len(described["features"]) == 0
        assert (strategy.estimate(tagged, Context(queried(tagged))) == IGNORE).all()

    def test_filled_boxes_are_not_refined(self) -> None:
        with pytest.raises(ValueError, match="together=true refines boxes=crf, but boxes is rect"):
            Mixed(boxes="rect", together=True)


@pytest.mark.parametrize("kind", [BoxesCRF, Mixed])
def test_a_whole_training(tmp_path: Path, kind: type[BoxesCRF] | type[Mixed]) -> None:
    data = Squares()
    strategy = kind(crf=DenseCRF(bilateral_rgb=20.0), together=True, long_side=64)
    rounds = Rounds()
    segmenter = Segmenter(TinyNet(), strategy, data.classes)
    trainer(tmp_path, 1, callbacks=[rounds]).fit(segmenter, datamodule=data)
    assert rounds.figures["label/miou"] > 0.8
    assert rounds.fitted is not None
    assert rounds.fitted.shape == (3, 9)
