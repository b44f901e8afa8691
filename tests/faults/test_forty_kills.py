"""Forty times kill -9, at random moments of runs of several recipes: each run that goes on ends as
if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.runs import TINY, differences, go_on, outcome

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

AGAIN = ["rounds.when=epochs", "rounds.every=2", "rounds.count=3"]
RECIPES = {  # words beside the tiny ones, and how many kills
    "boxes": (["data.workers=1", *AGAIN], 7),
    "scribbles": ([], 8),
    "clustering": (AGAIN, 7),
    "mixed": (AGAIN, 6),
    "tags_em": ([], 7),
    "boxes_coseg": (AGAIN, 5),
}


def fork(work: Callable[[], object]) -> int:
    """Do something in a copy of this process, silently and in a session of its own; returns its
    number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        work()
        code = 0
    finally:
        os._exit(code)


def ended(child: int, seconds: float) -> int | None:
    """The exit status of a process if it ends in so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.005)
    return None


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def finish(root: Path, words: list[str]) -> float:
    """Go on with a run in a process of its own until it ends; returns how long that took."""
    start = time.monotonic()
    child = fork(lambda: go_on(root, words))
    status = ended(child, 240)
    if status is None:
        kill(child)
    assert status == 0
    return time.monotonic() - start


def only_run(root: Path) -> Path:
    (found,) = (file.parent for file in root.glob("*/[0-9]*/recipe.yaml"))
    return found


def in_session(number: int) -> list[int]:
    """The processes that a killed one has left behind: those of its session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended by now
            continue
        if int(fields[3]) == number and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


def orphans(sessions: list[int]) -> list[int]:
    """Processes of these sessions that are still there after a while; they are ended then."""
    until = time.monotonic() + 15
    while (
        left := [process for number in sessions for process in in_session(number)]
    ) and time.monotonic() < until:
        time.sleep(0.2)
    for process in left:
        os.kill(process, signal.SIGKILL)
    return left


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_that_is_killed_again_and_again_ends_as_if_nothing_had_happened(
    tmp_path: Path, recipe: str
) -> None:
    # in a process of its own: one that has trained before, as other tests do, has threads of
    # autograd and cannot fork a process that trains
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        f"from {__name__} import kill_again_and_again",
        str(tmp_path),
        recipe,
    ]
    command[4] += (
        "; import pathlib, sys; kill_again_and_again(pathlib.Path(sys.argv[1]), sys.argv[2])"
    )
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def kill_again_and_again(folder: Path, recipe: str) -> None:
    """Compare chains of runs that are killed and go on with a run that is left alone."""
    extra, kills = RECIPES[recipe]
    words = [
        f"recipe={recipe}",
        *TINY,
        "data.train=8",
        "data.batch_size=4",
        "trainer.max_steps=13",
        "trainer.log_every_n_steps=3",
        *extra,
    ]
    finish(folder / "whole", words)
    length = finish(folder / "measured", words)  # the first one may have compiled something
    whole = outcome(only_run(folder / "whole"))
    assert not differences(whole, outcome(only_run(folder / "measured")))
    moment = random.Random(recipe)
    sessions: list[int] = []
    chain = 0
    while len(sessions) < kills:
        root = folder / str(chain)
        chain += 1
        for _ in range(3):
            child = fork(lambda root=root: go_on(root, words))  # type: ignore[misc]
            status = ended(child, moment.uniform(0.1, 0.9) * length)
            if status is None:
                kill(child)
                sessions.append(child)
            else:
                assert status == 0
        finish(root, words)
        assert not differences(whole, outcome(only_run(root)))
    assert not orphans(sessions)
