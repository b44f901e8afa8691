"""Processes that never outlive the one they work for, whatever ends it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

POLL_INTERVAL = 0.5  # seconds between two looks at whether the parent is there
PR_SET_PDEATHSIG = 1  # of Linux's prctl


def die_with_parent() -> None:
    """Let the kernel end this process when its parent ends, even by kill -9. Linux knows how; on
    other systems this does nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def die_without(lifeline: Connection) -> None:
    """End this process when the other end of a pipe, which one process alone holds, is closed: by
    that process, or by its death."""

    def wait() -> None:
        lifeline.poll(None)
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="weakseg-lifeline").start()


def when_orphaned(parent: int, act: Callable[[], None]) -> None:
    """Call a function, in a thread, when this process is no more a child of `parent`."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_INTERVAL)
        act()

    threading.Thread(target=look, daemon=True, name="weakseg-orphan").start()
