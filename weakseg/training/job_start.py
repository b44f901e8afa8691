"""resume=auto: a job that its scheduler has started anew goes on with the run that it has begun."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from weakseg.config.recipe import Recipe, RecipeError, load
from weakseg.utils.job import NAME, JobRecord, current_job

AUTO = "resume=auto"


class Start(NamedTuple):
    """What a command begins with."""

    recipe: Recipe
    """of a new run, or of one that goes on"""
    job: JobRecord | None = None
    """where the run folder of a job is noted; None if the words do not ask for that"""
    finished: Path | None = None
    """the folder of a run that the job has finished already"""


def start_of(words: Sequence[str]) -> Start:
    """What the words of `weakseg.fit` begin, with `resume=auto` looked up. Needs no torch."""
    if AUTO not in words:
        return Start(load(words))
    job = current_job()
    if job is None:
        raise RecipeError(
            "resume: auto goes on with the run of a scheduler's job, but this is none: neither "
            f"SLURM_JOB_ID nor {NAME} is in the environment; write resume=<run folder>"
        )
    own = [word for word in words if word != AUTO]
    recipe = load([word for word in own if not word.startswith("processes=")])
    root = Path(recipe.sections.get("trainer", {}).get("default_root_dir") or "runs")
    record = JobRecord(root / recipe.name, job, own)
    known = record.find()
    if known is None:
        return Start(recipe, record)
    if known.finished:
        return Start(recipe, record, known.folder)
    processes = [word for word in own if word.startswith("processes=")]
    return Start(load([f"resume={known.folder}", *processes]), record)
