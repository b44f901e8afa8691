"""Labels, masks and soft targets that follow pieces of an image."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.regions.merge_target import merge_target
from weakseg.functional.regions.merging import Merging, merge_labels, merge_mask, merge_with_masks
from weakseg.functional.regions.region_graph import Superpixels

HALF = Merging(covered=0.5)
# each piece of a row of ten pixels
PIECES = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 2, 2, 2]])


def labels(*row: int) -> Tensor:
    return torch.tensor([row], dtype=torch.uint8)


def by_hand(found: Tensor, segments: Tensor, merging: Merging) -> Tensor:
    """The rule of SEPL with sets of pixels, the background among the classes; what no class takes
    stays."""
    pixels = {(y, x): int(found[y, x]) for y in range(len(found)) for x in range(found.shape[1])}
    merged = dict(pixels)
    pieces: dict[int, set[tuple[int, int]]] = {}
    for place in pixels:
        pieces.setdefault(int(segments[place]), set()).add(place)
    for label in sorted(set(pixels.values()) - {IGNORE}):
        own = {place for place, value in pixels.items() if value == label}
        for piece in pieces.values():
            common = len(piece & own)
            held = merging.held is not None and label > 0 and common >= merging.held * len(own)
            if common > merging.covered * len(piece) or (held and common):
                merged.update(dict.fromkeys(piece, label))
    return torch.tensor(
        [[merged[y, x] for x in range(found.shape[1])] for y in range(len(found))],
        dtype=torch.uint8,
    )


def test_a_piece_goes_to_the_label_of_more_than_half_of_it() -> None:
    before = labels(1, 1, 1, 0, 0, 2, 0, 1, 2, 0)
    assert torch.equal(merge_labels(before, PIECES, HALF), labels(1, 1, 1, 1, 0, 0, 0, 1, 2, 0))


def test_half_of_a_piece_is_not_enough() -> None:
    before = labels(1, 1, 0, 0, 0, 0, 0, 0, 0, 0)
    assert torch.equal(merge_labels(before, PIECES, HALF), before)


def test_ignored_pixels_count_to_the_size_of_a_piece() -> None:
    click = labels(1, 255, 255, 255, 2, 2, 255, 255, 255, 255)
    assert torch.equal(
        merge_labels(click, PIECES, HALF), labels(1, 255, 255, 255, 2, 2, 2, 255, 255, 255)
    )


def test_a_piece_that_holds_nearly_all_of_an_object_is_the_objects() -> None:
    before = labels(1, 0, 0, 0, 0, 0, 0, 2, 0, 2)
    merged = merge_labels(before, PIECES, Merging(covered=0.5, held=0.85))
    assert torch.equal(merged, labels(1, 1, 1, 1, 0, 0, 0, 2, 2, 2))


def test_background_is_no_object() -> None:
    before = labels(1, 1, 1, 1, 1, 1, 1, 0, 0, 1)
    merged = merge_labels(before, PIECES, Merging(covered=0.9, held=0.5))
    # all but the background's two pixels are class 1, of which no piece holds half
    assert torch.equal(merged, before)


@pytest.mark.parametrize("merging", [HALF, Merging(covered=0.7), Merging(covered=0.5, held=0.85)])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_rule(merging: Merging, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    found = torch.randint(0, 4, (9, 12), generator=random).to(torch.uint8)
    found[torch.rand(9, 12, generator=random) < 0.1] = IGNORE
    found[:, 6:] = found[:, 6:].minimum(torch.tensor(1))  # pieces that mostly have one label
    coarse = torch.arange(9)[:, None] // 3 * 4 + torch.arange(12) // 3
    assert torch.equal(merge_labels(found, coarse, merging), by_hand(found, coarse, merging))


def test_nothing_but_ignored_pixels_stays() -> None:
    nothing = torch.full((1, 10), IGNORE, dtype=torch.uint8)
    assert torch.equal(merge_labels(nothing, PIECES, HALF), nothing)


def test_a_mask_is_the_pieces_that_it_takes() -> None:
    mask = torch.tensor([[1, 1, 1, 0, 1, 0, 0, 0, 1, 1]]).bool()
    assert merge_mask(mask, PIECES, HALF).int().tolist() == [[1, 1, 1, 1, 0, 0, 0, 1, 1, 1]]


def test_a_mask_that_takes_no_piece_stays() -> None:
    mask = torch.tensor([[1, 0, 0, 0, 1, 0, 0, 0, 0, 0]]).bool()
    assert torch.equal(merge_mask(mask, PIECES, HALF), mask)


@pytest.mark.parametrize("wrong", [{"covered": 0.4}, {"covered": 1.0}, {"held": 0.0}])
def test_impossible_shares_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Merging(**wrong)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Quarters(Superpixels):
    """Four pieces, whatever the image shows."""

    def __call__(self, image: Tensor) -> Tensor:
        height, width = image.shape[1:]
        right = torch.arange(width) >= width // 2
        return (torch.arange(height) >= height // 2)[:, None] * 2 + right.long()


QUARTERS = Merging(Quarters(), covered=0.5)


def an_image(**fields: Tensor) -> Evidence:
    return Evidence("a", torch.zeros(3, 4, 4, dtype=torch.uint8), **fields)  # type: ignore[arg-type]


def three_quarters() -> Tensor:
    """Three pixels of class 1 in the first piece, all of the second, none of the others."""
    target = torch.zeros(4, 4, dtype=torch.uint8)
    target[:2] = 1
    target[1, 1] = 0
    return target


def test_marked_pixels_keep_what_they_are() -> None:
    marks = torch.full((4, 4), IGNORE, dtype=torch.uint8)
    assert merge_target(three_quarters(), an_image(marks=marks), QUARTERS)[1, 1] == 1
    marks[1, 1] = 0
    assert merge_target(three_quarters(), an_image(marks=marks), QUARTERS)[1, 1] == 0


def test_an_image_with_a_mask_keeps_its_target() -> None:
    target = three_quarters()
    assert merge_target(target, an_image(marks=target), QUARTERS) is target


def test_a_class_does_not_grow_out_of_its_boxes() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 1], [0, 0, 4, 4]])
    evidence = an_image(boxes=boxes, box_classes=torch.tensor([1, 2]))
    assert torch.equal(merge_target(three_quarters(), evidence, QUARTERS), three_quarters())
    wider = evidence._replace(box_classes=torch.tensor([2, 1]))
    assert merge_target(three_quarters(), wider, QUARTERS)[1, 1] == 1


def test_changed_pixels_of_a_soft_target_are_sure_with_the_weight_that_they_had() -> None:
    target = torch.zeros(3, 4, 4)
    target[0] = 0.2
    target[1, :2, :2] = 0.3
    target[:, 0, 0] = 0  # no weight
    target[:, 1, 1] = torch.tensor([0.5, 0.1, 0.1])
    target[1, 0, 1] = 0.4
    target[1, 1, 0] = 0.4
    target[:, 0, 0] = torch.tensor([0.0, 0.6, 0.1])
    found = merge_target(target, an_image(), QUARTERS)
    torch.testing.assert_close(found[:, 1, 1], torch.tensor([0.0, 0.7, 0.0]))
    rest = torch.ones(4, 4, dtype=torch.bool)
    rest[1, 1] = False
    assert torch.equal(found[:, rest], target[:, rest])


def test_a_pixel_without_weight_gets_none() -> None:
    target = torch.zeros(2, 4, 4)
    target[1, :2, :2] = 1
    target[:, 1, 1] = 0
    assert merge_target(target, an_image(), QUARTERS)[:, 1, 1].tolist() == [0, 0]


def test_masks_of_boxes_stay_in_their_boxes() -> None:
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0] = three_quarters() == 1
    masks[1, 2, 2:] = masks[1, 3, 2] = True
    boxes = torch.tensor([[0.0, 0, 4, 1], [2, 2, 4, 4]])
    evidence = an_image(boxes=boxes, box_classes=torch.tensor([1, 2]))
    found = merge_target(masks, evidence, QUARTERS)
    assert found[0].int().tolist() == [[1, 1, 1, 1], [0] * 4, [0] * 4, [0] * 4]
    assert found[1].int().tolist() == [[0] * 4, [0] * 4, [0, 0, 1, 1], [0, 0, 1, 1]]


# masks that overlap ------------------------------------------------------------------------------


def sepl_by_hand(found: Tensor, masks: Tensor, covered: float, held: float) -> Tensor:
    """The rule as the paper's code has it, with sets of pixels."""
    places = [(y, x) for y in range(found.shape[0]) for x in range(found.shape[1])]
    pieces = [{place for place in places if mask[place]} for mask in masks]
    anywhere = set().union(*pieces)
    merged = {
        place: int(found[place]) if int(found[place]) in (0, IGNORE) else 0 for place in places
    }
    used: set[int] = set()
    for label in range(1, 4):
        own = {place for place in places if found[place] == label}
        if not own:
            continue
        new = own - anywhere
        for number, piece in enumerate(pieces):
            common = len(piece & own)
            if number not in used and (common > covered * len(piece) or common / len(own) >= held):
                used.add(number)
                new |= piece
        merged.update(dict.fromkeys(new, label))
    rows = [[merged[y, x] for x in range(found.shape[1])] for y in range(found.shape[0])]
    return torch.tensor(rows, dtype=torch.uint8)


@pytest.mark.parametrize("seed", range(12))
def test_masks_that_overlap_by_the_rule(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    small = torch.randint(0, 5, (3, 4), generator=random)
    found = small.repeat_interleave(3, 0).repeat_interleave(3, 1).to(torch.uint8)
    found = found.where(found != 4, IGNORE)
    corners = torch.randint(0, 7, (6, 2), generator=random)
    masks = torch.zeros(6, 9, 12, dtype=torch.bool)
    for mask, (top, left) in zip(masks, corners.tolist(), strict=True):
        mask[top : top + 4, left : left + 5] = True
    for covered, held in ((0.5, 0.85), (0.3, 0.4), (0.9, 1.0)):
        merged = merge_with_masks(found, masks, covered, held)
        assert torch.equal(merged, sepl_by_hand(found, masks, covered, held))


def test_without_masks_labels_stay() -> None:
    found = labels(1, 0, 255, 2)
    assert torch.equal(merge_with_masks(found, torch.zeros(0, 1, 4, dtype=torch.bool)), found)
