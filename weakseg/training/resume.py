"""Going on with a run that was stopped: from which checkpoint, and whether it can be."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from weakseg.config.recipe import Recipe, RecipeError
from weakseg.config.values import read_yaml
from weakseg.networks.parts.weights import read_weights
from weakseg.training.checkpoints import FORMAT, PLACE
from weakseg.utils.fingerprint import fingerprint


class StoppedRun(NamedTuple):
    """Where a run was stopped that goes on; the beginning for a new one."""

    steps: int = 0
    rows: int | None = None
    """of metrics.csv; None for a new run"""
    processes: int | None = None
    recipe: str | None = None
    """a digest of recipe.yaml; None where there was no such file"""


# what a run needs to go on from a checkpoint
GOES_ON = {"weakseg", "global_step", "loops", "optimizer_states"}


def read_stop(recipe: Recipe) -> StoppedRun:
    """Read the checkpoint that the run goes on from; whatever is wrong with it is found before
    anything else is done."""
    if recipe.resume is None:
        return StoppedRun()
    folder = Path(recipe.resume)
    places = [
        folder / name
        for name in ("metrics.csv", "report.html", "checkpoints/last.ckpt", "checkpoints/best.ckpt")
    ]
    for file in places:
        if os.path.lexists(file) and not file.is_file():
            raise RecipeError(f"resume: expected a file, but {file} is none; move it away to go on")
    last = last_checkpoint(recipe, folder)
    if last is None:
        return StoppedRun()
    try:
        content = read_weights(last)
    except ValueError as error:
        raise RecipeError(f"resume: {error}; {_way_out(last)}") from None
    if missing := sorted(GOES_ON - set(content)):
        raise RecipeError(
            f"resume: {last} is no checkpoint that a run can go on from: it has no "
            f"{', no '.join(missing)} (best.ckpt is of that kind, for init_from=); "
            f"{_way_out(last)}"
        )
    place = dict(content.get(PLACE, {}))
    if place.pop("format", None) != FORMAT:
        raise RecipeError(
            f"resume: {last} was made by another version of weakseg, whose runs cannot go on here; "
            f"start a new run from its weights with recipe={folder / 'recipe.yaml'} "
            f"init_from={last}"
        )
    stopped = StoppedRun(content["global_step"], **place)
    if stopped.recipe not in (None, recipe_digest(folder)):
        raise RecipeError(
            f"resume: {folder / 'recipe.yaml'} is not the recipe that this run was trained "
            "with until now; undo the change (what may change goes on the command line, such "
            "as trainer.max_steps=), or start a new run from its weights with "
            f"recipe={folder / 'recipe.yaml'} init_from={last}"
        )
    return stopped


def last_checkpoint(recipe: Recipe, folder: Path) -> Path | None:
    """The checkpoint to go on from; None for a new run, and for one that was stopped before its
    first checkpoint."""
    last = folder / "checkpoints" / "last.ckpt"
    return last if recipe.resume is not None and last.is_file() else None


def compare_processes(now: int, then: int | None, wanted: int | None) -> None:
    """Refuse to go on with other batches than those of the run, unless it is asked for in so many
    words."""
    if wanted is not None and wanted != now:
        raise RecipeError(
            f"processes: expected {now}, as many as trainer.devices and trainer.num_nodes "
            f"make, but it is {wanted}"
        )
    if then is not None and then != now and wanted is None:
        raise RecipeError(
            f"resume: this run was trained by {then} process{'es' * (then > 1)} and would go "
            f"on with {now}, so its results would differ from those of an undisturbed run; "
            f"write processes={now} to go on all the same, or set trainer.devices and "
            f"trainer.num_nodes so that there are {then}"
        )


def recipe_digest(folder: Path) -> str | None:
    """Of the values in a run's recipe.yaml, whatever its comments say; None where there is no such
    file."""
    file = folder / "recipe.yaml"
    return (
        fingerprint(json.dumps(read_yaml(file.read_bytes(), str(file))[0], sort_keys=True))
        if file.is_file()
        else None
    )


def _way_out(last: Path) -> str:
    """What to do without the last checkpoint."""
    best = last.with_name("best.ckpt")
    recipe = last.parents[1] / "recipe.yaml"
    new = (
        f"or start a new run from the best weights with recipe={recipe} init_from={best}"
        if best.is_file()
        else ""
    )
    return (
        f"delete it to have resume= train this run again from its start{', ' if new else ''}{new}"
    )
