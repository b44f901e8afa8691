from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from weakseg.utils import progress
from weakseg.utils.progress import track


def slow_at_first(count: int) -> Iterator[int]:
    """As where the first image waits for the compiler."""
    time.sleep(0.5)
    yield 0
    for number in range(1, count):
        time.sleep(0.02)
        yield number


def test_the_time_left_is_not_that_of_the_first_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(slow_at_first(12), 200, "estimating")) == list(range(12))
    bar = capsys.readouterr().err
    left = [
        60 * int(minutes) + int(seconds) for minutes, seconds in re.findall(r"<(\d+):(\d+)", bar)
    ]
    assert left
    assert max(left) < 30  # at the speed of the first one, 100 seconds
    assert "estimating, the first takes longer:   0%" in bar
    assert "estimating:   6%" in bar


def test_all_are_counted_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track("abc", 3, "looking", world=2)) == ["a", "b", "c"]
    assert "looking: 100%" in capsys.readouterr().err
    assert list(track("a", 1, "looking")) == ["a"]
    assert "1/1" in capsys.readouterr().err


def test_another_rank_shows_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "rank", lambda: 1)
    assert list(track("abc", 3, "looking")) == ["a", "b", "c"]
    assert list(track("", 0, "looking")) == []
    assert capsys.readouterr().err == ""
