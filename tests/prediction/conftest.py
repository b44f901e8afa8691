"""A run that all tests of predictions share."""

from __future__ import annotations

from pathlib import Path

import pytest

from weakseg.fit import main as fit

SMALL = [
    "recipe=full",
    "data.train=4",
    "data.val=2",
    "data.size=32",
    "data.batch_size=2",
    "network=fcn32s",
    "network.width=0.05",
    "rounds.workers=0",
    "trainer.max_steps=2",
    "trainer.enable_progress_bar=false",
    "trainer.accelerator=cpu",
]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    return fit([*SMALL, f"trainer.default_root_dir={root}"])
