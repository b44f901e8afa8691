"""Ending a run that gets SIGINT or SIGTERM: at any moment, cleanly where that is possible, within
ten seconds in any case.

An exception that a signal handler raises can get lost: in a destructor, in a fork, in a bare
`except`. And Python runs no handler at all while the main thread waits for another process inside
of a library. So there is a second thread that receives every signal at once. It delivers it again
where it was lost, passes it on to the processes that this one has launched, and ends the process
when time is up.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from weakseg.utils.job import requeue

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# a scheduler says with it that the time of a job is up, and that it wants to be asked for more
REQUEUE = signal.SIGUSR1
# seconds within which further signals are the same wish: a terminal and a scheduler may both send
# one
SAME_PRESS = 1.0
PATIENCE = 3.0  # seconds that training may go on, to a step from which it can be resumed
AGAIN = 5.0  # seconds after which the exception must have got lost
LIMIT = 8.0  # seconds after which the process ends wherever it is
REQUEUE_SLACK = 60.0  # seconds more for all of these where a scheduler gives them


class SignalStop(BaseException):
    """A signal ends the run. No Exception, so that nobody takes it for a failure."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum


class Stopping:
    """Handles the signals that end this process, and knows whether one has come."""

    def __init__(self) -> None:
        self.signum = 0
        self.installed = False
        self.signals: tuple[signal.Signals, ...] = SIGNALS
        """that it handles"""
        self.patient = False  # training is under way and will look for the signal itself
        self.advice = ""  # printed before a process ends without cleaning up
        self.farewell = False  # whether it has been printed that the run was stopped
        # processes that must receive a signal, too
        self.launched: Callable[[], Sequence[subprocess.Popen[Any]]] = list
        self._at = 0.0
        self._raised = self._lost = self._pressed = self._requeued = False
        self._own = 0  # signals that the watching thread has sent itself and not yet received

    def install(self) -> None:
        """Listen to signals from now on, in this process but not in its forks. One that is ignored,
        as under nohup, stays so."""
        self.installed = True
        if "SLURM_JOB_ID" in os.environ:
            self.signals = (*SIGNALS, REQUEUE)
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self.take_over()
        usual = sys.unraisablehook

        def notice(unraisable: Any) -> None:
            if unraisable.exc_type is SignalStop:
                self._raised = False
                self._lost = True
            else:
                usual(unraisable)

        sys.unraisablehook = notice
        os.register_at_fork(after_in_child=self._forget)
        threading.Thread(
            target=self._watch, args=(reader,), daemon=True, name="weakseg-stopping"
        ).start()

    def take_over(self) -> None:
        """Handle the signals here, whoever has done so since; but only if that was ever requested
        for."""
        for signum in self.signals if self.installed else ():
            if signal.getsignal(signum) is not signal.SIG_IGN:
                signal.signal(signum, self._handle)

    def deafen(self) -> None:
        """Ignore further signals: the process is about to end, and Python takes its handlers away
        before it does."""
        for signum in self.signals:
            signal.signal(signum, signal.SIG_IGN)

    def requeue(self) -> None:
        """If a scheduler's time was up, put its job back into the queue, once."""
        if self.signum == REQUEUE and not self._requeued:
            self._requeued = True
            requeue()

    def raise_if_asked(self) -> None:
        """Raise SignalStop if there was a signal."""
        if self.signum:
            self._raised = True
            raise SignalStop(self.signum)

    def end_now(self, code: int, message: str = "") -> None:
        """End this process without any cleaning up; what it has launched ends with it."""
        with contextlib.suppress(OSError):
            os.write(
                2,
                "".join(
                    f"{line}\n"
                    for line in ("", message, self.advice)
                    if line or message or self.advice
                ).encode(),
            )
        for process in self.launched():
            process.kill()
        self.requeue()
        os._exit(code)

    def _handle(self, signum: int, frame: Any) -> None:
        self._note(signum)
        waits = self.patient and self._age() < PATIENCE
        if not waits and (not self._raised or self._pressed):
            self._pressed = False
            self.raise_if_asked()

    def _age(self) -> float:
        """Seconds since the signal, less those that its sender grants."""
        return time.monotonic() - self._at - (REQUEUE_SLACK if self.signum == REQUEUE else 0.0)

    def _note(self, signum: int) -> None:
        if not self.signum:
            self.signum = signum
            self._at = time.monotonic()

    def _watch(self, reader: int) -> None:
        passed_on = False
        pressed: set[float] = set()
        while True:
            ready, _, _ = select.select([reader], [], [], 0.1 if self.signum else None)
            for signum in os.read(reader, 64) if ready else b"":
                self._hear(signum)
            if not self.signum:
                continue
            if not passed_on:
                passed_on = True
                for process in self.launched():
                    process.send_signal(self.signum)
            age = self._age()
            if age > LIMIT:
                self.end_now(128 + self.signum)
            due = {moment for moment in (PATIENCE, AGAIN) if age > moment} - pressed
            if self._lost or due:
                pressed |= due
                self._press(AGAIN in due or self._lost)

    def _hear(self, signum: int) -> None:
        if signum not in self.signals:
            return
        if self._own:
            self._own -= 1
        elif self.signum and time.monotonic() - self._at > SAME_PRESS:
            # a second signal: whoever sent it does not want to wait
            self.end_now(128 + self.signum)
        else:
            self._note(signum)

    def _press(self, again: bool) -> None:
        """Interrupt whatever the main thread is waiting for."""
        main = threading.main_thread().ident
        if main is None or (self._raised and not again):
            return
        self._lost = False
        self._pressed = again
        self._own += 1
        signal.pthread_kill(main, self.signum)

    def _forget(self) -> None:
        """In a fork: its parent will end it, and it must not write into the pipe of its parent."""
        signal.set_wakeup_fd(-1)
        sys.unraisablehook = sys.__unraisablehook__
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if REQUEUE in self.signals:
            signal.signal(REQUEUE, signal.SIG_IGN)  # SLURM sends it to all processes of a job
        self.__init__()  # type: ignore[misc]


_current = Stopping()


def current() -> Stopping:
    """Of this process."""
    return _current


def of_a_run() -> Stopping:
    """What a run listens to: this process, if it is the command's; in a program of somebody else,
    which lives on, a signal is not ours."""
    return _current if _current.installed else Stopping()


def end_within(seconds: float, code: int) -> None:
    """End this process when it has not ended by itself after some time, as when a library waits for
    a rank that has gone."""

    def wait() -> None:
        time.sleep(seconds)
        os._exit(code)

    threading.Thread(target=wait, daemon=True, name="weakseg-end").start()
