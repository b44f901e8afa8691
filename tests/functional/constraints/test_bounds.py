from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest
import torch
from torch import Tensor

from weakseg.functional.constraints.bounds import (
    Constraints,
    SizeSource,
    box_constraints,
    class_constraints,
    combine,
    contradiction,
    size_constraints,
    tag_constraints,
)

TAGS = torch.tensor(
    [
        [True, True, False, True],
        [True, False, False, False],
        [False, True, True, False],
        [False] * 4,
    ]
)


def listed(values: Tensor) -> list[Any]:
    return [[pytest.approx(value) for value in row] for row in values.tolist()]


class TestTags:
    def test_the_numbers_of_the_paper(self) -> None:
        bounds = tag_constraints(TAGS)
        assert bounds.lower.tolist() == listed(
            torch.tensor([[0.3, 0.05, 0, 0.05], [0.3, 0, 0, 0], [0, 0.05, 0.05, 0], [0, 0, 0, 0]])
        )
        assert bounds.upper.tolist() == listed(
            torch.tensor([[0.7, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
        )
        assert bounds.slack_lower.tolist() == [[inf, 2, 2, 2]] * 4
        assert bounds.slack_upper.tolist() == [[inf] * 4] * 4
        assert (bounds.label.tolist(), bounds.region, bounds.inverse_temperature) == (
            [[0, 1, 2, 3]] * 4,
            None,
            1,
        )

    def test_own_numbers(self) -> None:
        bounds = tag_constraints(TAGS[:1], 0.1, 0.9, 0.2, 5.0, 3.0)
        assert bounds.lower.tolist() == listed(torch.tensor([[0.1, 0.2, 0, 0.2]]))
        assert bounds.upper.tolist() == listed(torch.tensor([[0.9, 1, 1, 1]]))
        assert (bounds.slack_lower[0, 3].item(), bounds.inverse_temperature) == (5, 3)


class TestSizes:
    large = torch.tensor(
        [[True, True, True, False], [True] * 4, [True, False, False, True], [True] * 4]
    )

    def test_paper(self) -> None:
        bounds = size_constraints(TAGS, self.large)
        assert bounds.lower.tolist() == listed(
            torch.tensor([[0.2, 0.1, 0, 0], [0.2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
        )
        assert bounds.upper.tolist() == listed(
            torch.tensor([[0.7, 1, 1, 0.01], [1, 1, 1, 1], [1, 0.01, 0.01, 1], [1, 1, 1, 1]])
        )
        assert bounds.slack_lower.tolist() == bounds.slack_upper.tolist() == [[inf] * 4] * 4
        assert bounds.inverse_temperature == 1000

    def test_released_code_takes_small_classes_off_the_tags(self) -> None:
        bounds = size_constraints(TAGS, self.large, source="ccnn_code")
        assert bounds.lower.tolist() == listed(
            torch.tensor([[0.2, 0.1, 0, 0], [0.2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
        )
        assert bounds.upper.tolist() == listed(
            torch.tensor([[0.7, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]])
        )

    def test_background_is_never_small_and_is_unbounded_where_only_small_classes_are_left(
        self,
    ) -> None:
        tags, large = torch.tensor([[True, True]]), torch.tensor([[False, False]])
        assert size_constraints(tags, large, source="ccnn_code").upper.tolist() == [[1, 0]]
        assert size_constraints(tags, large).upper.tolist() == listed(torch.tensor([[1, 0.01]]))


class TestBoxes:
    boxes = (torch.tensor([[0.0, 0, 2, 1], [1, 0, 3, 2], [2, 1, 3, 2]]), torch.zeros(0, 4))
    classes = (torch.tensor([4, 2, 4]), torch.zeros(0, dtype=torch.int64))

    def test_regions_written_out(self) -> None:
        bounds = box_constraints(
            self.boxes, self.classes, height=2, width=4, inside=0.3, outside=0.1, slack_inside=5.0
        )
        assert bounds.region is not None
        pictures = [
            "".join("#" if pixel else "." for pixel in mask.flatten().tolist())
            for mask in bounds.region[0]
        ]
        assert pictures[:3] == ["##......", ".##..##.", "......#."]
        assert pictures[3:5] == ["..####.#", "#..##..#"]
        assert bounds.label[0].tolist() == [4, 2, 4] * 2
        assert bounds.lower[0].tolist() == [pytest.approx(0.3)] * 3 + [0] * 3
        # class 4 is said once
        assert bounds.upper[0].tolist() == [1, 1, 1, pytest.approx(0.1), pytest.approx(0.1), 1]
        assert bounds.slack_lower[0].tolist() == [5] * 6
        assert bounds.slack_upper[0].tolist() == [inf] * 6

    def test_an_image_without_boxes_is_filled_up_with_bounds_that_say_nothing(self) -> None:
        bounds = box_constraints(self.boxes, self.classes, height=2, width=4)
        assert (bounds.lower[1].amax().item(), bounds.upper[1].amin().item()) == (0, 1)
        alone = box_constraints(self.boxes[1:], self.classes[1:], height=2, width=4)
        assert (alone.lower.tolist(), alone.upper.tolist()) == ([[0, 0]], [[1, 1]])


class TestTogether:
    def test_bounds_about_images_and_about_regions(self) -> None:
        tags, boxes = (
            tag_constraints(TAGS[:1]),
            box_constraints([torch.tensor([[0.0, 0, 1, 1]])], [torch.tensor([3])], 1, 2),
        )
        for first, second in ((tags, boxes), (boxes, tags)):
            both = combine(first, second)
            assert both.region is not None
            whole = slice(0, 4) if first is tags else slice(2, 6)
            assert bool(both.region[:, whole].all())
            assert both.region.sum().item() == 4 * 2 + 2
            assert both.lower.tolist() == torch.cat([first.lower, second.lower], 1).tolist()
            assert both.label.tolist() == torch.cat([first.label, second.label], 1).tolist()
        assert combine(tags, tags).region is None

    def test_what_does_not_fit_is_named(self) -> None:
        bounds = tag_constraints(TAGS)
        with pytest.raises(
            ValueError, match=r"one inverse_temperature to be combined, but they have \[1.0, 5.0\]"
        ):
            combine(bounds, replace(bounds, inverse_temperature=5.0))
        with pytest.raises(ValueError, match="for the same images"):
            combine(bounds, tag_constraints(TAGS[:1]))
        with pytest.raises(ValueError, match="but they have none"):
            combine()


class TestContradiction:
    everything = torch.tensor([True, True, True])

    @pytest.mark.parametrize(
        ("lower", "upper", "tags", "sentence"),
        [
            (
                [0.5, 0.3, 0.3],
                [1, 1, 1],
                [1, 1, 1],
                "the classes 0, 1, 2 should together cover at least 110 % of the image",
            ),
            ([0.5, 0.3, 0.2], [1, 1, 1], [1, 1, 1], None),
            (
                [0, 0.4, 0],
                [1, 0.3, 1],
                [1, 1, 1],
                "class 1 should cover at least 40 % and at most 30 % of the image",
            ),
            ([0, 0.4, 0], [1, 0.4, 1], [1, 1, 1], None),
            (
                [0, 0.4, 0],
                [1, 1, 1],
                [1, 0, 1],
                "class 1 is not among the tags, but should cover a part of the image",
            ),
            # without tags nothing is said of the image
            ([0.5, 0.3, 0.3], [1, 1, 1], [0, 0, 0], None),
            (
                [0, 0, 0],
                [0.2, 0.3, 1],
                [1, 1, 0],
                "no classes but 0, 1 are there, and together they may cover at most 50 % of the "
                "image",
            ),
            ([0, 0, 0], [0.2, 0.3, 1], [1, 1, 1], None),
            (
                [0, 1.2, 0],
                [1, 1, 1],
                [1, 1, 1],
                "class 1 should cover at least 120 % and at most 100 % of the image",
            ),
        ],
    )
    def test_whole_images(
        self, lower: list[float], upper: list[float], tags: list[int], sentence: str | None
    ) -> None:
        bounds = class_constraints(torch.tensor([lower]).float(), torch.tensor([upper]).float())
        assert contradiction(bounds, torch.tensor(tags).bool()) == sentence

    def test_finite_slack_gives_way(self) -> None:
        bounds = class_constraints(
            torch.tensor([[0.9, 0.9]]), torch.tensor([[0.1, 0.1]]), slack_lower=9.0, slack_upper=9.0
        )
        assert contradiction(bounds, torch.tensor([True, True])) is None

    def test_regions(self) -> None:
        box = torch.tensor([[0.0, 0, 2, 2]])  # half of the image
        crowded = box_constraints([torch.cat([box, box])], [torch.tensor([1, 2])], 2, 4, inside=0.6)
        assert (
            contradiction(crowded, self.everything)
            == "the classes 1, 2 should together cover at least 120 % of a region of 4 pixels"
        )
        narrow = combine(
            box_constraints([box], [torch.tensor([1])], 2, 4, inside=0.6),
            class_constraints(upper=torch.tensor([[1, 0.2, 1]])),
        )
        assert (
            contradiction(narrow, self.everything)
            == "class 1 should cover at least 30 % and at most 20 % of the image"
        )
        wide = combine(
            box_constraints([box], [torch.tensor([1])], 2, 4),
            class_constraints(lower=torch.tensor([[0, 0.6, 0]])),
        )
        assert (
            contradiction(wide, self.everything)
            == "class 1 should cover at least 60 % and at most 50 % of the image"
        )
        fits = combine(
            box_constraints([box], [torch.tensor([1])], 2, 4),
            class_constraints(lower=torch.tensor([[0, 0.5, 0]])),
        )
        assert contradiction(fits, self.everything) is None

    def test_looks_at_the_image_asked_for(self) -> None:
        bounds = class_constraints(torch.tensor([[0.1, 0.1], [0.9, 0.9]]))
        assert contradiction(bounds, self.everything[:2]) is None
        assert contradiction(bounds, self.everything[:2], image=1) is not None

    @pytest.mark.parametrize("source", ["paper", "ccnn_code"])
    def test_what_evidence_says_contradicts_itself_only_where_nothing_is_left(
        self, source: SizeSource
    ) -> None:
        small = size_constraints(TAGS, torch.zeros_like(TAGS), source)
        for image, tags in enumerate(TAGS):
            assert contradiction(tag_constraints(TAGS), tags, image) is None
            assert (
                contradiction(size_constraints(TAGS, torch.ones_like(TAGS), source), tags, image)
                is None
            )
            assert (contradiction(small, tags, image) is None) == (image != 2)
        most = 2 if source == "paper" else 0
        expected = (
            f"no classes but 1, 2 are there, and together they may cover at most {most} % of the "
            "image"
        )
        assert contradiction(small, TAGS[2], 2) == expected  # small objects and no background


GOOD: dict[str, Any] = {
    "label": torch.zeros(2, 3, dtype=torch.int64),
    **dict.fromkeys(["lower", "upper", "slack_lower", "slack_upper"], torch.zeros(2, 3)),
}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "label",
            torch.zeros(2, 3),
            r"label should be int64 \[B,R\].*, but it is float32 \[2, 3\]",
        ),
        (
            "label",
            torch.zeros(2, 0, dtype=torch.int64),
            r"at least one bound per image, but it is int64 \[2, 0\]",
        ),
        (
            "lower",
            torch.zeros(2, 4),
            r"lower should be float \[2, 3\], as label is, but it is float32 \[2, 4\]",
        ),
        ("slack_upper", torch.zeros(2, 3).int(), r"slack_upper should be float \[2, 3\].*int32"),
        (
            "region",
            torch.zeros(2, 3, 4, 5),
            r"region should be bool \[2,3,H,W\], a mask per bound, or None, but it is float32",
        ),
        (
            "inverse_temperature",
            0.0,
            "inverse_temperature should be more than 0 and finite .*, but it is 0.0",
        ),
        ("inverse_temperature", inf, "but it is inf"),
    ],
)
def test_impossible_constraints_are_named(field: str, value: Any, message: str) -> None:
    Constraints(**GOOD)
    with pytest.raises(ValueError, match=message):
        Constraints(**{**GOOD, field: value})


def test_impossible_arguments_are_named() -> None:
    with pytest.raises(
        ValueError,
        match=r"tags should be bool \[B,C\], whether each image shows each class, but it is int64",
    ):
        tag_constraints(TAGS.long())
    with pytest.raises(
        ValueError, match=r"large should be bool \[4, 4\], as tags is, but it is bool \[4, 3\]"
    ):
        size_constraints(TAGS, TAGS[:, :3])
    with pytest.raises(ValueError, match="source should be paper or ccnn_code, but it is 'code'"):
        size_constraints(TAGS, TAGS, source="code")  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"lower or upper should be float \[B,C\], .*, but neither was given"
    ):
        class_constraints()
    with pytest.raises(ValueError, match=r"but it is float32 \[3\]"):
        class_constraints(torch.zeros(3))
    with pytest.raises(ValueError, match="should list the images of one batch, but have 0 and 0"):
        box_constraints([], [], 2, 2)
