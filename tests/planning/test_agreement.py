"""Processes that have planned differently do not train together."""

from __future__ import annotations

from typing import Any

import pytest

from weakseg.planning.agreement import OnePlan, differences
from weakseg.planning.plan import Plan

PLAN = Plan({"data.batch_size": 8, "network.weights": "imagenet"}, {})


def test_the_same_plan_everywhere() -> None:
    assert differences([PLAN.values, dict(PLAN.values)]) == []
    callback: Any = OnePlan(PLAN)
    callback.setup(None, None, "fit")  # alone


def test_another_machine_without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    others = [PLAN.values, {**PLAN.values, "network.weights": None}]
    monkeypatch.setattr("weakseg.planning.agreement.gather", lambda values: others)
    callback: Any = OnePlan(PLAN)
    with pytest.raises(ValueError, match=r"differently: network\.weights is imagenet, null; give"):
        callback.setup(None, None, "fit")
