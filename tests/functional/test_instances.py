"""Masks of objects painted into one map."""

from __future__ import annotations

import pytest
import torch

from weakseg.functional.instances import paint_masks, paint_scores


def test_the_smallest_mask_is_on_top_pixel_by_pixel() -> None:
    masks, classes = (
        torch.rand(6, 9, 11) < torch.tensor([0.9, 0.2, 0.5, 0.1, 0.7, 0.3]).view(6, 1, 1),
        torch.tensor([3, 1, 4, 1, 5, 2]),
    )
    painted = paint_masks(masks, classes)
    sizes = masks.flatten(1).sum(1).tolist()
    assert len(set(sizes)) == 6
    for row in range(9):
        for column in range(11):
            over = [
                (size, int(label))
                for size, label, mask in zip(sizes, classes, masks, strict=True)
                if mask[row, column]
            ]
            assert painted[row, column] == (min(over)[1] if over else 0)


def test_no_mask_is_all_background() -> None:
    assert torch.equal(
        paint_masks(torch.zeros(0, 3, 4, dtype=torch.bool), torch.zeros(0, dtype=torch.int64)),
        torch.zeros(3, 4),
    )
    probs = paint_scores(torch.zeros(0, 3, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), 5)
    assert torch.equal(probs[0], torch.ones(3, 4))
    assert torch.equal(probs[1:], torch.zeros(4, 3, 4))


def test_classes_that_do_not_belong_to_the_masks_are_told() -> None:
    with pytest.raises(
        ValueError, match=r"classes should be int64 \[2\], one per mask, but it is \[3\]"
    ):
        paint_masks(torch.zeros(2, 3, 4, dtype=torch.bool), torch.ones(3, dtype=torch.int64))


def test_a_pixel_is_as_sure_as_the_surest_object_there() -> None:
    masks = torch.tensor([[[1.0, 0.5, 0.0]], [[1.0, 1.0, 0.0]], [[0.0, 1.0, 0.0]]])
    probs = paint_scores(masks, torch.tensor([0.6, 0.4, 0.9]), torch.tensor([1, 1, 2]), 3)
    # pixel 0: class 1 by .6, so background .4; pixel 1: class 1 by .4 (second object), class 2 by
    # .9, background .1, together 1.4
    wanted = torch.tensor([[0.4, 0.1 / 1.4, 1], [0.6, 0.4 / 1.4, 0], [0, 0.9 / 1.4, 0]])
    torch.testing.assert_close(probs[:, 0], wanted)
