from __future__ import annotations

import pytest
import torch

from tests.strategies.parts import a_batch
from weakseg.functional.pooling import classification
from weakseg.functional.resolution import averaged
from weakseg.strategies.tags_ccnn import TagsCCNN
from weakseg.strategies.tags_ccnn_size import TagsCCNNSize
from weakseg.strategies.tags_em import TagsEM
from weakseg.strategies.warmup import WarmUp
from weakseg.strategy import Strategy


def test_it_is_over_after_so_many_batches_of_training() -> None:
    warmup = WarmUp(2, "wait")
    warmup.eval()
    assert not warmup.count()  # looking is not training
    warmup.train()
    assert [warmup.count() for _ in range(4)] == [False, False, True, True]
    assert WarmUp(0, "wait").count()


def test_a_resumed_one_goes_on() -> None:
    before, after = WarmUp(2, "wait"), WarmUp(2, "wait")
    before.count()
    after.load_state_dict(before.state_dict())
    assert [after.count() for _ in range(2)] == [False, True]


def test_a_negative_number_is_named() -> None:
    with pytest.raises(ValueError, match="warmup should be at least 0, how many batches wait, but it is -3"):
        WarmUp(-3, "wait")


@pytest.mark.parametrize("strategy", [TagsEM(warmup=1), TagsCCNN(warmup=1), TagsCCNNSize(warmup=1)])
def test_tags_teach_classification_first(strategy: Strategy) -> None:
    logits, valid = torch.randn(1, 3, 8, 8), torch.ones(1, 8, 8, dtype=torch.bool)
    valid[:, 6:] = False
    batch = a_batch(8, 8, [[1, 1, 0]], valid=valid)._replace(large=torch.tensor([[True, True, False]]))
    first, later = strategy.loss(logits, batch), strategy.loss(logits, batch)
    assert batch.tags is not None
    torch.testing.assert_close(first, {"classification": classification(*averaged(logits, valid, 4), batch.tags)})
    (term,) = later
    assert term in ("cross_entropy", "kl")


def test_labels_at_the_networks_own_stride_are_preceded_by_classification_there() -> None:
    logits, batch = torch.randn(1, 3, 4, 4), a_batch(16, 16, [[1, 1, 0]])
    assert batch.tags is not None
    found = TagsEM(warmup=1, resolution="scores").loss(logits, batch)["classification"]
    torch.testing.assert_close(found, classification(logits, torch.ones(1, 4, 4, dtype=torch.bool), batch.tags))
