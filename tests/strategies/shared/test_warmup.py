from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.small import loss_of
from tests.strategies.parts import a_batch
from weakseg.evidence import Evidence
from weakseg.functional.pooling import classification
from weakseg.functional.resolution import average_pool
from weakseg.strategies.base import Context
from weakseg.strategies.shared.warmup import WarmUp
from weakseg.strategies.tags_ccnn import TagsCCNN
from weakseg.strategies.tags_ccnn_size import TagsCCNNSize
from weakseg.strategies.tags_em import TagsEM
from weakseg.utils.fingerprint import module_fingerprint


def test_it_is_over_after_so_many_batches_of_training() -> None:
    warmup = WarmUp(2)
    warmup.eval()
    assert not warmup.is_over()  # looking is not training
    warmup.train()
    assert [warmup.is_over() for _ in range(4)] == [False, False, True, True]
    assert WarmUp(0).is_over()


def test_a_resumed_one_goes_on() -> None:
    before, after = WarmUp(2), WarmUp(2)
    before.is_over()
    after.load_state_dict(before.state_dict())
    assert [after.is_over() for _ in range(2)] == [False, True]


def test_a_negative_number_is_named() -> None:
    with pytest.raises(ValueError, match="batches should be at least 0, but it is -3"):
        WarmUp(-3)


def test_the_count_is_no_part_of_what_targets_depend_on() -> None:
    class Estimating(TagsEM):
        def estimate(self, evidence: Evidence, context: Context) -> Tensor:
            return torch.zeros(evidence.image.shape[1:], dtype=torch.uint8)

    strategy = Estimating(warmup=5)
    key = module_fingerprint(strategy)
    strategy.warmup.is_over()
    assert module_fingerprint(strategy) == key
    assert module_fingerprint(Estimating(warmup=6)) != key


@pytest.mark.parametrize("kind", [TagsEM, TagsCCNN, TagsCCNNSize])
def test_tags_teach_classification_first(kind: type[TagsEM | TagsCCNN | TagsCCNNSize]) -> None:
    strategy = kind(warmup=1)
    logits, valid = torch.randn(1, 3, 8, 8).bfloat16(), torch.ones(1, 8, 8, dtype=torch.bool)
    valid[:, 6:] = False
    batch = a_batch(8, 8, [[1, 1, 0]], valid=valid)._replace(
        large=torch.tensor([[True, True, False]])
    )
    first, later = (loss_of(strategy, logits, batch).terms for _ in range(2))
    assert batch.tags is not None
    torch.testing.assert_close(
        first,
        {"classification": classification(*average_pool(logits.float(), valid, 4), batch.tags)},
    )
    (term,) = later
    assert term in ("cross_entropy", "kl")


def test_labels_at_the_networks_own_stride_are_preceded_by_classification_there() -> None:
    logits, batch = torch.randn(1, 3, 4, 4), a_batch(16, 16, [[1, 1, 0]])
    assert batch.tags is not None
    found = TagsEM(warmup=1, resolution="scores").loss(logits, batch)["classification"]
    torch.testing.assert_close(
        found, classification(logits, torch.ones(1, 4, 4, dtype=torch.bool), batch.tags)
    )
