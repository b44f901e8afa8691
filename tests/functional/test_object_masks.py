"""Masks of objects as labels: numbers by hand, and a pixel by pixel reference."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.functional.object_masks import box_masks, choose_masks, clip_masks, labels_of_masks


def rows(*texts: str) -> Tensor:
    """Masks of one row each."""
    return torch.tensor([[[letter == "#" for letter in text]] for text in texts])


def labelled(*texts: str, scores: list[float], classes: list[int], **more: Tensor | int) -> str:
    labels = labels_of_masks(
        rows(*texts), torch.tensor(scores), torch.tensor(classes), least=0.5, **more
    )
    return "".join("?" if label == IGNORE else str(label) for label in labels[0].tolist())


def test_the_smallest_is_on_top() -> None:
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        texts = ["########..", "..####....", "....#....."]
        chosen = [texts[place] for place in order]
        classes = [place + 1 for place in order]
        assert labelled(*chosen, scores=[1, 1, 1], classes=classes) == "1122321100"


def test_an_object_of_which_the_model_is_not_sure() -> None:
    pair = ("########..", "..##......")
    assert labelled(*pair, scores=[0.4, 1], classes=[1, 2]) == "??22????00"
    assert labelled(*pair, scores=[1, 0.4], classes=[1, 2]) == "11??111100"
    place = rows("#########.", ".######...")
    # all of its box, which counts as its size, too
    assert labelled(*pair, scores=[1, 0.4], classes=[1, 2], places=place) == "1??????100"
    assert labelled(*pair, scores=[0.5, 0.5], classes=[1, 2], places=place) == "1122111100"
    # nothing was found
    empty = ("####......", "..........")
    assert labelled(*empty, scores=[1, 1], classes=[1, 2], places=place) == "1111???000"
    assert labelled(*empty, scores=[1, 1], classes=[1, 2], outside=IGNORE) == "1111??????"


def test_two_classes_of_one_size_tie() -> None:
    pair = ("######....", "....######")
    assert labelled(*pair, scores=[1, 1], classes=[1, 2]) == "1111??2222"
    assert labelled(*pair, scores=[1, 1], classes=[1, 1]) == "1111111111"
    # 9 of 10 pixels are nearly as many; 8 are not
    assert labelled("##########", ".#########", scores=[1, 1], classes=[1, 2]) == "1?????????"
    assert labelled("##########", "..########", scores=[1, 1], classes=[1, 2]) == "1122222222"
    # a smaller one on top of both is nobody's equal
    both = ("########..", "..########", "...##.....")
    assert labelled(*both, scores=[1, 1, 1], classes=[1, 2, 3]) == "11?33???22"


def test_no_objects() -> None:
    nothing = torch.zeros(0, 2, 3, dtype=torch.bool)
    labels = labels_of_masks(nothing, torch.zeros(0), torch.zeros(0, dtype=torch.int64), 0.5)
    assert labels.tolist() == [[0, 0, 0], [0, 0, 0]]


def reference(masks: Tensor, scores: Tensor, classes: Tensor, least: float) -> Tensor:
    """What the docstring says, one pixel at a time."""
    sizes = masks.flatten(1).sum(1).tolist()
    labels = torch.zeros(masks.shape[1:], dtype=torch.uint8)
    for row in range(masks.shape[1]):
        for column in range(masks.shape[2]):
            here = [each for each in range(len(masks)) if masks[each, row, column]]
            if not here:
                continue
            smallest = min(here, key=lambda each: (sizes[each], -each))
            sure = [each for each in here if scores[each] >= least]
            tied = any(
                classes[each] != classes[smallest] and sizes[smallest] >= 0.9 * sizes[each]
                for each in sure
            )
            unsure = scores[smallest] < least
            labels[row, column] = IGNORE if unsure or tied else int(classes[smallest])
    return labels


@pytest.mark.parametrize("seed", range(8))
def test_as_pixel_by_pixel(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    corners = torch.rand(7, 2, generator=random) * torch.tensor([9.0, 6])
    sides = 2 + torch.rand(7, 2, generator=random) * 4
    masks = box_masks(torch.cat([corners, corners + sides], 1), 9, 13)
    scores = torch.rand(7, generator=random)
    classes = torch.randint(1, 4, (7,), generator=random)
    found = labels_of_masks(masks, scores, classes, 0.3)
    assert torch.equal(found, reference(masks, scores, classes, 0.3))
    assert (found == IGNORE).any()


def test_the_best_of_three() -> None:
    masks = torch.stack([rows("####", "#...", "##.."), rows("....", "....", "####")])[:, :, 0]
    scores = torch.tensor([[0.9, 0.3, 0.5], [0.9, 0.8, 0.1]])
    best, sure = choose_masks(masks[:, :, None], scores)
    assert best.int().tolist() == [[[1, 1, 1, 1]], [[1, 1, 1, 1]]]
    assert sure.tolist() == pytest.approx([0.9, 0.1])
    best, sure = choose_masks(masks[:, :, None], scores, largest=0.5)
    assert best.int().tolist() == [[[1, 1, 0, 0]], [[1, 1, 1, 1]]]
    assert sure.tolist() == pytest.approx([0.5, 0])  # too large, but the only one
    best, sure = choose_masks(masks[:1, :, None], scores[:1], largest=0.1)
    assert best.int().tolist() == [[[1, 0, 0, 0]]]
    assert sure.tolist() == [0]


def test_masks_end_a_little_beyond_their_boxes() -> None:
    everywhere = torch.ones(2, 7, 12, dtype=torch.bool)
    boxes = torch.tensor([[2.0, 1, 6, 3], [0, 0, 12, 7]])
    inside = clip_masks(everywhere, boxes, 0)
    assert torch.equal(inside, box_masks(boxes, 7, 12))
    assert inside[0].nonzero().aminmax(dim=0).min.tolist() == [1, 2]
    assert inside[0].nonzero().aminmax(dim=0).max.tolist() == [2, 5]
    # a quarter of 4 columns and 2 rows
    wider = clip_masks(everywhere, boxes, 0.25)[0].nonzero().aminmax(dim=0)
    assert (wider.min.tolist(), wider.max.tolist()) == ([0, 1], [2, 6])
    assert not clip_masks(torch.zeros_like(everywhere), boxes, 1).any()
