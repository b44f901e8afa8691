"""A signal ends a process wherever it is, and training where it can go on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from tests.small import Refine, Squares, TinyNet, trainer
from weakseg.optimizers import AdamW
from weakseg.training.checkpoints import Checkpoints, WholeFiles
from weakseg.training.metrics_file import Record, read_record
from weakseg.training.rank_monitor import CleanStop
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter
from weakseg.utils.signals import SignalStop, Stopping

ROOT = Path(__file__).parents[2]
START = """
import os, sys, threading, time
from weakseg.utils import signals as stopping
stopping.PATIENCE, stopping.AGAIN, stopping.LIMIT, stopping.SAME_PRESS = 0.3, 0.6, 1.5, 0.2
stop = stopping.current()
stop.install()
stop.advice = "go on with this"
def work():
    {before}
    print("ready", flush=True)
    {work}
try:
    work()
except stopping.SignalStop as error:
    print("clean", flush=True)
    stopping.end_within(1.5, 128 + error.signum)
    stop.deafen()
    sys.exit(128 + error.signum)
"""
# where an exception that a handler raises gets lost, or where Python calls no handler
PLACES = {
    "waits": "time.sleep(20)",
    "computes": "while True: sum(range(1000))",
    "destructor": "class Slow:\n        def __del__(self): time.sleep(0.2)\n    while True: Slow()",
    "bare except": "while True:\n        try: time.sleep(20)\n        except BaseException: pass",
    "beside a thread that goes on": (
        "threading.Thread(target=time.sleep, args=(20,)).start(); time.sleep(20)"
    ),
    "never comes back": (
        "import ctypes; ctypes.CDLL(None).sem_wait(ctypes.create_string_buffer(32))"
    ),
    "patient": "stop.patient = True; time.sleep(20)",
}


def start(work: str, before: str = "") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", START.format(work=work, before=before)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", PLACES)
def test_a_signal_ends_a_process_wherever_it_is(place: str, signum: signal.Signals) -> None:
    process = start(PLACES[place])
    time.sleep(0.05)
    process.send_signal(signum)
    process.send_signal(signum)  # twice at once is once
    began = time.monotonic()
    printed, complaints = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 128 + signum
    assert printed == "clean\n" or "go on with this" in complaints
    assert "Traceback" not in complaints


def test_whoever_asks_again_does_not_want_to_wait() -> None:
    process = start(
        "time.sleep(60)",
        before="stop.patient = True; stopping.PATIENCE = stopping.AGAIN = stopping.LIMIT = 60",
    )
    process.terminate()
    time.sleep(1)
    process.terminate()
    _, complaints = process.communicate(timeout=20)
    assert process.returncode == 143
    assert "go on with this" in complaints


def test_what_is_ignored_stays_so() -> None:
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from weakseg.utils import signals; signals.current().install()\n"
    )
    code += "signal.raise_signal(signal.SIGINT); print('still here')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "still here\n"


def test_forks_do_not_tell_their_parent_of_their_signals() -> None:
    fork = (
        "child = os.fork()\n"
        "    if child == 0: time.sleep(20)\n"
        "    time.sleep(0.2); os.kill(child, 2); os.kill(child, 15)"
    )
    process = start(f"{fork}\n    print(os.waitpid(child, 0)[1], stop.signum, flush=True)")
    printed, _ = process.communicate(timeout=20)
    assert printed == f"{int(signal.SIGTERM)} 0\n"  # the child is ended by the second alone


# training


class SignalAt(pl.Callback):
    """Sends a signal, as it were, when a hook is called at a step."""

    def __init__(self, hook: str, step: int, stopping: Stopping) -> None:
        setattr(self, hook, self.send)
        self.step, self.stopping = step, stopping

    def send(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            self.stopping.signum = signal.SIGTERM


def run(folder: Path, hook: str = "", step: int = -1, **arguments: Any) -> dict[str, torch.Tensor]:
    pl.seed_everything(7, verbose=False)
    data = Squares()
    segmenter = Segmenter(TinyNet(), Refine(), data.classes, AdamW(lr=0.02))
    stopping, checkpoints, record = Stopping(), Checkpoints(folder / "checkpoints"), Record(folder)
    last = folder / "checkpoints" / "last.ckpt"
    callbacks = [Rounds(when="epochs"), checkpoints, CleanStop(stopping, checkpoints)]
    callbacks += [SignalAt(hook, step, stopping)] if hook else []
    settings = {
        "log_every_n_steps": 1,
        "plugins": [WholeFiles()],
        "logger": record,
        "steps": 10,
        **arguments,
    }
    fit = trainer(folder, callbacks=callbacks, **settings)
    fit.fit(
        segmenter, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True
    )
    return {name: value.clone() for name, value in segmenter.state_dict().items()}


def steps(folder: Path) -> list[int]:
    return [
        int(row["step"]) for row in read_record(folder / "metrics.csv") if row.get("loss/total")
    ]


HOOKS = [
    "on_train_start",
    "on_train_batch_start",
    "on_train_batch_end",
    "on_validation_start",
    "on_train_epoch_end",
    "on_train_epoch_start",
]


@pytest.mark.parametrize("hook", HOOKS)
def test_training_ends_with_a_checkpoint_from_which_it_goes_on_as_if_nothing_had_happened(
    hook: str, tmp_path: Path
) -> None:
    whole = run(tmp_path / "whole")
    # 5: the last of an epoch
    ended = [step for step in (0, 4, 5, 9) if is_stopped(tmp_path / str(step), hook, step)]
    assert ended
    for step in ended:
        folder = tmp_path / str(step)
        saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
        assert step <= saved <= step + 3
        # each step that is in the checkpoint is in the record
        assert steps(folder) == list(range(saved))
        resumed = run(folder)
        assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
        assert steps(folder) == list(range(10))


def is_stopped(folder: Path, hook: str, step: int) -> bool:
    try:
        run(folder, hook, step)
    except SignalStop:
        return True
    return False
