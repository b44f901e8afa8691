"""Target against truth, prediction against target, prediction against truth."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from weakseg.evidence import Evidence
from weakseg.reporting.drawing import Case, draw_errors
from weakseg.reporting.label_errors import (
    ErrorSources,
    LabelError,
    error_of,
    error_sources,
    pairs_of,
)

TRUTH = torch.tensor([[0, 0, 1, 1, 255]], dtype=torch.uint8)
TARGET = torch.tensor([[0, 1, 1, 255, 1]], dtype=torch.uint8)
PREDICTION = torch.tensor([[1, 1, 1, 0, 0]], dtype=torch.uint8)


def case(**labels: Tensor) -> Case:
    return Case(Evidence("a", torch.zeros(3, 1, 5, dtype=torch.uint8)), **labels)


def errors_of(case: Case) -> list[LabelError | None]:
    return [error_of(pair, 2) for pair in pairs_of(case)]


def test_each_error_counts_the_pixels_that_have_both_labels() -> None:
    found = errors_of(case(target=TARGET, prediction=PREDICTION, truth=TRUTH))
    assert [error.name.partition(":")[0] for error in found if error] == [
        "label error",
        "network error",
        "error",
    ]
    # of 3 pixels one is wrong; of 4 two, both of the background in the one or the other; of 4 three
    assert [error.wrong for error in found if error] == pytest.approx([1 / 3, 2 / 4, 3 / 4])
    assert [error.iou for error in found if error] == pytest.approx([0.5, 0.25, 1 / 8])


def test_what_is_missing_has_no_error() -> None:
    assert [error is None for error in errors_of(case(prediction=TARGET, truth=TRUTH))] == [
        True,
        True,
        False,
    ]
    assert errors_of(case(target=TARGET)) == [None, None, None]


def test_an_image_whose_target_is_ignored_everywhere_has_no_figure() -> None:
    error, *_ = errors_of(case(target=torch.full_like(TRUTH, 255), truth=TRUTH))
    assert error is not None
    assert math.isnan(error.wrong)
    assert math.isnan(error.iou)


def test_wrong_pixels_are_told_apart_by_their_target() -> None:
    whole = case(target=TARGET, prediction=PREDICTION, truth=TRUTH)
    assert error_sources([whole]) == ErrorSources(target_wrong=1, target_right=1, no_target=1)
    assert sum(error_sources([whole, whole])) == 6
    assert error_sources([case(prediction=PREDICTION, truth=TRUTH)]) == ErrorSources()
    assert ErrorSources().in_words() == ""


def test_wrong_pixels_are_marked_and_nothing_else_is() -> None:
    image = torch.full((3, 1, 5), 100, dtype=torch.uint8)
    drawn = draw_errors(image, PREDICTION, TRUTH)
    factor = drawn.shape[-1] // 5
    red = (drawn[0].int() - drawn[2].int() > 60)[0, ::factor]
    assert red.tolist() == [True, True, False, True, False]
