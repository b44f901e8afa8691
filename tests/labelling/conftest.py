"""Runs that are trained once for all tests here, and a folder of one's own for each test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.labelling.methods import ESTIMATED
from weakseg.fit import main as fit
from weakseg.labelling.dataset import Labelled, label_dataset

SMALL = ["data=tests.small.Squares", "network=tests.small.TinyNet", "rounds.workers=0"]
SHORT = ["trainer.max_steps=4", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]


@pytest.fixture(autouse=True)
def nothing_estimated() -> None:
    ESTIMATED.clear()


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all runs here are in, with their label store."""
    return tmp_path_factory.mktemp("runs")


def trained(runs: Path, strategy: str, *words: str) -> Path:
    """A short run with a strategy of `methods`, or another one by its dotted name."""
    name = strategy if "." in strategy else f"tests.labelling.methods.{strategy}"
    return fit(
        [
            "recipe=boxes_rect",
            f"strategy={name}",
            *SMALL,
            *SHORT,
            f"trainer.default_root_dir={runs}",
            *words,
        ]
    )


@pytest.fixture(scope="session")
def once(runs: Path) -> Path:
    """A run that estimates once."""
    return trained(runs, "Counting")


@pytest.fixture(scope="session")
def again(runs: Path) -> Path:
    """A run whose later rounds query the network."""
    return trained(runs, "CountingRefine", "rounds.when=epochs")


@pytest.fixture(scope="session")
def by_loss(runs: Path) -> Path:
    """A run of a strategy that estimates nothing."""
    data = "data=tests.small.Everything"
    words = [word for word in SMALL if not word.startswith("data=")]
    return fit(
        [
            "recipe=scribbles_gated",
            "strategy.warmup=100",
            data,
            *words,
            *SHORT,
            f"trainer.default_root_dir={runs}",
        ]
    )


def label(
    out: Path, runs: Path, strategy: str | dict[str, str] = "Counting", **given: Any
) -> Labelled:
    """Label as a run in this folder would estimate, with a strategy of `methods`."""
    sections: dict[str, Any] = {
        "data": {"name": "tests.small.Squares"},
        "strategy": strategy
        if isinstance(strategy, dict)
        else {"name": f"tests.labelling.methods.{strategy}"},
        "network": {"name": "tests.small.TinyNet"},
        "rounds": {"workers": "0", "folder": str(runs / "labels")},
    }
    return label_dataset("boxes_rect", out=out, device="cpu", **{**sections, **given})
