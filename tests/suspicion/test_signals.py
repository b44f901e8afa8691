"""The signals of one image, with and without a network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.small import Everything
from weakseg.evidence import Evidence
from weakseg.suspicion.queue import reasons_of, score_of
from weakseg.suspicion.signals import signals_of

CLASSES = Everything.classes


def sample(index: int = 0) -> tuple[Evidence, Tensor]:
    evidence, truth = Everything().sample(index)
    assert truth is not None
    return evidence, truth


def probs_of(labels: Tensor) -> Tensor:
    hard = torch.nn.functional.one_hot(labels.long(), 3).permute(2, 0, 1).float()
    return 0.94 * hard + 0.02


def score(evidence: Evidence, labels: Tensor, network: Tensor | None = None) -> float:
    return score_of(signals_of(labels, evidence, CLASSES, network))


def test_right_evidence_is_less_suspicious_than_any_wrong_one() -> None:
    evidence, truth = sample()
    assert evidence.boxes is not None
    network = probs_of(truth)
    right = score(evidence, truth, network)
    none = torch.zeros(0, 4)
    wrong = {
        "moved": evidence._replace(boxes=torch.tensor([[0.0, 0, 11, 11]]), marks=None),
        "missing": evidence._replace(
            boxes=none,
            box_classes=torch.zeros(0, dtype=torch.int64),
            tags=torch.tensor([True, False, False]),
            marks=None,
        ),
        "swapped": evidence._replace(
            box_classes=torch.tensor([2]), tags=torch.tensor([True, False, True]), marks=None
        ),
    }
    for name, changed in wrong.items():
        assert score(changed, truth, network) > right + 0.3, name


def test_the_reasons_name_the_class() -> None:
    evidence, truth = sample()
    swapped = evidence._replace(
        boxes=None, box_classes=None, marks=None, tags=torch.tensor([True, False, True])
    )
    target = torch.where(truth == 1, 2, truth)
    assert set(reasons_of(signals_of(target, swapped, CLASSES, probs_of(truth)))) == {
        "dark is annotated, but the network finds none there",
        "the network finds bright where none is annotated",
    }


def test_without_a_network_the_target_is_compared_with_the_evidence() -> None:
    evidence, truth = sample()
    lost = torch.zeros_like(truth)
    assert score(evidence, lost) > score(evidence, truth)
    assert "no pixel of the target is bright, though it is annotated" in reasons_of(
        signals_of(lost, evidence, CLASSES)
    )


def test_soft_labels_have_probabilities_of_their_own() -> None:
    evidence, truth = sample()
    soft = probs_of(truth)
    assert signals_of(truth, evidence, CLASSES, None, soft)["labels"] == pytest.approx(
        0.04, abs=1e-5
    )
    assert "labels" not in signals_of(truth, evidence, CLASSES, soft, soft)


def test_a_network_that_agrees_lowers_no_score_of_a_wrong_target() -> None:
    evidence, truth = sample()
    lost = torch.zeros_like(truth)
    agreeing = score(evidence, lost, probs_of(lost))
    assert agreeing >= score(evidence, lost)
    assert agreeing > score(evidence, truth, probs_of(truth))
