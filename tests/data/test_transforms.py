"""Joint augmentation: image, target, marks and boxes stay together."""

import pytest
import torch
from torch import Tensor

from weakseg.data.loader import keyed_generator
from weakseg.data.transforms import Augmentation, Item, collate, one_hot
from weakseg.evidence import IGNORE, Evidence


def scene(height: int = 40, width: int = 60) -> tuple[Evidence, Tensor]:
    """A bright rectangle of class 2 that image, target, marks and box all agree on."""
    labels = torch.zeros(height, width, dtype=torch.uint8)
    labels[10:25, 20:50] = 2
    image = (labels.float() * 100).to(torch.uint8).repeat(3, 1, 1)
    boxes = torch.tensor([[20.0, 10.0, 50.0, 25.0]])
    return Evidence(
        "scene", image, boxes=boxes, box_classes=torch.tensor([2]), marks=labels.clone()
    ), labels


def draw(seed: int, augmentation: Augmentation, **changes: object) -> tuple[Evidence, Tensor]:
    evidence, target = scene()
    evidence, out, _ = augmentation(evidence._replace(**changes), target, keyed_generator(seed))
    assert out is not None
    return evidence, out


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(),
        Augmentation(crop=32),
        Augmentation(scale=(0.5, 2.0)),
        Augmentation(70, (0.5, 1.5)),
    ],
)
def test_everything_moves_together(augmentation: Augmentation, seed: int) -> None:
    evidence, target = draw(seed, augmentation)
    assert evidence.marks is not None
    assert evidence.boxes is not None
    assert torch.equal(evidence.marks, target)
    inside = (evidence.image[0] > 100) & (target != IGNORE)
    assert ((target == 2) == inside).float().mean() > 0.95  # resampling may move an edge by a pixel
    rows, columns = torch.nonzero(target == 2, as_tuple=True)
    if len(evidence.boxes):
        x1, y1, x2, y2 = evidence.boxes[0].tolist()
        found = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
        assert found == pytest.approx([x1, y1, x2, y2], abs=1)


@pytest.mark.parametrize("seed", range(6))
def test_what_a_person_has_drawn_moves_with_the_image(seed: int) -> None:
    _, target = scene()
    strokes = target.where(target == 2, IGNORE)
    painted = target.where(target == 0, IGNORE)
    moved, labels = draw(seed, Augmentation(70, (0.5, 1.5)), strokes=strokes, painted=painted)
    assert moved.strokes is not None
    assert moved.painted is not None
    assert torch.equal(moved.strokes, labels.where(labels == 2, IGNORE))
    assert torch.equal(moved.painted, labels.where(labels == 0, IGNORE))


def test_a_batch_has_what_was_drawn_with_paint_over_strokes() -> None:
    evidence, target = scene()
    strokes = torch.full_like(target, IGNORE)
    painted = strokes.clone()
    strokes[0, :3] = 1
    painted[0, 2:4] = 2
    plain = Item(evidence, target)
    drawn = Item(evidence._replace(strokes=strokes, painted=painted), target)
    small = Item(Evidence("small", torch.zeros(3, 5, 5, dtype=torch.uint8)), target[:5, :5])
    batch = collate([plain, drawn, small], 3)
    assert batch.drawn is not None
    assert batch.drawn.dtype == torch.int64
    assert batch.drawn[1, 0, :5].tolist() == [1, 1, 2, 2, IGNORE]
    assert (batch.drawn != IGNORE).sum() == 4
    assert collate([plain, small], 3).drawn is None
    nothing = collate([plain, small], 3, corrected=True).drawn
    assert nothing is not None
    assert nothing.shape == (2, 40, 60)
    assert bool((nothing == IGNORE).all())


def test_crop_has_the_size_asked_for_and_padding_has_no_opinion() -> None:
    evidence, target = draw(0, Augmentation(crop=64, flip=False))
    assert evidence.image.shape == (3, 64, 64)
    assert (target[40:] == IGNORE).all()
    assert (target[:, 60:] == IGNORE).all()
    assert (target != IGNORE).sum() == 40 * 60


def test_boxes_hardly_visible_are_dropped() -> None:
    evidence, target = scene()
    seen = 0
    for seed in range(200):
        cropped, labels, _ = Augmentation(crop=20, flip=False)(
            evidence, target, keyed_generator(seed)
        )
        assert labels is not None
        assert cropped.boxes is not None
        assert cropped.box_classes is not None
        share = float((labels == 2).sum()) / (15 * 30)
        assert len(cropped.boxes) == len(cropped.box_classes) == (share > 0.1)
        seen += len(cropped.boxes)
    assert 0 < seen < 200


def test_flip_twice_is_nothing() -> None:
    evidence, target = scene()
    flip = Augmentation(flip=True)
    seed = next(seed for seed in range(100) if not torch.equal(draw(seed, flip)[1], target))
    flipped, once = draw(seed, flip)
    again, twice, _ = flip(flipped, once, keyed_generator(seed))
    assert twice is not None
    assert torch.equal(twice, target)
    assert torch.equal(again.image, evidence.image)
    assert again.boxes is not None
    assert evidence.boxes is not None
    assert torch.equal(again.boxes, evidence.boxes)


def test_soft_targets_keep_their_sum() -> None:
    evidence, target = scene()
    scaled, soft, _ = Augmentation(scale=(0.7, 0.7), flip=False)(
        evidence, one_hot(target, 3), keyed_generator(3)
    )
    assert soft is not None
    assert soft.shape == (3, *scaled.image.shape[1:])
    assert torch.allclose(soft.sum(0), torch.ones(()), atol=1e-5)


def test_same_key_same_draw_and_global_randomness_untouched() -> None:
    state = torch.get_rng_state()
    augmentation = Augmentation(crop=30, scale=(0.5, 2.0))
    first, second, other = draw(5, augmentation), draw(5, augmentation), draw(6, augmentation)
    assert torch.equal(first[0].image, second[0].image)
    assert not torch.equal(first[0].image, other[0].image)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "wrong", [{"crop": 0}, {"scale": (0.0, 1.0)}, {"scale": (2.0, 1.0)}, {"colour": 1.0}]
)
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="should be"):
        Augmentation(**wrong)


def test_colours_change_in_the_image_alone_and_by_the_key() -> None:
    evidence, target = scene()
    plain = Augmentation(crop=20, scale=(0.5, 2))(evidence, target, keyed_generator(3))
    first, again, other = (
        Augmentation(crop=20, scale=(0.5, 2), colour=0.4)(evidence, target, keyed_generator(key))
        for key in (3, 3, 4)
    )
    assert torch.equal(first.evidence.image, again.evidence.image)
    assert not torch.equal(first.evidence.image, plain.evidence.image)
    assert not torch.equal(first.evidence.image, other.evidence.image)
    assert first.target is not None
    assert torch.equal(first.target, plain.target)
    assert torch.equal(first.evidence.marks, plain.evidence.marks)
    # brightness is all that can change in it
    grey = Evidence("grey", torch.full((3, 4, 4), 100, dtype=torch.uint8))
    seen = [
        int(
            Augmentation(colour=0.2, flip=False)(grey, None, keyed_generator(key)).evidence.image[
                0, 0, 0
            ]
        )
        for key in range(200)
    ]
    assert 77 <= min(seen) < 83 < 117 < max(seen) <= 120  # each of the three steps rounds down


def test_collate_pads_and_mixes_kinds() -> None:
    evidence, target = scene()
    bare = Evidence(
        "bare",
        torch.full((3, 10, 80), 7, dtype=torch.uint8),
        tags=torch.tensor([True, False, True]),
    )
    batch = collate(
        [
            Item(evidence, target),
            Item(bare, one_hot(torch.full((10, 80), 1, dtype=torch.uint8), 3)),
        ],
        classes=3,
    )
    assert batch.ids == ["scene", "bare"]
    assert batch.image.shape == (2, 3, 40, 80)
    assert batch.target is not None
    assert batch.target.shape == (2, 3, 40, 80)
    # a hard target beside a soft one is fully trusted, its padding is not
    assert batch.target[0].sum() == 40 * 60
    assert batch.target[1].sum() == 10 * 80
    assert batch.tags is not None
    assert batch.tags.tolist() == [[False] * 3, [True, False, True]]
    assert batch.boxes is not None
    assert [len(boxes) for boxes in batch.boxes] == [1, 0]
    assert batch.marks is not None
    assert (batch.marks[1] == IGNORE).all()
    assert batch.large is None


def test_one_hot_leaves_out_what_has_no_opinion() -> None:
    assert one_hot(torch.tensor([[0, 2, 255]], dtype=torch.uint8), 3).tolist() == [
        [[1, 0, 0]],
        [[0, 0, 0]],
        [[0, 1, 0]],
    ]


@pytest.mark.parametrize("seed", range(6))
def test_masks_of_boxes_go_where_their_pixels_go(seed: int) -> None:
    image = torch.zeros(3, 60, 80, dtype=torch.uint8)
    # the first object is red, the second green
    image[0, 10:50, 20:60], image[1, 5:20, 50:75] = 255, 255
    boxes = torch.tensor([[20.0, 10, 60, 50], [50, 5, 75, 20]])
    given = Evidence(
        "a", image, boxes=boxes, box_classes=torch.tensor([1, 2]), box_masks=image[:2] == 255
    )
    item = Augmentation(crop=50, scale=(0.5, 1.5))(given, None, torch.Generator().manual_seed(seed))
    evidence = item.evidence
    assert evidence.boxes is not None
    assert evidence.box_classes is not None
    assert evidence.box_masks is not None
    assert len(evidence.box_masks) == len(evidence.boxes) > 0
    for mask, label in zip(evidence.box_masks, evidence.box_classes.tolist(), strict=True):
        assert mask.any()
        # but for edges that scaling softens
        assert (mask != (evidence.image[label - 1] > 127)).float().mean() < 0.03


def test_a_box_whose_object_is_cut_off_goes_with_it() -> None:
    masks = torch.zeros(1, 4, 8, dtype=torch.bool)
    masks[0, :, 6:] = True
    box = torch.tensor([[0.0, 0, 8, 4]])
    given = Evidence(
        "a",
        torch.zeros(3, 4, 8, dtype=torch.uint8),
        boxes=box,
        box_classes=torch.tensor([1]),
        box_masks=masks,
    )
    seen = {len(crops(given, seed)) for seed in range(20)}
    assert seen == {0, 1}


def crops(given: Evidence, seed: int) -> Tensor:
    item = Augmentation(crop=4)(given, None, torch.Generator().manual_seed(seed))
    assert item.evidence.boxes is not None
    assert item.evidence.box_masks is not None
    assert len(item.evidence.box_masks) == len(item.evidence.boxes)
    return item.evidence.boxes


def test_a_box_whose_object_is_too_small_to_stay_goes_with_it() -> None:
    masks = torch.zeros(2, 10, 10, dtype=torch.bool)
    masks[0, 2, 2], masks[1, 2:9, 2:9] = True, True  # rows and columns 1, 3, 6 and 8 are looked at
    boxes = torch.tensor([[2.0, 2, 3, 3], [2, 2, 9, 9]])
    given = Evidence(
        "a",
        torch.zeros(3, 10, 10, dtype=torch.uint8),
        boxes=boxes,
        box_classes=torch.tensor([1, 2]),
        box_masks=masks,
    )
    evidence, _, _ = Augmentation(scale=(0.4, 0.4), flip=False)(given, None, keyed_generator(0))
    assert evidence.box_classes is not None
    assert evidence.box_masks is not None
    assert evidence.box_classes.tolist() == [2]
    assert evidence.box_masks.shape == (1, 4, 4)
    assert evidence.box_masks.any()


def test_batches_have_masks_if_every_box_has_one() -> None:
    def item(boxes: int, masks: bool) -> Item:
        fields = {
            "boxes": torch.ones(boxes, 4),
            "box_classes": torch.ones(boxes, dtype=torch.int64),
        }
        drawn = torch.ones(boxes, 3, 4, dtype=torch.bool) if masks else None
        return Item(
            Evidence("a", torch.zeros(3, 3, 4, dtype=torch.uint8), box_masks=drawn, **fields), None
        )

    both = collate([item(2, True), item(0, False)], 2)
    assert both.box_masks is not None
    assert [list(masks.shape) for masks in both.box_masks] == [[2, 3, 4], [0, 3, 4]]
    assert collate([item(2, True), item(1, False)], 2).box_masks is None
    assert collate([item(1, False)], 2).box_masks is None
