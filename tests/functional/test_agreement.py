"""Agreement with weak labels: numbers by hand, and the definitions again, pixel by pixel and
without any tricks."""

from __future__ import annotations

from math import isnan, nan

import pytest
import torch
from torch import Tensor

from weakseg.functional.agreement import accuracy, count_extents, count_shown, f1, overlap
from weakseg.functional.boxes import pixel_boxes


def box(*corners: float) -> Tensor:
    return torch.tensor([corners], dtype=torch.float32)


ONE = torch.tensor([1])


def test_a_region_in_its_box_by_hand() -> None:
    labels = torch.zeros(10, 10, dtype=torch.uint8)
    labels[2:6, 3:5] = 1  # 4 rows, 2 columns
    counts = count_extents(labels, box(2, 2, 6, 6), ONE, 2)
    assert counts.tolist() == [[0, 8], [0, 8], [0, 16]]
    assert overlap(counts).tolist() == pytest.approx([nan, 0.5], nan_ok=True)


def test_a_region_that_leaves_its_box_is_boxed_in_as_a_whole() -> None:
    labels = torch.zeros(10, 10, dtype=torch.uint8)
    labels[4, 2:9] = 1
    counts = count_extents(labels, box(2, 4, 5, 6), ONE, 2)
    assert counts[:, 1].tolist() == [3, 7, 6]


def test_pieces_of_one_object_have_one_extent() -> None:
    """Something stands before it: what is seen of it is in two pieces."""
    labels = torch.zeros(8, 8, dtype=torch.uint8)
    labels[1:3, 1:7] = labels[5:7, 1:7] = 1
    assert overlap(count_extents(labels, box(1, 1, 7, 7), ONE, 2))[1] == 1


def test_objects_that_touch_are_told_apart_by_their_boxes() -> None:
    labels = torch.zeros(6, 12, dtype=torch.uint8)
    labels[1:5, 1:11] = 1
    boxes = torch.tensor([[1.0, 1, 6, 5], [6, 1, 11, 5]])
    assert count_extents(labels, boxes, torch.tensor([1, 1]), 2)[:, 1].tolist() == [40, 40, 40]


def test_what_lies_between_two_boxes_belongs_to_the_nearer_one() -> None:
    labels = torch.zeros(3, 12, dtype=torch.uint8)
    labels[1, 1:11] = 1
    boxes = torch.tensor([[0.0, 0, 3, 3], [8, 0, 12, 3]])
    # columns 1-5 and 6-10 of one row, of which 1-2 and 8-10 lie in the boxes
    assert count_extents(labels, boxes, torch.tensor([1, 1]), 2)[:, 1].tolist() == [5, 10, 21]


def test_a_region_without_a_box_counts_against_the_prediction() -> None:
    labels = torch.zeros(10, 10, dtype=torch.uint8)
    labels[0:2, 0:2] = labels[5:9, 5:9] = 1
    assert count_extents(labels, box(5, 5, 9, 9), ONE, 2)[:, 1].tolist() == [16, 20, 16]
    nothing = count_extents(labels, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 2)
    assert nothing[:, 1].tolist() == [0, 20, 0]


def test_a_box_of_another_class_is_no_box() -> None:
    labels = torch.ones(4, 4, dtype=torch.uint8)
    counts = count_extents(labels, box(0, 0, 4, 4), torch.tensor([2]), 3)
    assert counts.tolist() == [[0, 0, 0], [0, 16, 0], [0, 0, 16]]


def test_nothing_but_background_is_right_without_boxes() -> None:
    counts = count_extents(
        torch.zeros(4, 4, dtype=torch.uint8),
        torch.zeros(0, 4),
        torch.zeros(0, dtype=torch.int64),
        3,
    )
    assert not counts.any()
    assert overlap(counts).isnan().all()


Pixel = tuple[int, int]


def pixels_in(rectangle: list[int]) -> set[Pixel]:
    x1, y1, x2, y2 = rectangle
    return {(row, column) for row in range(y1, y2) for column in range(x1, x2)}


def regions(pixels: set[Pixel]) -> list[set[Pixel]]:
    """The pixels in groups that touch, across corners too."""
    left, found = set(pixels), []
    while left:
        todo, region = [left.pop()], set[Pixel]()
        while todo:
            row, column = todo.pop()
            region.add((row, column))
            near = {
                (row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)
            } & left
            left -= near
            todo += near
        found.append(region)
    return found


def squared(one: Pixel, other: Pixel) -> int:
    return (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2


def extents_slowly(
    region: set[Pixel], boxes: dict[int, set[Pixel]], areas: list[float]
) -> dict[int, list[Pixel]]:
    """The pixels of a region by the box that they go to; by -1 where it reaches into none."""
    inside: dict[Pixel, int] = {}
    for pixel in region:
        holders = [place for place, own in boxes.items() if pixel in own]
        if holders:
            inside[pixel] = min(holders, key=lambda place: (areas[place], -place))
    reached, groups = set(inside.values()), dict[int, list[Pixel]]()
    for pixel in region:
        far = {place: min(squared(pixel, other) for other in boxes[place]) for place in reached}
        nearest = min(far, key=lambda place: (far[place], -areas[place], place), default=-1)
        groups.setdefault(inside.get(pixel, nearest), []).append(pixel)
    return groups


def slowly(labels: Tensor, boxes: Tensor, box_classes: Tensor, classes: int) -> Tensor:
    """The definition of `count_extents` again, one pixel after the other."""
    height, width = labels.shape
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in boxes.tolist()]
    counts = torch.zeros(3, classes, dtype=torch.int64)
    for label in range(1, classes):
        rectangles = pixel_boxes(boxes, height, width).tolist()
        own = {
            place: pixels_in(rectangles[place])
            for place in range(len(boxes))
            if int(box_classes[place]) == label
        }
        shown = {
            (row, column)
            for row in range(height)
            for column in range(width)
            if int(labels[row, column]) == label
        }
        of_boxes, filled = dict[int, list[Pixel]](), set[Pixel]()
        for region in regions(shown):
            for place, pixels in extents_slowly(region, own, areas).items():
                if place >= 0:
                    of_boxes.setdefault(place, []).extend(pixels)
                else:
                    filled |= rectangle_around(pixels)
        filled = filled.union(*(rectangle_around(pixels) for pixels in of_boxes.values()))
        boxed = set[Pixel]().union(*own.values())
        counts[:, label] = torch.tensor([len(filled & boxed), len(filled), len(boxed)])
    return counts


def rectangle_around(pixels: list[Pixel]) -> set[Pixel]:
    rows, columns = zip(*pixels, strict=True)
    return pixels_in([min(columns), min(rows), max(columns) + 1, max(rows) + 1])


@pytest.mark.parametrize("seed", range(30))
def test_extents_against_their_definition(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    height, width = torch.randint(3, 14, (2,), generator=random).tolist()
    noise = torch.rand(height, width, generator=random)
    labels = torch.where(noise < 0.15 + 0.02 * seed, 1 + (noise * 1000).int() % 2, 0).to(
        torch.uint8
    )
    corners = torch.rand(seed % 4, 2, 2, generator=random).sort(1).values * torch.tensor(
        [width, height]
    )
    boxes = torch.cat([corners[:, 0], corners[:, 1] + 0.1], 1)
    box_classes = torch.randint(1, 3, (len(boxes),), generator=random)
    assert torch.equal(
        count_extents(labels, boxes, box_classes, 3), slowly(labels, boxes, box_classes, 3)
    )


def test_the_order_of_boxes_and_the_dtype_of_labels_change_nothing() -> None:
    labels = torch.randint(0, 3, (20, 30))
    boxes = torch.tensor([[1.0, 1, 9, 9], [5, 5, 20, 18], [12, 2, 29, 12]])
    box_classes = torch.tensor([1, 1, 2])
    counts = count_extents(labels, boxes, box_classes, 3)
    assert torch.equal(
        counts, count_extents(labels.to(torch.uint8), boxes.flip(0), box_classes.flip(0), 3)
    )


def test_a_class_is_shown_from_a_thousandth_of_the_pixels_on() -> None:
    tags = torch.tensor([True, True, False, True])
    labels = torch.zeros(100, 100, dtype=torch.uint8)
    labels[0, :10] = 1
    labels[1, :9] = 2
    assert count_shown(labels, tags).tolist() == [[0, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 1]]
    # of so small an image one pixel is enough
    assert count_shown(torch.tensor([[3]]), tags)[1].tolist() == [0, 0, 0, 1]


def test_f1_by_hand() -> None:
    counts = torch.tensor([[0, 3, 0, 0], [0, 4, 2, 0], [0, 5, 0, 0]])
    assert f1(counts).tolist() == pytest.approx([nan, 6 / 9, 0, nan], nan_ok=True)


def test_f1_against_precision_and_recall() -> None:
    both, more, less = 7, 3, 5
    precision, recall = both / (both + more), both / (both + less)
    assert float(f1(torch.tensor([[both], [both + more], [both + less]]))) == pytest.approx(
        2 * precision * recall / (precision + recall)
    )


def test_accuracy_by_hand() -> None:
    found = accuracy(torch.tensor([[3, 1, 0], [0, 0, 0], [1, 1, 2]])).tolist()
    assert found[0] == 0.75
    assert isnan(found[1])
    assert found[2] == 0.5
