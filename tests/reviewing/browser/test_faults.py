"""Whatever goes wrong is said on the page, and nothing that a person did is lost."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reviewing.browser.pages import Serve, Visitor, events_in
from weakseg.reviewing.material import Material

pytestmark = pytest.mark.slow


class Command:
    """The command itself, in a process that can be killed.

    Args:
        words: of its command line.
        log: what it prints.
    """

    def __init__(self, words: list[str], log: Path) -> None:
        self.words = words
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, port: int = 0) -> str:
        """Returns the address that it prints."""
        line = [sys.executable, "-m", "weakseg.review", *self.words, "open=false", f"port={port}"]
        with self.log.open("wb") as into:
            self.process = subprocess.Popen(line, stdout=into, stderr=into)
        for _ in range(600):
            if "page: " in (printed := self.log.read_text()):
                return printed.partition("page: ")[2].split()[0]
            assert self.process.poll() is None, printed
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    words = ["recipe=boxes_rect", "data.train=4", "data.val=1", "data.size=64"]
    folders = [f"corrections={tmp_path / 'corrections'}", f"rounds.folder={tmp_path / 'labels'}"]
    started = Command([*words, *folders, "device=cpu"], tmp_path / "log.txt")
    yield started
    started.kill()


def test_a_killed_server_loses_nothing(command: Command, visit: Visitor, tmp_path: Path) -> None:
    url = command.start()
    page = visit(url).open()
    page.press("s", "1")
    page.drag([(10, 10), (20, 14)])
    page.settled()
    command.kill()
    page.may_fail = True
    page.drag([(10, 40), (20, 44)])
    page.until("#notices", "does not answer")
    # the browser asks before it closes a page with something unsaved
    asked = []
    page.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.page.close(run_before_unload=True)
    page.page.wait_for_timeout(300)
    assert asked == ["beforeunload"]
    assert events_in(tmp_path / "corrections") == ["scribble"]

    again = command.start(int(page.origin.rpartition(":")[2]))
    page.retry()
    page.until("#notices", "another tab")
    other = visit(again, context=page.page.context).open()
    page.page.bring_to_front()
    page.retry()
    page.until("#saving-text", "saved")
    page.settled()
    assert events_in(tmp_path / "corrections") == ["scribble", "scribble"]
    number = page.number
    assert len(other.state(number)["strokes"]) == 2
    page.press("a")
    page.settled()
    page.page.reload()
    page.ready()
    assert page.page.locator(f"#image-{number} .mark.accepted").is_visible()


def test_two_tabs_do_not_overwrite_each_other(
    visit: Visitor, serve: Serve, small_toy: Material
) -> None:
    served = serve(small_toy)
    first = visit(served.url).open()
    second = visit(served.url, context=first.page.context).open()
    number = first.number
    assert second.number == number
    second.press("s", "1")
    second.drag([(10, 10), (20, 14)])
    second.settled()

    # pages look again when they come to the front: not this one, so that it knows less
    first.may_fail = True
    first.page.route(f"**/api/images/{number}", lambda route: route.abort())
    first.press("s", "2")
    first.drag([(10, 50), (20, 54)])
    first.until("#notices", "changed elsewhere")
    assert first.text("#saving-text") == "1 not saved"
    assert events_in(served.corrections) == ["scribble"]
    first.page.click("text=Apply again")
    first.settled()
    assert first.text("#notices") == ""
    assert events_in(served.corrections) == ["scribble"] * 2

    second.may_fail = True
    second.drag([(30, 30), (40, 34)])
    second.until("#notices", "changed elsewhere")
    second.page.click("text=Discard")
    second.settled()
    assert events_in(served.corrections) == ["scribble"] * 2


def test_a_full_disk_is_said_and_tried_again(
    visit: Visitor, serve: Serve, small_toy: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(small_toy)
    page = visit(served.url).open()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("weakseg.data.corrections.folder.write_whole", full)
        page.may_fail = True
        page.press("s", "1")
        page.drag([(10, 10), (20, 14)])
        page.until("#notices", "No space left")
        page.drag([(10, 40), (20, 44)])
        assert events_in(served.corrections) == []
    page.retry()
    page.settled()
    assert events_in(served.corrections) == ["scribble", "scribble"]


def test_an_answer_that_gets_lost_is_no_conflict(
    visit: Visitor, serve: Serve, small_toy: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(small_toy)
    page = visit(served.url).open()
    page.may_fail = True
    real = served.session.add

    def lost(*given: Any) -> Any:
        monkeypatch.undo()
        real(*given)
        raise RuntimeError("the line was cut")

    page.press("s", "1")
    for points in ([(10, 10), (20, 14)], [(10, 40), (20, 44)]):
        monkeypatch.setattr(served.session, "add", lost)
        page.drag(points)
        page.settled()
    monkeypatch.setattr(served.session, "add", lost)
    page.press("Control+z")
    page.settled()
    assert events_in(served.corrections) == ["scribble", "scribble", "undo"]
    assert page.text("#notices") == ""


def test_a_strategy_that_raises_is_said_and_the_work_goes_on(
    visit: Visitor, serve: Serve, small_toy: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(small_toy)
    page = visit(served.url).open()
    page.settled()

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the box is no box")

    monkeypatch.setattr(type(small_toy.strategy), "estimate", broken)
    page.may_fail = True
    page.press("b", "1")
    page.drag([(10, 10), (30, 30)])
    page.until("#notices", "the box is no box")
    assert page.text("#saving-text") == "saved"
    monkeypatch.undo()
    page.press("Control+z", "a")
    page.settled()
    assert events_in(served.corrections) == ["add_box", "undo", "accept"]
    assert page.text("#notices") == ""


def test_an_image_that_is_gone_is_said(
    visit: Visitor, serve: Serve, unannotated: Material, photos: Path
) -> None:
    page = visit(serve(unannotated).url).open()
    page.settled()
    (photos / "c.png").unlink()
    page.may_fail = True
    page.press("j", "j")
    page.until("#notices", "is gone")
    page.press("k")
    page.wait(lambda: page.text("#notices") == "", "the notice stays")
    assert page.text("#name") == "b.png"


def test_a_refused_event_is_kept_until_the_person_decides(
    visit: Visitor, serve: Serve, small_toy: Material
) -> None:
    served = serve(small_toy)
    page = visit(served.url).open()
    page.may_fail = True

    def refuse(route: Any) -> None:
        route.fulfill(status=400, content_type="application/json", body='{"error": "not so"}')

    page.page.route("**/events", refuse)
    page.press("s", "1")
    page.drag([(10, 10), (20, 14)])
    page.until("#notices", "not so")
    page.page.unroute("**/events")
    page.page.click("text=Discard")
    page.drag([(10, 40), (20, 44)])
    page.settled()
    assert events_in(served.corrections) == ["scribble"]


def test_a_target_that_comes_late_is_not_shown(
    visit: Visitor, serve: Serve, small_toy: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(small_toy)
    page = visit(served.url).open()
    page.settled()
    real = served.session.picture
    delays = iter([1.5])

    def slow_at_first(number: int, layer: str, strategy: str | None = None) -> Any:
        picture = real(number, layer, strategy)
        if layer == "target":
            time.sleep(next(delays, 0))
        return picture

    monkeypatch.setattr(served.session, "picture", slow_at_first)
    page.press("p", "1")
    page.drag([(10, 10), (40, 10)])
    page.page.wait_for_selector("#estimating:visible")
    page.press("Control+z")
    page.page.wait_for_timeout(2000)
    page.settled()
    page.page.uncheck(".layer[data-layer=evidence] input")
    page.page.mouse.move(2, 2)
    page.page.wait_for_timeout(100)
    with_target = page.pixel((25, 10))
    page.page.uncheck(".layer[data-layer=target] input")
    page.page.wait_for_timeout(100)
    assert page.pixel((25, 10)) == with_target
