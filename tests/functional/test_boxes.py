from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from weakseg.functional.boxes import box_core, box_unary, fill_boxes, largest_first, pixel_boxes


def boxes(*rows: tuple[float, float, float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def classes(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


def mask(rectangle: list[int], height: int, width: int) -> np.ndarray:
    x1, y1, x2, y2 = rectangle
    result = np.zeros((height, width), dtype=bool)
    result[y1:y2, x1:x2] = True
    return result


def core_by_erosion(rectangle: list[int], height: int, width: int, share: float) -> np.ndarray:
    """The source's loop on masks, with the erosion of a foreign library."""
    box = mask(rectangle, height, width)
    rows, columns = rectangle[3] - rectangle[1], rectangle[2] - rectangle[0]
    if rows * columns < 121 or min(rows, columns) < 10:
        return box
    box[[0, -1], :] = box[:, [0, -1]] = False
    square = np.ones((3, 3), dtype=bool)
    core = ndimage.binary_erosion(box, square)
    while core.sum() / box.sum() >= share + 0.05:
        core = ndimage.binary_erosion(core, square)
    return core


class TestPixelBoxes:
    def test_whole_edges_are_the_pixels_between_them(self) -> None:
        assert pixel_boxes(boxes((1, 2, 4, 3)), 5, 6).tolist() == [[1, 2, 4, 3]]

    def test_a_pixel_belongs_to_the_box_that_holds_its_centre(self) -> None:
        # .5 is a centre: in on the left, out on the right
        assert pixel_boxes(boxes((0.5, 0.51, 2.5, 2.51)), 9, 9).tolist() == [[0, 1, 2, 3]]

    def test_every_centre_by_brute_force(self) -> None:
        corners = torch.rand(200, 4) * 14 - 2
        drawn = torch.cat(
            [
                torch.minimum(corners[:, :2], corners[:, 2:]),
                torch.maximum(corners[:, :2], corners[:, 2:]) + 1,
            ],
            1,
        )
        for box, pixels in zip(drawn.tolist(), pixel_boxes(drawn, 9, 10).tolist(), strict=True):
            x1, y1, x2, y2 = box
            inside = [
                (i, j)
                for i in range(9)
                for j in range(10)
                if x1 <= j + 0.5 < x2 and y1 <= i + 0.5 < y2
            ]
            owned = list(zip(*mask(pixels, 9, 10).nonzero(), strict=True))
            assert owned == inside or (
                not inside and len(owned) in (0, pixels[2] - pixels[0], pixels[3] - pixels[1])
            )

    def test_neighbouring_boxes_share_no_pixel_and_leave_none_out(self) -> None:
        pixels = pixel_boxes(boxes((0, 0, 3.7, 4), (3.7, 0, 8, 4)), 4, 8)
        assert pixels.tolist() == [[0, 0, 4, 4], [4, 0, 8, 4]]

    @pytest.mark.parametrize(
        ("box", "expected"),
        [
            ((2.6, 1.0, 2.9, 4.0), [2, 1, 3, 4]),  # between two centres
            ((2.6, 3.1, 2.7, 3.2), [2, 3, 3, 4]),
            ((-5.0, -5.0, 0.3, 0.3), [0, 0, 1, 1]),  # a sliver at the corner
            ((5.9, 0.0, 9.0, 4.0), [5, 0, 6, 4]),
        ],
    )
    def test_a_box_without_a_centre_owns_the_pixel_at_its_middle(
        self, box: tuple[float, float, float, float], expected: list[int]
    ) -> None:
        assert pixel_boxes(boxes(box), 4, 6).tolist() == [expected]

    @pytest.mark.parametrize(
        "box",
        [(-3.0, 0.0, 0.0, 4.0), (6.0, 0.0, 7.0, 4.0), (0.0, 4.0, 6.0, 9.0), (2.6, -3.0, 2.7, -1.0)],
    )
    def test_a_box_outside_of_the_image_owns_nothing(
        self, box: tuple[float, float, float, float]
    ) -> None:
        assert pixel_boxes(boxes(box), 4, 6).tolist() == [[0, 0, 0, 0]]

    def test_a_box_that_sticks_out_owns_what_is_visible(self) -> None:
        assert pixel_boxes(boxes((-9, -9, 99, 2)), 4, 6).tolist() == [[0, 0, 6, 2]]

    def test_no_boxes(self) -> None:
        assert pixel_boxes(boxes(), 4, 6).shape == (0, 4)

    def test_wrong_shape(self) -> None:
        with pytest.raises(ValueError, match=r"boxes should be float \[N,4\], but it is \[4\]"):
            pixel_boxes(torch.zeros(4), 4, 6)


class TestFillBoxes:
    def test_the_smallest_is_on_top_whatever_the_order(self) -> None:
        drawn, labels = boxes((0, 0, 4, 3), (1, 1, 3, 2)), classes(5, 7)
        expected = [[5, 5, 5, 5, 0], [5, 7, 7, 5, 0], [5, 5, 5, 5, 0]]
        assert fill_boxes(drawn, labels, 3, 5).tolist() == expected
        assert fill_boxes(drawn.flip(0), labels.flip(0), 3, 5).tolist() == expected

    def test_of_two_equal_boxes_the_later_is_on_top(self) -> None:
        drawn = boxes((0, 0, 2, 1), (1, 0, 3, 1))
        assert fill_boxes(drawn, classes(1, 2), 1, 3).tolist() == [[1, 2, 2]]
        assert fill_boxes(drawn.flip(0), classes(2, 1), 1, 3).tolist() == [[1, 1, 2]]

    def test_size_counts_outside_of_the_image_too(self) -> None:
        # the first box shows one column only, but it is the larger one
        assert fill_boxes(boxes((-50, 0, 1, 1), (0, 0, 3, 1)), classes(1, 2), 1, 3).tolist() == [
            [2, 2, 2]
        ]

    def test_no_boxes_is_all_background(self) -> None:
        filled = fill_boxes(boxes(), classes(), 2, 3)
        assert filled.dtype == torch.uint8
        assert filled.tolist() == [[0, 0, 0], [0, 0, 0]]

    def test_classes_must_go_with_the_boxes(self) -> None:
        with pytest.raises(
            ValueError,
            match=r"box_classes should be int64 \[1\], one class per box, but it is \[2\]",
        ):
            fill_boxes(boxes((0, 0, 1, 1)), classes(1, 2), 2, 3)


def test_largest_first_keeps_the_order_of_equal_ones() -> None:
    drawn = boxes((0, 0, 1, 2), (0, 0, 2, 1), (0, 0, 3, 1), (5, 5, 7, 6))
    assert largest_first(drawn, classes(1, 1, 1, 1)).tolist() == [2, 0, 1, 3]


class TestBoxCore:
    @pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
    def test_equals_erosion_of_masks(self, share: float) -> None:
        """Anywhere in the image, touching its border or filling it, against the loop of the
        source."""
        generator = np.random.default_rng(0)
        for _ in range(60):
            height, width = generator.integers(12, 60, 2)
            y1, x1 = generator.integers(0, (height - 10, width - 10))
            y2, x2 = generator.integers((y1 + 8, x1 + 8), (height + 1, width + 1))
            box = [int(x1), int(y1), int(x2), int(y2)]
            expected = core_by_erosion(box, height, width, share)
            (core,) = box_core(boxes(tuple(box)), height, width, share).tolist()
            if expected.any():  # the source fails where nothing is left
                np.testing.assert_array_equal(mask(core, height, width), expected)
            assert core[0] < core[2]
            assert core[1] < core[3]

    @pytest.mark.parametrize(
        "box",
        [(0, 0, 40, 30), (0, 0, 20, 30), (0, 8, 40, 18), (25, 15, 40, 30), (0, 29 - 10, 12, 30)],
    )
    def test_equals_erosion_of_masks_at_the_border(self, box: tuple[int, int, int, int]) -> None:
        (core,) = box_core(boxes(box), 30, 40).tolist()
        np.testing.assert_array_equal(mask(core, 30, 40), core_by_erosion(list(box), 30, 40, 0.2))

    def test_ends_just_under_a_quarter_of_the_area(self) -> None:
        (core,) = box_core(boxes((10, 10, 50, 50)), 60, 60).tolist()
        # 18 / 40 squared is .2025; 20 / 40 squared is .25, which is not under it
        assert core == [21, 21, 39, 39]

    @pytest.mark.parametrize(
        ("width", "height", "eroded"),
        [
            (10, 12, False),
            (10, 13, True),
            (11, 11, True),
            (9, 200, False),
            (200, 9, False),
            (10, 200, True),
        ],
    )
    def test_small_boxes_are_all_core(self, width: int, height: int, eroded: bool) -> None:
        (core,) = box_core(boxes((5, 5, 5 + width, 5 + height)), 300, 300).tolist()
        assert (core != [5, 5, 5 + width, 5 + height]) == eroded

    def test_share_one_is_the_box(self) -> None:
        assert box_core(boxes((0, 0, 30, 30)), 30, 30, share=1).tolist() == [[0, 0, 30, 30]]

    def test_a_tiny_share_leaves_something(self) -> None:
        # 8 rows less 2 and 2 are 4 and 2, then none; the source would fail
        (core,) = box_core(boxes((5, 5, 205, 15)), 20, 210, share=0.001, margin=0.0).tolist()
        assert core == [9, 9, 201, 11]

    @pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
    def test_impossible_share(self, share: float) -> None:
        with pytest.raises(ValueError, match="share should be more than 0 and at most 1"):
            box_core(boxes((0, 0, 30, 30)), 30, 30, share=share)

    def test_no_boxes(self) -> None:
        assert box_core(boxes(), 30, 30).shape == (0, 4)


class TestCodeUnary:
    """Golden values of the released code."""

    def test_cores_of_boxes_apart_from_each_other(self) -> None:
        # by size: second, third, first
        drawn = boxes((60, 5, 80, 25), (0, 0, 40, 40), (5, 60, 35, 90))
        probs = box_unary(drawn, classes(1, 2, 3), 4, 100, 100)
        assert probs[[2, 0], 20, 20].tolist() == pytest.approx([0.7727, 0.2273], abs=5e-5)  # k = 1
        assert probs[[3, 0], 75, 20].tolist() == pytest.approx([0.7917, 0.2083], abs=5e-5)  # k = 2
        assert probs[[1, 0], 15, 70].tolist() == pytest.approx([0.8077, 0.1923], abs=5e-5)  # k = 3

    def test_crossing_cores(self) -> None:
        drawn = boxes((0, 30, 100, 70), (30, 0, 70, 99))
        probs = box_unary(drawn, classes(1, 2), 3, 100, 100)
        assert probs[:, 50, 50].tolist() == pytest.approx([0.1220, 0.4146, 0.4634], abs=5e-5)

    def test_around_the_core_both_are_alike(self) -> None:
        probs = box_unary(boxes((0, 0, 40, 40)), classes(1), 3, 50, 50)
        assert probs[:2, 2, 2].tolist() == pytest.approx([0.5, 0.5])
        assert probs[2, 2, 2] == pytest.approx(1e-12)

    def test_around_the_core_three_are_alike_where_boxes_overlap(self) -> None:
        probs = box_unary(boxes((0, 0, 40, 40), (0, 0, 40, 39)), classes(1, 2), 3, 50, 50)
        assert probs[:, 2, 2].tolist() == pytest.approx([1 / 3] * 3)

    def test_two_boxes_of_one_class_are_averaged(self) -> None:
        probs = box_unary(boxes((0, 30, 100, 70), (30, 0, 70, 99)), classes(1, 1), 2, 100, 100)
        fg, bg = (0.75 + 0.1 + 0.75 + 0.2) / 2, 0.25
        assert probs[:, 50, 50].tolist() == pytest.approx([bg / (fg + bg), fg / (fg + bg)])

    def test_outside_is_hard_background(self) -> None:
        probs = box_unary(boxes((0, 0, 40, 40)), classes(1), 3, 50, 50)
        assert probs[0, 45, 45] == 1
        assert (-probs[1:, 45, 45].log()).tolist() == pytest.approx([27.631, 27.631], abs=1e-3)

    def test_a_box_outside_of_the_image_does_not_count(self) -> None:
        alone = box_unary(boxes((0, 0, 40, 40)), classes(1), 3, 50, 50)
        both = box_unary(boxes((0, 0, 40, 40), (100, 100, 900, 900)), classes(1, 2), 3, 50, 50)
        assert torch.equal(alone, both)


class TestPaperUnary:
    def test_core_is_sure_and_the_rest_of_the_box_is_free(self) -> None:
        probs = box_unary(boxes((0, 0, 40, 40)), classes(2), 3, 50, 50, "wssl_paper")
        assert probs[:, 20, 20].tolist() == pytest.approx([1e-12, 1e-12, 1])
        assert probs[:, 2, 2].tolist() == pytest.approx([0.5, 1e-12, 0.5])
        assert probs[:, 45, 45].tolist() == pytest.approx([1, 1e-12, 1e-12])

    def test_the_core_is_under_the_share_itself(self) -> None:
        probs = box_unary(boxes((10, 10, 50, 50)), classes(1), 2, 60, 60, "wssl_paper", share=0.2)
        assert (probs[1] > 0.9).sum() == 16 * 16  # 16 / 40 squared is .16; 18 / 40 squared is .2025

    def test_the_smallest_core_wins_and_free_pixels_may_be_any_box_there(self) -> None:
        probs = box_unary(
            boxes((30, 0, 70, 99), (0, 30, 100, 70)), classes(1, 2), 3, 100, 100, "wssl_paper"
        )
        assert probs[:, 50, 50].tolist() == pytest.approx([1e-12, 1, 1e-12])
        assert probs[:, 35, 35].tolist() == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("unary", ["wssl_code", "wssl_paper"])
class TestEitherUnary:
    def test_probabilities(self, unary: str) -> None:
        corners = torch.rand(6, 2) * 20
        drawn = torch.cat([corners, corners + 3 + torch.rand(6, 2) * 30], 1)
        probs = box_unary(drawn, torch.randint(1, 4, (6,)), 4, 33, 44, unary)
        assert probs.shape == (4, 33, 44)
        assert probs.dtype == torch.float32
        assert (probs > 0).all()
        torch.testing.assert_close(probs.sum(0), torch.ones(33, 44))

    def test_no_boxes_is_all_background(self, unary: str) -> None:
        probs = box_unary(boxes(), classes(), 2, 3, 4, unary)  # type: ignore[arg-type]
        assert (probs[0] == 1).all()

    def test_background_cannot_be_boxed(self, unary: str) -> None:
        with pytest.raises(
            ValueError, match=r"box_classes should lie from 1 to 2, but it has \[0, 1\]"
        ):
            box_unary(boxes((0, 0, 1, 1), (0, 0, 1, 1)), classes(0, 1), 3, 3, 4, unary)


def test_unknown_unary() -> None:
    with pytest.raises(
        ValueError, match="unary should be wssl_code or wssl_paper, but it is 'code'"
    ):
        box_unary(boxes(), classes(), 2, 3, 4, "code")  # type: ignore[arg-type]
