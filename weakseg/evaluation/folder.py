"""The folder that an evaluation is written into: held by one process, and changed at once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from weakseg.config.recipe import RecipeError
from weakseg.evaluation.dataset import Measured
from weakseg.evaluation.results import CONFUSIONS, SUMMARY, TABLE
from weakseg.trained.checkpoint import run_of
from weakseg.trained.model import Origin
from weakseg.utils.files import only_user
from weakseg.utils.messages import one_line
from weakseg.utils.remote_path import RemotePath, expect_writable

PAGE = "report.html"
LOCK = ".evaluation.lock"
"""also tells that the files beside it are those of an evaluation"""
OURS = (PAGE, SUMMARY, TABLE, CONFUSIONS)
NOBODY = "no evaluation has"


def default_folder(run: Path, origin: Origin, measured: Measured) -> Path:
    """Where an evaluation is written if nobody says where: into the folder of the run, or beside an
    exported file; with the name of the data set, if that is not the one of the training."""
    of = "" if measured.own else f"-{measured.short_name}"
    if origin.kind == "checkpoint":
        # not by a link such as `latest`, which may soon lead to another run
        folder = run_of(Path(origin.path)) / f"evaluation{of}"
        here = Path.cwd()
        return folder.relative_to(here) if folder.is_relative_to(here) else folder
    # with its ending: there may be several exported forms of one network
    return run.with_name(f"{run.name}-evaluation{of}")


def make_folder(folder: Path) -> None:
    """Make the folder that the word `out` names, if there is none."""
    try:
        expect_writable("out", folder)
        folder.mkdir(parents=True, exist_ok=True)
    except ValueError as error:
        raise RecipeError(one_line(error)) from None
    except OSError as error:
        raise RecipeError(
            f"out: the folder {folder} cannot be made: {error.strerror}; name another"
        ) from None


@contextmanager
def evaluation_folder(
    folder: Path,
    lock: str = LOCK,
    files: Sequence[str] = OURS,
    what: str = NOBODY,
    patience: float = 0.0,
) -> Iterator[Path]:
    """Hold the folder of an evaluation, or of another command with few files, and make it if there
    is none.

    What is written into the folder that this gives takes the place of the files of the same names
    when all of it is there; if anything fails before, those stay.

    Args:
        folder: to hold.
        lock: the name of the file that tells whose folder it is.
        files: names of those that are written.
        what: who has not written them, where they are there without that file.
        patience: seconds to wait for another process that writes there.
    """
    make_folder(folder)
    refuse_foreign(folder, lock, files, what)
    if isinstance(folder, RemotePath):
        with _sent_at_the_end(folder, lock) as new:
            yield new
        return
    with only_user(folder, lock, "name another with out=", patience=patience):
        new = folder / ".new"
        shutil.rmtree(new, ignore_errors=True)  # of one that was killed
        new.mkdir()
        try:
            yield new
            for file in new.iterdir():
                file.replace(folder / file.name)
        finally:
            shutil.rmtree(new, ignore_errors=True)


@contextmanager
def _sent_at_the_end(folder: RemotePath, lock: str) -> Iterator[Path]:
    """The same of a folder at a URL: the files are sent there when all are written, the summary
    last; each is there whole or not at all."""
    with only_user(folder, lock), TemporaryDirectory() as new:
        yield Path(new)
        written = sorted(Path(new).iterdir(), key=lambda file: (file.name == SUMMARY, file.name))
        for file in written:
            (folder / file.name).write_from(file)


def refuse_foreign(
    folder: Path,
    lock: str = LOCK,
    files: Sequence[str] = OURS,
    what: str = NOBODY,
) -> None:
    """Refuse a folder in which files of something else have the names of ours, such as that of a
    run."""
    names = [name for name in files if (folder / name).exists()]
    if names and not (folder / lock).exists():
        raise RecipeError(
            f"out: the folder {folder} holds {names[0]}, which {what} written; name a new folder"
        )
