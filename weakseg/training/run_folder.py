"""The folder of a run: made by rank 0 and locked, and where the traceback goes if the run fails."""

from __future__ import annotations

import secrets
import shlex
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weakseg.config.recipe import Recipe, RecipeError, Resolved, to_yaml
from weakseg.training.rank_monitor import LostRank, RankMonitor, advice
from weakseg.utils.files import only_user, remove_leftovers, write_whole
from weakseg.utils.paths import point_to, without_link
from weakseg.utils.processes import rank
from weakseg.utils.secrets import scrub_message, scrub_text, scrub_words
from weakseg.utils.signals import LIMIT, SignalStop

COMMANDS = "commands.txt"
HEAD = """\
# Readable by its owner only: what gives access, such as passwords and tokens, stands here as it was
# given, so that the run can be resumed. The copy in report.html has none of that.
"""


@contextmanager
def run_folder(recipe: Resolved, root: Path, rank_monitor: RankMonitor) -> Iterator[Path]:
    """The folder of the run, which rank 0 makes and keeps to itself; other ranks write nothing but
    why they failed."""
    if rank() != 0:
        with _explained(recipe, rank_monitor):
            yield Path(recipe.resume or root)
        return
    if recipe.resume is not None:
        folder = without_link(Path(recipe.resume))
    else:
        folder = root / recipe.name / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise RecipeError(
                f"trainer.default_root_dir: the folder {folder} cannot be made: {error}"
            ) from error
        rank_monitor.folder = folder
    with _explained(recipe, rank_monitor):
        if recipe.resume is None:
            write_whole(folder / "recipe.yaml", (HEAD + to_yaml(recipe)).encode(), mode=0o600)
            point_to(folder)
        with only_user(folder):
            rank_monitor.folder = folder  # which is no other process's
            remove_leftovers(folder)
            _note_command(recipe, folder)
            for file in folder.glob("error*.txt"):  # of a run that this one goes on with
                file.unlink()
            print(f"run folder: {folder}", file=sys.stderr)
            rank_monitor.stopping.advice = advice(folder)
            yield folder


def _note_command(recipe: Resolved, folder: Path) -> None:
    """Add the command of this start to those of the run, without the secrets in it: there is more
    than one where the run was resumed."""
    words = shlex.join(["python", "-m", "weakseg.fit", *scrub_words(recipe.words)])
    command = scrub_message(words, recipe.sections) if recipe.words else "called from Python"
    line = f"{command}  # {time.strftime('%Y-%m-%d %H:%M:%S')}"
    write_whole(folder / COMMANDS, "\n".join([*read_commands(folder), line, ""]).encode())


def read_commands(folder: Path) -> list[str]:
    """The commands that have trained a run, the first start and each resume; none where an older
    version has not noted them."""
    file = folder / COMMANDS
    return file.read_text("utf-8").splitlines() if file.is_file() else []


@contextmanager
def _explained(recipe: Recipe, rank_monitor: RankMonitor) -> Iterator[None]:
    """Whatever ends the run, say how to go on where that is possible, and leave no trace of a run
    that has not begun."""
    try:
        yield
    except BaseException as error:
        stopping = rank_monitor.stopping
        rank_monitor.part()
        wanted = (
            isinstance(error, SignalStop | KeyboardInterrupt | SystemExit) or stopping.signum != 0
        )
        if wanted:
            if rank() == 0 and rank_monitor.folder is not None:
                print(f"\n{advice(rank_monitor.folder)}", file=sys.stderr)
            stopping.advice = ""
            stopping.farewell = True
            rank_monitor.finish(LIMIT - 2)
            raise
        told = rank_monitor.explain(error)
        _keep_what_failed(recipe, rank_monitor, told)
        rank_monitor.finish(2)
        if told is error:
            raise
        raise told from error
    rank_monitor.finish(LIMIT)


def _keep_what_failed(recipe: Recipe, rank_monitor: RankMonitor, error: BaseException) -> None:
    """The traceback goes into the folder of a run that has begun; a folder of one that has not
    goes."""
    folder = rank_monitor.folder
    if folder is None:
        return
    if recipe.resume is None and not rank_monitor.steps:
        if rank() == 0:
            _remove(folder)
        return
    file = folder / ("error.txt" if rank() == 0 else f"error-rank{rank()}.txt")
    try:
        write_whole(
            file, scrub_text("".join(traceback.format_exception(error)), recipe.sections).encode()
        )
        error.add_note(f"the traceback is in {file}")
    except OSError:  # a full disk, perhaps the very reason
        pass
    # what was resumed and made no step will fail again, and so will the same step with the same
    # numbers rank 0 may be the one that is lost
    speaks = rank() == 0 or (rank() == 1 and isinstance(error, LostRank))
    if rank_monitor.steps and not isinstance(error, FloatingPointError) and speaks:
        error.add_note(advice(folder))


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    latest = folder.with_name("latest")
    if latest.is_symlink() and not latest.exists():
        latest.unlink()
        others = sorted(file.parent for file in folder.parent.glob("*/recipe.yaml"))
        if others:
            point_to(others[-1])
    for above in (folder.parent, folder.parent.parent):
        try:
            above.rmdir()
        except OSError:  # not empty
            return
