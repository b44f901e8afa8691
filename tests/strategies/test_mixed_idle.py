"""Batches of a mixture that teach nothing."""

from __future__ import annotations

import pytest
import torch

from weakseg.evidence import IGNORE, Batch
from weakseg.strategies.mixed import Mixed

LOGITS = torch.zeros(1, 3, 4, 4, requires_grad=True)
EMPTY = Batch(["a"], torch.zeros(1, 3, 4, 4, dtype=torch.uint8), target=torch.full((1, 4, 4), IGNORE))


@pytest.mark.filterwarnings(r"ignore:an image of this batch teaches nothing. a crop .* data.crop=null")
def test_batch_after_batch_without_anything_to_learn_stops() -> None:
    strategy = Mixed()
    for _ in range(19):
        strategy.loss(LOGITS, EMPTY)
    strategy.loss(LOGITS, EMPTY._replace(target=torch.zeros(1, 4, 4, dtype=torch.int64)))  # it starts to count again
    for _ in range(19):
        strategy.loss(LOGITS, EMPTY)
    with pytest.raises(ValueError, match=r"the last 20 batches taught nothing: .* data.crop=null"):
        strategy.loss(LOGITS, EMPTY)
