"""A run that all tests of predictions share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trained.runs import SMALL
from weakseg.fit import main as fit


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    return fit(["recipe=full", *SMALL, f"trainer.default_root_dir={root}"])
