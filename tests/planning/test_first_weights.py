"""Weights on this machine, weights to be fetched, and no network to fetch them from."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from weakseg.planning import first_weights
from weakseg.planning.first_weights import FETCHED, HERE, ask_ahead, how_at_hand, reachable


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    first_weights._answers.cache_clear()
    first_weights._asked.cache_clear()


def test_what_needs_no_network_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_weights, "reachable", lambda url: pytest.fail("asked a server"))
    assert how_at_hand(lambda: None) == HERE


def from_hub() -> None:
    if constants.HF_HUB_OFFLINE:
        raise OSError("offline")
    assert constants.HF_HUB_DOWNLOAD_TIMEOUT == first_weights.STALLED
    assert socket.getdefaulttimeout() == first_weights.STALLED


def test_what_the_hub_has_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_weights, "reachable", lambda url: True)
    assert how_at_hand(from_hub) == FETCHED
    assert socket.getdefaulttimeout() is None
    assert constants.HF_HUB_OFFLINE is False


def test_without_a_network_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_weights, "reachable", lambda url: False)
    assert how_at_hand(from_hub) == ""


def test_who_wants_no_network_is_not_asked_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(first_weights, "reachable", lambda url: pytest.fail("asked a server"))
    assert how_at_hand(from_hub) == ""


@pytest.mark.parametrize(("answers", "found"), [(True, FETCHED), (False, "")])
def test_weights_of_torch_hub(
    answers: bool, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(url: str, file: str, *others: Any, **named: Any) -> None:
        torch.save({"a": torch.zeros(1)}, file)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(first_weights, "reachable", lambda url: answers)
    url = "https://weights.example/a.pth"

    def build() -> object:
        return torch.hub.load_state_dict_from_url(url, str(tmp_path), progress=False)

    assert how_at_hand(build) == found
    if answers:
        assert how_at_hand(build) == HERE


def test_random_numbers_stay_as_they_are() -> None:
    before = torch.get_rng_state()
    how_at_hand(lambda: torch.rand(3))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_server_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_weights, "CONNECT", 0.05)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: time.sleep(5))
    start = time.monotonic()
    assert not reachable("https://slow.example/a")
    assert time.monotonic() - start < 4


def test_whoever_was_asked_ahead_is_asked_once_and_not_waited_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def slow(request: urllib.request.Request, **named: Any) -> None:
        asked.append(request.full_url)
        time.sleep(5)

    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.example")
    monkeypatch.setattr(first_weights, "CONNECT", 2.0)
    monkeypatch.setattr(urllib.request, "urlopen", slow)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    start = time.monotonic()
    ask_ahead()
    assert time.monotonic() - start < 1
    time.sleep(1.5)
    for _ in range(3):
        assert not reachable("https://hub.example/d")
    assert time.monotonic() - start < 3.4
    assert asked == ["https://hub.example"]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    first_weights._asked.cache_clear()
    ask_ahead()
    assert asked == ["https://hub.example"]


def test_any_answer_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **named: Any) -> None:
        raise urllib.error.HTTPError("https://strict.example", 403, "no", None, None)  # type: ignore[arg-type]

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    assert reachable("https://strict.example/b")


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **named: Any) -> None:
        raise urllib.error.URLError("no such host")

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    monkeypatch.setattr(first_weights, "CONNECT", 0.5)
    assert not reachable("https://nowhere.example/c")
