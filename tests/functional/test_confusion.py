from __future__ import annotations

from math import isnan, nan

import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from weakseg.functional.confusion import confusion_matrix, iou, mean_iou


def test_counts_by_hand() -> None:
    truth = torch.tensor([[0, 0, 1], [1, 2, 2]], dtype=torch.uint8)
    prediction = torch.tensor([[0, 1, 1], [1, 0, 2]], dtype=torch.uint8)
    confusion = confusion_matrix(prediction, truth, 4)
    assert confusion.dtype == torch.int64
    assert confusion.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert iou(confusion).tolist() == pytest.approx([1 / 3, 2 / 3, 1 / 2, nan], nan_ok=True)
    assert mean_iou(confusion) == pytest.approx(0.5)


def test_255_is_dropped_on_either_side() -> None:
    truth = torch.tensor([0, 255, 1, 255, 1], dtype=torch.uint8)
    prediction = torch.tensor([0, 1, 255, 255, 0], dtype=torch.uint8)
    assert confusion_matrix(prediction, truth, 2).tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_against_torchmetrics(dtype: torch.dtype) -> None:
    metric = MulticlassJaccardIndex(num_classes=21, ignore_index=255, average=None)
    total = torch.zeros(21, 21, dtype=torch.int64)
    for _ in range(3):  # one matrix over all images, of several sizes
        size = tuple(torch.randint(20, 40, (2,)).tolist())
        truth = torch.randint(0, 21, size)
        truth[torch.rand(size) < 0.2] = 255
        prediction = torch.randint(0, 21, size)
        metric.update(prediction, truth)
        total += confusion_matrix(prediction.to(dtype), truth.to(dtype), 21)
    torch.testing.assert_close(iou(total), metric.compute().double(), rtol=1e-6, atol=0)
    assert mean_iou(total) == pytest.approx(float(metric.compute().mean()), rel=1e-6)


def test_a_class_that_never_occurs_does_not_count_but_one_only_predicted_does() -> None:
    confusion = confusion_matrix(torch.tensor([0, 1]), torch.tensor([0, 0]), 3)
    assert iou(confusion).tolist() == pytest.approx([0.5, 0.0, nan], nan_ok=True)
    assert mean_iou(confusion) == 0.25


def test_large_counts_stay_exact() -> None:
    confusion = torch.tensor([[2**40, 1], [0, 2**40]])
    assert iou(confusion)[0] == 2**40 / (2**40 + 1)


def test_nothing_to_measure_is_nan() -> None:
    assert isnan(mean_iou(confusion_matrix(torch.tensor([0]), torch.tensor([255]), 2)))


@pytest.mark.parametrize(("values", "came"), [([0, 3, 7], "3, 7"), ([-1, 0, 1], "-1")])
def test_classes_out_of_range_are_named(values: list[int], came: str) -> None:
    wrong, right = torch.tensor(values), torch.tensor([0, 1, 255])
    with pytest.raises(
        ValueError, match=f"prediction should be classes from 0 to 2 or 255, but it has {came}$"
    ):
        confusion_matrix(wrong, right, 3)
    with pytest.raises(
        ValueError, match=f"truth should be classes from 0 to 2 or 255, but it has {came}$"
    ):
        confusion_matrix(right, wrong, 3)


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"one size, but they are \[1, 2\] and \[2, 2\]"):
        confusion_matrix(
            torch.zeros(1, 2, dtype=torch.int64), torch.zeros(2, 2, dtype=torch.int64), 2
        )


def test_scores_are_no_classes() -> None:
    with pytest.raises(ValueError, match=r"prediction should be integers.*take the argmax"):
        confusion_matrix(torch.zeros(2), torch.zeros(2, dtype=torch.int64), 2)
