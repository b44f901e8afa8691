"""The job of a scheduler that a command is part of: its run folder is found again when the
scheduler starts it anew, and it is put back into the queue when its time is up."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from weakseg.utils.files import write_whole

NAME = "WEAKSEG_JOB"
"""in the environment: the name of a job, for schedulers other than SLURM"""
REQUEUE_TIME = 20.0  # seconds for scontrol to answer


class Job(NamedTuple):
    """A job of a scheduler."""

    id: str
    restarted: bool
    """whether the scheduler has started it before; what has only a name may always have been"""


def current_job() -> Job | None:
    """The job that this process is part of; None if there is none."""
    given = os.environ
    if given.get(NAME):
        return Job(f"named {given[NAME]}", True)
    if (workers := ray_workers()) is not None:
        return Job(f"ray {workers.get_experiment_name()}", True)
    if not given.get("SLURM_JOB_ID"):
        return None
    number = given["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in given and "SLURM_ARRAY_TASK_ID" in given:
        number = f"{given['SLURM_ARRAY_JOB_ID']}_{given['SLURM_ARRAY_TASK_ID']}"
    restarts = given.get("SLURM_RESTART_COUNT", "0")
    cluster = given.get("SLURM_CLUSTER_NAME", "")
    return Job(f"slurm {cluster} {number}", restarts.isdigit() and int(restarts) > 0)


def ray_workers() -> Any:
    """What Ray Train knows of its workers, if this process is one of them; else None."""
    train: Any = sys.modules.get("ray.train")
    if train is None:
        return None
    try:
        context = train.get_context()
        return context if context.get_world_size() is not None else None
    except Exception:  # which one depends on the version of Ray
        return None


def requeue() -> None:
    """Put the job back into SLURM's queue; only the first process of a job step does so."""
    number = os.environ.get("SLURM_JOB_ID")
    if number is None or os.environ.get("SLURM_PROCID", "0") != "0":
        return
    command = ["scontrol", "requeue", number]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=REQUEUE_TIME, check=False
        )
        said = done.stderr.strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    outcome = f"could not be put back: {said}" if said else "is back in the queue"
    print(f"job {number} {outcome} ({' '.join(command)})", file=sys.stderr, flush=True)


class JobRun(NamedTuple):
    """What a job has trained."""

    folder: Path
    finished: bool


@dataclass(frozen=True)
class JobRecord:
    """The file that says which run folder a job trains in. It is of one job and the words of one
    command: another command of the same job has another one.

    Args:
        folder: that the run folders of the recipe are in.
        job: of the scheduler.
        words: of the command.
    """

    folder: Path
    job: Job
    words: Sequence[str]

    def find(self) -> JobRun | None:
        """What this job has trained before it was started anew; None for nothing. A job that is
        started for the first time has trained nothing, whatever job has had its number before."""
        try:
            content = json.loads(self._file.read_bytes())
            run = JobRun(self.folder / content["run"], content["finished"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return run if self.job.restarted and (run.folder / "recipe.yaml").is_file() else None

    def write(self, run: Path, finished: bool = False) -> None:
        """Note the folder of the run; a full disk only costs that it is not found again."""
        content = {"job": self.job.id, "run": run.name, "finished": finished}
        write_whole(self._file, json.dumps(content).encode())

    @property
    def _file(self) -> Path:
        # words may hold secrets
        text = json.dumps([self.job.id, *self.words])
        return self.folder / f".job-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
