"""What is known of a batch without asking the device that it is on."""

from __future__ import annotations

import torch

from weakseg.evidence import Batch
from weakseg.utils.devices import as_on_a_gpu, host_copy, keep_host_copies, on_cpu


def a_batch() -> Batch:
    return Batch(
        ["a"],
        torch.zeros(1, 3, 2, 2, dtype=torch.uint8),
        tags=torch.tensor([[True, False]]),
        boxes=[torch.tensor([[0.0, 0, 1, 1]])],
    )


def test_a_batch_that_was_copied_knows_what_it_was_on_the_cpu() -> None:
    batch = a_batch()
    assert batch.tags is not None
    assert batch.boxes is not None
    moved = batch._replace(tags=batch.tags.clone(), boxes=[batch.boxes[0].clone()])
    keep_host_copies(batch, moved)
    assert moved.tags is not None
    assert moved.boxes is not None
    assert host_copy(moved.tags) is batch.tags
    assert host_copy(moved.boxes[0]) is batch.boxes[0]
    assert host_copy(moved.image) is batch.image  # which was not copied


def test_what_takes_the_place_of_a_tensor_is_not_taken_for_it() -> None:
    batch = a_batch()
    assert batch.tags is not None
    moved = batch._replace(tags=batch.tags.clone())
    keep_host_copies(batch, moved)
    assert moved.tags is not None
    others = moved._replace(tags=~moved.tags)
    assert others.tags is not None
    assert host_copy(others.tags).tolist() == [[False, True]]


def test_code_can_be_led_the_ways_of_a_gpu() -> None:
    tensor = torch.zeros(1)
    assert on_cpu(tensor)
    with as_on_a_gpu():
        assert not on_cpu(tensor)
    assert on_cpu(tensor)
