from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.clustering.assignment import Group, assign_groups
from weakseg.functional.clustering.evidence_constraints import (
    LabelConstraints,
    class_count,
    compatible_groups,
    label_constraints,
    subsample,
)

COLUMNS = torch.arange(6).expand(4, 6).contiguous()
"""six superpixels, a column of 4 pixels each"""


def image(**evidence: Tensor) -> Evidence:
    return Evidence("columns", torch.zeros(3, 4, 6, dtype=torch.uint8), **evidence)


def tags(*flags: int) -> Tensor:
    return torch.tensor(flags).bool()


def marked(**places: int) -> Tensor:
    """Marks by places such as r0c3."""
    marks = torch.full((4, 6), IGNORE, dtype=torch.uint8)
    for place, label in places.items():
        marks[int(place[1]), int(place[3])] = label
    return marks


def told(groups: list[Group]) -> list[tuple[int, list[int], int]]:
    return [(label, members.tolist(), least) for label, members, least in groups]


def choices(allowed: Tensor) -> list[list[int]]:
    return [row.nonzero().flatten().tolist() for row in allowed]


def test_tags_forbid_what_they_do_not_name_and_ask_for_one_of_each() -> None:
    allowed, groups = label_constraints(image(tags=tags(1, 0, 1)), COLUMNS, 3)
    assert choices(allowed) == [[0, 2]] * 6
    assert told(groups) == [(0, list(range(6)), 1), (2, list(range(6)), 1)]


def test_boxes_say_where_a_class_may_be_and_that_it_is_there() -> None:
    # the second covers half of each of its columns
    boxes = torch.tensor([[1.0, 0.0, 4.0, 4.0], [3.0, 0.0, 6.0, 2.0]])
    allowed, groups = label_constraints(
        image(boxes=boxes, box_classes=torch.tensor([2, 1])), COLUMNS, 3, cover=0.5
    )
    assert choices(allowed) == [[0], [0, 2], [0, 2], [0, 1, 2], [0, 1], [0, 1]]
    assert told(groups) == [(2, [1, 2, 3], 2), (1, [3, 4, 5], 2)]


def test_a_small_box_belongs_to_the_superpixel_with_the_largest_part_in_it() -> None:
    box = torch.tensor([[1.0, 0.0, 2.0, 1.0]])  # a quarter of a column
    allowed, groups = label_constraints(
        image(boxes=box, box_classes=torch.tensor([1])), COLUMNS, 2, cover=0
    )
    assert choices(allowed) == [[0], [0, 1], [0], [0], [0], [0]]
    assert told(groups) == [(1, [1], 1)]


def test_no_boxes_are_background_and_tags_add_to_boxes_that_a_class_is_there() -> None:
    nothing = {"boxes": torch.zeros(0, 4), "box_classes": torch.zeros(0, dtype=torch.int64)}
    assert choices(label_constraints(image(**nothing), COLUMNS, 3).allowed) == [[0]] * 6
    box = {
        "boxes": torch.tensor([[0.0, 0.0, 6.0, 4.0]]),
        "box_classes": torch.tensor([1]),
        "tags": tags(1, 1, 1),
    }
    _, groups = label_constraints(image(**box), COLUMNS, 3, cover=0.1)
    # there is no place for class 2, so it is dropped
    assert told(groups) == [(1, list(range(6)), 1), (0, list(range(6)), 1)]


def test_marks_fix_their_superpixels_and_alone_they_say_which_classes_there_are() -> None:
    marks = marked(r0c1=2, r1c1=2, r2c1=1, r0c4=3, r1c4=1)
    assert choices(label_constraints(image(marks=marks), COLUMNS, 4).allowed) == [
        [0, 1, 2, 3],
        [2],
        [0, 1, 2, 3],
        [0, 1, 2, 3],
        [1],
        [0, 1, 2, 3],
    ]
    assert choices(
        label_constraints(image(marks=marks, tags=tags(0, 1, 1, 0)), COLUMNS, 4).allowed
    )[:2] == [
        [1, 2],
        [2],
    ]
    box = {"boxes": torch.tensor([[1.0, 0.0, 3.0, 4.0]]), "box_classes": torch.tensor([2])}
    allowed, groups = label_constraints(image(marks=marked(r0c2=0), **box), COLUMNS, 4)
    assert choices(allowed) == [[0], [0, 2], [0], [0], [0], [0]]
    assert told(groups) == [(2, [1], 1)]


def test_of_promises_that_contradict_each_other_the_later_ones_are_dropped() -> None:
    two = torch.tensor([[0, 1]])
    evidence = Evidence("small", torch.zeros(3, 1, 2, dtype=torch.uint8), tags=tags(1, 1, 1))
    assert told(label_constraints(evidence, two, 3).groups) == [(0, [0, 1], 1), (1, [0, 1], 1)]
    members = torch.arange(4)
    # the second can be kept as one, the third not at all
    groups = [Group(1, members, 3), Group(2, members, 2), Group(0, members, 1)]
    assert told(compatible_groups(torch.ones(4, 3, dtype=torch.bool), groups)) == [
        (1, [0, 1, 2, 3], 3),
        (2, [0, 1, 2, 3], 1),
    ]


@pytest.mark.parametrize("seed", range(8))
def test_random_promises_can_be_kept_and_are_kept(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    left = torch.rand(3, 2, generator=generator) * torch.tensor([5.0, 3.0])
    boxes = torch.cat([left, left + 0.2 + 4 * torch.rand(3, 2, generator=generator)], 1)
    marks = torch.where(
        torch.rand(4, 6, generator=generator) < 0.15,
        torch.randint(0, 4, (4, 6), generator=generator),
        IGNORE,
    )
    classes = torch.randint(1, 4, (3,), generator=generator)
    evidence = image(
        boxes=boxes, box_classes=classes, marks=marks.to(torch.uint8), tags=tags(1, 1, 1, 1)
    )
    for allowed, groups in (
        label_constraints(evidence, COLUMNS, 4, 0.6),
        subsample(label_constraints(evidence, COLUMNS, 4, 0.6), 4)[1],
    ):
        labels = assign_groups(torch.rand(allowed.shape, generator=generator), allowed, groups)
        assert allowed[torch.arange(len(labels)), labels].all()
        assert all((labels[members] == label).sum() >= least for label, members, least in groups)
        # by trying all labels: no dropped tag could have been kept beside the others
        ways = itertools.product(*choices(allowed))
        assert any(
            all(
                sum(way[i] == label for i in members) >= least
                for label, members, least in told(groups)
            )
            for way in ways
        )


def test_some_take_even_parts_of_the_certain_and_the_free_and_one_of_every_group() -> None:
    allowed = torch.ones(30, 3, dtype=torch.bool)
    allowed[:20, 1:] = False  # certainly background
    allowed[0] = tags(0, 0, 1)
    whole = LabelConstraints(
        allowed, [Group(1, torch.arange(20, 30), 4), Group(2, torch.tensor([23]), 1)]
    )
    chosen, (fewer, groups) = subsample(whole, 10)
    assert torch.equal(fewer, allowed[chosen])
    assert chosen.tolist() == [1, 5, 9, 13, 17, 20, 22, 23, 24, 26, 28]  # 23 joins for its group
    assert told(groups) == [(1, [5, 6, 7, 8, 9, 10], 3), (2, [7], 1)]
    everything, same = subsample(whole, 30)
    assert everything.tolist() == list(range(30))
    assert told(same.groups) == told(whole.groups)
    # without free ones, certain ones fill all seats
    assert subsample(LabelConstraints(allowed[:20], []), 6)[0].tolist()[-1] >= 15


def test_classes_named() -> None:
    assert class_count(image()) == 1
    assert class_count(image(tags=tags(1, 0, 0, 0))) == 4
    assert class_count(image(marks=marked(r0c0=5))) == 6
    assert (
        class_count(image(boxes=torch.ones(1, 4), box_classes=torch.tensor([7]), marks=marked()))
        == 8
    )
