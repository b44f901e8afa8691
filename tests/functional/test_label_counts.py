"""Labels are counted the same on all devices."""

from __future__ import annotations

import torch

from weakseg.functional.label_counts import label_counts
from weakseg.utils.devices import as_on_a_gpu


def test_the_way_of_a_gpu_counts_the_same() -> None:
    labels = torch.randint(-3, 9, (2, 5, 7))
    here = label_counts(labels, 6)
    assert here.tolist() == [int((labels == label).sum()) for label in range(6)]
    with as_on_a_gpu():
        assert torch.equal(label_counts(labels, 6), here)
