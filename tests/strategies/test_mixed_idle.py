"""Batches of a mixture that teach nothing, and whose tags have to be found in a batch."""

from __future__ import annotations

import pytest
import torch

from tests.small import loss_of
from weakseg.evidence import IGNORE, Batch
from weakseg.strategies.mixed import Mixed

LOGITS = torch.zeros(1, 3, 4, 4, requires_grad=True)
EMPTY = Batch(
    ["a"], torch.zeros(1, 3, 4, 4, dtype=torch.uint8), target=torch.full((1, 4, 4), IGNORE)
)


@pytest.mark.filterwarnings(
    r"ignore:an image of this batch teaches nothing. a crop .* data.crop=null"
)
def test_batch_after_batch_without_anything_to_learn_stops() -> None:
    strategy = Mixed()
    for _ in range(19):
        strategy.loss(LOGITS, EMPTY)
    # it starts to count again
    strategy.loss(LOGITS, EMPTY._replace(target=torch.zeros(1, 4, 4, dtype=torch.int64)))
    for _ in range(19):
        strategy.loss(LOGITS, EMPTY)
    with pytest.raises(ValueError, match=r"the last 20 batches taught nothing: .* data.crop=null"):
        strategy.loss(LOGITS, EMPTY)


def test_only_tags_of_images_that_learn_from_them_have_to_be_found() -> None:
    """The first image has a mask, so its class 2 is learned from there and estimated nowhere."""
    masked = torch.zeros(4, 4, dtype=torch.int64)
    target = torch.stack([masked, torch.full((4, 4), IGNORE)])
    tags = torch.tensor([[True, False, True], [True, True, False]])
    strategy = Mixed()
    batch = Batch(
        ["a", "b"],
        torch.zeros(2, 3, 4, 4, dtype=torch.uint8),
        target=target,
        marks=target,
        tags=tags,
    )
    returned = loss_of(strategy, torch.zeros(2, 3, 4, 4, requires_grad=True), batch)
    assert returned.named is not None
    assert returned.named.any(0).tolist() == [True, True, False]
