"""The job of a scheduler, from variables in the environment, and the file that names its run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from weakseg.utils import job as module
from weakseg.utils.job import Job, JobRecord, JobRun, current_job, requeue

VARIABLES = (
    *("WEAKSEG_JOB", "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"),
    *("SLURM_RESTART_COUNT", "SLURM_CLUSTER_NAME", "SLURM_PROCID"),
)


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "job"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "12"}, Job("slurm  12", False)),
        ({"SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": "0"}, Job("slurm  12", False)),
        ({"SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": "3"}, Job("slurm  12", True)),
        ({"SLURM_JOB_ID": "12", "SLURM_CLUSTER_NAME": "big"}, Job("slurm big 12", False)),
        (
            {"SLURM_JOB_ID": "14", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "2"},
            Job("slurm  12_2", False),
        ),
        ({"SLURM_JOB_ID": "12", "WEAKSEG_JOB": "mine"}, Job("named mine", True)),
    ],
)
def test_the_job_is_in_the_environment(
    variables: dict[str, str], job: Job | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert current_job() == job


def record(root: Path, number: int = 12, restarted: bool = True, *words: str) -> JobRecord:
    return JobRecord(root, Job(f"slurm {number}", restarted), words or ("recipe=boxes",))


def test_a_restarted_job_finds_its_run_and_no_other(tmp_path: Path) -> None:
    run = tmp_path / "20260101-000000-abcd"
    run.mkdir()
    (run / "recipe.yaml").write_text("")
    assert record(tmp_path).find() is None
    record(tmp_path, restarted=False).write(run)
    assert record(tmp_path).find() == JobRun(run, False)
    assert record(tmp_path, 13).find() is None
    assert record(tmp_path, 12, True, "recipe=tags").find() is None
    # a number that is given again: this job is started for the first time
    assert record(tmp_path, restarted=False).find() is None
    record(tmp_path).write(run, finished=True)
    assert record(tmp_path).find() == JobRun(run, True)
    (run / "recipe.yaml").unlink()
    assert record(tmp_path).find() is None


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"run": "x"}), "\0"])
def test_a_damaged_record_is_none(content: str, tmp_path: Path) -> None:
    record(tmp_path).write(tmp_path / "x")
    (file,) = tmp_path.glob(".job-*.json")
    file.write_text(content)
    assert record(tmp_path).find() is None


def test_a_record_shows_no_word_of_the_command(tmp_path: Path) -> None:
    record(tmp_path, 12, True, "logger.key=secret").write(tmp_path / "x")
    (file,) = tmp_path.glob(".job-*.json")
    assert "secret" not in file.read_text() + file.name


def test_only_the_first_process_of_a_job_asks_for_more_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = tmp_path / "asked"
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    (tmp_path / "scontrol").chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    requeue()  # in no job
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_PROCID", "1")
    requeue()
    assert not asked.exists()
    monkeypatch.setenv("SLURM_PROCID", "0")
    requeue()
    assert asked.read_text() == "requeue 12\n"
    assert "job 12 is back in the queue (scontrol requeue 12)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "said"),
    [("echo Access denied >&2; exit 1", "Access denied"), (None, "No such file or directory")],
)
def test_a_job_that_cannot_be_put_back_is_told_so(
    script: str | None,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    if script is not None:
        (tmp_path / "scontrol").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "scontrol").chmod(0o700)
    requeue()
    assert f"job 12 could not be put back: {said}" in capsys.readouterr().err.replace(
        "[Errno 2] ", ""
    )
    assert module.NAME == "WEAKSEG_JOB"
