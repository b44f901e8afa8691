"""The CRF that keeps what boxes say is there."""

import pytest
import torch

from weakseg.evidence import Evidence
from weakseg.functional.boxes import box_unary
from weakseg.functional.crf import DenseCRF, dense_crf
from weakseg.functional.lost_boxes import keep_boxes
from weakseg.strategies import BoxesCRF, BoxesInstances
from weakseg.strategies.base import Context

BOX = torch.tensor([[12.0, 10, 28, 30]])
ONE = torch.tensor([1])
CRF = DenseCRF(bilateral_xy=20)


def grey(seed=0):
    """A scan of 40 pixels in which an object is as bright as what is around it."""
    noise = torch.randint(90, 110, (40, 40), generator=torch.Generator().manual_seed(seed))
    return noise.to(torch.uint8).expand(3, 40, 40).contiguous()


def colourful():
    image = torch.full((3, 40, 40), 40, dtype=torch.uint8)
    image[0, 10:30, 12:28] = 220
    return image


def share(labels, box, label):
    x1, y1, x2, y2 = (int(edge) for edge in box)
    return (labels[y1:y2, x1:x2] == label).double().mean().item()


def test_an_object_that_colours_do_not_show_keeps_a_part_of_its_box():
    probs = box_unary(BOX, ONE, 2, 40, 40)
    lost = dense_crf(grey(), probs, CRF).argmax(0)
    assert share(lost, BOX[0], 1) < 0.1
    kept = keep_boxes(grey(), probs, BOX, ONE, 0.2, CRF)
    assert share(kept.argmax(0), BOX[0], 1) >= 0.2
    assert kept.sum(0).sub(1).abs().max() < 1e-5
    outside = kept.argmax(0)
    outside[10:30, 12:28] = 0
    assert not outside.any()


def test_where_nothing_is_lost_it_is_the_crf_bit_for_bit():
    probs = box_unary(BOX, ONE, 2, 40, 40)
    assert torch.equal(
        keep_boxes(colourful(), probs, BOX, ONE, 0.2, CRF), dense_crf(colourful(), probs, CRF)
    )


def test_one_lost_box_leaves_pixels_outside_of_it_to_their_own_boxes():
    boxes = torch.tensor([[2.0, 2, 14, 38], [20, 10, 36, 30]])
    classes = torch.tensor([1, 2])
    image = grey()
    image[1, 2:38, 2:14] = 250
    probs = box_unary(boxes, classes, 3, 40, 40)
    assert share(dense_crf(image, probs, CRF).argmax(0), boxes[1], 2) < 0.1
    kept = keep_boxes(image, probs, boxes, classes, 0.2, CRF).argmax(0)
    assert share(kept, boxes[0], 1) > 0.95
    assert share(kept, boxes[1], 2) >= 0.2


@pytest.mark.parametrize("boxes", [torch.zeros(0, 4), torch.tensor([[-9.0, -9, -3, -3]])])
def test_an_image_without_a_box_in_it_is_left_to_the_crf(boxes):
    classes = torch.ones(len(boxes), dtype=torch.int64)
    probs = torch.tensor([0.75, 0.25])[:, None, None].expand(2, 40, 40).contiguous()
    found = keep_boxes(grey(), probs, boxes, classes, 0.2, CRF)
    assert torch.equal(found, dense_crf(grey(), probs, CRF))


def test_it_ends_where_the_evidence_cannot_be_met():
    # two equal boxes of two classes cannot both have more than half
    boxes = BOX.repeat(2, 1)
    classes = torch.tensor([1, 2])
    probs = box_unary(boxes, classes, 3, 40, 40)
    found = keep_boxes(grey(), probs, boxes, classes, 0.6, CRF)
    assert found.isfinite().all()


@pytest.mark.parametrize("strategy", [BoxesCRF(crf=CRF), BoxesInstances(crf=CRF)])
def test_strategies_for_boxes_keep_what_colours_do_not_show(strategy):
    target = strategy.estimate(Evidence("a", grey(), boxes=BOX, box_classes=ONE), Context())
    found = target[0] if target.ndim == 3 else target
    assert 0.1 <= share(found.long(), BOX[0], 1) < 1
