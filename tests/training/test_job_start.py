"""resume=auto: a command that a scheduler starts again goes on with its run."""

from __future__ import annotations

from pathlib import Path

import pytest

from weakseg.fit import command, main

WORDS = [
    *("recipe=boxes_rect", "data=tests.small.Squares", "network=tests.small.TinyNet"),
    *("rounds.workers=0", "trainer.max_steps=3", "trainer.accelerator=cpu", "optimizer.lr=0.1"),
    *("trainer.enable_progress_bar=false", "resume=auto"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("WEAKSEG_JOB", "SLURM_JOB_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_job_it_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(WORDS) == 2
    said = capsys.readouterr().err
    assert "neither SLURM_JOB_ID nor WEAKSEG_JOB is in the environment" in said


def test_a_named_job_goes_on_and_is_finished_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEAKSEG_JOB", "mine")
    with pytest.MonkeyPatch.context() as patch:
        # killed when all is trained, before the report
        patch.setattr("weakseg.run.report_run", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            main(WORDS)
    (run,) = Path("runs/boxes_rect").glob("[0-9]*")
    assert main(WORDS) == run
    assert (run / "report.html").is_file()
    assert (run / "commands.txt").read_text().count("resume=") == 1
    capsys.readouterr()
    assert main(WORDS) == run
    assert capsys.readouterr().err == f"the run of this job is finished: {run}\n"
    # other words, and another job, have runs of their own
    assert main([*WORDS, "seed=1"]) != run
    monkeypatch.setenv("WEAKSEG_JOB", "another")
    assert main(WORDS) != run


def test_a_job_of_slurm_that_starts_for_the_first_time_begins_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # a job that runs in the shell of a person, so that Lightning starts no ranks of SLURM
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    first = main(WORDS)
    second = main(WORDS)
    assert first != second
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert main(WORDS) == second
