"""`weakseg.fit.main` in a program of somebody else: it leaves the process as it was, and signals to
those who handled them."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.test_fit import SMALL, TINY
from weakseg.evidence import Batch
from weakseg.fit import main
from weakseg.strategies.base import Strategy
from weakseg.training.metrics_file import read_record

WORDS = [
    "recipe=boxes_rect",
    *TINY,
    *SMALL,
    "trainer.accelerator=cpu",
    "trainer.max_steps=4",
    "trainer.log_every_n_steps=1",
]
ENDS: dict[str, type[BaseException]] = {
    "SIGINT": KeyboardInterrupt,
    "SIGTERM": SystemExit,
    "failure": RuntimeError,
}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Disturbed(Strategy):
    """Something happens in its second step."""

    def __init__(self, by: str = "") -> None:
        super().__init__()
        self.by, self.calls = by, 0

    def loss(self, logits: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        self.calls += 1
        if self.calls == 2 and self.by:
            if self.by == "failure":
                raise RuntimeError("no")
            signal.raise_signal(signal.Signals[self.by])
        return {"mean": logits.square().mean()}


def disturbed(by: str) -> list[str]:
    return [*WORDS, f"strategy={__name__}.Disturbed", f"strategy.by={by}"]


def process() -> dict[str, Any]:
    """All that a run might change of a process."""
    return {
        "handlers": {signum: signal.getsignal(signum) for signum in signal.valid_signals()},
        "streams": (sys.stdout, sys.stderr),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook),
        "warnings": (warnings.formatwarning, warnings.showwarning, list(warnings.filters)),
        "logging": logging.getLogger("pytorch_lightning").level,
        # of Lightning's own seeds
        "environment": {
            name: value for name, value in os.environ.items() if not name.startswith("PL_")
        },
        "folder": os.getcwd(),
        "threads": {
            thread.name for thread in threading.enumerate() if thread.name.startswith("weakseg")
        },
    }


@pytest.mark.parametrize("by", ["", *ENDS])
def test_a_run_leaves_the_process_as_it_was_however_it_ends(
    by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    main(WORDS)  # what is imported for the first time may set up the process for itself
    before = process()
    if by:
        with pytest.raises(ENDS[by]):
            main(disturbed(by))
    else:
        main(WORDS)
    assert process() == before


@pytest.mark.parametrize("by", ["SIGINT", "SIGTERM"])
def test_after_a_signal_a_process_that_lives_on_can_train_again(by: str) -> None:
    with pytest.raises(ENDS[by]) as caught:
        main(disturbed(by))
    if by == "SIGTERM":
        assert caught.value.code == 143  # type: ignore[attr-defined]
    run = main(WORDS)
    assert [row["step"] for row in read_record(run / "metrics.csv") if row.get("loss/total")] == [
        "0",
        "1",
        "2",
        "3",
    ]


def test_mistyped_words_leave_the_process_as_it_was() -> None:
    before = process()
    with pytest.raises(SystemExit):
        main([*WORDS, "trainer.max_stepz=1"])
    assert process() == before


def test_a_run_may_be_made_in_any_thread() -> None:
    runs: list[Path] = []
    thread = threading.Thread(target=lambda: runs.append(main(WORDS)))
    thread.start()
    thread.join()
    assert len(runs) == 1
    assert (runs[0] / "report.html").is_file()
