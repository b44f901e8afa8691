"""The projection loss of boxes: by hand, by brute force, at the rim and in the padding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from weakseg.functional.boxes import pixel_boxes
from weakseg.functional.projection import projection_loss


def brute_force(probs: Tensor, boxes: list[Tensor], classes: list[Tensor], valid: Tensor) -> float:
    """Row by row and column by column."""
    losses = []
    for image, probs_of_image in enumerate(probs.tolist()):
        rows = [y for y in range(probs.shape[2]) if valid[image, y].any()]
        columns = [x for x in range(probs.shape[3]) if valid[image, :, x].any()]
        pixels = pixel_boxes(boxes[image], *probs.shape[2:]).tolist()
        for (left, top, right, bottom), label in zip(pixels, classes[image].tolist(), strict=True):
            own = [line[left:right] for line in probs_of_image[label][top:bottom]]
            own_rows = [max(line) for line in own]
            own_columns = [max(line) for line in zip(*own, strict=True)]
            if left > columns[0] and right - 1 < columns[-1]:
                losses.append(one_minus_dice(own_rows))
            if top > rows[0] and bottom - 1 < rows[-1]:
                losses.append(one_minus_dice(own_columns))
    return sum(losses) / max(1, len(losses))


def one_minus_dice(values: list[float]) -> float:
    return 1 - 2 * sum(values) / (sum(value**2 for value in values) + len(values))


def a_case(boxes: int = 6) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Two images of 9 rows and 12 columns, the second with half as many boxes."""
    corners = [torch.rand(count, 2, 2) * torch.tensor([12, 9]) for count in (boxes, boxes // 2)]
    ordered = [torch.cat([each.amin(1), each.amax(1)], 1) for each in corners]
    classes = [torch.randint(0, 4, (len(each),)) for each in ordered]
    return torch.randn(2, 4, 9, 12).softmax(1), ordered, classes


def test_by_hand() -> None:
    """A box of two rows and three columns, whose object fills the upper row alone."""
    probs = torch.zeros(1, 2, 4, 5)
    probs[0, 1, 1, 1:4] = torch.tensor([1.0, 0.5, 1.0])
    boxes, classes = [torch.tensor([[1.0, 1, 4, 3]])], [torch.tensor([1])]
    rows = 1 - 2 * 1 / (1 + 2)
    columns = 1 - 2 * 2.5 / (2.25 + 3)
    expected = torch.tensor((rows + columns) / 2)
    torch.testing.assert_close(projection_loss(probs, boxes, classes), expected)
    assert projection_loss(torch.ones(1, 2, 4, 5), boxes, classes) == 0


@pytest.mark.parametrize("seed", range(5))
def test_by_brute_force(seed: int) -> None:
    torch.manual_seed(seed)
    probs, boxes, classes = a_case()
    valid = torch.ones(2, 9, 12, dtype=torch.bool)
    expected = brute_force(probs, boxes, classes, valid)
    assert projection_loss(probs, boxes, classes).item() == pytest.approx(expected, abs=1e-6)
    valid[0, 7:] = False
    valid[1, :, 10:] = False
    boxes = [
        each.minimum(torch.tensor([width, height] * 2))
        for each, width, height in zip(boxes, (12, 10), (7, 9), strict=True)
    ]
    expected = brute_force(probs, boxes, classes, valid)
    assert projection_loss(probs, boxes, classes, valid).item() == pytest.approx(expected, abs=1e-6)


def test_a_diagonal_object_is_tight() -> None:
    """One pixel in each row and column is enough: nothing says that a box should be full."""
    probs = torch.zeros(1, 2, 7, 7)
    probs[0, 1] = torch.eye(7)
    assert projection_loss(probs, [torch.tensor([[1.0, 1, 6, 6]])], [torch.tensor([1])]) == 0


@pytest.mark.parametrize(
    ("box", "axes"),
    [
        ([0.0, 2, 3, 5], "columns"),
        ([2.0, 2, 8, 5], "columns"),
        ([2.0, 0, 5, 5], "rows"),
        ([2.0, 2, 5, 6], "rows"),
        ([0.0, 0, 8, 6], ""),
        ([2.0, 2, 5, 5], "rows columns"),
    ],
)
def test_what_a_crop_may_have_cut_teaches_nothing(box: list[float], axes: str) -> None:
    probs = torch.full((1, 2, 6, 8), 0.5, requires_grad=True)
    value = projection_loss(probs, [torch.tensor([box])], [torch.tensor([1])])
    # each row or column is half as it should be
    expected = 1 - 2 * 0.5 / (0.25 + 1) if axes else 0
    assert value.item() == pytest.approx(expected)
    (gradient,) = torch.autograd.grad(value, probs)
    assert bool(gradient.any()) == bool(axes)


def test_no_box_is_zero() -> None:
    probs = torch.rand(2, 3, 5, 5, requires_grad=True)
    none, no_class = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    value = projection_loss(probs, [none, none], [no_class, no_class])
    assert value == 0
    (gradient,) = torch.autograd.grad(value, probs)
    assert not gradient.any()


def test_a_box_outside_of_the_image_does_not_count() -> None:
    probs, boxes, classes = a_case(boxes=2)
    outside = torch.tensor([[20.0, 20, 30, 30]])
    more = [torch.cat([boxes[0], outside]), boxes[1]]
    labels = [torch.cat([classes[0], torch.tensor([1])]), classes[1]]
    assert torch.equal(projection_loss(probs, more, labels), projection_loss(probs, boxes, classes))


def test_gradients() -> None:
    probs = torch.rand(1, 2, 6, 7, dtype=torch.float64).requires_grad_()
    boxes = [torch.tensor([[1.0, 1, 5, 4], [2, 2, 6, 5]])]
    assert torch.autograd.gradcheck(
        lambda values: projection_loss(values, boxes, [torch.tensor([1, 0])]), probs
    )


def test_half_precision_is_summed_in_single() -> None:
    probs, boxes, classes = a_case()
    half = probs.to(torch.bfloat16)
    value = projection_loss(half, boxes, classes)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, projection_loss(half.float(), boxes, classes))
