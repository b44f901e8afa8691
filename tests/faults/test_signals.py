"""Whole runs that get a signal, or lose a process, at any moment: they end in time, say how to go
on, and leave no process."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
TINY = [
    "network=tests.small.TinyNet",
    "network.classes=5",
    "data.val=4",
    "data.size=32",
    "data.batch_size=2",
]
WORDS = [
    "recipe=boxes_rect",
    *TINY,
    "trainer.accelerator=cpu",
    "trainer.max_steps=100000",
    "trainer.log_every_n_steps=1",
]
FEW = ["data.train=8", "rounds.workers=0"]
TWO = [*FEW, "trainer.devices=2", "trainer.strategy=ddp"]
POOL = ["data.train=80", "rounds.workers=2", "rounds.when=epochs"]
FORMS = {
    "alone": FEW,
    "loaders": [*FEW, "data.workers=2"],
    "pool": POOL,
    "ranks": TWO,
    "torchrun": TWO,
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/environ").exists(), reason="looks for processes in /proc"
    ),
]


class Run:
    """A run in a process of its own, whose processes all bear a mark in their environment."""

    def __init__(self, folder: Path, form: str, *words: str, **environment: str) -> None:
        self.folder, self.mark = folder, uuid.uuid4().hex
        launcher = (
            ["torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}", "-m"]
            if form == "torchrun"
            else []
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", *launcher, "weakseg.fit", *WORDS, *FORMS[form], *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "WEAKSEG_TEST": self.mark, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait_for_rows(self, count: int) -> None:
        """Of metrics.csv."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            files = list(self.folder.glob("runs/boxes_rect/[0-9]*/metrics.csv"))
            if files and files[0].read_text().count("\n") > count:
                return
            assert self.process.poll() is None, self.process.communicate()[0]
            time.sleep(0.02)
        raise AssertionError("the run never got so far")

    def processes(self) -> Iterator[int]:
        """All that live."""
        for environment in Path("/proc").glob("[0-9]*/environ"):
            try:
                ours = self.mark.encode() in environment.read_bytes()
                state = (environment.parent / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:  # it has just ended
                continue
            if ours and state != "Z":
                yield int(environment.parent.name)

    def ranks(self) -> list[int]:
        """The processes that were launched as ranks, in their order."""
        found = {}
        for process in self.processes():
            place = Path("/proc") / str(process)
            words = place.joinpath("environ").read_bytes().decode(errors="replace").split("\0")
            parent = int(place.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            ranked = [word.partition("=")[2] for word in words if word.startswith("LOCAL_RANK=")]
            if ranked and parent == self.process.pid:
                found[int(ranked[0])] = process
        return [found[rank] for rank in sorted(found)]

    def end(self) -> str:
        """What it has printed; fails if a process outlives it for five seconds."""
        try:
            printed, _ = self.process.communicate(timeout=60)
            end = time.monotonic() + 5
            while (left := list(self.processes())) and time.monotonic() < end:
                time.sleep(0.1)
            assert not left
            return printed
        finally:
            for process in self.processes():
                os.kill(process, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("form", FORMS)
def test_a_signal_ends_every_form_of_run_in_time_and_it_can_go_on(
    form: str, tmp_path: Path
) -> None:
    signum = random.Random(form).choice([signal.SIGINT, signal.SIGTERM])
    run = Run(tmp_path, form)
    run.wait_for_rows(random.Random(form).randrange(5, 40))
    # as a terminal sends it, or a scheduler
    to = os.killpg if form in ("loaders", "pool") else os.kill
    to(run.process.pid, signum)
    to(run.process.pid, signum)
    began = time.monotonic()
    printed = run.end()
    assert time.monotonic() - began < 20  # ten are promised, of a machine that does nothing else
    # torchrun has an exit code of its own
    assert run.process.returncode == (1 if form == "torchrun" else 128 + signum), printed
    assert printed.count("go on with: python -m weakseg.fit resume=runs/boxes_rect/") == 1
    assert f'File "{ROOT / "weakseg"}' not in printed  # torchrun prints tracebacks of its own
    assert form == "torchrun" or "Traceback" not in printed
    (folder,) = tmp_path.glob("runs/boxes_rect/[0-9]*")
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] > 0
    assert not list(tmp_path.rglob("*.part"))


def test_a_signal_ends_a_run_that_is_just_launching_its_ranks(tmp_path: Path) -> None:
    run = Run(tmp_path, "ranks")
    end = time.monotonic() + 120
    while not run.ranks() and time.monotonic() < end:
        time.sleep(0.02)
    run.process.terminate()
    printed = run.end()
    assert run.process.returncode == 143, printed
    assert "Forcefully terminating" not in printed


@pytest.mark.parametrize("form", ["loaders", "pool"])
def test_kill_9_leaves_no_process(form: str, tmp_path: Path) -> None:
    run = Run(tmp_path, form)
    run.wait_for_rows(2)
    run.process.kill()
    run.end()


@pytest.mark.parametrize(
    ("lost", "message"), [(0, "rank 0 has died"), (1, "rank 1 was killed by SIGKILL")]
)
def test_a_rank_that_dies_is_named_and_the_others_end(
    lost: int, message: str, tmp_path: Path
) -> None:
    run = Run(tmp_path, "ranks")
    run.wait_for_rows(5)
    os.kill([run.process.pid, *run.ranks()][lost], signal.SIGKILL)
    printed = run.end()
    assert printed.count(f"error: {message}; all ranks end") == 1
    assert printed.count("go on with: python -m weakseg.fit resume=runs/boxes_rect/") == 1
    assert "Traceback" not in printed


HANGS = """
import os, time, weakseg

class Hangs(weakseg.Strategy):
    calls = 0

    def loss(self, logits, batch):
        self.calls += 1
        if self.calls == 4 and os.environ["LOCAL_RANK"] == "1":
            time.sleep(1000)
        return {"mean": logits.square().mean()}
"""


def test_a_rank_that_hangs_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HANGS)
    run = Run(tmp_path, "ranks", "strategy=mine.Hangs", WEAKSEG_RANK_TIMEOUT="8")
    printed = run.end()
    assert run.process.returncode == 1
    assert "error: rank 1 hangs: has not moved for 8 seconds" in printed
    assert "rank 1 is in mine.py, line 10, loss" in printed
    assert "go on with" in printed
