"""Whether weights that others trained are at hand: on this machine, or to be fetched without
waiting long for a network that there is not."""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch

CONNECT = 3.0  # seconds until a server that does not answer counts as out of reach
STALLED = 15.0  # seconds without a byte until a download has failed
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
HERE = "on this machine"
FETCHED = "downloaded"


def how_at_hand(build: Callable[[], object]) -> str:
    """How the weights with which a network is built came here; nothing if they did not.

    Args:
        build: makes the network with them, and fails without.
    """
    with _without_network():
        if _works(build):
            return HERE
    if _offline():
        return ""
    with _with_a_quick_network():
        return FETCHED if _works(build) else ""


def ask_ahead() -> None:
    """Ask whether weights could be fetched, so that the answer is there when somebody waits for
    it."""
    if not _offline():
        from huggingface_hub import constants

        _asked(_server(constants.ENDPOINT))


def _offline() -> bool:
    return any(os.environ.get(name, "").upper() in ("1", "TRUE", "YES", "ON") for name in OFFLINE)


def _works(build: Callable[[], object]) -> bool:
    try:
        with torch.random.fork_rng(
            []
        ):  # random weights are made before ready ones take their place
            build()
    except Exception:  # of the libraries that fetch weights, each has its own kinds
        return False
    return True


@contextmanager
def _without_network() -> Iterator[None]:
    """Libraries find what they have fetched before, and fetch nothing."""
    with (
        mock.patch("huggingface_hub.constants.HF_HUB_OFFLINE", True),
        mock.patch.object(torch.hub, "download_url_to_file", _refuse),
    ):
        yield


@contextmanager
def _with_a_quick_network() -> Iterator[None]:
    """Libraries fetch from servers that answer at once, and give up a download that stalls."""
    from huggingface_hub import constants

    fetch: Callable[..., Any] = torch.hub.download_url_to_file

    def fetch_quickly(url: str, *others: Any, **named: Any) -> Any:
        return fetch(url, *others, **named) if reachable(url) else _refuse(url)

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALLED)
    try:
        with (
            mock.patch.object(torch.hub, "download_url_to_file", fetch_quickly),
            mock.patch.multiple(
                constants,
                HF_HUB_OFFLINE=not reachable(constants.ENDPOINT),
                HF_HUB_ETAG_TIMEOUT=STALLED,
                HF_HUB_DOWNLOAD_TIMEOUT=STALLED,
            ),
        ):
            yield
    finally:
        socket.setdefaulttimeout(before)


def _refuse(url: str, *others: Any, **named: Any) -> None:
    raise OSError(f"{urllib.parse.urlsplit(url).hostname} cannot be reached")


def reachable(url: str) -> bool:
    """Whether the server of an address answers in time."""
    return _answers(_server(url))


def _server(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@functools.cache
def _answers(server: str) -> bool:
    answered, since = _asked(server)
    return answered.wait(max(0, since + CONNECT - time.monotonic()))


@functools.cache
def _asked(server: str) -> tuple[threading.Event, float]:
    """What is set once a server has answered, and since when it has been asked."""
    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(server, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=CONNECT):
                answered.set()
        except urllib.error.HTTPError:  # an answer, too
            answered.set()
        except OSError:
            pass

    # looking up a name may take longer than any timeout
    threading.Thread(target=ask, daemon=True).start()
    return answered, time.monotonic()
