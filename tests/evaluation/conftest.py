"""A run that all tests of evaluations share."""

from __future__ import annotations

from pathlib import Path

import pytest

from weakseg.fit import main as fit


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on the toy set, with masks."""
    words = [
        *("recipe=full", "data.train=8", "data.val=3", "data.size=48", "data.batch_size=4"),
        *("network=tests.small.TinyNet", "network.classes=5", "rounds.workers=0"),
        *("trainer.max_steps=24", "trainer.check_val_every_n_epoch=4", "trainer.accelerator=cpu"),
        *("trainer.enable_progress_bar=false", "optimizer.lr=0.05"),
    ]
    return fit([*words, f"trainer.default_root_dir={tmp_path_factory.mktemp('runs')}"])
