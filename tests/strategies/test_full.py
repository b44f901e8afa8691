from __future__ import annotations

import pytest
import torch

from weakseg.evidence import Evidence
from weakseg.strategies.base import Context
from weakseg.strategies.full import Full


def test_the_target_is_the_marks_and_nothing_else() -> None:
    marks = torch.tensor([[0, 2, 255], [255, 1, 1]], dtype=torch.uint8)
    evidence = Evidence(
        "a",
        torch.zeros(3, 2, 3, dtype=torch.uint8),
        marks=marks,
        boxes=torch.tensor([[0.0, 0, 3, 2]]),
        box_classes=torch.tensor([2]),
    )
    target = Full().estimate(evidence, Context())
    assert torch.equal(target, marks)
    assert target.data_ptr() != marks.data_ptr()


def test_a_mask_that_marks_nothing_is_refused_by_name() -> None:
    evidence = Evidence(
        "a",
        torch.zeros(3, 2, 2, dtype=torch.uint8),
        marks=torch.full((2, 2), 255, dtype=torch.uint8),
    )
    with pytest.raises(ValueError, match="image a has no marked pixel"):
        Full().check(evidence, ())
