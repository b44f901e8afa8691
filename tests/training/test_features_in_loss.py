"""A strategy that has the network's features in its loss, in processes of its own: several, killed,
and what comes after training."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from tests.training.test_processes import (
    TWO,
    WORDS,
    figures,
    only_run,
    printed,
    run,
    start,
    steps,
    wait_for_steps,
    weights,
)

pytestmark = pytest.mark.slow

AGMM = [
    *WORDS,
    *("strategy=points_agmm", "strategy.warmup=3", "data.evidence=points", "rounds.when=once"),
    *("data.batch_size=2", "trainer.max_steps=24"),
]


def ended(folder: Path, words: list[str], how: signal.Signals) -> Path:
    """The folder of a run that is ended halfway."""
    process = start(folder, *words)
    wait_for_steps(folder, 7)
    os.killpg(process.pid, how)
    process.communicate(timeout=60)
    assert process.returncode != 0
    return only_run(folder)


@pytest.mark.parametrize(
    ("extra", "how"), [([], signal.SIGTERM), (TWO, signal.SIGKILL)], ids=["one", "two"]
)
def test_what_is_ended_goes_on_to_the_same_weights(
    tmp_path: Path, extra: list[str], how: signal.Signals
) -> None:
    whole = run(tmp_path / "whole", *AGMM, *extra)
    begun = ended(tmp_path / "ended", [*AGMM, *extra], how)
    resumed = run(tmp_path / "ended", f"resume={begun.relative_to(tmp_path / 'ended')}")
    assert resumed == begun
    assert steps(whole) == steps(resumed) == list(range(24))
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(whole).items())
    assert float(figures(resumed, "loss/mixture")["loss/mixture"]) > 0


def test_a_run_labels_images(tmp_path: Path) -> None:
    trained = run(tmp_path, *AGMM)
    printed(tmp_path, "-m", "weakseg.label", f"run={trained}", f"out={tmp_path / 'out'}")
    assert len(list((tmp_path / "out").glob("*.png"))) == 8 + 5
