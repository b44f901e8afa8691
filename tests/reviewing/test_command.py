"""The command: what it prints, how it ends, and that a kill at any moment loses nothing that was
answered."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.reviewing.client import Client
from tests.reviewing.sessions import SCRIBBLE
from weakseg.reviewing import dataset
from weakseg.reviewing.dataset import review_dataset
from weakseg.reviewing.serving import Address

ROOT = Path(__file__).parents[2]
WORDS = ("recipe=boxes_rect", "data=tests.small.Squares", "open=false", "who=me")
EVENTS = "/api/images/0/events"


@contextmanager
def running(folder: Path, *words: str, before: str = "") -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own, which is killed at the end."""
    command = f"import sys; from weakseg.review import command; {before}sys.exit(command())"
    process = subprocess.Popen(
        [sys.executable, "-c", command, *WORDS, f"corrections={folder / 'corrections'}", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def opened(process: subprocess.Popen[str]) -> Client:
    """The page at the address that the command prints first."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"page: http://(127\.0\.0\.1):(\d+)/\?secret=(\S+)\n", line)
    assert found is not None, line + ended(process)[1]
    return Client(Address(found[1], int(found[2]), found[3])).enter()


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    assert process.stdout is not None
    assert process.stderr is not None
    process.wait(30)
    return process.stdout.read(), process.stderr.read()


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_ends_soon_after_a_signal(tmp_path: Path, signum: signal.Signals, code: int) -> None:
    with running(tmp_path) as process:
        page = opened(process)
        assert page.get("/api/session").json()["title"] == "boxes_rect"
        start = time.monotonic()
        process.send_signal(signum)
        out, err = ended(process)
        assert time.monotonic() - start < 10
    assert process.returncode == code
    assert f"corrections: {tmp_path / 'corrections'}" in out
    assert "python -m weakseg.fit recipe=boxes_rect" in out
    assert err.splitlines()[-1] == f"stopped by {signum.name}"
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_kill_amid_saving_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    answered = 0
    for turn in range(3):
        with running(tmp_path) as process:
            page = opened(process)
            revision = page.get("/api/images/0").json()["revision"]
            # one that was written may not have been answered any more
            assert answered <= revision <= answered + 1
            answered = revision
            killed = Event()

            def kill(process: subprocess.Popen[str] = process, killed: Event = killed) -> None:
                time.sleep(0.4)
                process.kill()
                killed.set()

            Thread(target=kill).start()
            with suppress(OSError, ConnectionError, ValueError):
                while not killed.is_set():
                    points = [[turn + 1, 1], [9, 9]]
                    event = {**SCRIBBLE, "points": points}
                    answer = page.post(EVENTS, {"revision": answered, "event": event})
                    assert answer.status == 200
                    answered = answer.json()["revision"]
    assert answered > 3
    with running(tmp_path) as process:
        image = opened(process).get("/api/images/0").json()
        assert answered <= image["revision"] <= answered + 1
        assert len(image["strokes"]) == image["revision"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a limit on the size of files needs POSIX")
def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    """Files may have 2,000 bytes: a write beyond that fails as on a full disk."""
    limit = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); "
    )
    points = [[place % 20 + 0.5, place % 19 + 0.5] for place in range(300)]
    with running(tmp_path, "rounds.folder=" + str(tmp_path / "labels"), before=limit) as process:
        page = opened(process)
        assert page.post(EVENTS, {"revision": 0, "event": SCRIBBLE}).status == 200
        event = {**SCRIBBLE, "points": points}
        answer = page.post(EVENTS, {"revision": 1, "event": event})
        assert answer.status == 507
        assert "nothing was saved: File too large" in answer.json()["error"]
        image = page.get("/api/images/0").json()
        assert (image["revision"], len(image["strokes"])) == (1, 1)
        assert page.post(EVENTS, {"revision": 1, "event": {"action": "accept"}}).status == 200
    file = tmp_path / "corrections" / "images" / "disc" / "0.json"
    assert json.loads(file.read_text())["status"] == "accepted"
    assert not list(tmp_path.glob("corrections/**/.*.part"))


@pytest.mark.slow
def test_a_port_that_is_taken_and_a_host_for_others(tmp_path: Path) -> None:
    with running(tmp_path, "host=0.0.0.0") as process:
        assert process.stdout is not None
        port = process.stdout.readline().partition(":")[2].split(":")[2].partition("/")[0]
        with running(tmp_path, f"port={port}") as other:
            _, err = ended(other)
            assert other.returncode == 1
            assert f"port: {port} is taken" in err.splitlines()[-1]
            assert "Traceback" not in err
        process.send_signal(signal.SIGTERM)
        assert "warning: host: 0.0.0.0 lets other machines reach this page" in ended(process)[1]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({}, "expected run=<run folder>, or recipe=<name>, or data=folder"),
        ({"run": "runs/x", "recipe": "boxes"}, "but both came"),
        ({"run": "runs/x", "strategy": {"name": "mixed"}}, "run= has a strategy of its own"),
        ({"run": "no/such/run"}, "expected a run folder or a checkpoint in one"),
    ],
)
def test_words_that_do_not_belong_together(words: dict[str, object], line: str) -> None:
    with pytest.raises(ValueError, match=re.escape(line)):
        review_dataset(**words)  # type: ignore[arg-type]


def test_the_browser_is_started_with_an_address_that_is_good_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[str] = []
    monkeypatch.setattr(dataset.webbrowser, "open", started.append)
    monkeypatch.setattr(dataset, "_wait", lambda: None)
    squares = {"name": "tests.small.Squares"}
    review_dataset(recipe="boxes_rect", data=squares, corrections=tmp_path / "new", who="me")
    printed = capsys.readouterr().out.splitlines()[0].removeprefix("page: ")
    (address,) = started
    assert address.partition("secret=")[0] == printed.partition("secret=")[0]
    assert address.partition("secret=")[2] not in ("", printed.partition("secret=")[2])
