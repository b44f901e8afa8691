"""Which rank hangs, and what is said of one that has died."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher

from weakseg.training.rank_monitor import (
    Beat,
    RankMonitor,
    Seen,
    _exit_code,
    _is_broken_connection,
    _obituary,
    judge,
    place,
    see,
    timeout,
)
from weakseg.utils.signals import Stopping


def seen(now: float, **changes: Any) -> Seen:
    beat = Beat(
        **{"number": 1, "moved": 5, "waits": False, "where": "mine.py, line 8, loss", **changes}
    )
    return Seen(beat, now, now)


def test_ranks_that_move_do_not_hang() -> None:
    assert judge({0: seen(100), 1: seen(100)}, 105, 10) == ""
    assert judge({}, 105, 10) == ""


def test_one_rank_that_moves_is_enough_for_all_others_wait_for_it() -> None:
    waiting = seen(0, waits=True)._replace(beaten=99)
    assert judge({0: waiting, 1: seen(99)}, 100, 10) == ""


def test_the_rank_that_does_not_wait_for_others_is_the_one_that_hangs() -> None:
    waits, hangs = (seen(0, waits=wait)._replace(beaten=99) for wait in (True, False))
    sentence = judge({0: waits, 1: hangs, 2: waits}, 100, 10)
    assert sentence == (
        "rank 1 hangs: has not moved for 10 seconds, and the others wait: rank 1 is in "
        "mine.py, line 8, loss"
    )


def test_a_rank_that_is_not_heard_of_hangs_though_others_move() -> None:
    assert (
        judge({0: seen(99), 1: seen(80)}, 100, 10)
        == "rank 1 hangs: has not answered for 10 seconds"
    )


def test_a_beat_tells_living_from_moving() -> None:
    first = see(None, Beat(1, 5, False, "x"), 10)
    living = see(first, Beat(2, 5, False, "x"), 20)
    moving = see(living, Beat(3, 6, False, "x"), 30)
    assert (first.beaten, first.moved) == (10, 10)
    assert (living.beaten, living.moved) == (20, 10)
    assert (moving.beaten, moving.moved) == (30, 30)
    assert see(moving, Beat(3, 6, False, "x"), 40) == moving


def test_the_place_of_a_rank_is_its_own_line() -> None:
    waits, where = place(sys._getframe())
    assert not waits
    assert where.startswith("test_rank_monitor.py, line ")
    assert where.endswith("test_the_place_of_a_rank_is_its_own_line")


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan"])
def test_a_timeout_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAKSEG_RANK_TIMEOUT", text)
    with pytest.raises(
        ValueError, match="WEAKSEG_RANK_TIMEOUT should be seconds, such as 600, or 0 for no limit"
    ):
        timeout()


def test_a_rank_that_died_is_named_with_what_killed_it() -> None:
    assert _obituary(1, -9) == "rank 1 was killed by SIGKILL; all ranks end"
    assert "rank 3 has ended with exit code 1" in _obituary(3, 1)
    assert [_exit_code(code) for code in (-9, 1, -15, 143, -2, 130)] == [1, 1, 143, 143, 130, 130]


def test_only_errors_of_connections_are_taken_for_a_lost_rank() -> None:
    assert _is_broken_connection(
        RuntimeError("[../gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]:1")
    )
    assert not _is_broken_connection(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not _is_broken_connection(ValueError("gloo"))


def test_launched_ranks_are_watched_by_ourselves_from_the_first_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lightning's watch kills this process without a word when a rank has ended, after a signal,
    too."""
    for name in (
        "MASTER_ADDR",
        "MASTER_PORT",
        "NODE_RANK",
        "LOCAL_RANK",
        "WORLD_SIZE",
        "WEAKSEG_LAUNCHER",
        "TORCHELASTIC_RUN_ID",
    ):
        monkeypatch.setenv(name, "")  # so that what the launch sets is undone
        monkeypatch.delenv(name)
    before = set(threading.enumerate())
    launcher = _SubprocessScriptLauncher(LightningEnvironment(), 2, 1)
    trainer: Any = SimpleNamespace(world_size=2, strategy=SimpleNamespace(launcher=launcher))
    monkeypatch.setattr(
        launcher,
        "_call_children_scripts",
        lambda: launcher.procs.append(
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        ),
    )
    companions = RankMonitor(Stopping())
    companions.prepare(trainer)

    def look(number: int) -> int:
        watches = {thread.name: thread for thread in set(threading.enumerate()) - before}
        assert "weakseg-rank-monitor" in watches
        assert getattr(watches.get("child-process-observer"), "_child_processes", []) == []
        return number

    assert launcher.launch(look, 5, trainer=None) == 5
    companions.part()
    companions.finish(0)
    assert os.environ["WEAKSEG_LAUNCHER"] == str(os.getpid())


def test_rank_0_is_named_though_its_connections_break_before_it_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parents = iter([7, 7, 7])
    monkeypatch.setenv("WEAKSEG_LAUNCHER", "7")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("weakseg.training.rank_monitor.os.getppid", lambda: next(parents, 1))
    broken = RuntimeError(
        "[../gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]:1"
    )
    assert str(RankMonitor(Stopping()).explain(broken)) == "rank 0 has died; all ranks end"
