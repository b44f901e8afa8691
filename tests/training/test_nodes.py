"""Training on two machines, as two processes here that share nothing but a folder: torchrun, and
SLURM, whose commands are stand-ins."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.runs import outcome

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "several-nodes.md").read_text()
WORDS = [
    *("recipe=boxes_rect", "data.train=8", "data.val=4", "data.size=32", "data.batch_size=2"),
    *("network=tests.small.TinyNet", "network.classes=5", "rounds.workers=0"),
    *("trainer.accelerator=cpu", "trainer.devices=1", "trainer.num_nodes=2"),
    *("trainer.strategy=ddp", "trainer.enable_progress_bar=false", "trainer.log_every_n_steps=1"),
    "trainer.max_steps=200",
]

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def wait_for_rows(root: Path, count: int) -> None:
    end = time.monotonic() + 600
    while time.monotonic() < end:
        files = list(root.glob("runs/boxes_rect/[0-9]*/metrics.csv"))
        if files and files[0].read_text().count("\n") > count:
            return
        time.sleep(0.02)
    raise AssertionError("the run never got so far")


def torchrun(root: Path, *words: str) -> list[subprocess.Popen[str]]:
    """The same run on two machines, each with a launcher of its own."""
    port = free_port()
    return [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--nnodes=2"),
                *(f"--node-rank={node}", "--nproc-per-node=1", "--master-addr=127.0.0.1"),
                *(f"--master-port={port}", "-m", "weakseg.fit", *words),
            ],
            cwd=root,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for node in (0, 1)
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the same run leaves as two processes that one machine starts, and that nobody
    disturbs."""
    root = tmp_path_factory.mktemp("one")
    words = [word for word in WORDS if "devices" not in word and "nodes" not in word]
    subprocess.run(
        [sys.executable, "-m", "weakseg.fit", *words, "trainer.devices=2"],
        cwd=root,
        env=environment(),
        capture_output=True,
        check=True,
    )
    (run,) = root.glob("runs/boxes_rect/[0-9]*")
    return comparable(run)


def comparable(run: Path) -> dict[str, object]:
    left = outcome(run)
    del left["files"], left["optimizer"]
    return left


def test_two_nodes_of_torchrun_are_two_processes_of_one_and_go_on_after_a_kill(
    whole: dict[str, object], tmp_path: Path
) -> None:
    nodes = tmp_path / "nodes"
    nodes.mkdir()
    first, second = torchrun(nodes, *WORDS)
    wait_for_rows(nodes, 10)
    # a machine is gone: its launcher, and with it the rank, which sees that it is an orphan
    second.kill()
    printed, _ = first.communicate(timeout=90)
    second.communicate(timeout=90)
    assert first.returncode == 1, printed
    assert "resume=runs/boxes_rect/" in printed
    (run,) = nodes.glob("runs/boxes_rect/[0-9]*")
    again = torchrun(nodes, f"resume={run.relative_to(nodes)}")
    printed = "".join(each.communicate(timeout=120)[0] for each in again)
    assert [each.returncode for each in again] == [0, 0], printed
    assert comparable(run) == whole


SRUN = '''#!{python}
"""Starts a command as two tasks, one for each node, and passes signals on to them."""
import os, signal, subprocess, sys
open("srun.pid", "w").write(str(os.getpid()))
tasks = []
for number in range(2):
    own = {{"SLURM_PROCID": str(number), "SLURM_NODEID": str(number), "SLURM_LOCALID": "0"}}
    tasks.append(subprocess.Popen(sys.argv[1:], env={{**os.environ, **own}}))
for each in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(each, lambda signum, _: [task.send_signal(signum) for task in tasks])
sys.exit(max(task.wait() for task in tasks))
'''
SCONTROL = '#!/bin/sh\necho "$@" >> {file}\n'


class Slurm:
    """A job of two nodes. Its script is that of the page, with the words of a small run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked = root / "scontrol.txt"
        commands = root / "bin"
        commands.mkdir(parents=True)
        for name, text in (
            ("srun", SRUN.format(python=sys.executable)),
            ("scontrol", SCONTROL.format(file=self.asked)),
            ("python", f'#!/bin/sh\nexec {sys.executable} "$@"\n'),
        ):
            (commands / name).write_text(text)
            (commands / name).chmod(stat.S_IRWXU)
        self.variables = {
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "SLURM_JOB_NAME": "boxes",
            "SLURM_NTASKS": "2",
            "SLURM_NTASKS_PER_NODE": "1",
            "SLURM_NNODES": "2",
            "SLURM_JOB_NODELIST": "127.0.0.1",
            "SLURM_NODELIST": "127.0.0.1",
        }

    def start(self, restarts: int = 0) -> subprocess.Popen[str]:
        (script,) = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
        small = " ".join([*WORDS, "resume=auto"])
        assert "recipe=boxes resume=auto " in script
        (self.root / "job.sh").write_text(re.sub(r"recipe=boxes .*", small, script))
        own = {"SLURM_JOB_ID": "4711", "MASTER_PORT": str(free_port())}
        if restarts:
            own["SLURM_RESTART_COUNT"] = str(restarts)
        return subprocess.Popen(
            ["bash", "job.sh"],
            cwd=self.root,
            env=environment(**self.variables, **own),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def signal(self, signum: signal.Signals) -> None:
        """To the tasks of the job, as `#SBATCH --signal` has it sent."""
        os.kill(int((self.root / "srun.pid").read_text()), signum)

    @property
    def runs(self) -> list[Path]:
        return sorted(self.root.glob("runs/boxes_rect/[0-9]*"))


def test_a_job_of_slurm_is_requeued_when_its_time_is_up_and_goes_on_by_itself(
    whole: dict[str, object], tmp_path: Path
) -> None:
    slurm = Slurm(tmp_path / "slurm")
    job = slurm.start()
    wait_for_rows(slurm.root, 5)
    slurm.signal(signal.SIGUSR1)
    printed, _ = job.communicate(timeout=120)
    assert job.returncode == 128 + signal.SIGUSR1, printed
    assert slurm.asked.read_text() == "requeue 4711\n"
    assert "job 4711 is back in the queue" in printed
    (run,) = slurm.runs
    assert not (run / "report.html").exists()
    again = slurm.start(restarts=1)
    printed, _ = again.communicate(timeout=120)
    assert again.returncode == 0, printed
    assert slurm.runs == [run]
    assert (run / "commands.txt").read_text().count("resume=") == 1
    assert slurm.asked.read_text() == "requeue 4711\n"
    assert comparable(run) == whole
