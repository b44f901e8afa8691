from __future__ import annotations

import math

import pytest
import torch

from weakseg.functional.word_masks import word_mask


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_it_is_what_the_rule_says() -> None:
    masks, semantic = torch.randn(5, 3, 4) * 3, torch.randn(3, 4) * 3
    logits = torch.tensor([2.0, -1.0, 0.5, -3.0, 1.0])  # of which some count for nothing
    presence = torch.tensor(1.2)
    found = word_mask(masks, logits, presence, semantic)
    for row in range(3):
        for column in range(4):
            best = sigmoid(float(semantic[row, column])) * sigmoid(1.2)
            for mask, logit in zip(masks, logits.tolist(), strict=True):
                score = sigmoid(logit) * sigmoid(1.2)
                if score > 0.3:
                    best = max(best, sigmoid(float(mask[row, column])) * score)
            assert float(found[row, column]) == pytest.approx(best, rel=1e-5)


def test_what_is_not_there_is_nowhere() -> None:
    everywhere = torch.full((40, 6, 6), 9.0)
    found = word_mask(everywhere, torch.full((40,), 9.0), torch.tensor(-9.0), everywhere[0])
    assert found.max() < 0.001
